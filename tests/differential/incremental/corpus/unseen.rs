//! Files with content that libclamav holds in memory, or that stands around what it matches on and is shown to nobody.

use std::io::{Cursor, Write};

use zip::{ZipWriter, write::SimpleFileOptions};

/// An LHA of one file, which libclamav unpacks into memory.
pub(crate) fn lha(content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap().to_le_bytes();
    let step = |sum: u16| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 };
    let sum = content.iter().fold(0, |sum, byte| (0..8).fold(sum ^ u16::from(*byte), |sum, _| step(sum)));
    let header = [b"-lh0-", &size[..], &size, &[0, 0, 0, 0, 0x20, 0], b"\x01a", &u16::to_le_bytes(sum)].concat();
    let of_header = header.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    [&[u8::try_from(header.len()).unwrap(), of_header], &header[..], content, &[0]].concat()
}

/// An ALZ of one file, which libclamav unpacks into memory.
pub(crate) fn alz(content: &[u8]) -> Vec<u8> {
    let (size, mut sum) = (u16::try_from(content.len()).unwrap().to_le_bytes(), flate2::Crc::new());
    sum.update(content);
    let member = [b"\x01\0\x20\0\0\0\0\x20\0\0\0", &sum.sum().to_le_bytes()[..], &size, &size, b"a", content].concat();
    [b"ALZ\x01\x0A\0\0\0BLZ\x01", &member[..], b"CLZ\x01"].concat()
}

/// A page in UTF-16: what libclamav makes pages of is the decoded page, which it matches on nowhere.
pub(crate) fn utf16(page: &str) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(page.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// A program with an archive behind it, packed: what is in that is in neither. Also returns the archive.
pub(crate) fn self_extracting(member: &str, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(member, SimpleFileOptions::default()).unwrap();
    zip.write_all(content).unwrap();
    let archive = zip.finish().unwrap().into_inner();
    let noise = (0..3000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1] | 0x80);
    ([noise.collect(), archive.clone()].concat(), archive)
}
