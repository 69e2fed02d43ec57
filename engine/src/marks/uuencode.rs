//! Files that are written as text by `uuencode`, wherever a line begins one: `uudecode` and many mail programs find them anywhere.
//!
//! Source: POSIX, `uuencode`.

use super::base64;

/// Most files of one layer.
const MAX_FILES: usize = 10_000;
/// Longest first line.
const MAX_LINE: usize = 8192;

/// The files, and whether there are more than [`MAX_FILES`].
pub(super) fn files(content: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut files = Vec::new();
    let is_at_start = |at: &usize| *at == 0 || content.get(at - 1).is_some_and(|byte| matches!(byte, b'\n' | b'\r'));
    let mut starts = memchr::memmem::find_iter(content, b"begin").filter(is_at_start).peekable();
    while let Some(at) = starts.next() {
        // Attack: first lines without an end, each of which would hold all that follow.
        let next = starts.peek().copied().unwrap_or(content.len());
        let after = content.get(at + 5..next);
        let Some((is_base64, body)) = after.and_then(body) else { continue };
        if files.len() >= MAX_FILES {
            return (files, true);
        }
        if is_base64 {
            files.extend(in_base64(body));
        } else {
            files.push(in_lines(body));
        }
    }
    files.retain(|file| !file.is_empty());
    (files, false)
}

/// Whether the body is in base64, and the body; `None` when this is no first line: `begin 644 name`, `begin-base64 644 name`.
fn body(after: &[u8]) -> Option<(bool, &[u8])> {
    let (is_base64, after) = match after.strip_prefix(b"-base64") {
        Some(after) => (true, after.strip_prefix(b"-encoded").unwrap_or(after)),
        None => (false, after),
    };
    let end = memchr::memchr2(b'\n', b'\r', after.get(..after.len().min(MAX_LINE))?)?;
    let (line, body) = after.split_at_checked(end + 1)?;
    let mode = line.strip_prefix(b" ")?.split(|byte| *byte == b' ').find(|word| !word.is_empty())?;
    // Readers take what they know of it.
    let is_mode = mode.iter().all(|digit| matches!(digit, b'0'..=b'7' | b'o' | b'x' | b'_'));
    is_mode.then_some((is_base64, body))
}

/// What a body may be decoded to. The line of its end is four paddings, which other lines may have behind their letters.
fn in_base64(body: &[u8]) -> Vec<Vec<u8>> {
    let first = memchr::memmem::find(body, b"====").unwrap_or(body.len());
    let is_line = |end: &usize| end.checked_sub(1).is_none_or(|before| matches!(body.get(before), Some(b'\n' | b'\r')));
    // The first that is a line, and the first of all.
    let line = memchr::memmem::find_iter(body, b"====").find(is_line).unwrap_or(body.len());
    let mut files: Vec<Vec<u8>> = Vec::new();
    for end in if first == line { vec![line] } else { vec![first, line] } {
        let text = body.get(..end).unwrap_or_default();
        // Each line begins anew for some.
        let lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
        let by_lines = lines.flat_map(base64::pieces).collect();
        for file in base64::readings(text).into_iter().chain([by_lines]) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
}

/// Each line: a letter for the number of its bytes, and four letters for each three of them.
fn in_lines(body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some((first, letters)) = line.split_first() else { continue };
        let length = usize::from(value(*first));
        // What follows the letters that the length asks for is passed over.
        let letters = letters.get(..(length.div_ceil(3) * 4).min(letters.len())).unwrap_or_default();
        let is_letter = |letter: &u8| matches!(letter, b' '..=b'`');
        if length == 0 || line == b"end" || !is_letter(first) || !letters.iter().all(is_letter) {
            break;
        }
        let start = decoded.len();
        for letters in letters.chunks(4) {
            let number = (0..4)
                .fold(0_u32, |number, at| number << 6 | letters.get(at).map_or(0, |letter| u32::from(value(*letter))));
            decoded.extend_from_slice(number.to_be_bytes().get(1..).unwrap_or_default());
        }
        decoded.truncate(start + length);
    }
    decoded
}

fn value(letter: u8) -> u8 {
    letter.wrapping_sub(b' ') & 0x3F
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_are_found_at_any_line() {
        for text in [
            "begin 644 x\n%=V]R9',`\n`\nend\n",
            "words\n\nbegin 0644 a name\r\n%=V]R9',\r\n \r\nend\r\n",
            "begin-base64 644 x\nd29y\nZHM=\n====\n",
        ] {
            assert_eq!(files(text.as_bytes()).0, [b"words"], "{text}");
        }
    }

    #[test]
    fn paddings_within_base64_join_it_or_end_it() {
        for (text, expected) in [
            ("begin-base64 644 x\nd28=\ncmRz\n====\n", &b"words"[..]),
            ("begin-base64 644 x\nd28=cmRz\n====\n", b"words"),
            ("begin-base64 644 x\nd28====\ncmRz\n====\n", b"words"),
            ("begin-base64 644 x\nd28\ncmRz\n====\n", b"words"),
            ("begin-base64 644 x\nd29yZHM=====\n", b"words"),
        ] {
            assert!(files(text.as_bytes()).0.contains(&expected.to_vec()), "{text}");
        }
    }

    #[test]
    fn other_beginnings_are_none() {
        for text in [
            "begin 644 x",
            "to begin 644 x\n%=V]R9',`\n",
            "begin 9 x\n%=V]R9',`\n",
            "begin\n%=V]R9',`\n",
            "begin 644 x\nlower case\n",
        ] {
            assert!(files(text.as_bytes()).0.is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            files(&[b"begin 644 x\n", &bytes[..]].concat());
            files(&[b"begin-base64 644 x\n", &bytes[..]].concat());
        }
    }
}
