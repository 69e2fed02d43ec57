//! Encrypted documents of Office, in a compound file.
//!
//! Sources: [MS-OFFCRYPTO] (packages, rights management), [MS-XLS] 2.4.117 (`FilePass`), [MS-DOC] 2.5.2 (`FibBase`), [MS-PPT] 2.3.2.

use super::{
    bytes::{array, le16, le32},
    ole2::CompoundFile,
};

/// Records at the start of a workbook among which `FilePass` must be; it stands at once after the first.
const MAX_RECORDS: usize = 64;
/// Bytes of a workbook in which they are.
const WORKBOOK_START: usize = 64 << 10;
/// Streams of each name that are read. Attack: a directory with thousands of them.
const MAX_STREAMS: usize = 16;

/// The kind of encryption, if a stream shows one.
pub(super) fn encryption(file: &CompoundFile<'_>) -> Option<&'static str> {
    // Agile and standard encryption of a whole OOXML package, and rights management by its later and its earlier name.
    let packages = ["EncryptedPackage", "\u{6}DataSpaces", "\u{9}DRMContent", "\u{9}DRMViewerContent"];
    if file.streams.iter().any(|stream| packages.iter().any(|name| stream.name.eq_ignore_ascii_case(name))) {
        return Some("Nacre.Encrypted.Office");
    }
    let any = |name: &str, length, is_encrypted: fn(&[u8]) -> bool| {
        let named = file.streams.iter().filter(|stream| stream.name.eq_ignore_ascii_case(name)).take(MAX_STREAMS);
        named.map(|stream| file.start(stream, length)).any(|start| is_encrypted(&start))
    };
    if any("Workbook", WORKBOOK_START, has_file_pass) || any("Book", WORKBOOK_START, has_file_pass) {
        return Some("Nacre.Encrypted.Excel");
    }
    if any("WordDocument", 12, is_encrypted_word) {
        return Some("Nacre.Encrypted.Word");
    }
    if any("FileHeader", 40, is_encrypted_hwp) {
        return Some("Nacre.Encrypted.HWP");
    }
    any("Current User", 16, is_encrypted_presentation).then_some("Nacre.Encrypted.PowerPoint")
}

/// Whether `content` is an encrypted workbook that is in no compound file, as those before Excel 5 are.
pub(super) fn is_encrypted_workbook(content: &[u8]) -> bool {
    content.get(1).is_some_and(|byte| matches!(byte, 0 | 2 | 4 | 8)) && has_file_pass(content)
}

/// Whether a record `FilePass` stands in the first part of a workbook.
fn has_file_pass(workbook: &[u8]) -> bool {
    const BEGINNINGS: [u16; 4] = [0x0009, 0x0209, 0x0409, 0x0809];
    const END: u16 = 0x000A;
    const FILE_PASS: u16 = 0x002F;
    let mut at = 0;
    for n in 0..MAX_RECORDS {
        let (Some(kind), Some(length)) = (le16(workbook, at), le16(workbook, at + 2)) else { return false };
        match kind {
            FILE_PASS if n > 0 => return true,
            END => return false,
            kind if n == 0 && !BEGINNINGS.contains(&kind) => return false,
            _ => at += 4 + usize::from(length),
        }
    }
    false
}

/// `fEncrypted` of a document's information block, or of that of Word 6 and 95.
fn is_encrypted_word(document: &[u8]) -> bool {
    let is_word = matches!(le16(document, 0), Some(0xA5EC | 0xA5DC | 0xA5DB));
    is_word && le16(document, 10).is_some_and(|flags| flags & 0x0100 != 0)
}

/// The flags of the word processor Hangul for a password, and for a script that is locked.
fn is_encrypted_hwp(header: &[u8]) -> bool {
    header.starts_with(b"HWP Document File\0") && le32(header, 36).is_some_and(|flags| flags & 0b110 != 0)
}

/// The token that says so in the atom of the current user.
fn is_encrypted_presentation(user: &[u8]) -> bool {
    array(user, 2) == Some([0xF6, 0x0F]) && le32(user, 12) == Some(0xF3D1_C4DF)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A compound file of one sector of FAT, one of directory, and one stream that is not in the mini stream.
    pub(in crate::marks) fn compound(name: &str, start: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 512];
        file[..8].copy_from_slice(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");
        file[30] = 9;
        file[48] = 1;
        file[56..60].copy_from_slice(&4096_u32.to_le_bytes());
        file[60..64].fill(0xFF);
        file[68..72].fill(0xFF);
        file[76..512].fill(0xFF);
        file[76..80].fill(0);
        let fat: Vec<u32> = [0xFFFF_FFFD, 0xFFFF_FFFE].into_iter().chain(3..10).chain([0xFFFF_FFFE]).collect();
        let mut sector: Vec<u8> = fat.into_iter().flat_map(u32::to_le_bytes).collect();
        sector.resize(512, 0xFF);
        file.extend(sector);
        let mut directory = vec![0; 512];
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        directory[128..128 + units.len()].copy_from_slice(&units);
        directory[192] = u8::try_from(units.len() + 2).unwrap();
        directory[194] = STREAM_TYPE;
        directory[244] = 2;
        directory[248..252].copy_from_slice(&4096_u32.to_le_bytes());
        file.extend(directory);
        let mut stream = start.to_vec();
        stream.resize(4096, 0);
        file.extend(stream);
        file
    }

    const STREAM_TYPE: u8 = 2;
    const BOF: &[u8] = &[9, 8, 4, 0, 0, 6, 5, 0];

    fn kind(name: &str, start: &[u8]) -> Option<&'static str> {
        let file = compound(name, start);
        encryption(&CompoundFile::parse(&file).unwrap())
    }

    #[test]
    fn each_office_program_has_its_own_mark() {
        let word = [&[0xEC, 0xA5, 0xC1, 0, 0, 0, 0, 0, 0, 0][..], &[0, 1]].concat();
        let plain_word = [&[0xEC, 0xA5, 0xC1, 0, 0, 0, 0, 0, 0, 0][..], &[0, 2]].concat();
        let user = [&[0, 0, 0xF6, 0x0F, 20, 0, 0, 0, 20, 0, 0, 0][..], &0xF3D1_C4DF_u32.to_le_bytes()].concat();
        for (name, start, expected) in [
            ("EncryptedPackage", &b"anything"[..], Some("Nacre.Encrypted.Office")),
            ("Workbook", &[BOF, &[0x2F, 0, 54, 0]].concat(), Some("Nacre.Encrypted.Excel")),
            ("Book", &[BOF, &[0x86, 0, 0, 0, 0x2F, 0, 4, 0]].concat(), Some("Nacre.Encrypted.Excel")),
            ("WordDocument", &word, Some("Nacre.Encrypted.Word")),
            ("Current User", &user, Some("Nacre.Encrypted.PowerPoint")),
            ("Workbook", &[BOF, &[0x0A, 0, 0, 0, 0x2F, 0, 4, 0]].concat(), None),
            ("Workbook", &[BOF, &[0x42, 0, 2, 0, 0x2F, 0]].concat(), None),
            ("WordDocument", &plain_word, None),
            ("Current User", b"", None),
            ("Contents", &word, None),
        ] {
            assert_eq!(kind(name, start), expected, "{name}");
        }
    }
}
