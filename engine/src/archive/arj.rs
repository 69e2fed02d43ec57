//! Index of an ARJ: the size of every member, and whether one is missing.
//!
//! Source: TECHNOTE.TXT of ARJ.

use super::{ArchiveIndex, Truncated, crc32, number16, number32};

/// Flags of a member: its content is encrypted, which libclamav does not report; and it goes on in the next volume.
const ENCRYPTED: u8 = 1;
const CONTINUED: u8 = 4;
/// Most members whose flags are read.
const MAX_MEMBERS: usize = 100_000;

/// The mark of each header, the least and the greatest length of one, and the type of the first.
pub(crate) const MARK: &[u8] = b"\x60\xEA";
const LENGTHS: std::ops::RangeInclusive<usize> = 30..=2600;
const MAIN: u8 = 2;

/// Whether the first header of an archive may stand here.
pub(crate) fn may_begin(content: &[u8]) -> bool {
    let length = number16(content, 2).map(usize::from);
    content.starts_with(MARK)
        && content.get(10) == Some(&MAIN)
        && length.is_some_and(|length| LENGTHS.contains(&length))
}

/// Whether it does: its sum is right.
pub(crate) fn begins(content: &[u8]) -> bool {
    let end = number16(content, 2).map_or(0, |length| 4 + usize::from(length));
    let sum = content.get(4..end).map(crc32);
    may_begin(content) && sum.is_some() && sum == number32(content, end)
}

/// Whether a member is encrypted.
pub(crate) fn is_encrypted(content: &[u8]) -> bool {
    has_flag(content, ENCRYPTED)
}

/// Whether a member goes on in another volume.
pub(crate) fn is_volume(content: &[u8]) -> bool {
    has_flag(content, CONTINUED)
}

fn has_flag(content: &[u8], flag: u8) -> bool {
    let mut members = split_header(content).map(|(_, members)| members);
    for _ in 0..MAX_MEMBERS {
        let Some((header, rest)) = members.and_then(split_header) else { return false };
        if header.get(4).is_some_and(|flags| flags & flag != 0) {
            return true;
        }
        members = number32(header, 12).and_then(|packed| rest.get(packed as usize..));
    }
    false
}

/// Records the members up to the end mark.
pub(super) fn walk(content: &[u8], index: &mut ArchiveIndex) -> Result<(), Truncated> {
    let (_, mut content) = split_header(content).ok_or(Truncated)?;
    loop {
        let (header, rest) = split_header(content).ok_or(Truncated)?;
        if header.is_empty() {
            return Ok(());
        }
        let packed = number32(header, 12).ok_or(Truncated)?;
        let size = number32(header, 16).ok_or(Truncated)?;
        content = rest.get(packed as usize..).ok_or(Truncated)?;
        if header.get(4).ok_or(Truncated)? & ENCRYPTED == 0 {
            index.expect_member(size.into());
        }
    }
}

/// Splits off a header, without its mark, checksums and extensions. It is empty at the end.
fn split_header(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = content.strip_prefix(MARK)?;
    let length = usize::from(number16(content, 0)?);
    let header = content.get(2..2 + length)?;
    if header.is_empty() {
        return Some((header, &[]));
    }
    let mut rest = content.get(2 + length + 4..)?;
    loop {
        let extension = usize::from(number16(rest, 0)?);
        if extension == 0 {
            return Some((header, rest.get(2..)?));
        }
        rest = rest.get(2 + extension + 4..)?;
    }
}

/// Whether the archive holds no member of more than `size` bytes, of more than `packed` packed bytes, or that is encrypted, and nothing
/// follows its end.
pub(crate) fn holds_nothing(content: &[u8], size: u32, packed: u32) -> bool {
    let mut members = split_header(content).map(|(_, members)| members);
    for _ in 0..MAX_MEMBERS {
        let Some(at) = members else { return false };
        let Some((header, rest)) = split_header(at) else { return false };
        if header.is_empty() {
            return at.len() == 4;
        }
        let (Some(its_packed), Some(its_size)) = (number32(header, 12), number32(header, 16)) else { return false };
        if its_packed > packed
            || its_size > size
            || header.get(4).is_none_or(|flags| flags & (ENCRYPTED | CONTINUED) != 0)
        {
            return false;
        }
        members = rest.get(its_packed as usize..);
    }
    false
}
