//! Index of an ARJ: the size of every member, and whether one is missing.
//!
//! Source: TECHNOTE.TXT of ARJ.

use super::{ArchiveIndex, Truncated, number16, number32};

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
        // libclamav reports encryption itself.
        let encrypted = header.get(4).ok_or(Truncated)? & 1 != 0;
        if !encrypted {
            index.expect_member(size.into());
        }
    }
}

/// Splits off a header, without its mark, checksums and extensions. It is empty at the end.
fn split_header(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = content.strip_prefix(b"\x60\xEA")?;
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
