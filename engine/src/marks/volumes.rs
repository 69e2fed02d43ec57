//! One volume of an archive in several: what it holds goes on in another object.
//!
//! Sources: PKWARE's APPNOTE 4.4.19, Microsoft's cabinet format, RARLAB's technical note, TECHNOTE.TXT of ARJ.

use super::{
    bytes::{has, le16, le32},
    containers::{Container, Mark},
};
use crate::archive::{arj, zip};

pub(super) const VOLUMES: &[Container] = &[
    ("a volume of a zip", Mark::At(0, b"PK\x07\x08PK\x03\x04")),
    ("a volume of a zip", Mark::Is(is_zip_volume)),
    ("a volume of a cabinet", Mark::Is(is_cabinet_volume)),
    ("a volume of a RAR", Mark::Is(is_rar_volume)),
    ("a volume of an ARJ", Mark::Is(arj::is_volume)),
];

/// Length of a zip's end record without its comment.
const ZIP_END: usize = 22;

/// Whether a zip's end record is on another disk than the first.
fn is_zip_volume(content: &[u8]) -> bool {
    let is_last = |end: &usize| {
        // With its comment it ends the file: others stand in members.
        le16(content, end + 20).is_some_and(|comment| end + ZIP_END + usize::from(comment) == content.len())
    };
    let Some(end) = zip::end_records(content).find(is_last) else { return false };
    match le16(content, end + 4) {
        // All ones: the locator of a zip64 record says how many there are.
        Some(0xFFFF) => end.checked_sub(20).is_some_and(|locator| {
            has(content, locator, b"PK\x06\x07") && le32(content, locator + 16).is_some_and(|disks| disks > 1)
        }),
        disk => disk.is_some_and(|disk| disk != 0),
    }
}

/// The flags for a cabinet before this one and one after it.
fn is_cabinet_volume(content: &[u8]) -> bool {
    has(content, 0, b"MSCF\0\0\0\0") && le16(content, 30).is_some_and(|flags| flags & 3 != 0)
}

/// The flag of the main header, of versions 4 and 5.
fn is_rar_volume(content: &[u8]) -> bool {
    if has(content, 0, b"Rar!\x1A\x07\0") {
        return content.get(9) == Some(&0x73) && le16(content, 10).is_some_and(|flags| flags & 1 != 0);
    }
    if !has(content, 0, b"Rar!\x1A\x07\x01\0") {
        return false;
    }
    // Sum, size, type 1, header flags, size of extra data if they say so, archive flags.
    let mut rest = content.get(12..).unwrap_or_default();
    let fields = [(); 3].map(|()| variable_number(&mut rest));
    let [Some(_), Some(1), Some(flags)] = fields else { return false };
    if flags & 1 != 0 {
        variable_number(&mut rest);
    }
    variable_number(&mut rest).is_some_and(|flags| flags & 1 != 0)
}

/// Seven bits a byte, the lowest first, and a bit that says whether more follow.
fn variable_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in 0..9 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7F) << (7 * shift);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::marks::containers::container;

    #[test]
    fn volumes_are_known_by_their_headers() {
        let end = |disk: u8| [&b"PK\x03\x04 words PK\x05\x06"[..], &[disk, 0, disk, 0], &[0; 14]].concat();
        let cabinet = |flags: u8| [&b"MSCF\0\0\0\0"[..], &[0; 22], &[flags, 0, 0, 0]].concat();
        let rar4 = |flags: u8| [&b"Rar!\x1A\x07\0"[..], &[0xCF, 0x90, 0x73, flags, 0, 13, 0]].concat();
        let rar5 = |flags: u8| [&b"Rar!\x1A\x07\x01\0"[..], &[1, 2, 3, 4, 10, 1, 5, 6, flags, 0]].concat();
        for (name, content) in [
            ("a volume of a zip", end(1)),
            ("a volume of a cabinet", cabinet(2)),
            ("a volume of a RAR", rar4(1)),
            ("a volume of a RAR", rar5(3)),
        ] {
            assert_eq!(container(&content, false), Some(name));
        }
        for content in [end(0), cabinet(0), cabinet(4), rar4(0), rar5(0)] {
            assert_eq!(container(&content, false), None);
        }
    }
}
