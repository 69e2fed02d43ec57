//! Compressed streams that libclamav does not know. The second reader opens most of them.

use super::{
    bytes::{le32, le64},
    containers::{Container, Mark},
};
use crate::unlzma;

/// Those that the second reader opens: a row counts where it does not.
pub(super) const OPENED: &[Container] = &[
    ("zstd", Mark::At(0, b"\x28\xB5\x2F\xFD")),
    ("zstd", Mark::Is(is_skippable_frame)),
    ("lz4", Mark::At(0, b"\x04\x22\x4D\x18")),
    ("lz4", Mark::At(0, b"\x02\x21\x4C\x18")),
    ("lzip", Mark::Is(is_lzip)),
    ("lzop", Mark::At(0, b"\x89LZO\0\x0D\x0A\x1A\x0A")),
    ("compress", Mark::Is(is_compress)),
    ("lzma", Mark::Is(is_lzma)),
];

/// Those that no reader here opens.
pub(super) const UNOPENED: &[Container] = &[
    ("lrzip", Mark::At(0, b"LRZI\0")),
    ("rzip", Mark::At(0, b"RZIP\x02")),
    // A filter for programs, or none, before what lzma begins with.
    ("lzma86", Mark::Is(is_lzma86)),
    // What zstd wrote before its format was settled, and still reads.
    ("zstd before 0.8", Mark::Is(|content| matches!(content, [0x1E | 0x22..=0x27, 0xB5, 0x2F, 0xFD, ..]))),
    ("PPMd", Mark::At(0, b"\x8F\xAF\xAC\x84")),
    ("snappy", Mark::At(0, b"\xFF\x06\0\0sNaPpY")),
    ("LZFSE", Mark::At(0, b"bvx2")),
    ("LZFSE", Mark::At(0, b"bvx1")),
    ("LZFSE", Mark::At(0, b"bvxn")),
    ("lz4 of Mozilla", Mark::At(0, b"mozLz40\0")),
    ("a delta of Windows", Mark::At(0, b"PA30")),
    // A file of an ISO that was packed with `mkzftree`.
    ("zisofs", Mark::At(0, b"\x37\xE4\x53\x96\xC9\xDB\xD6\x07")),
    ("zisofs", Mark::At(0, b"\xEF\x22\x55\xA1\xBC\x1B\x95\xA0")),
];

/// A frame that both zstd and lz4 pass over, before one that they do not.
fn is_skippable_frame(content: &[u8]) -> bool {
    let is_skippable = le32(content, 0).is_some_and(|mark| mark & 0xFFFF_FFF0 == 0x184D_2A50);
    let after = le32(content, 4).and_then(|length| le32(content, (length as usize).checked_add(8)?));
    is_skippable
        && after.is_some_and(|mark| [0xFD2F_B528, 0x184D_2204].contains(&mark) || mark & 0xFFFF_FFF0 == 0x184D_2A50)
}

fn is_lzip(content: &[u8]) -> bool {
    matches!(content, [b'L', b'Z', b'I', b'P', 0 | 1, size, ..] if (12..=29).contains(&(size & 0x1F)))
}

/// The mark is two bytes: the width of its codes must be one that exists. `gzip` passes over its unused bits.
fn is_compress(content: &[u8]) -> bool {
    matches!(content, [0x1F, 0x9D, flags, _, ..] if (9..=16).contains(&(flags & 0x1F)))
}

/// Tables of numbers, as compilers pack into their programs, begin with zeros: a dictionary is no smaller than encoders make one.
fn is_lzma86(content: &[u8]) -> bool {
    let is_dictionary = |lzma: &[u8]| le32(lzma, 1).is_some_and(|dictionary| dictionary >= 4096);
    matches!(content, [0 | 1, lzma @ ..] if is_lzma(lzma) && is_dictionary(lzma))
}

/// Bytes from which on what lzma unpacks to is no chance.
const MIN_UNPACKED: usize = 32;
/// Most bytes that one of lzma is unpacked to.
const MAX_RATIO: u64 = 1 << 13;

/// It has no mark. Properties that exist, a dictionary as encoders choose it, a size, and what its coder begins with: a zero, and a byte
/// that is no copy of others before it. Readers take any size and any dictionary, if not of any properties: those that all programs write
/// by themselves, and a size that is not known, are strong enough a mark.
fn is_lzma(content: &[u8]) -> bool {
    let (Some(properties), Some(dictionary), Some(size)) = (content.first(), le32(content, 1), le64(content, 5)) else {
        return false;
    };
    // 2^n or 2^n + 2^(n-1).
    let is_chosen = dictionary <= 1
        || dictionary == u32::MAX
        || dictionary.is_power_of_two()
        || dictionary % 3 == 0 && (dictionary / 3).is_power_of_two();
    let is_size = match size {
        0 => false,
        u64::MAX => true,
        _ if *properties == 0x5D => size < 1 << 56,
        _ if dictionary >= 4096 => is_chosen && size < 1 << 40,
        _ => is_chosen && size / MAX_RATIO <= content.len() as u64,
    };
    let begins =
        matches!(content.get(13..18), Some(&[0, first @ 0..0x80, ref rest @ ..]) if first != 0 || *rest != [0; 3]);
    *properties < 225 && is_size && begins && unpacks(content, size)
}

/// Whether more than chance comes out: what is in other files for it ends in an error before that.
fn unpacks(lzma: &[u8], size: u64) -> bool {
    let unpacked = unlzma::laxly(lzma, MIN_UNPACKED).len();
    unpacked >= MIN_UNPACKED || unpacked as u64 == size
}

#[cfg(test)]
mod tests {
    use crate::marks::containers::container;

    #[test]
    fn streams_are_known_by_their_marks() {
        // Forty letters, by `lzma.compress(bytes, format=lzma.FORMAT_ALONE)`.
        let lzma = hex::decode(
            "5d00008000ffffffffffffffff00309888983ecbe26f34b34c115f19e4bd173a380166a2d1597099b075e15cfffffe0a3000",
        )
        .unwrap();
        // The same with `lc` of 4, without its header.
        let odd = hex::decode("0030ee2707ffffffff80000000").unwrap();
        for (content, name) in [
            (&b"\x28\xB5\x2F\xFD\x24"[..], "zstd"),
            (b"\x50\x2A\x4D\x18\x01\0\0\0x\x28\xB5\x2F\xFD", "zstd"),
            (b"\x04\x22\x4D\x18\x64", "lz4"),
            (b"LZIP\x01\x0C", "lzip"),
            (b"\x1F\x9D\x90\x61", "compress"),
            (&lzma, "lzma"),
            (&[b"\x01", &lzma[..]].concat(), "lzma86"),
            (&[b"\x5D\x39\x30\0\0\x44\0\0\0\0\0\x20\0", &lzma[13..]].concat(), "lzma"),
            (&[b"\x5E\x01\0\0\0\x28\0\0\0\0\0\0\0", &odd[..]].concat(), "lzma"),
            (b"\x1F\x9D\xF0\x61", "compress"),
            (b"\x27\xB5\x2F\xFD\0", "zstd before 0.8"),
        ] {
            assert_eq!(container(content, false), Some(name), "{content:02X?}");
        }
        // The cache of GTK's icons.
        let cache = b"\0\x01\0\0\0\0\0\x0C\0\x01\xDD\x64\0\0\x02\x2D\0\0\x08\xC4";
        // A table of numbers, as a Java compiler has one.
        let table = [&[0; 6][..], &[1], &[0; 11], b"\x02\0\0\x04"].concat();
        // The header of lzma, and a copy from before all bytes.
        let garbage = [&lzma[..13], b"\0\x7F\xFF\xFF\xFF\xFF\xFF\xFF", &[0xFF; 50]].concat();
        for content in
            [&b"LZIP is a program"[..], cache, &table, b"\x1F\x9D\xFF\x61", &garbage, b"\x50\x2A\x4D\x18\x01\0\0\0xyz"]
        {
            assert_eq!(container(content, false), None);
        }
    }
}
