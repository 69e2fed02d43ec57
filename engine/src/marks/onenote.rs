//! Files in a section of `OneNote`. libclamav stops at the first whose length it does not believe.
//!
//! Source: [MS-ONESTORE] 2.6.13 (`FileDataStoreObject`).

use memchr::memmem;

use super::bytes::le64;

const HEADER: [u8; 16] = *b"\xE7\x16\xE3\xBD\x65\x26\x11\x45\xA4\xC4\x8D\x4D\x0B\x7A\x9E\xAC";
/// Bytes before the file: the identifier, its length, and twelve more.
const BEFORE: usize = 36;
/// Most files. Attack: thousands of headers.
const MAX_FILES: usize = 10_000;

/// The files that are whole.
pub(super) fn files(content: &[u8]) -> Vec<&[u8]> {
    headers(content).filter_map(|at| file(content, at)).collect()
}

/// Whether a header promises more than there is, or there are too many of them. Programs that know the format, ours among them, have
/// its mark.
pub(super) fn is_cut(content: &[u8]) -> bool {
    if content.starts_with(b"\x7FELF") || content.starts_with(b"MZ") {
        return false;
    }
    headers(content).any(|at| file(content, at).is_none())
        || memmem::find_iter(content, &HEADER).nth(MAX_FILES).is_some()
}

fn headers(content: &[u8]) -> impl Iterator<Item = usize> {
    memmem::find_iter(content, &HEADER).take(MAX_FILES)
}

fn file(content: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::try_from(le64(content, at + HEADER.len())?).ok()?;
    content.get(at.checked_add(BEFORE)?..)?.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoy_hides_no_file_behind_it() {
        let object = |length: u64, content: &[u8]| [&HEADER[..], &length.to_le_bytes(), &[0; 12], content].concat();
        let section = [object(5, b"first"), object(u64::MAX, b"decoy"), object(6, b"second")].concat();
        assert_eq!(files(&section), [&b"first"[..], b"second"]);
        assert!(is_cut(&section));
        let whole = [object(5, b"first"), object(0, b"")].concat();
        assert!(!is_cut(&whole));
        assert!(is_cut(&whole[..whole.len() - 1]));
        assert!(!is_cut(b"words") && files(b"words").is_empty());
    }
}
