//! Compressed streams that libclamav does not know. The second reader opens most of them.

use super::{
    bytes::{le32, le64},
    containers::{Container, Mark},
};

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

/// The mark is two bytes: the width of its codes must be one that exists, and its unused bits zero.
fn is_compress(content: &[u8]) -> bool {
    matches!(content, [0x1F, 0x9D, flags, _, ..] if flags & 0x60 == 0 && (9..=16).contains(&(flags & 0x1F)))
}

/// It has no mark. Properties that exist, a dictionary as encoders choose it, a size that is unknown or below a terabyte, and the zero
/// that its coder begins with; as `xz` distinguishes it from other files.
fn is_lzma(content: &[u8]) -> bool {
    let (Some(properties), Some(dictionary), Some(size)) = (content.first(), le32(content, 1), le64(content, 5)) else {
        return false;
    };
    // 2^n or 2^n + 2^(n-1), from 4 KiB.
    // `zstd` takes any, behind the usual properties.
    let is_chosen = dictionary.is_power_of_two()
        || dictionary % 3 == 0 && (dictionary / 3).is_power_of_two()
        || *properties == 0x5D && size == u64::MAX;
    *properties < 225
        && dictionary >= 4096
        && is_chosen
        && (size == u64::MAX || (1..1 << 40).contains(&size))
        && content.get(13) == Some(&0)
        && content.len() >= 18
        && content.get(14..18) != Some(&[0; 4])
}

#[cfg(test)]
mod tests {
    use crate::marks::containers::container;

    #[test]
    fn streams_are_known_by_their_marks() {
        let lzma = [&b"\x5D\0\0\x80\0"[..], &[0xFF; 8], b"\0\x3A\x1A\x08\xCE"].concat();
        for (content, name) in [
            (&b"\x28\xB5\x2F\xFD\x24"[..], "zstd"),
            (b"\x50\x2A\x4D\x18\x01\0\0\0x\x28\xB5\x2F\xFD", "zstd"),
            (b"\x04\x22\x4D\x18\x64", "lz4"),
            (b"LZIP\x01\x0C", "lzip"),
            (b"\x1F\x9D\x90\x61", "compress"),
            (&lzma, "lzma"),
        ] {
            assert_eq!(container(content, false), Some(name));
        }
        for content in [&b"LZIP is a program"[..], b"\x1F\x9D\xFF\x61", b"\x50\x2A\x4D\x18\x01\0\0\0xyz"] {
            assert_eq!(container(content, false), None);
        }
    }
}
