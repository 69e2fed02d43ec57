//! Index of a TNEF (`winmail.dat`): the size of every attachment, and whether one is missing.
//!
//! libclamav makes one file of all attachments, and ends at the first length of zero. Source: Microsoft's MS-OXTNEF.

use super::{ArchiveIndex, Truncated, is_zero, number32, require};

/// Length of an attribute's level, name and length.
const HEADER: usize = 9;
/// Length of the checksum after an attribute.
const SUM: usize = 2;
/// The content of an attachment.
const ATTACH_DATA: u32 = 0x0006_800F;

/// Records the attachments up to the end. [`Truncated`] also when libclamav may have stopped before one.
pub(super) fn walk(content: &[u8], index: &mut ArchiveIndex) -> Result<(), Truncated> {
    let mut content = content.get(6..).ok_or(Truncated)?;
    // A shorter rest is a line end, which mail may add.
    while content.len() >= HEADER && !is_zero(content) {
        require(matches!(content.first(), Some(1 | 2)))?;
        let name = number32(content, 1).ok_or(Truncated)?;
        let length = number32(content, 5).ok_or(Truncated)?;
        let rest = content.get(HEADER + length as usize..).ok_or(Truncated)?;
        content = rest.get(SUM..).unwrap_or_default();
        require(length > 0 || content.is_empty())?;
        if name == ATTACH_DATA {
            index.expect_member(length.into());
        }
    }
    Ok(())
}
