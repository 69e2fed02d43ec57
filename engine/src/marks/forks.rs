//! Files of a Macintosh with what belongs to them: `AppleSingle`, `AppleDouble` and `MacBinary` hold each fork as it is.
//!
//! Sources: RFC 1740, "`MacBinary` III Standard".

use super::bytes::array;

/// `AppleSingle` and `AppleDouble`.
const MARKS: [[u8; 4]; 2] = [*b"\0\x05\x16\0", *b"\0\x05\x16\x07"];
/// Most entries. Their number has two bytes; a file has a dozen.
const MAX_ENTRIES: u16 = 1000;
/// The header of `MacBinary`, and what forks are filled up to.
const HEADER: usize = 128;
/// Longest name of a file.
const MAX_NAME: u8 = 63;

/// The forks and other entries.
pub(super) fn forks(content: &[u8]) -> Vec<&[u8]> {
    if array(content, 0).is_some_and(|mark| MARKS.contains(&mark)) { entries(content) } else { binary(content) }
}

fn be32(content: &[u8], at: usize) -> Option<usize> {
    array(content, at).and_then(|bytes| usize::try_from(u32::from_be_bytes(bytes)).ok())
}

fn entries(content: &[u8]) -> Vec<&[u8]> {
    let count = array(content, 24).map_or(0, u16::from_be_bytes).min(MAX_ENTRIES);
    let entry = |number: u16| {
        let at = 26 + 12 * usize::from(number);
        content.get(be32(content, at + 4)?..)?.get(..be32(content, at + 8)?)
    };
    (0..count).filter_map(entry).filter(|entry| !entry.is_empty()).collect()
}

/// The format has no mark before its third version: bytes that are zero, a name, and lengths that fit.
fn binary(content: &[u8]) -> Vec<&[u8]> {
    let is_zero = [0, 74, 82].iter().all(|at| content.get(*at) == Some(&0));
    let has_name = content.get(1).is_some_and(|length| (1..=MAX_NAME).contains(length));
    let (Some(data), Some(resources)) = (be32(content, 83), be32(content, 87)) else { return Vec::new() };
    let Some(rest) = content.get(HEADER..).filter(|_| is_zero && has_name) else { return Vec::new() };
    let second = data.next_multiple_of(HEADER);
    if data.saturating_add(resources) == 0 || second.saturating_add(resources) > rest.len().next_multiple_of(HEADER) {
        return Vec::new();
    }
    let forks = [rest.get(..data), rest.get(second..).and_then(|rest| rest.get(..resources))];
    forks.into_iter().flatten().filter(|fork| !fork.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn macbinary(data: u32, resources: u32, rest: &[u8]) -> Vec<u8> {
        let mut header = [0; HEADER];
        header[1..6].copy_from_slice(b"\x04file");
        header[83..87].copy_from_slice(&data.to_be_bytes());
        header[87..91].copy_from_slice(&resources.to_be_bytes());
        [&header[..], rest].concat()
    }

    #[test]
    fn forks_are_taken_out() {
        let rest = [&b"words"[..], &[0; 123], b"more"].concat();
        assert_eq!(forks(&macbinary(5, 4, &rest)), [&b"words"[..], b"more"]);
        assert_eq!(forks(&macbinary(5, 0, b"words")), [b"words"]);
        assert!(forks(&macbinary(500, 0, b"words")).is_empty());
        assert!(forks(&macbinary(0, 0, b"words")).is_empty());
        for mark in MARKS {
            let head = [&mark[..], &[0; 20], &[0, 2], &[0, 0, 0, 1, 0, 0, 0, 50, 0, 0, 0, 5], &[0xFF; 12]].concat();
            assert_eq!(forks(&[&head[..], b"words"].concat()), [b"words"]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, data: u32, resources: u32) {
            forks(&[&MARKS[0][..], &bytes].concat());
            forks(&macbinary(data, resources, &bytes));
            forks(&macbinary(data % 300, resources % 300, &bytes));
        }
    }
}
