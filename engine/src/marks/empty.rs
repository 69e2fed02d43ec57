//! Archives that hold nothing: folders, empty files, and files so small that libclamav never shows them.
//!
//! libclamav shows no layer in them, as in an archive that it cannot open. So each byte of them is accounted for here: one that is no
//! part of a header, a name or such a member makes the archive one that holds something.

use super::bytes::{has, le16, le32, le64};
use crate::archive::arj;

/// libclamav neither scans nor shows content of this size or less.
const NEVER_SHOWN: u32 = 5;
/// Packed, such content is no longer than this. Nothing that is to be found is as short.
const PACKED: u32 = 16;
/// Most members that are read.
const MAX_MEMBERS: usize = 100_000;

/// Whether `content` is an archive that holds nothing.
pub(super) fn holds_nothing(content: &[u8]) -> bool {
    let nothing = if has(content, 0, b"PK") {
        zip(content)
    } else if has(content, 0, b"\x1F\x8B\x08") {
        gzip(content)
    } else if has(content, 0, b"7z\xBC\xAF\x27\x1C") {
        seven_zip(content)
    } else if has(content, 0, b"MSCF\0\0\0\0") {
        cabinet(content)
    } else {
        return arj::holds_nothing(content, NEVER_SHOWN, PACKED);
    };
    nothing.is_some()
}

/// Local headers and small members without a gap, the directory that names each of them, the end record and its comment.
fn zip(content: &[u8]) -> Option<()> {
    let (mut at, mut members) = (0, Vec::new());
    while has(content, at, b"PK\x03\x04") && members.len() < MAX_MEMBERS {
        members.push(at);
        let described = le16(content, at + 6)? & 8 != 0;
        let (packed, size) = (le32(content, at + 18)?, le32(content, at + 22)?);
        at += 30 + usize::from(le16(content, at + 26)?) + usize::from(le16(content, at + 28)?);
        if described && packed == 0 {
            at = after_descriptor(content, at)?;
        } else {
            at += small(packed, size)?;
        }
    }
    let directory = at;
    for member in &members {
        has(content, at, b"PK\x01\x02").then_some(())?;
        let (packed, size, local) = (le32(content, at + 20)?, le32(content, at + 24)?, le32(content, at + 42)?);
        small(packed, size)?;
        // In their own order, as every program writes them.
        (local as usize == *member && le16(content, at + 8)? & 1 == 0).then_some(())?;
        let variable = [28, 30, 32].map(|field| le16(content, at + field).map(usize::from));
        let [Some(name), Some(extra), Some(comment)] = variable else { return None };
        at += 46 + name + extra + comment;
    }
    has(content, at, b"PK\x05\x06").then_some(())?;
    let (count, start) = (le16(content, at + 10)?, le32(content, at + 16)?);
    let end = at + 22 + usize::from(le16(content, at + 20)?);
    (usize::from(count) == members.len() && start as usize == directory && end == content.len()).then_some(())
}

/// The packed size of a member that is never shown.
fn small(packed: u32, size: u32) -> Option<usize> {
    (packed <= PACKED && size <= NEVER_SHOWN).then_some(packed as usize)
}

/// Where a member ends whose sizes follow it, with their mark.
fn after_descriptor(content: &[u8], from: usize) -> Option<usize> {
    (0..=PACKED).find_map(|packed| {
        let at = from + packed as usize;
        let fits = has(content, at, b"PK\x07\x08") && le32(content, at + 8) == Some(packed);
        (fits && le32(content, at + 12)? <= NEVER_SHOWN).then_some(at + 16)
    })
}

/// One member that is small.
fn gzip(content: &[u8]) -> Option<()> {
    let flags = *content.get(3)?;
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(le16(content, at)?);
    }
    // A name and a comment, each to its zero.
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += content.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    let packed = content.len().checked_sub(at + 8)?;
    small(u32::try_from(packed).ok()?, le32(content, content.len() - 4)?).map(|_| ())
}

/// A header of files, without streams, and nothing before it or after it.
fn seven_zip(content: &[u8]) -> Option<()> {
    const HEADER: u8 = 1;
    const FILES: u8 = 5;
    let (offset, size) = (le64(content, 12)?, le64(content, 20)?);
    let alone = offset == 0 && size.checked_add(32)? == content.len() as u64;
    (alone && (size == 0 || content.get(32..34)? == [HEADER, FILES])).then_some(())
}

/// Folders without a block of data, and nothing behind the files' entries.
fn cabinet(content: &[u8]) -> Option<()> {
    let (folders, files, flags) = (le16(content, 26)?, le16(content, 28)?, le16(content, 30)?);
    // Reserved areas and other cabinets are left to be refused.
    (flags == 0 && le32(content, 8)? as usize == content.len()).then_some(())?;
    (0..usize::from(folders)).all(|n| le16(content, 36 + 8 * n + 4) == Some(0)).then_some(())?;
    let mut at = 36 + 8 * usize::from(folders);
    (le32(content, 16)? as usize == at).then_some(())?;
    for _ in 0..files {
        (le32(content, at)? == 0).then_some(())?;
        at += 16 + content.get(at + 16..)?.iter().position(|byte| *byte == 0)? + 1;
    }
    (at == content.len()).then_some(())
}
