//! Files that are written as text by `uuencode`, wherever a line begins one: `uudecode` and many mail programs find them anywhere.
//!
//! Source: POSIX, `uuencode`.

use super::base64;

/// Most files of one layer.
const MAX_FILES: usize = 10_000;
/// Longest first line.
const MAX_LINE: usize = 1024;

/// The files, and whether there are more than [`MAX_FILES`].
pub(super) fn files(content: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut files = Vec::new();
    for at in memchr::memmem::find_iter(content, b"begin") {
        let is_at_start = at == 0 || content.get(at - 1).is_some_and(|byte| matches!(byte, b'\n' | b'\r'));
        let after = content.get(at + 5..).filter(|_| is_at_start);
        let Some((is_base64, body)) = after.and_then(body) else { continue };
        if files.len() >= MAX_FILES {
            return (files, true);
        }
        files.push(if is_base64 { in_base64(body) } else { in_lines(body) });
    }
    files.retain(|file| !file.is_empty());
    (files, false)
}

/// Whether the body is in base64, and the body; `None` when this is no first line: `begin 644 name`, `begin-base64 644 name`.
fn body(after: &[u8]) -> Option<(bool, &[u8])> {
    let (is_base64, after) = match after.strip_prefix(b"-base64") {
        Some(after) => (true, after),
        None => (false, after),
    };
    let end = memchr::memchr(b'\n', after.get(..after.len().min(MAX_LINE))?)?;
    let (line, body) = after.split_at_checked(end + 1)?;
    let mode = line.strip_prefix(b" ")?.split(|byte| *byte == b' ').find(|word| !word.is_empty())?;
    let is_mode = (3..=6).contains(&mode.len()) && mode.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    is_mode.then_some((is_base64, body))
}

fn in_base64(body: &[u8]) -> Vec<u8> {
    // Attack: first lines without an end, each of which would hold all that follow.
    let next = memchr::memmem::find(body, b"\nbegin").unwrap_or(body.len());
    let body = body.get(..next).unwrap_or_default();
    let end = memchr::memmem::find(body, b"====").unwrap_or(body.len());
    base64::decoded(body.get(..end).unwrap_or_default(), usize::MAX)
}

/// Each line: a letter for the number of its bytes, and four letters for each three of them.
fn in_lines(body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some((length, letters)) = line.split_first() else { continue };
        let length = usize::from(value(*length));
        if length == 0 || line == b"end" || !line.iter().all(|letter| matches!(letter, b' '..=b'`')) {
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
