//! What a TNEF (`winmail.dat`) says of itself: the size of every attachment, and whether one is missing.
//!
//! libclamav makes one file of all attachments, and ends at the first length of zero. Source: Microsoft's MS-OXTNEF.

use super::{Account, is_zero, number32};

/// Length of an attribute's level, name and length.
const HEADER: usize = 9;
/// What follows an attribute.
const SUM: usize = 2;
/// The content of an attachment.
const ATTACH_DATA: u32 = 0x0006_800F;

/// Takes down the attachments up to the end; `None` when one is missing, or libclamav may not have come to it.
pub(super) fn walk(content: &[u8], account: &mut Account) -> Option<()> {
    let mut content = content.get(6..)?;
    // Less is the end of a line, which mail may add.
    while content.len() >= HEADER && !is_zero(content) {
        matches!(content.first(), Some(1 | 2)).then_some(())?;
        let (name, length) = (number32(content, 1)?, number32(content, 5)?);
        let rest = content.get(HEADER + usize::try_from(length).ok()?..)?;
        content = rest.get(SUM..).unwrap_or_default();
        (length > 0 || content.is_empty()).then_some(())?;
        if name == ATTACH_DATA {
            account.promise(length.into());
        }
    }
    Some(())
}
