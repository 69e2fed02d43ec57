//! Files that are written as text by `uuencode` or `xxencode`, wherever a line begins one: `uudecode` and many mail programs find them anywhere.
//!
//! Source: POSIX, `uuencode`.

mod xxencode;

use super::{base64, bytes};

/// Most files of one layer.
const MAX_FILES: usize = 10_000;
/// How often all of a layer may be read as bodies, and bytes that are in any case.
const MAX_PASSES: usize = 4;
const MIN_WORK: usize = 4 << 20;
/// Longest mode of a file.
const MAX_MODE: usize = 16;

/// The files, and whether there are more than are read.
pub(super) fn files(content: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut files = Vec::new();
    // Attack: first lines without an end, each of which has all that follow as its body.
    let mut left = content.len().saturating_mul(MAX_PASSES).saturating_add(MIN_WORK);
    for at in starts(content) {
        let Some((is_base64, body)) = content.get(at + 5..).and_then(body) else { continue };
        let (mut found, mut read) = if is_base64 { in_base64(body) } else { in_lines(body) };
        if !is_base64 && let Some((file, also_read)) = xxencode::file(body) {
            found.push(file);
            read += also_read;
        }
        let Some(rest) = left.checked_sub(read).filter(|_| files.len() < MAX_FILES) else { return (files, true) };
        left = rest;
        files.extend(found);
    }
    files.retain(|file| !file.is_empty());
    (files, false)
}

/// Whether a line may begin a file, even if the content ends within it.
pub(super) fn begins(content: &[u8]) -> bool {
    starts(content).next().is_some()
}

/// Lines that may begin a file.
fn starts(content: &[u8]) -> impl Iterator<Item = usize> {
    // In any case of letters, as some take it.
    let begins = |at: &usize| content.get(*at..at + 5).is_some_and(|word| word.eq_ignore_ascii_case(b"begin"));
    let lines = std::iter::once(0).chain(memchr::memchr2_iter(b'\n', b'\r', content).map(|at| at + 1));
    lines.filter(begins)
}

/// Whether the body is in base64, and the body; `None` when this is no first line: `begin 644 name`, `begin-base64 644 name`, or one whose
/// name is encoded.
fn body(after: &[u8]) -> Option<(bool, &[u8])> {
    let (is_base64, after) = match after.strip_prefix(b"-base64") {
        Some(after) => (true, after),
        None => (false, after),
    };
    let after = after.strip_prefix(b"-encoded").unwrap_or(after);
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | 0x0B | 0x0C);
    after.first().filter(|byte| is_blank(byte))?;
    let end = memchr::memchr2(b'\n', b'\r', after)?;
    let (line, body) = after.split_at_checked(end + 1)?;
    let mode = line.trim_ascii().split(is_blank).next()?;
    // Readers take what they know of it: a sign, a prefix, whatever stands between digits.
    (mode.len() <= MAX_MODE && mode.iter().any(u8::is_ascii_digit)).then_some((is_base64, body))
}

/// What a body may be decoded to, and how much of it was read. The line of its end is four paddings, which other lines may have behind
/// their letters.
fn in_base64(body: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let is_line = |end: &usize| end.checked_sub(1).is_none_or(|before| matches!(body.get(before), Some(b'\n' | b'\r')));
    let mut ends = memchr::memmem::find_iter(body, b"====");
    let first = ends.next().unwrap_or(body.len());
    // The first that is a line, and the first of all.
    let line = if is_line(&first) { first } else { ends.find(is_line).unwrap_or(body.len()) };
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
    (files, line)
}

/// Each line: a letter for the number of its bytes, and four letters for each three of them. Readers take six bits of any letter, or end at
/// one that is none.
fn in_lines(body: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let (mut decoded, mut strict, mut empty, mut zero, mut read) = (Vec::new(), None, None, None, 0);
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let at = read;
        read += line.len() + 1;
        let Some((first, letters)) = line.split_first() else {
            let is_within_break = at.checked_sub(1).is_none_or(|before| bytes::has(body, before, b"\r\n"));
            // Some end at a line of nothing.
            if !is_within_break && empty.is_none() {
                empty = Some(decoded.len());
            }
            continue;
        };
        let length = usize::from(value(*first));
        // What follows the letters that the length asks for is passed over.
        let letters = letters.get(..(length.div_ceil(3) * 4).min(letters.len())).unwrap_or_default();
        let is_letter = |letter: &u8| matches!(letter, b' '..=b'`');
        if line.eq_ignore_ascii_case(b"end") {
            break;
        }
        // Some end at a line of no bytes, others at the word alone.
        if length == 0 && zero.is_none() {
            zero = Some(decoded.len());
        }
        if strict.is_none() && (!is_letter(first) || !letters.iter().all(is_letter)) {
            strict = Some(decoded.len());
        }
        let start = decoded.len();
        for letters in letters.chunks(4) {
            let number = (0..4)
                .fold(0_u32, |number, at| number << 6 | letters.get(at).map_or(0, |letter| u32::from(value(*letter))));
            decoded.extend_from_slice(number.to_be_bytes().get(1..).unwrap_or_default());
        }
        decoded.truncate(start + length);
    }
    let mut ends: Vec<usize> = [strict, empty, zero, Some(decoded.len())].into_iter().flatten().collect();
    ends.sort_unstable();
    ends.dedup();
    (ends.into_iter().filter_map(|end| decoded.get(..end)).map(<[u8]>::to_vec).collect(), read)
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
            "begin 644\tx\n%=V]R9',`\n`\nend\n",
            "begin-encoded 644 eA==\n%=V]R9',`\n`\nend\n",
            "begin-base64-encoded 644 eA==\nd29y\nZHM=\n====\n",
            "begin 644 x\ne=V]R9',`\n`\nend\n",
            "begin 644 x\n%=V]R9',`\nEND\n",
            "BEGIN 644 x\n%=V]R9',`\n`\nend\n",
            "begin +644 x\n%=V]R9',`\n`\nend\n",
            "begin 0O644 x\n%=V]R9',`\n`\nend\n",
            "begin 64\"4 x\n%=V]R9',`\n`\nend\n",
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
    fn a_file_of_xxencode_is_found() {
        let (files, _) = files(b"words\nbegin 644 x\n3RqxmN5A+\n+\nend\n");
        assert!(files.contains(&b"words".to_vec()));
    }

    #[test]
    fn a_line_that_begins_a_file_may_be_within_one() {
        let (files, _) = files(b"begin-base64 644 x\nAAAA\nbeginAAA\n====\n");
        assert_eq!(files, [&b"\0\0\0\x6D\xE8\x22\x9C\0\0"[..]]);
    }

    #[test]
    fn a_line_of_nothing_ends_a_file_for_some() {
        let (files, _) = files(b"begin 644 x\r\n%=V]R9',`\r\n\r\n!80``\r\nend\r\n");
        assert_eq!(files, [&b"words"[..], b"wordsa"]);
    }

    #[test]
    fn a_line_of_no_bytes_ends_a_file_for_some() {
        let (files, _) = files(b"begin 644 x\n%=V]R9',`\n`\n!80``\nend\n");
        assert_eq!(files, [&b"words"[..], b"wordsa"]);
    }

    #[test]
    fn bodies_that_overlap_are_read_a_few_times() {
        let (files, too_many) = files("begin 644 x\n".repeat(9000).as_bytes());
        assert!(too_many && files.len() < MAX_FILES);
    }

    #[test]
    fn other_beginnings_are_none() {
        for text in ["begin 644 x", "to begin 644 x\n%=V]R9',`\n", "begin x y\n%=V]R9',`\n", "begin\n%=V]R9',`\n"] {
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
