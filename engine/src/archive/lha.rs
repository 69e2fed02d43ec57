//! What an LHA or LZH says of itself: the size of every member, and whether one is missing.
//!
//! Source: header.doc.md of jca02266's `LHa` for UNIX.

use super::{Account, number16, number32};

/// Whether the name of a packing stands where a first header has it, as `-lh5-`.
pub(super) fn is_lha(content: &[u8]) -> bool {
    matches!(content, [_, _, b'-', b'l', b'h' | b'z', method, b'-', ..] | [_, _, b'-', b'p', b'm', method, b'-', ..]
        if method.is_ascii_alphanumeric())
}

/// Takes down the members up to the end, which is a zero, or that of the file; `None` when one is missing.
pub(super) fn walk(mut content: &[u8], account: &mut Account) -> Option<()> {
    while let Some(first @ 1..) = content.first() {
        is_lha(content).then_some(())?;
        let (packed, size) = (number32(content, 7)?, number32(content, 11)?);
        let header = match content.get(20)? {
            // What is packed comes after a name, and in the second form after extensions that count as packed.
            0 | 1 => u32::from(*first) + 2,
            2 => number16(content, 0)?.into(),
            3 => number32(content, 24)?,
            _ => return None,
        };
        let end = header.checked_add(packed).filter(|_| header > 20)?;
        content = content.get(usize::try_from(end).ok()?..)?;
        account.promise(size.into());
    }
    Some(())
}
