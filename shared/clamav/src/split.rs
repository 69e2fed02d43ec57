//! Fields of a line of bytes.

/// The fields between separators; there is at least one.
pub(super) fn fields(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    line.split(move |byte| *byte == separator)
}

/// The field of this index, from 0; `None` past the last.
pub(super) fn field(line: &[u8], separator: u8, index: usize) -> Option<&[u8]> {
    fields(line, separator).nth(index)
}
