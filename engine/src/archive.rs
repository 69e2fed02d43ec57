//! The index of an archive, to compare with what libclamav unpacked.
//!
//! libclamav skips members of unknown compression methods and the missing rest of truncated archives without a message, and calls what
//! is left clean. So the archive's own index is read here: formats, offsets and sizes; nothing is unpacked. The client decides what
//! follows from it. Sources: PKWARE's APPNOTE, RFC 1952, the file formats of xz, bzip2, 7-Zip and Microsoft's cabinets,
//! help files and `compress.exe`.

pub(crate) mod arj;
mod cpio;
mod lha;
mod tar;
mod tnef;
pub(crate) mod zip;

use std::collections::BTreeMap;

use nacre_engine_protocol::{Layer, MAX_LAYERS};

pub(crate) use self::tar::is_tar;
use crate::{marks::Coverage, second_reader::Reading};

/// The members that an archive declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArchiveIndex {
    /// Parts that libclamav cannot have scanned: the end is missing, or it does not know the compression method.
    pub(crate) unaccounted: u64,
    /// The members that libclamav must report as layers. It stops at a too large or damaged member without a message.
    pub(crate) members: Vec<Member>,
    /// For gzip, the unpacked size modulo 2³².
    pub(crate) gzip_size: Option<u32>,
    /// What the second reader got out of it.
    pub(crate) coverage: Coverage,
}

/// A member that must become a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) size: u64,
    /// CRC-32 of its content, where the archive says it. Attack: a layer of the same size that stands for another member.
    pub(crate) crc32: Option<u32>,
}

impl From<u64> for Member {
    fn from(size: u64) -> Self {
        Self { size, crc32: None }
    }
}

/// An archive ends too early, or its index cannot be read with certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Truncated;

/// Returns [`Truncated`] unless `condition` holds.
fn require(condition: bool) -> Result<(), Truncated> {
    if condition { Ok(()) } else { Err(Truncated) }
}

impl ArchiveIndex {
    /// Adds what the second reader made of the archive.
    pub(crate) fn add(&mut self, reading: Reading) {
        self.unaccounted += reading.unopened;
        self.coverage = reading.coverage;
        if self.coverage.whole {
            // Nothing is missing that another reader could show.
            self.members.clear();
            self.gzip_size = None;
            return;
        }
        if self.members.is_empty() {
            self.members.extend(reading.promised.into_iter().map(Member::from));
        }
        self.members.extend(reading.promised_within.into_iter().map(Member::from));
    }

    /// Records a member of `size` bytes, unless it is too small to be a layer. Keeps at most one more than [`MAX_LAYERS`].
    fn expect_member(&mut self, size: u64) {
        if size > NEVER_SHOWN_BYTES && self.members.len() <= MAX_LAYERS {
            self.members.push(size.into());
        }
    }
}

/// libclamav neither scans nor reports content of this size or less.
pub(crate) const NEVER_SHOWN_BYTES: u64 = 5;
/// Returns the index of `content`; an empty one unless it is an archive of a known format.
pub(crate) fn index(content: &[u8]) -> ArchiveIndex {
    // The name at the start of a tar may be another format's magic number, which libclamav goes by: both count.
    let (marked, tar) = (index_by_magic(content), tar::index(content).unwrap_or_default());
    ArchiveIndex {
        unaccounted: marked.unaccounted + tar.unaccounted,
        members: [marked.members, tar.members].concat(),
        ..marked
    }
}

/// Index of the archive whose magic number `content` begins with.
fn index_by_magic(content: &[u8]) -> ArchiveIndex {
    let mut index = ArchiveIndex::default();
    let whole = if content.starts_with(b"PK\x03\x04") {
        return zip::index(content).unwrap_or(ArchiveIndex { unaccounted: 1, ..index });
    } else if content.starts_with(b"\x1f\x8b\x08") {
        let size = content.last_chunk().map(|size| u32::from_le_bytes(*size));
        return ArchiveIndex { gzip_size: size, ..index };
    } else if content.starts_with(b"7z\xbc\xaf\x27\x1c") {
        let end = number64(content, 12).zip(number64(content, 20)).and_then(|(at, size)| at.checked_add(size));
        end.is_some_and(|end| end.saturating_add(32) <= content.len() as u64)
    } else if content.starts_with(b"MSCF\0\0\0\0") {
        number32(content, 8).is_some_and(|size| size as usize <= content.len())
    } else if content.starts_with(b"ITSF") {
        // CHM: the first section holds the file size.
        let section = number64(content, 0x38).and_then(|at| usize::try_from(at).ok()?.checked_add(8));
        section.and_then(|at| number64(content, at)).is_some_and(|size| size <= content.len() as u64)
    } else if content.starts_with(b"SZDD\x88\xf0\x27\x33A") {
        number32(content, 10).map(|size| index.expect_member(size.into())).is_some()
    } else if content.starts_with(b"\x60\xea") {
        arj::walk(content, &mut index).is_ok()
    } else if lha::is_lha(content) {
        lha::walk(content, &mut index).is_ok()
    } else if content.starts_with(b"\x78\x9f\x3e\x22") {
        tnef::walk(content, &mut index).is_ok()
    } else if let Some(cpio) = cpio::index(content) {
        return cpio;
    } else {
        true
    };
    ArchiveIndex { unaccounted: u64::from(!whole), ..index }
}

/// Counts the members that `indexes` declare and `layers` lack. `sums` has the CRC-32 of each layer. `gzip_length` unpacks the outermost layer, if it is gzip, up to the
/// given size and returns its length.
pub(crate) fn unopened(
    layers: &[Layer],
    indexes: &[ArchiveIndex],
    sums: &[u32],
    gzip_length: impl FnOnce(u64) -> Option<u64>,
) -> u64 {
    let (mut unopened, mut gzip_length) = (0, Some(gzip_length));
    for (at, (layer, index)) in layers.iter().zip(indexes).enumerate() {
        // A signature with `HandlerType` has the layer around it scanned once more as another type. Its bytes have been accounted
        // for where they stand; as a page an archive shows no members.
        if enclosing(layers.get(..at).unwrap_or_default(), layer).is_some_and(|outer| outer.sha256 == layer.sha256) {
            continue;
        }
        unopened += index.unaccounted;
        let after = layers.get(at + 1..).unwrap_or_default();
        let inside = after.iter().take_while(|inner| inner.depth > layer.depth);
        let sums_after = sums.get(at + 1..).unwrap_or_default();
        // Past their cap layers are not listed.
        if layers.len() < MAX_LAYERS {
            let shown = inside.clone().zip(sums_after).filter(|(inner, _)| inner.depth == layer.depth + 1);
            let shown = shown.map(|(inner, sum)| (inner.size, *sum));
            unopened += missing(&index.members, shown);
        }
        let Some(size) = index.gzip_size else { continue };
        let shown = inside.map(|inner| inner.size).next().unwrap_or_default();
        let size_matches = u32::try_from(shown & 0xFFFF_FFFF) == Ok(size);
        // Of several gzip files in a row, the last size counts only the last file.
        let mut after_all = || at == 0 && gzip_length.take().and_then(|length| length(shown)) == Some(shown);
        unopened += u64::from(!(size_matches || shown == 0 && u64::from(size) <= NEVER_SHOWN_BYTES || after_all()));
    }
    unopened
}

/// The layer that holds `layer`, of those before it.
fn enclosing<'l>(before: &'l [Layer], layer: &Layer) -> Option<&'l Layer> {
    before.iter().rfind(|outer| outer.depth < layer.depth)
}

/// Counts those among `expected` that have no counterpart among `shown`, which has sizes and CRC-32.
fn missing(expected: &[Member], shown: impl Iterator<Item = (u64, u32)>) -> u64 {
    let mut open = BTreeMap::<u64, BTreeMap<u32, u64>>::new();
    for (size, crc32) in shown {
        *open.entry(size).or_default().entry(crc32).or_default() += 1;
    }
    let mut take = |size: u64, crc32: Option<u32>| {
        let Some(sums) = open.get_mut(&size) else { return false };
        let Some(crc32) = crc32.or_else(|| sums.first_key_value().map(|(sum, _)| *sum)) else { return false };
        let Some(left) = sums.get_mut(&crc32) else { return false };
        *left -= 1;
        if *left == 0 {
            sums.remove(&crc32);
        }
        true
    };
    // Those that are known better choose first.
    let (exact, by_size): (Vec<&Member>, Vec<&Member>) = expected.iter().partition(|member| member.crc32.is_some());
    exact.into_iter().chain(by_size).filter(|member| !take(member.size, member.crc32)).count() as u64
}

pub(crate) fn crc32(content: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(content);
    sum.sum()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn number16(content: &[u8], at: usize) -> Option<u16> {
    content.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn number32(content: &[u8], at: usize) -> Option<u32> {
    content.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn number64(content: &[u8], at: usize) -> Option<u64> {
    content.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use ::zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};
    use proptest::prelude::*;

    use super::*;

    fn archive(members: &[&[u8]]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (n, content) in members.iter().enumerate() {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
            archive.start_file(n.to_string(), options).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn a_zip_counts_its_members_save_those_never_shown() {
        let members = [&b"first member"[..], b"second member"]
            .map(|content| Member { size: content.len() as u64, crc32: Some(crc32(content)) });
        let members = ArchiveIndex { members: members.to_vec(), ..ArchiveIndex::default() };
        assert_eq!(index(&archive(&[b"first member", b"second member", b"tiny", b""])), members);
        assert_eq!(index(&archive(&[])), ArchiveIndex::default());
    }

    #[test]
    fn a_truncated_zip_is_unaccounted() {
        let whole = archive(&[b"first member", b"second member"]);
        for length in 4..whole.len() {
            assert!(index(&whole[..length]).unaccounted > 0, "{length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn expected_members_must_be_shown_in_their_size() {
        let missing = |expected: &[u64], shown: &[u64]| {
            let expected: Vec<Member> = expected.iter().map(|size| Member::from(*size)).collect();
            missing(&expected, shown.iter().map(|size| (*size, 0)))
        };
        assert_eq!(missing(&[10, 10, 20], &[20, 10, 10, 5]), 0);
        assert_eq!(missing(&[10, 10, 20], &[10, 20]), 1);
        assert_eq!(missing(&[300], &[50]), 1);
    }

    #[test]
    fn a_member_of_the_same_size_does_not_stand_for_another() {
        let member = |size, crc32| Member { size, crc32 };
        let expected = [member(10, None), member(10, Some(7))];
        assert_eq!(missing(&expected, [(10, 7), (10, 8)].into_iter()), 0);
        assert_eq!(missing(&expected, [(10, 8), (10, 9)].into_iter()), 1);
        assert_eq!(missing(&expected, [(10, 7)].into_iter()), 1);
    }

    const MARKS: [&[u8]; 9] = [
        b"PK\x03\x04",
        b"7z\xbc\xaf\x27\x1c",
        b"MSCF\0\0\0\0",
        b"\x1f\x8b\x08",
        b"ITSF",
        b"SZDD\x88\xf0\x27\x33A",
        b"\x60\xea\x04\0\0\0\0\0\0\0\0\0\0\0\x60\xea",
        b"\x19\0-lh5-",
        b"\x78\x9f\x3e\x22\0\0",
    ];

    proptest! {
        #[test]
        fn no_bytes_panic_it(mark in prop::sample::select(&MARKS[..]), bytes: Vec<u8>, fill: u8, length in 0_usize..200) {
            for filling in [fill, 0, 1, 0xFF] {
                index(&[mark, &vec![filling; length], &bytes].concat());
                index(&[mark, &bytes, b"PK\x05\x06", &vec![filling; length]].concat());
            }
        }
    }

    #[test]
    fn what_is_no_archive_has_an_empty_index() {
        assert_eq!(index(b"just some words"), ArchiveIndex::default());
        assert_eq!(index(b""), ArchiveIndex::default());
    }
}
