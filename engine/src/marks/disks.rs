//! Images of disks and file systems. libclamav opens some partition tables, and no file system but those of optical discs.
//!
//! Sources: the formats' own documents; Linux's headers of its file systems.

use memchr::memmem;

use super::{
    bytes::{array, has, le16, le32, le64, text_start},
    containers::{Container, Mark},
};

pub(super) const IMAGES: &[Container] = &[
    ("squashfs", Mark::Is(is_squashfs)),
    ("cramfs", Mark::At(16, b"Compressed ROMFS")),
    ("romfs", Mark::At(0, b"-rom1fs-")),
    ("EROFS", Mark::Is(|content| has(content, 1024, b"\xE2\xE1\xF5\xE0") && content.len() > 4096)),
    ("ext", Mark::Is(is_ext)),
    ("XFS", Mark::At(0, b"XFSB\0\0")),
    ("F2FS", Mark::At(1024, b"\x10\x20\xF5\xF2")),
    ("JFS", Mark::At(0x8000, b"JFS1\x01\0\0\0")),
    ("ReiserFS", Mark::Is(|content| [0x2034, 0x1_0034].iter().any(|at| has(content, *at, b"ReIsEr")))),
    ("NILFS", Mark::At(1024, b"\x02\0\0\0\0\0\x34\x34")),
    ("minix", Mark::Is(is_minix)),
    ("UFS", Mark::Is(|content| [0x255C, 0x1_055C].iter().any(|at| has(content, *at, b"\x54\x19\x01\0")))),
    ("UFS2", Mark::Is(|content| [0x255C, 0x1_055C].iter().any(|at| has(content, *at, b"\x19\x01\x54\x19")))),
    ("HFS", Mark::Is(|content| has(content, 1024, b"BD") && content.len() > 65_536 && is_hfs(content))),
    ("ReFS", Mark::At(3, b"ReFS\0\0\0\0")),
    ("LVM", Mark::Is(|content| (0..4).any(|sector| has(content, 512 * sector, b"LABELONE")))),
    ("UBI", Mark::At(0, b"UBI#\x01\0")),
    ("UBIFS", Mark::At(0, b"\x31\x18\x10\x06")),
    ("DwarFS", Mark::At(0, b"DWARFS\x02")),
    ("a raw image of a CD", Mark::Is(is_raw_disc)),
    ("btrfs", Mark::At(0x1_0040, b"_BHRfS_M")),
    ("APFS", Mark::At(32, b"NXSB")),
    ("NTFS", Mark::Is(|content| has(content, 3, b"NTFS    ") && is_boot_sector(content))),
    ("exFAT", Mark::Is(|content| has(content, 3, b"EXFAT   ") && is_boot_sector(content))),
    ("FAT", Mark::Is(is_fat)),
    ("partitions (MBR)", Mark::Is(has_partitions)),
    ("partitions (GPT)", Mark::At(512, b"EFI PART\0\0\x01\0")),
    ("UDF", Mark::Is(is_udf)),
    ("VHD", Mark::At(0, b"conectix")),
    ("VHD", Mark::Is(|content| content.len() > 512 && has(content, content.len() - 512, b"conectix"))),
    ("VHDX", Mark::At(0, b"vhdxfile")),
    ("VMDK", Mark::Is(|content| has(content, 0, b"KDMV") && le32(content, 4).is_some_and(|version| version <= 3))),
    ("VMDK", Mark::At(0, b"COWD\x01\0\0\0")),
    ("VMDK", Mark::At(0, b"\xBE\xBA\xFE\xCA\0\0\0\0")),
    ("VMDK", Mark::Is(|content| text_start(content).starts_with(b"# Disk DescriptorFile"))),
    ("Bochs image", Mark::At(0, b"Bochs Virtual HD Image\0")),
    ("VDI", Mark::At(0x40, b"\x7F\x10\xDA\xBE")),
    ("QED", Mark::At(0, b"QED\0")),
    ("QCOW2", Mark::At(0, b"QFI\xFB\0\0\0")),
    ("Parallels disk", Mark::At(0, b"WithoutFreeSpace")),
    ("Parallels disk", Mark::At(0, b"WithouFreSpacExt")),
    ("Android sparse image", Mark::At(0, b"\x3A\xFF\x26\xED\x01\0")),
];

/// A sector of an image that is longer than it: boot sectors are files of boot loaders as well.
fn is_boot_sector(content: &[u8]) -> bool {
    has(content, 510, b"\x55\xAA") && content.len() > 4096
}

/// At the start, in either order of bytes, or wherever one of version 4 is complete in itself: programs carry theirs behind them.
fn is_squashfs(content: &[u8]) -> bool {
    let little = has(content, 0, b"hsqs") && le16(content, 28).is_some_and(|version| (1..=4).contains(&version));
    let big = has(content, 0, b"sqsh") && content.get(28) == Some(&0);
    little || big || memmem::find_iter(content, b"hsqs").any(|at| is_squashfs_4(content, at))
}

/// Compressor, size of blocks with its logarithm, version, and the place of the tables, which must be within the content.
fn is_squashfs_4(content: &[u8], at: usize) -> bool {
    let log = le16(content, at + 22).filter(|log| (12..=20).contains(log));
    let fits = le64(content, at + 40).is_some_and(|used| used > 96 && used <= (content.len() - at) as u64);
    log.is_some_and(|log| le32(content, at + 12) == Some(1 << log))
        && le16(content, at + 20).is_some_and(|compressor| (1..=6).contains(&compressor))
        && le16(content, at + 28) == Some(4)
        && fits
}

/// Versions 1 to 3, by their magic numbers and the size of a zone.
fn is_minix(content: &[u8]) -> bool {
    let early = le16(content, 1040).is_some_and(|magic| [0x137F, 0x138F, 0x2468, 0x2478].contains(&magic))
        && le16(content, 1034).is_some_and(|log| log <= 4)
        // Inodes, and blocks of both maps.
        && [1024, 1028, 1030].iter().all(|at| le16(content, *at).is_some_and(|count| count > 0))
        && le16(content, 1042).is_some_and(|state| state <= 3);
    let third = le16(content, 1048) == Some(0x4D5A)
        && le16(content, 1052).is_some_and(|bytes| [1024, 2048, 4096].contains(&bytes));
    (early || third) && content.len() > 4096
}

/// Blocks of a multiple of 512 bytes, and a number of them that is not zero.
fn is_hfs(content: &[u8]) -> bool {
    let big = |at: usize| array::<4>(content, 1024 + at).map(u32::from_be_bytes);
    big(20).is_some_and(|bytes| bytes > 0 && bytes.is_multiple_of(512)) && array::<2>(content, 1042) != Some([0, 0])
}

/// Sectors with their synchronisation marks and sums: files are in pieces.
fn is_raw_disc(content: &[u8]) -> bool {
    const SYNC: &[u8] = b"\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0";
    has(content, 0, SYNC) && [2352, 2448].iter().any(|sector| has(content, *sector, SYNC))
}

/// The mark is two bytes: counts, the size of blocks, the state and the revision must be possible as well.
fn is_ext(content: &[u8]) -> bool {
    let number = |at: usize| le32(content, 1024 + at).unwrap_or_default();
    has(content, 1024 + 56, b"\x53\xEF")
        && number(0) > 0
        && number(4) > 0
        && number(24) <= 6
        && number(76) <= 1
        && number(72) <= 4
        && le16(content, 1024 + 58).is_some_and(|state| state <= 7)
}

/// By its parameter block, as readers take it; labels in it mean nothing.
fn is_fat(content: &[u8]) -> bool {
    let jumps = matches!(content, [0xEB, _, 0x90, ..] | [0xE9, ..]);
    let per_sector = le16(content, 11).is_some_and(|bytes| [512, 1024, 2048, 4096].contains(&bytes));
    let per_cluster = content.get(13).is_some_and(|sectors| sectors.is_power_of_two());
    let reserved = le16(content, 14).is_some_and(|sectors| sectors > 0);
    let tables = content.get(16).is_some_and(|tables| (1..=2).contains(tables));
    let media = content.get(21).is_some_and(|media| *media == 0xF0 || *media >= 0xF8);
    // The first entry of the table repeats the media type. Readers do without a boot sector's jump and mark.
    let table = usize::from(le16(content, 14).unwrap_or_default()) * usize::from(le16(content, 11).unwrap_or_default());
    let has_table = content.get(table) == content.get(21) && has(content, table + 1, b"\xFF");
    let is_whole = content.len() > 4096;
    let begins = jumps && is_boot_sector(content) || has_table && is_whole;
    begins && per_sector && per_cluster && reserved && tables && media
}

/// Four entries that are possible, and one of which begins within the image. Images of optical discs have such a table to be bootable
/// from elsewhere, too: they are read as discs.
fn has_partitions(content: &[u8]) -> bool {
    let entries = || (0..4).map(|n| content.get(446 + 16 * n..).and_then(<[u8]>::first_chunk::<16>));
    let is_possible = |entry: Option<&[u8; 16]>| entry.is_some_and(|entry| matches!(entry[0], 0 | 0x80));
    let is_within = |entry: Option<&[u8; 16]>| {
        entry.is_some_and(|entry| {
            let start = le32(entry, 8).unwrap_or_default();
            let size = le32(entry, 12).unwrap_or_default();
            entry[4] != 0 && start > 0 && size > 0 && u64::from(start) * 512 < content.len() as u64
        })
    };
    is_boot_sector(content)
        && entries().all(is_possible)
        && entries().any(is_within)
        && !has(content, 0x8001, b"CD001")
        && !has(content, 0, b"MZ")
}

/// Descriptors of UDF, alone or beside those of ISO 9660, where its tree may hold other files than theirs.
fn is_udf(content: &[u8]) -> bool {
    let mut descriptors = (16..256).map(|sector| sector * 2048);
    descriptors.any(|at| has(content, at, b"\0NSR02\x01") || has(content, at, b"\0NSR03\x01"))
}

#[cfg(test)]
mod tests {
    use crate::marks::containers::container;

    fn with(length: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut content = vec![0; length];
        for (at, part) in parts {
            content[*at..at + part.len()].copy_from_slice(part);
        }
        content
    }

    #[test]
    fn images_are_known_by_their_marks() {
        let fat: [(usize, &[u8]); 3] = [
            (0, b"\xEB\x3C\x90mkfs.fat\0\x02\x04\x01\0\x02\0\x02\0\x08\xF8\x08\0"),
            (510, b"\x55\xAA"),
            (54, b"FAT12   "),
        ];
        let entry = [0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0];
        let ext = [&[16, 0, 0, 0, 64, 0, 0, 0][..], &[0; 16], &[0; 32], &[0x53, 0xEF, 1, 0]].concat();
        for (name, content) in [
            ("FAT", with(20_000, &fat)),
            ("NTFS", with(20_000, &[(3, b"NTFS    "), (510, b"\x55\xAA")])),
            ("partitions (MBR)", with(20_000, &[(446, &entry), (510, b"\x55\xAA")])),
            ("ext", with(20_000, &[(1024, &ext)])),
            ("UDF", with(70_000, &[(0x8001, b"BEA01"), (0x8801, b"NSR03\x01")])),
            ("VHD", with(20_000, &[(20_000 - 512, b"conectix")])),
            ("squashfs", with(200, &[(0, b"hsqs"), (28, b"\x04\0")])),
        ] {
            assert_eq!(container(&content, false), Some(name));
        }
        for content in [
            with(512, &fat),
            with(20_000, &[(510, b"\x55\xAA")]),
            with(70_000, &[(446, &entry), (510, b"\x55\xAA"), (0x8001, b"CD001")]),
            with(20_000, &[(1080, b"\x53\xEF")]),
        ] {
            assert_eq!(container(&content, false), None);
        }
    }
}
