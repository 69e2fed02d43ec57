//! Fields of a line of bytes.

/// The fields between separators; there is at least one.
pub(super) fn fields(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    line.split(move |byte| *byte == separator)
}

/// The field of this index, from 0; `None` past the last.
pub(super) fn field(line: &[u8], separator: u8, index: usize) -> Option<&[u8]> {
    // Sets have millions of lines: by memchr, which compares many bytes at once.
    let mut ends = memchr::memchr_iter(separator, line);
    let start = match index.checked_sub(1) {
        None => 0,
        Some(before) => ends.nth(before)? + 1,
    };
    line.get(start..ends.next().unwrap_or(line.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_field_is_one_of_the_fields(line in "[a:]{0,12}", index in 0_usize..8) {
            prop_assert_eq!(field(line.as_bytes(), b':', index), fields(line.as_bytes(), b':').nth(index));
        }
    }
}
