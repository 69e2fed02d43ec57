//! Index of an LHA or LZH: the size of every member, and whether one is missing.
//!
//! Source: header.doc.md of jca02266's `LHa` for UNIX.

use super::{ArchiveIndex, Truncated, number16, number32, require};

/// Whether the first header names a compression method, such as `-lh5-`.
pub(super) fn is_lha(content: &[u8]) -> bool {
    matches!(content, [_, _, b'-', b'l', b'h' | b'z', method, b'-', ..] | [_, _, b'-', b'p', b'm', method, b'-', ..]
        if method.is_ascii_alphanumeric())
}

/// Records the members up to the end mark (a zero) or the end of the file.
pub(super) fn walk(mut content: &[u8], index: &mut ArchiveIndex) -> Result<(), Truncated> {
    while let Some(first @ 1..) = content.first() {
        require(is_lha(content))?;
        let packed = number32(content, 7).ok_or(Truncated)?;
        let size = number32(content, 11).ok_or(Truncated)?;
        let header = match content.get(20).ok_or(Truncated)? {
            // Level 0: packed data follows the name. Level 1: extensions count as packed data.
            0 | 1 => u32::from(*first) + 2,
            2 => number16(content, 0).ok_or(Truncated)?.into(),
            3 => number32(content, 24).ok_or(Truncated)?,
            _ => return Err(Truncated),
        };
        let end = header.checked_add(packed).filter(|_| header > 20).ok_or(Truncated)?;
        content = content.get(end as usize..).ok_or(Truncated)?;
        index.expect_member(size.into());
    }
    Ok(())
}
