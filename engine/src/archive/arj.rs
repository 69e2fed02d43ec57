//! What an ARJ says of itself: the size of every member, and whether one is missing.
//!
//! Source: TECHNOTE.TXT of ARJ.

use super::{Account, number16, number32};

/// Takes down the members up to the end mark; `None` when that is missing.
pub(super) fn walk(content: &[u8], account: &mut Account) -> Option<()> {
    let (_, mut content) = header(content)?;
    loop {
        let (header, rest) = header(content)?;
        if header.is_empty() {
            return Some(());
        }
        let (packed, size) = (number32(header, 12)?, number32(header, 16)?);
        content = rest.get(usize::try_from(packed).ok()?..)?;
        // libclamav tells of encryption by itself.
        let encrypted = header.get(4)? & 1 != 0;
        if !encrypted {
            account.promise(size.into());
        }
    }
}

/// Splits off a header, without its mark, sums and extensions; it is empty at the end.
fn header(content: &[u8]) -> Option<(&[u8], &[u8])> {
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
