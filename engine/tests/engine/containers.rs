//! Archives and documents made by a few lines each: their members are stored as they are.

use std::io::Write;

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::archives::entry;

/// Makes a container of members in their order.
pub(crate) type Writer = fn(&[&[u8]]) -> Vec<u8>;

/// A tar.
pub(crate) fn tar(members: &[&[u8]]) -> Vec<u8> {
    let entries: Vec<_> = members.iter().map(|member| entry(b"member", b'0', member)).collect();
    [entries.concat(), vec![0; 1024]].concat()
}

/// A zip whose members are deflated.
pub(crate) fn zip(members: &[&[u8]]) -> Vec<u8> {
    zip_by(CompressionMethod::Deflated, members)
}

/// A zip whose members are stored.
pub(crate) fn stored_zip(members: &[&[u8]]) -> Vec<u8> {
    zip_by(CompressionMethod::Stored, members)
}

fn zip_by(method: CompressionMethod, members: &[&[u8]]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (n, member) in members.iter().enumerate() {
        archive.start_file(n.to_string(), SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(member).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A cpio in the form `newc`.
pub(crate) fn cpio(members: &[&[u8]]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, member) in
        members.iter().map(|member| ("member", 0o100_644, *member)).chain([("TRAILER!!!", 0, &b""[..])])
    {
        let (name_size, size) = (name.len() + 1, member.len());
        write!(archive, "070701{:08}{mode:08X}{:032}{size:08X}{:032}{name_size:08X}{:08}{name}\0", 0, 0, 0, 0).unwrap();
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(member);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

/// A 7-Zip whose members are copied, each a folder of its own.
pub(crate) fn seven_zip(members: &[&[u8]]) -> Vec<u8> {
    let number = |number: usize| [&[0xFF][..], &(number as u64).to_le_bytes()].concat();
    let sizes: Vec<_> = members.iter().flat_map(|member| number(member.len())).collect();
    let sums: Vec<_> = members.iter().flat_map(|member| crc32(member).to_le_bytes()).collect();
    let (count, packed) = (number(members.len()), members.concat());
    let names = b"m\0\0\0".repeat(members.len());
    let streams = [&[6][..], &number(0), &count, &[9], &sizes, &[0]].concat();
    let folders = [&[7, 11][..], &count, &[0], &[1, 1, 0].repeat(members.len()), &[12], &sizes, &[0]].concat();
    let files = [&[5][..], &count, &[0x11], &number(names.len() + 1), &[0], &names, &[0, 0]].concat();
    let header = [&[1, 4][..], &streams, &folders, &[8, 10, 1], &sums, &[0, 0], &files].concat();
    let place = [(packed.len() as u64).to_le_bytes(), (header.len() as u64).to_le_bytes()].concat();
    let place = [&place[..], &crc32(&header).to_le_bytes()].concat();
    [b"7z\xBC\xAF\x27\x1C\0\x04", &crc32(&place).to_le_bytes()[..], &place, &packed, &header].concat()
}

fn crc32(content: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(content);
    sum.sum()
}

/// A cabinet whose members are stored.
pub(crate) fn cabinet(members: &[&[u8]]) -> Vec<u8> {
    let (mut files, mut blocks, mut offset, mut count) = (Vec::new(), Vec::new(), 0, 0_u16);
    for member in members {
        files.extend([&number32(member.len())[..], &number32(offset), b"\0\0\0\x50\0\0\x20\0m\0"].concat());
        offset += member.len();
    }
    for block in members.concat().chunks(0x8000) {
        let size = u16::try_from(block.len()).unwrap().to_le_bytes();
        blocks.extend([&[0; 4][..], &size, &size, block].concat());
        count += 1;
    }
    let (header, number) = (44, u16::try_from(members.len()).unwrap().to_le_bytes());
    let data = header + files.len();
    let sizes = [number32(data + blocks.len()), [0; 4], number32(header), [0; 4]].concat();
    let folder = [&number32(data)[..], &count.to_le_bytes(), &[0; 2]].concat();
    [b"MSCF\0\0\0\0", &sizes[..], &[3, 1, 1, 0], &number, &[0; 6], &folder, &files, &blocks].concat()
}

/// An image of a compact disc.
pub(crate) fn iso(members: &[&[u8]]) -> Vec<u8> {
    const SECTOR: usize = 2048;
    const FOLDER: usize = 18;
    let both = |number: usize| {
        let number = u32::try_from(number).unwrap();
        [number.to_le_bytes(), number.to_be_bytes()].concat()
    };
    let record = |name: &[u8], at: usize, size: usize, flags: u8| {
        let fixed = [&both(at)[..], &both(size), &[0; 7], &[flags, 0, 0, 1, 0, 0, 1]].concat();
        let mut record = [&[0, 0][..], &fixed, &[u8::try_from(name.len()).unwrap()], name].concat();
        record.resize(record.len().next_multiple_of(2), 0);
        record[0] = u8::try_from(record.len()).unwrap();
        record
    };
    let root = record(b"\0", FOLDER, SECTOR, 2);
    let (mut folder, mut data) = ([&root[..], &record(b"\x01", FOLDER, SECTOR, 2)].concat(), Vec::new());
    for member in members {
        folder.extend(record(b"M.;1", FOLDER + 1 + data.len() / SECTOR, member.len(), 0));
        data.extend(*member);
        data.resize(data.len().next_multiple_of(SECTOR), 0);
    }
    folder.resize(SECTOR, 0);
    let mut volume = [b"\x01CD001\x01", &[0; 73][..], &both(FOLDER + 1 + data.len() / SECTOR)].concat();
    volume.resize(120, 0);
    volume.extend([1, 0, 0, 1, 1, 0, 0, 1, 0, 8, 8, 0]);
    volume.resize(156, 0);
    volume.extend(root);
    volume.resize(SECTOR, 0);
    volume[881] = 1;
    let mut end = b"\xFFCD001\x01".to_vec();
    end.resize(SECTOR, 0);
    [vec![0; 16 * SECTOR], volume, end, folder, data].concat()
}

/// A rich text whose members are embedded at its start, and 12 MiB of words after them.
pub(crate) fn rich_text(members: &[&[u8]]) -> Vec<u8> {
    let mut text = b"{\\rtf1\\ansi hello\n".to_vec();
    for member in members {
        let size = number32(member.len());
        let package = [b"\x02\0a\0a\0\0\0\x03\0\x02\0\0\0a\0", &size[..], member, &[0; 2]].concat();
        let head = [&number32(0x501)[..], &number32(2), &number32(8), b"Package\0", &[0; 8]].concat();
        let object = hex::encode([&head[..], &number32(package.len()), &package].concat());
        writeln!(text, "{{\\object\\objemb{{\\*\\objdata {object}}}}}").unwrap();
    }
    text.extend(b"more text of a document \\par\n".repeat((12 << 20) / 29));
    text.push(b'}');
    text
}

fn number32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}
