//! The marks by which packed content is recognized: at the start of content, and behind any prefix.
//!
//! Sources: RFC 1952 and 8878, the file formats of xz, bzip2, lzip, lz4, 7-Zip, RAR, Microsoft's cabinets and LHA, POSIX' tar and cpio,
//! ECMA-119, PKWARE's APPNOTE, RPM's file format, ISO 28500.

use std::ops::Range;

use memchr::memmem;

use super::headers::{
    block_size, cab_fits, cpio_fits, is_zip_local, lha_fits, lha_member_fits, seven_zip_fits, zip_member_fits,
};
use crate::{
    archive::{crc32, is_tar},
    ffi::libarchive::Packing,
};

/// Where the first volume descriptor of an ISO 9660 image is, and its mark.
const ISO_MARK: (usize, &[u8]) = (32_769, b"CD001");
/// Bytes behind the end of a stream within which the next one begins; where the end is, libarchive does not say exactly.
const NEAR: usize = 16;
/// Where the mark of a tar is in its first header.
const TAR_MARK: (usize, &[u8]) = (257, b"ustar");

/// Whether bytes that look like this packing are often something else: then only what comes out of it counts.
pub(super) fn is_weak(packing: Packing) -> bool {
    matches!(packing, Packing::Compress | Packing::Lzma | Packing::Cpio | Packing::Lha | Packing::Warc)
}

/// What content is packed as by its own first bytes, apart from zip.
pub(super) fn at_start(content: &[u8]) -> Vec<Packing> {
    let mut found: Vec<Packing> = stream(content).into_iter().collect();
    found.extend(archive(content));
    let starts = |marks: &[&[u8]]| marks.iter().any(|mark| content.starts_with(mark));
    if starts(&[b"!<arch>\n"]) {
        found.push(Packing::Ar);
    }
    if starts(&[b"xar!\0"]) {
        found.push(Packing::Xar);
    }
    if starts(&[b"070701", b"070702", b"070707", b"\xC7\x71", b"\x71\xC7"]) {
        found.push(Packing::Cpio);
    }
    if content.get(ISO_MARK.0..).is_some_and(|rest| rest.starts_with(ISO_MARK.1)) {
        found.extend([Packing::Iso, Packing::IsoPlain]);
    }
    if is_tar(content) {
        found.push(Packing::Tar);
    }
    if starts(&[b"WARC/"]) {
        found.push(Packing::Warc);
    }
    found
}

/// The packed stream that content begins with.
pub(super) fn stream(content: &[u8]) -> Option<Packing> {
    Some(match content {
        [0x1F, 0x8B, 8, ..] => Packing::Gzip,
        // A block, or the end.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, ..] => Packing::Bzip2,
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Packing::Zstd,
        [0x04, 0x22, 0x4D, 0x18, ..] | [0x02, 0x21, 0x4C, 0x18, ..] => Packing::Lz4,
        [b'L', b'Z', b'I', b'P', 0 | 1, ..] => Packing::Lzip,
        [0xED, 0xAB, 0xEE, 0xDB, ..] => Packing::Rpm,
        [0x1F, 0x9D, ..] => Packing::Compress,
        // The properties, a dictionary of 2ⁿ or 2ⁿ + 2ⁿ⁻¹ bytes, and a size.
        [0..225, dictionary @ .., _, _, _, _, _, _, _, _, _] if content.len() > 13 => {
            let dictionary = u32::from_le_bytes(*dictionary.first_chunk()?);
            let is_usual =
                dictionary.is_power_of_two() || dictionary.count_ones() == 2 && dictionary & dictionary << 1 != 0;
            let size = content.get(5..13)?;
            let is_size = size == [0xFF; 8] || size.ends_with(&[0; 3]);
            (dictionary >= 1 << 12 && is_usual && is_size && content.get(13) == Some(&0)).then_some(Packing::Lzma)?
        }
        _ => return None,
    })
}

/// Whether content may be lzma, whatever its properties, its dictionary and its size are: its coder begins with a zero and a literal.
pub(super) fn may_be_lzma(content: &[u8]) -> bool {
    let is_size = content.get(5..13).is_some_and(|size| *size != [0; 8]);
    content.first().is_some_and(|properties| *properties < 225)
        && is_size
        && matches!(content.get(13..), Some([0, 0..0x80, _, _, _, ..]))
}

/// Bytes of zstd's and lz4's skippable frames that content begins with.
pub(super) fn skippable(content: &[u8]) -> usize {
    let mut at: usize = 0;
    while let Some([0x50..=0x5F, 0x2A, 0x4D, 0x18, a, b, c, d]) = content.get(at..).and_then(|rest| rest.first_chunk())
    {
        at = at.saturating_add(8).saturating_add(u32::from_le_bytes([*a, *b, *c, *d]) as usize);
    }
    if at > content.len() { 0 } else { at }
}

/// The archive that content begins with, of those that also stand behind a prefix.
fn archive(content: &[u8]) -> Option<Packing> {
    Some(match content {
        // Not every reader minds the version after it.
        [b'7', b'z', 0xBC, 0xAF, 0x27, 0x1C, ..] => Packing::SevenZip,
        [b'R', b'a', b'r', b'!', 0x1A, 7, 0, ..] => Packing::Rar4,
        [b'R', b'a', b'r', b'!', 0x1A, 7, 1, 0, ..] => Packing::Rar5,
        [b'M', b'S', b'C', b'F', 0, 0, 0, 0, ..] if content.get(24..26) == Some(&[3, 1]) => Packing::Cab,
        [_, _, b'-', b'l', b'h', b'0'..=b'7' | b'd' | b'x', b'-', ..]
        | [_, _, b'-', b'l', b'z', b's' | b'4' | b'5', b'-', ..]
        | [_, _, b'-', b'p', b'm', b'0'..=b'2' | b's', b'-', ..]
            if content.get(20).is_some_and(|level| *level <= 3) =>
        {
            Packing::Lha
        }
        _ => return None,
    })
}

/// What stands at a place within content, whose mark must be strong enough not to occur by chance.
fn inside_at(content: &[u8]) -> Option<Packing> {
    let packing = match archive(content) {
        Some(Packing::SevenZip) if !seven_zip_fits(content) => None,
        Some(Packing::Cab) if !cab_fits(content) => None,
        Some(Packing::Lha) if !lha_fits(content) => None,
        found => found,
    };
    packing.or_else(|| match content {
        // No reserved flag, a level that programs write, a known system.
        [0x1F, 0x8B, 8, 0..=0x1F, _, _, _, _, 0 | 2 | 4, 0..=13 | 255, ..] => Some(Packing::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Packing::Bzip2),
        [0xFD, b'7', b'z', b'X', b'Z', 0, 0, 0..=15, ..] => Some(Packing::Xz),
        // Neither a reserved nor an unused bit.
        [0x28, 0xB5, 0x2F, 0xFD, descriptor, ..] if descriptor & 0x18 == 0 => Some(Packing::Zstd),
        [0x04, 0x22, 0x4D, 0x18, 0x40..=0x7F, 0x40 | 0x50 | 0x60 | 0x70, ..] => Some(Packing::Lz4),
        // The older form: a block of at most what eight megabytes are packed to, which is there.
        [0x02, 0x21, 0x4C, 0x18, a, b, c, 0, rest @ ..] if (1..=rest.len()).contains(&block_size(*a, *b, *c)) => {
            Some(Packing::Lz4)
        }
        [b'L', b'Z', b'I', b'P', 1, 12..=253, ..] => Some(Packing::Lzip),
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] if content.get(66..68) == Some(b"`\n") => {
            Some(Packing::Ar)
        }
        // The version of the lead, and the mark of the header after it.
        [0xED, 0xAB, 0xEE, 0xDB, 3 | 4, ..] if content.get(96..100) == Some(b"\x8E\xAD\xE8\x01") => Some(Packing::Rpm),
        [b'0', b'7', b'0', b'7', b'0', ..] | [0xC7, 0x71, ..] | [0x71, 0xC7, ..] if cpio_fits(content) => {
            Some(Packing::Cpio)
        }
        // The header's length and version.
        [b'x', b'a', b'r', b'!', 0, 28, 0, 1, ..] => Some(Packing::Xar),
        _ if is_zip_local(content) => Some(Packing::ZipStream),
        _ => None,
    })
}

/// The marks within content, from front to back.
pub(super) struct Inside<'c> {
    content: &'c [u8],
    /// Where the last one begins at most.
    end: usize,
    /// The first mark of another format than tar, from the place on that was asked for last. Attack: thousands of tars before it, for each
    /// of which it would be searched again.
    other: Option<(usize, Packing)>,
    /// It has been searched.
    is_known: bool,
}

impl<'c> Inside<'c> {
    /// The marks before `end`: what they are of may go on beyond it.
    pub(super) fn new(content: &'c [u8], end: usize) -> Self {
        Self { content, end: end.min(content.len()), other: None, is_known: false }
    }

    /// The first mark from `from` on, which is never less than before, and what it is of.
    pub(super) fn next(&mut self, from: usize) -> Option<(usize, Packing)> {
        if !self.is_known || self.other.is_some_and(|(at, _)| at < from) {
            self.other = next_at_start(self.content, from..self.end);
            self.is_known = true;
        }
        let other = self.other;
        // The mark of a tar is behind the name of its first file, which may be another's mark.
        let last = other.map_or(self.end, |(at, _)| at);
        let until = last.saturating_add(TAR_MARK.0 + TAR_MARK.1.len()).min(self.content.len());
        let within = self.content.get(from..until)?;
        let mut starts = memmem::find_iter(within, TAR_MARK.1).filter_map(|at| (from + at).checked_sub(TAR_MARK.0));
        let tar =
            starts.find(|start| (from..self.end).contains(start) && self.content.get(*start..).is_some_and(is_tar));
        tar.map(|start| (start, Packing::Tar)).or(other)
    }
}

/// The stream that follows another, which ended about where `content` begins. There the weaker marks count as well: gzip and zstd go on
/// with whatever they know.
pub(super) fn next_in_row(content: &[u8]) -> Option<(usize, Packing)> {
    let near = (0..NEAR).find_map(|at| Some((at, stream(content.get(at..)?)?)));
    near.or_else(|| Inside::new(content, content.len()).next(0))
}

/// The first of the marks that what they are of begins with.
fn next_at_start(content: &[u8], within: Range<usize>) -> Option<(usize, Packing)> {
    let from = within.start;
    // The mark of LHA starts two bytes behind its place, and each has a second byte.
    let until = within.end.saturating_add(3).min(content.len());
    let pairs = content.get(from..until)?.windows(2).enumerate();
    let marks = pairs.filter(|(_, pair)| matches!(pair, [a, b] if IS_MARK.get(pair_number(*a, *b)) == Some(&true)));
    marks.map(|(at, pair)| (from + at, pair)).find_map(|(at, pair)| {
        // The mark of LHA starts two bytes into its header.
        let start = if matches!(pair, b"-l" | b"-p") { at.checked_sub(2).filter(|start| *start >= from)? } else { at };
        let start = Some(start).filter(|start| *start < within.end)?;
        Some((start, inside_at(content.get(start..)?)?))
    })
}

/// The first two bytes of each mark.
const MARKS: [[u8; 2]; 19] = [
    *b"xa",
    *b"7z",
    *b"Ra",
    *b"MS",
    *b"PK",
    *b"BZ",
    *b"LZ",
    *b"-l",
    *b"-p",
    *b"!<",
    *b"07",
    *b"\x1F\x8B",
    *b"\xFD7",
    *b"\x28\xB5",
    *b"\x04\x22",
    *b"\x02\x21",
    *b"\xED\xAB",
    *b"\xC7\x71",
    *b"\x71\xC7",
];

/// Whether a mark starts with these two bytes.
static IS_MARK: [bool; 1 << 16] = {
    let (mut table, mut at) = ([false; 1 << 16], 0);
    while at < MARKS.len() {
        #[expect(clippy::indexing_slicing, reason = "within both, and at compile time")]
        {
            table[pair_number(MARKS[at][0], MARKS[at][1])] = true;
        }
        at += 1;
    }
    table
};

const fn pair_number(first: u8, second: u8) -> usize {
    (first as usize) << 8 | second as usize
}

/// Whether an archive's or a stream's header at this place has a checksum that is right: chance makes no such.
pub(super) fn is_certain(content: &[u8], packing: Packing) -> bool {
    match packing {
        Packing::SevenZip => seven_zip_fits(content),
        Packing::Cab => cab_fits(content) && content.get(4..8) == Some(&[0; 4]) && content.get(12..16) == Some(&[0; 4]),
        Packing::Rar4 => {
            // The sum of the main header, its type, flags and length.
            let Some(&[sum_low, sum_high, 0x73, _, _, length, 0]) =
                content.get(7..).and_then(|rest| rest.first_chunk())
            else {
                return false;
            };
            let header = content.get(9..7 + usize::from(length).max(2));
            header.is_some_and(|header| crc32(header) & 0xFFFF == u32::from(u16::from_le_bytes([sum_low, sum_high])))
        }
        Packing::Rar5 => {
            // The sum, a length in one byte, which no program writes longer here, and the header.
            let Some(&[a, b, c, d, length @ 0..0x80]) = content.get(8..).and_then(|rest| rest.first_chunk()) else {
                return false;
            };
            let header = content.get(12..13 + usize::from(length));
            header.is_some_and(|header| crc32(header) == u32::from_le_bytes([a, b, c, d]))
        }
        Packing::Xz => {
            let stated = content.get(8..).and_then(|rest| rest.first_chunk()).map(|sum| u32::from_le_bytes(*sum));
            content.get(6..8).is_some_and(|flags| Some(crc32(flags)) == stated)
        }
        Packing::ZipStream => zip_member_fits(content),
        // Eight bytes say so, and more behind them.
        // Programs that know these formats have their marks as well: more of the header must fit.
        Packing::Xar => {
            let packed = content.get(8..).and_then(|rest| rest.first_chunk()).map(|length| u64::from_be_bytes(*length));
            packed.is_some_and(|packed| (1..content.len() as u64).contains(&packed))
        }
        Packing::Ar => content.get(66..68) == Some(b"`\n"),
        Packing::Rpm => content.get(96..100) == Some(b"\x8E\xAD\xE8\x01"),
        Packing::Lha => lha_member_fits(content),
        _ => false,
    }
}

/// Where an archive ends by what its own header says; `None` where no header says it.
pub(super) fn end_of_archive(content: &[u8], packing: Packing) -> Option<usize> {
    let number32 = |at: usize| content.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four) as usize);
    let number64 = |at: usize| {
        let number = content.get(at..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight));
        usize::try_from(number?).ok()
    };
    match packing {
        Packing::SevenZip => number64(12)?.checked_add(number64(20)?)?.checked_add(32),
        Packing::Cab => number32(8),
        // The number of sectors is after the descriptor's mark.
        Packing::Iso | Packing::IsoPlain => number32(ISO_MARK.0 + 79)?.checked_mul(2048),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next_inside(content: &[u8], from: usize) -> Option<(usize, Packing)> {
        Inside::new(content, content.len()).next(from)
    }

    #[test]
    fn a_mark_is_found_behind_any_prefix_and_its_look_alike_is_not() {
        let rar = b"Rar!\x1A\x07\x01\x00rest";
        for prefix in [&b"x"[..], b"Rar!", b"\x1F\x8B\x08\xFF----------", b"--l", &[0; 1000]] {
            let content = [prefix, rar].concat();
            assert_eq!(next_inside(&content, 0), Some((prefix.len(), Packing::Rar5)));
            assert_eq!(next_inside(&content, prefix.len() + 1), None);
        }
        assert_eq!(next_inside(b"7z\xBC\xAF\x27\x1C\0\x04 with a wrong sum behind it", 0), None);
    }

    #[test]
    fn frames_to_skip_end_within_the_content() {
        let frame = b"\x50\x2A\x4D\x18\x02\0\0\0ab";
        assert_eq!(skippable(&[&frame[..], frame, b"rest"].concat()), 20);
        assert_eq!(skippable(&frame[..9]), 0);
    }

    const STARTS: [&[u8]; 4] = [b"PK\x03\x04", b"7z\xBC\xAF\x27\x1C\0", b"\0\0-lh5-", b"\x5D\0\0"];

    proptest! {
        #[test]
        fn no_bytes_panic_it(mark in prop::sample::select(&STARTS[..]), bytes: Vec<u8>) {
            let content = [mark, &bytes].concat();
            at_start(&content);
            skippable(&content);
            next_inside(&content, 0);
            next_inside(&bytes, 0);
        }
    }
}
