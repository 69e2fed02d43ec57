//! ALZ archives with an encrypted member.
//!
//! Source: the format as `unalz` describes it.

use super::bytes::{has, le16};

/// Most members that are read.
const MAX_MEMBERS: usize = 100_000;

/// Whether a member is encrypted.
pub(super) fn is_encrypted(content: &[u8]) -> bool {
    content.starts_with(b"ALZ\x01") && find(content).unwrap_or(false)
}

/// `None` when the members end without their end mark.
fn find(content: &[u8]) -> Option<bool> {
    let mut at = 8_usize;
    for _ in 0..MAX_MEMBERS {
        if !has(content, at, b"BLZ\x01") {
            return Some(false);
        }
        let name = usize::from(le16(content, at + 4)?);
        let flags = *content.get(at + 11)?;
        if flags & 1 != 0 {
            return Some(true);
        }
        // The flags' upper half is the width of both sizes; without it there is neither method, sum nor content.
        let width = usize::from(flags >> 4);
        let sizes = at + 13 + 6;
        let (header, packed) = if width == 0 {
            (13, 0)
        } else {
            let bytes = content.get(sizes..sizes + width).filter(|bytes| bytes.len() <= 8)?;
            let packed = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            (13 + 6 + 2 * width, usize::try_from(packed).ok()?)
        };
        at = at.checked_add(header)?.checked_add(name)?.checked_add(packed)?;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(flags: u8, content: &[u8]) -> Vec<u8> {
        let size = u8::try_from(content.len()).unwrap();
        [b"BLZ\x01", &[1, 0, 0x20, 0, 0, 0, 0, flags | 0x10, 0][..], &[0, 0, 1, 2, 3, 4, size, size], b"a", content]
            .concat()
    }

    #[test]
    fn an_encrypted_member_is_found_behind_a_plain_one() {
        let archive = |members: &[Vec<u8>]| [b"ALZ\x01\x0A\0\0\0", &members.concat()[..], b"CLZ\x01"].concat();
        assert!(!is_encrypted(&archive(&[member(0, b"words"), member(0, b"more")])));
        assert!(is_encrypted(&archive(&[member(0, b"words"), member(1, b"more")])));
        assert!(!is_encrypted(b"ALZ\x01"));
    }
}
