//! Packers and archivers of old, which few tools still open: by their marks, and by what must follow them.
//!
//! Sources: the formats of `gzip`'s other inputs (pack, and `compress -H` of SCO), bzip3, dact, KGB Archiver, RFC 3284 (VCDIFF), and the
//! notes on squeeze, crunch, LBR, ARC, LZX of the Amiga, `PackIt` and Compact Pro.

use super::{
    bytes::{array, has, le16, le32},
    containers::{Container, Mark},
};
use crate::archive::crc32;

/// Those that no reader here opens.
pub(super) const UNOPENED: &[Container] = &[
    ("pack", Mark::Is(is_pack)),
    ("compress -H", Mark::Is(is_lzh)),
    ("bzip3", Mark::Is(is_bzip3)),
    ("dact", Mark::At(0, b"DCT\xC3\0")),
    ("KGB Archiver", Mark::At(0, b"KGB_arch -")),
    ("VCDIFF", Mark::Is(|content| matches!(content, [0xD6, 0xC3, 0xC4, 0 | b'S', 0..=7, _, ..]))),
    ("squeeze", Mark::Is(is_squeezed)),
    ("crunch", Mark::Is(is_crunched)),
    ("ARC", Mark::Is(is_arc)),
    ("LBR", Mark::Is(is_lbr)),
    ("LZX", Mark::Is(is_lzx)),
    ("PackIt", Mark::Is(is_packit)),
    ("Compact Pro", Mark::Is(is_compact_pro)),
];

/// Longest code of pack, and most symbols.
const MAX_PACK_BITS: u8 = 25;
const PACK_SYMBOLS: usize = 256;
/// Nodes of a tree of squeeze, and bytes of one.
const SQUEEZE_NODES: u16 = 257;
const NODE: usize = 4;
/// Bytes that ARC's readers pass over.
const ARC_PREFIX: usize = 3;
/// Bytes of an entry in Compact Pro's list behind its name, and most entries that are read.
const COMPACT_FILE: usize = 45;
const COMPACT_FOLDER: usize = 2;
const COMPACT_ENTRIES: usize = 16;

/// Two bytes are hardly a mark: the counts of the codes must be those of a tree.
fn is_pack(content: &[u8]) -> bool {
    let &[0x1F, 0x1E, _, _, _, _, bits @ 1..=MAX_PACK_BITS, ref rest @ ..] = content else { return false };
    let Some(counts) = rest.get(..usize::from(bits)) else { return false };
    let (mut room, mut symbols) = (1_usize, 0);
    for (n, count) in counts.iter().enumerate() {
        // Of the longest, the end has one.
        let left = room.checked_sub(usize::from(n + 1 == counts.len()));
        let Some(left) = left.and_then(|left| left.checked_sub(usize::from(*count))) else { return false };
        symbols += usize::from(*count);
        room = 2 * left + 1;
    }
    symbols < PACK_SYMBOLS && symbols < rest.len()
}

/// Here as well: the first table of codes must be one.
fn is_lzh(content: &[u8]) -> bool {
    let Some([0x1F, 0xA0, block @ ..]) = content.first_chunk::<4>() else { return false };
    *block != [0; 2] && lzh_table(content.get(4..).unwrap_or_default()).is_some()
}

fn lzh_table(table: &[u8]) -> Option<()> {
    const SYMBOLS: u32 = 19;
    let mut at = 0_usize;
    let mut take = |count: usize| {
        (0..count).try_fold(0_u32, |value, _| {
            let byte = table.get(at / 8)?;
            let bit = byte >> (7 - at % 8) & 1;
            at += 1;
            Some(value << 1 | u32::from(bit))
        })
    };
    let full = |count: u32, length: u32| if length > 0 { count << 16_u32.saturating_sub(length) } else { 0 };
    let count = take(5)?;
    if count == 0 {
        // One code for all: the lengths of the next table are one and the same.
        let length = take(5)?.checked_sub(2)?;
        let symbols = take(9)?;
        return (length < 17 && symbols <= 511 && (full(symbols, length).is_multiple_of(1 << 16) || symbols == 0))
            .then_some(());
    }
    let (mut sum, mut symbol) = (0, 0);
    while symbol < count.min(SYMBOLS) {
        let mut length = take(3)?;
        while length >= 7 && take(1)? == 1 {
            length += 1;
        }
        (length <= 16).then_some(())?;
        sum += full(1, length);
        symbol += 1;
        if symbol == 3 {
            symbol += take(2)?;
        }
    }
    (count <= SYMBOLS && sum > 0 && sum.is_multiple_of(1 << 16)).then_some(())
}

fn is_bzip3(content: &[u8]) -> bool {
    content.starts_with(b"BZ3v1") && le32(content, 5).is_some_and(|block| (65 << 10..=511 << 20).contains(&block))
}

/// A name as CP/M and DOS have it, to its zero, and what follows.
fn old_name(content: &[u8]) -> Option<(&[u8], &[u8])> {
    const LONGEST: usize = 64;
    let end = memchr::memchr(0, content.get(..content.len().min(LONGEST))?)?;
    let name = content.get(..end)?;
    let is_name = end > 0 && name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    Some((name, content.get(end + 1..)?)).filter(|_| is_name)
}

/// A sum, a name, and a tree whose nodes are all there.
fn is_squeezed(content: &[u8]) -> bool {
    let Some(rest) = content.strip_prefix(b"\x76\xFF") else { return false };
    let Some((_, rest)) = rest.get(2..).and_then(old_name) else { return false };
    let Some(nodes @ 1..=SQUEEZE_NODES) = le16(rest, 0) else { return false };
    let Some(tree) = rest.get(2..2 + NODE * usize::from(nodes)) else { return false };
    // A node, or a symbol: the complement of up to 256, the end.
    let mut children = tree.chunks_exact(2).filter_map(|two| le16(two, 0));
    children.all(|child| child < nodes || !child <= 256)
}

/// A name with a dot, and versions of its packers.
fn is_crunched(content: &[u8]) -> bool {
    let [0x76, 0xFE | 0xFD, rest @ ..] = content else { return false };
    let named = old_name(rest).filter(|(name, _)| name.contains(&b'.'));
    named.is_some_and(|(_, rest)| matches!(rest, [0x10..=0x2F, 0x10..=0x2F, ..]))
}

/// A member of the archiver ARC, or Spark: a mark of one byte, a method, a name as DOS has it to its zero, and a packed size that fits.
/// Its readers look for it a few bytes further on, too.
fn is_arc(content: &[u8]) -> bool {
    (0..=ARC_PREFIX).filter_map(|at| content.get(at..)).any(is_arc_member)
}

fn is_arc_member(content: &[u8]) -> bool {
    let &[0x1A, 1..=11 | 0x81..=0x89 | 0xFF, ref rest @ ..] = content else { return false };
    let Some(name) = rest.first_chunk::<13>().and_then(|field| field.split(|byte| *byte == 0).next()) else {
        return false;
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-$~!#%&@".contains(byte);
    let fits = le32(content, 15).is_some_and(|size| size > 0 && (size as usize) < content.len());
    (1..13).contains(&name.len()) && name.iter().all(is_name) && fits
}

/// A library of CP/M: the entry of its own list, which has no name and begins at nothing.
fn is_lbr(content: &[u8]) -> bool {
    content.starts_with(b"\0           \0\0") && le16(content, 14).is_some_and(|sectors| sectors > 0)
}

/// LZX of the Amiga: the sum of the first entry's header is right.
fn is_lzx(content: &[u8]) -> bool {
    const HEADER: usize = 31;
    let Some(entry) = content.strip_prefix(b"LZX").and_then(|rest| rest.get(7..)) else { return false };
    let (Some(sum), Some(comment), Some(name)) = (le32(entry, 26), entry.get(14), entry.get(30)) else { return false };
    let end = HEADER + usize::from(*comment) + usize::from(*name);
    let Some(mut header) = entry.get(..end).map(<[u8]>::to_vec) else { return false };
    header.get_mut(26..30).into_iter().for_each(|field| field.fill(0));
    crc32(&header) == sum
}

/// As it is, packed by Huffman's code, or encrypted; and the length of the first name.
fn is_packit(content: &[u8]) -> bool {
    let &[b'P', b'M', b'a', b'g' | b'1'..=b'6', length @ 1..=63, ref name @ ..] = content else { return false };
    name.get(..usize::from(length)).is_some_and(|name| name.iter().all(|byte| *byte >= b' '))
}

/// The list of its files, at the place that the header names, is one.
fn is_compact_pro(content: &[u8]) -> bool {
    let (&[1, 1, ..], Some(list)) = (content, array(content, 4).map(u32::from_be_bytes)) else { return false };
    let list = content.get(list as usize..).unwrap_or_default();
    let (Some(count), Some(comment)) = (array(list, 4).map(u16::from_be_bytes), list.get(6)) else { return false };
    let mut entries = list.get(7 + usize::from(*comment)..).unwrap_or_default();
    for _ in 0..usize::from(count).min(COMPACT_ENTRIES) {
        let Some((kind, rest)) = entries.split_first() else { return false };
        let length = usize::from(kind & 0x7F);
        let is_name = rest.get(..length).is_some_and(|name| !name.is_empty() && name.iter().all(|byte| *byte >= b' '));
        let fields = if kind & 0x80 == 0 { COMPACT_FILE } else { COMPACT_FOLDER };
        let Some(next) = rest.get(length + fields..).filter(|_| is_name) else { return false };
        entries = next;
    }
    count > 0 && !has(content, 4, b"\0\0\0\0")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::marks::containers::container;

    /// Files of a few words that the packers themselves made, cut behind what is read; those of LZX, `PackIt` and Compact Pro are made by
    /// hand.
    fn samples() -> Vec<(&'static str, Vec<u8>)> {
        let squeezed = b"\x76\xFF\x17\x1Dx.bin\0\x01\0\xFE\xFF\xFF\xFE\x41\0";
        let member = |method: u8| [&[0x1A, method][..], b"x.bin\0\0\0\0\0\0\0\0", &[9, 0, 0, 0], &[0; 30]].concat();
        let compact = |name: &[u8]| {
            let list = [&[0; 4][..], &[0, 1, 0, 5], name, &[0; 45]].concat();
            [b"\x01\x01\x12\x34\0\0\0\x0Cdata", &list[..]].concat()
        };
        let lbr = [b"\0           \0\0\x01\0", &[0; 16][..]].concat();
        // The name, and the sum of the header before its length.
        let mut lzx = [&b"LZX\0\x04\x0B\x0A\x04\0\0"[..], &[0; 30], b"\x05x.bin"].concat();
        let header = lzx.len() - 10;
        let sum = crate::archive::crc32(&lzx[10..]).to_le_bytes();
        lzx[header..header + 4].copy_from_slice(&sum);
        vec![
            (
                "pack",
                b"\x1F\x1E\0\0\0\x4D\x05\0\0\0\0\x1E\x0A ,.Mabcefilnoqrstuvy\0\x01\x02\x03\x04\x05\x06\x07\x08\x09!^"
                    .to_vec(),
            ),
            ("compress -H", b"\x1F\xA0\0\x4D\x02\xA0\0\x09\xAC.LM".to_vec()),
            ("bzip3", b"BZ3v1\0\0\0\x01\x52\0".to_vec()),
            ("dact", b"DCT\xC3\0\x08\x2A".to_vec()),
            ("KGB Archiver", b"KGB_arch -3\r\n".to_vec()),
            ("VCDIFF", b"\xD6\xC3\xC4\0\x05\x01\x02".to_vec()),
            ("squeeze", squeezed.to_vec()),
            ("crunch", b"\x76\xFEx.bin\0\x20\x20\0\0".to_vec()),
            ("ARC", member(2)),
            ("ARC", member(0x82)),
            ("ARC", [b"x", &member(8)[..]].concat()),
            ("LBR", lbr),
            ("LZX", lzx),
            ("PackIt", b"PMag\x05x.bin".to_vec()),
            ("Compact Pro", compact(b"x.bin")),
        ]
    }

    #[test]
    fn each_is_known_by_more_than_its_mark() {
        for (name, content) in samples() {
            assert_eq!(container(&content, false), Some(name));
        }
    }

    #[test]
    fn what_has_the_mark_alone_is_left() {
        for content in [
            &b"\x1F\x1E\0\0\0\x4D\x05\0\x04\0\0\x1E some words and more of them, and more"[..],
            b"\x1F\x1E\0\0\0\x4D\xC8 some words and more of them, and more of them",
            b"\x1F\xA0\0\x4D\x7F\xFF\xFF\xFF\xFF\xFF",
            b"\x1F\xA0\0\0\x02\xA0\0\x09",
            b"BZ3v1 is a format",
            b"KGB_archive",
            b"\xD6\xC3\xC4\xD6\xC3\xC4",
            b"\x76\xFF\0\0words\0\x01\0\x09\0\xFF\xFF",
            b"\x76\xFEwords and no name\0\x20\x20",
            b"\x1A\x02some words behind a mark, which are no name of DOS",
            b"\0           \0\0\0\0\0",
            b"LZX\0 and then some words, longer than a header of an entry",
            b"PMag\xFF",
            b"\x01\x01\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01\0\x02\x03",
        ] {
            assert_eq!(container(content, false), None, "{:?}", String::from_utf8_lossy(content));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(sample in 0_usize..15, at in 0_usize..60, value: u8, bytes: Vec<u8>) {
            let (_, mut content) = samples().swap_remove(sample);
            let end = content.len().min(at);
            container(&[&content[..end], &bytes].concat(), false);
            if let Some(byte) = content.get_mut(at) {
                *byte = value;
            }
            container(&content, false);
        }
    }
}
