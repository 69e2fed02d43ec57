//! The directory of a zip: what it lists, and which bytes of the file that leaves to nothing.
//!
//! Source: PKWARE's APPNOTE.

use std::{
    collections::HashSet,
    io::{self, Read},
    ops::Range,
};

use flate2::bufread::DeflateDecoder;
use memchr::memmem;

use super::{ArchiveIndex, NEVER_SHOWN_BYTES, number16, number32, number64};

/// Length of the end record, greatest length of its comment, lengths of an entry of the directory and of a local header.
const END: usize = 22;
const COMMENT: usize = 0xFFFF;
const ENTRY: usize = 46;
const LOCAL: usize = 30;
/// Most bytes that are unpacked to know where the streams of one zip end.
pub(crate) const MAX_INFLATED: u64 = 1 << 30;
/// Flag of an encrypted member, and of one whose sizes follow its data.
const ENCRYPTED: u16 = 1;
const SIZES_FOLLOW: u16 = 8;
/// The system by which a member has a mode.
const UNIX: u8 = 3;
/// Flags on which both headers of a member must agree: encryption, strong encryption, masked headers.
const READING_FLAGS: u16 = ENCRYPTED | 0x40 | 0x2000;

/// Compression methods that libclamav knows whole: none, deflate and its variant of 64 KiB, bzip2.
const METHODS_OF_LIBCLAMAV: [u16; 4] = [0, 8, 9, 12];

/// A member, as the directory lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    flags: u16,
    method: u16,
    crc32: u32,
    packed: u64,
    size: u64,
    offset: u64,
    /// By its name.
    is_folder: bool,
    /// By its mode: its content is the path that it leads to, for readers that go by the mode.
    is_link: bool,
}

/// A directory before an end record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    members: Vec<Member>,
    /// Where it starts, and where its end record ends, without the comment.
    start: usize,
    pub(crate) end: usize,
    /// What the members' offsets count from.
    base: usize,
    /// A second end record holds the numbers, of which libclamav knows nothing.
    is_zip64: bool,
}

/// The places of end records that an unpacker may go by, the last first.
pub(crate) fn end_records(content: &[u8]) -> impl Iterator<Item = usize> {
    let from = content.len().saturating_sub(END + COMMENT);
    let tail = content.get(from..).unwrap_or_default();
    tail.windows(4).enumerate().rev().filter(|(_, mark)| *mark == b"PK\x05\x06").map(move |(at, _)| from + at)
}

/// Index of the zip that ends with the last end record; `None` when the directory is missing or truncated.
pub(super) fn index(content: &[u8]) -> Option<ArchiveIndex> {
    let end = end_records(content).next()?;
    let comment = usize::from(number16(content, end + 20)?);
    content.get(..end + END + comment)?;
    let directory = Directory::read(content, end)?;
    let mut index = ArchiveIndex::default();
    for member in &directory.members {
        // libclamav reports encryption itself.
        if member.flags & ENCRYPTED == 0 && member.packed > 0 && member.size > NEVER_SHOWN_BYTES {
            index.members.push(super::Member { size: member.size, crc32: Some(member.crc32) });
        }
    }
    index.unaccounted = directory.unaccounted(content);
    Some(index)
}

impl Directory {
    /// Reads the directory before the end record at `end`: by its size, as unpackers do, whatever number of entries is stated.
    pub(crate) fn read(content: &[u8], end: usize) -> Option<Self> {
        let (mut size, mut offset) = (u64::from(number32(content, end + 12)?), u64::from(number32(content, end + 16)?));
        let mut directory_end = end as u64;
        // Zip64: a second end record before a locator holds the numbers.
        if number16(content, end + 10)? == 0xFFFF || size == 0xFFFF_FFFF || offset == 0xFFFF_FFFF {
            let locator = end.checked_sub(20)?;
            if content.get(locator..)?.starts_with(b"PK\x06\x07") {
                let stated = usize::try_from(number64(content, locator + 8)?).ok()?;
                // Behind a prefix the stated place is wrong: it stands right before its locator, unless it is extended.
                let from = [Some(stated), locator.checked_sub(56)].into_iter().flatten();
                let is_record = |from: &usize| content.get(*from..).is_some_and(|rest| rest.starts_with(b"PK\x06\x06"));
                let from = from.into_iter().find(is_record)?;
                (size, offset) = (number64(content, from + 40)?, number64(content, from + 48)?);
                directory_end = from as u64;
            }
        }
        let start = usize::try_from(directory_end.checked_sub(size)?).ok()?;
        let base = usize::try_from((start as u64).checked_sub(offset)?).ok()?;
        let is_zip64 = directory_end != end as u64;
        let mut directory = Self { members: Vec::new(), start, end: end + END, base, is_zip64 };
        let mut at = start;
        while (at as u64) < directory_end {
            let (member, next) = member(content, at)?;
            directory.members.push(member);
            at = next;
        }
        Some(directory)
    }

    /// Whether it lists nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether every reader reads the same of it, libclamav among them: it begins with its first member and ends with its end record,
    /// nothing is between, both headers of each member agree, and nothing in it needs more than the oldest readers know. What libclamav
    /// shows is then all there is, if it is what the directory's sizes and sums say.
    pub(crate) fn is_plain(&self, content: &[u8]) -> bool {
        let knows = |member: &Member| {
            METHODS_OF_LIBCLAMAV.contains(&member.method)
                && member.flags & READING_FLAGS == 0
                && (member.packed > 0 || member.size == 0)
                && [member.packed, member.size, member.offset].iter().all(|number| *number < 0xFFFF_FFFF)
        };
        let comment = number16(content, self.end - 2).map(usize::from);
        let follows = content.get(self.end..).unwrap_or_default();
        self.base == 0
            && !self.is_zip64
            && comment == Some(follows.len())
            && self
                .members
                .iter()
                .all(|member| knows(member) && self.agrees(content, member) && !self.is_wide(content, member))
            && !self.overlaps(content)
            && self.has_only_descriptors_between(content)
            && self.has_no_other_headers(content)
    }

    /// Whether no local header stands within the packed data of a member. Attack: data that goes on behind the end of its deflated
    /// stream, where a reader without the directory finds the next member. What is stored becomes a layer as it is.
    fn has_no_other_headers(&self, content: &[u8]) -> bool {
        let mut places: Vec<_> = self.members.iter().filter_map(|member| self.place(content, member)).collect();
        let stored = self.members.iter().filter(|member| member.method == 0);
        let stored: HashSet<usize> =
            stored.filter_map(|member| self.place(content, member)).map(|place| place.start).collect();
        places.sort_by_key(|place| place.start);
        let members = content.get(..self.start).unwrap_or_default();
        memmem::find_iter(members, b"PK\x03\x04").all(|at| {
            let next = places.partition_point(|place| place.start <= at);
            let place = next.checked_sub(1).and_then(|before| places.get(before));
            place.is_some_and(|place| at == place.start || at < place.end && stored.contains(&place.start))
        })
    }

    /// Whether the gaps hold no more than the sizes that follow members' data.
    fn has_only_descriptors_between(&self, content: &[u8]) -> bool {
        let described = self.members.iter().filter(|member| member.flags & SIZES_FOLLOW != 0);
        let ends: HashSet<usize> =
            described.filter_map(|member| self.place(content, member)).map(|place| place.end).collect();
        self.gaps(content.get(..self.end).unwrap_or_default()).iter().all(|gap| {
            let is_marked = content.get(gap.start..).is_some_and(|rest| rest.starts_with(b"PK\x07\x08"));
            ends.contains(&gap.start) && (gap.len() == 12 || gap.len() == 16 && is_marked)
        })
    }

    /// Number of members of which readers do not read the same: those whose headers do not agree, that share bytes, that are folders
    /// with content, which some unpack, or whose sizes cannot both be right. Attack: what is stored with a packed size of nothing, of
    /// which some readers take the other size.
    pub(crate) fn unaccounted(&self, content: &[u8]) -> u64 {
        let is_odd = |member: &&Member| {
            let is_stored = member.method == 0 && member.flags & ENCRYPTED == 0;
            let is_impossible =
                is_stored && member.packed != member.size || member.packed == 0 && member.size > NEVER_SHOWN_BYTES;
            is_impossible || member.is_folder && member.size > NEVER_SHOWN_BYTES || !self.agrees(content, member)
        };
        self.members.iter().filter(is_odd).count() as u64 + u64::from(self.overlaps(content))
    }

    /// What stands behind the end of a packed stream but within its member, from where a local header may be. Attack: a reader
    /// without the directory goes on at the end of the stream.
    fn behind_streams<'c>(&'c self, content: &'c [u8]) -> impl Iterator<Item = Range<usize>> {
        let packed = self.members.iter().filter(|member| member.method != 0 && member.flags & ENCRYPTED == 0);
        let mut left = MAX_INFLATED;
        packed.filter_map(move |member| {
            let place = self.data(content, member)?;
            let stream = content.get(place.clone())?;
            let mark = memmem::find(stream, b"PK\x03\x04")?;
            // Where the streams of the rarer methods end is not known here.
            let end = if member.method == 8 { deflated_length(stream, &mut left) } else { None }.unwrap_or(mark);
            (end < stream.len()).then_some(place.start + end..place.end)
        })
    }

    /// What else stands in the headers of members and in the directory: names, extra fields, comments.
    pub(crate) fn fields(&self, content: &[u8]) -> Vec<Range<usize>> {
        let header = |member| Some(self.place(content, member)?.start + LOCAL..self.data(content, member)?.start);
        self.members.iter().filter_map(header).chain(std::iter::once(self.start..self.end)).collect()
    }

    /// The data of its members that are deflated, from front to back.
    pub(crate) fn deflated(&self, content: &[u8]) -> Vec<Range<usize>> {
        let deflated = self.members.iter().filter(|member| member.method == 8 && member.flags & ENCRYPTED == 0);
        let mut deflated: Vec<Range<usize>> = deflated.filter_map(|member| self.data(content, member)).collect();
        deflated.sort_unstable_by_key(|data| data.start);
        deflated.dedup();
        deflated
    }

    /// The data of a member.
    fn data(&self, content: &[u8], member: &Member) -> Option<Range<usize>> {
        let place = self.place(content, member)?;
        Some(place.end.checked_sub(usize::try_from(member.packed).ok()?)?..place.end)
    }

    /// The bytes outside of the listed members and their streams, the directory and its end record.
    pub(crate) fn gaps(&self, content: &[u8]) -> Vec<Range<usize>> {
        let mut covered: Vec<Range<usize>> =
            self.members.iter().filter_map(|member| self.place(content, member)).collect();
        covered.push(self.start..self.end);
        covered.sort_by_key(|range| range.start);
        let (mut gaps, mut at) = (Vec::new(), 0);
        for range in covered.into_iter().chain(std::iter::once(content.len()..content.len())) {
            if range.start > at {
                gaps.push(at..range.start);
            }
            at = at.max(range.end);
        }
        gaps.extend(self.behind_streams(content));
        gaps
    }

    /// The bytes of members that are links. A reader without the directory knows no modes: to it, they are files like all others.
    pub(crate) fn links<'c>(&'c self, content: &'c [u8]) -> impl Iterator<Item = Range<usize>> {
        let links = self.members.iter().filter(|member| member.is_link && member.size > NEVER_SHOWN_BYTES);
        links.filter_map(|member| self.place(content, member))
    }

    /// Whether members share bytes, as those of a bomb do.
    fn overlaps(&self, content: &[u8]) -> bool {
        let mut places: Vec<_> = self.members.iter().filter_map(|member| self.place(content, member)).collect();
        places.sort_by_key(|place| place.start);
        places.windows(2).any(|pair| matches!(pair, [first, second] if first.end > second.start))
    }

    /// The bytes of a member, its local header included.
    fn place(&self, content: &[u8], member: &Member) -> Option<Range<usize>> {
        let at = self.local(content, member)?;
        let data = data_start(content, at)?;
        let end = data.checked_add(usize::try_from(member.packed).ok()?)?;
        (end <= content.len()).then_some(at..end)
    }

    /// Where the local header of a member is.
    fn local(&self, content: &[u8], member: &Member) -> Option<usize> {
        let at = self.base.checked_add(usize::try_from(member.offset).ok()?)?;
        content.get(at..)?.starts_with(b"PK\x03\x04").then_some(at)
    }

    /// Whether a member's local header has its sizes in the field of zip64, which libclamav does not read.
    fn is_wide(&self, content: &[u8], member: &Member) -> bool {
        let Some(at) = self.local(content, member) else { return false };
        [18, 22].iter().any(|field| number32(content, at + field) == Some(0xFFFF_FFFF))
    }

    /// Whether the local header says the same of a member as the directory. Attack: unpackers go by one of the two, libclamav by the
    /// other.
    fn agrees(&self, content: &[u8], member: &Member) -> bool {
        let Some(at) = self.local(content, member) else { return false };
        let [flags, method] = [6, 8].map(|field| number16(content, at + field));
        let [packed, size] = [18, 22].map(|field| number32(content, at + field).map(u64::from));
        let (Some(flags), Some(method), Some(packed), Some(size)) = (flags, method, packed, size) else { return false };
        // A number of zip64 is in the extra field, and one that follows the data is 0 here, or right already.
        let agrees =
            |here: u64, there: u64| here == there || here == 0xFFFF_FFFF || here == 0 && flags & SIZES_FOLLOW != 0;
        let same = flags & READING_FLAGS == member.flags & READING_FLAGS && method == member.method;
        same && agrees(packed, member.packed) && agrees(size, member.size)
    }
}

/// Bytes of the deflated stream that `packed` begins with; all of a damaged one. `None` when it unpacks to more than is `left`. Attack:
/// members that unpack to much, again and again.
pub(crate) fn deflated_length(packed: &[u8], left: &mut u64) -> Option<usize> {
    let mut stream = DeflateDecoder::new(packed);
    let unpacked = io::copy(&mut (&mut stream).take(*left), &mut io::sink());
    *left = left.checked_sub(stream.total_out()).filter(|left| *left > 0)?;
    Some(unpacked.ok().and_then(|_| usize::try_from(stream.total_in()).ok()).unwrap_or(packed.len()))
}

/// Reads an entry of the directory, and says where the next one is.
fn member(content: &[u8], at: usize) -> Option<(Member, usize)> {
    content.get(at..)?.starts_with(b"PK\x01\x02").then_some(())?;
    let [flags, method] = [8, 10].map(|field| number16(content, at + field));
    let [crc32, packed, size, offset] = [16, 20, 24, 42].map(|field| number32(content, at + field));
    let [name, extra, comment] = [28, 30, 32].map(|field| number16(content, at + field).map(usize::from));
    let (extra_at, extra) = (at + ENTRY + name?, extra?);
    let is_folder = content.get(at + ENTRY..extra_at).is_some_and(|name| name.ends_with(b"/"));
    let (system, mode) = (content.get(at + 5), number16(content, at + 40));
    let is_link = system == Some(&UNIX) && mode.is_some_and(|mode| mode & 0o170_000 == 0o120_000);
    // The numbers of zip64 that do not fit follow one another in this order.
    let mut large = zip64(content.get(extra_at..extra_at + extra)?);
    let mut widened = |number: u32| {
        let number = u64::from(number);
        if number == 0xFFFF_FFFF { large.next().unwrap_or(number) } else { number }
    };
    let (size, packed, offset) = (widened(size?), widened(packed?), widened(offset?));
    let member = Member { flags: flags?, method: method?, crc32: crc32?, packed, size, offset, is_folder, is_link };
    Some((member, extra_at + extra + comment?))
}

/// Where the data of a member begins whose local header is at `at`.
pub(crate) fn data_start(content: &[u8], at: usize) -> Option<usize> {
    content.get(at..)?.starts_with(b"PK\x03\x04").then_some(())?;
    let [name, extra] = [26, 28].map(|field| number16(content, at + field).map(usize::from));
    Some(at + LOCAL + name? + extra?)
}

/// The numbers of the extra field 1.
fn zip64(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut field = &[][..];
    while let (Some(id), Some(length)) = (number16(extra, 0), number16(extra, 2)) {
        let (data, rest) = extra.get(4..).unwrap_or_default().split_at_checked(length.into()).unwrap_or_default();
        if id == 1 {
            field = data;
            break;
        }
        extra = rest;
    }
    field.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use ::zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive() -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for name in ["one", "two"] {
            archive.start_file(name, options).unwrap();
            archive.write_all(b"content of a member").unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn directory(content: &[u8]) -> Directory {
        Directory::read(content, end_records(content).next().unwrap()).unwrap()
    }

    #[test]
    fn only_what_no_entry_covers_is_a_gap() {
        let whole = archive();
        assert_eq!(directory(&whole).gaps(&whole), []);
        let behind = [b"prefix", &whole[..], b"and more"].concat();
        assert_eq!(directory(&behind).gaps(&behind), [0..6, 6 + whole.len()..behind.len()]);
        // A directory that lists only the second member: the first is in the gap.
        let entry = whole.windows(4).position(|mark| mark == b"PK\x01\x02").unwrap();
        let second = whole.windows(4).rposition(|mark| mark == b"PK\x01\x02").unwrap();
        let mut partial = [&whole[..entry], &whole[second..]].concat();
        let end = end_records(&partial).next().unwrap();
        let size = u32::try_from(second - entry).unwrap();
        partial[end + 12..end + 16].copy_from_slice(&size.to_le_bytes());
        let first = whole.windows(4).skip(1).position(|mark| mark == b"PK\x03\x04").unwrap() + 1;
        let gaps = directory(&partial).gaps(&partial);
        assert_eq!((gaps.len(), gaps.first()), (1, Some(&(0..first))));
    }

    #[test]
    fn headers_that_disagree_are_unaccounted() {
        let whole = archive();
        assert_eq!(index(&whole).unwrap().unaccounted, 0);
        for field in [6, 8, 18] {
            let mut other = whole.clone();
            other[field] ^= 1;
            assert_eq!(index(&other).unwrap().unaccounted, 1, "{field}");
        }
    }

    #[test]
    fn sizes_of_which_one_is_wrong_are_unaccounted() {
        let whole = archive();
        let entry = whole.windows(4).position(|mark| mark == b"PK\x01\x02").unwrap();
        for packed in [0, 1, 20] {
            let mut other = whole.clone();
            (other[18], other[entry + 20]) = (packed, packed);
            assert_eq!(directory(&other).members[0].packed, u64::from(packed));
            assert!(index(&other).unwrap().unaccounted > 0, "{packed}");
        }
    }
}
