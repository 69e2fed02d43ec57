//! Compound files (OLE2): the streams of their directory, and how each begins.
//!
//! Source: [MS-CFB].

use memchr::memmem;

use super::bytes::{array, has, le16, le32, le64};

/// What a compound file begins with, and most of them within one layer.
const SIGNATURE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
const MAX_WITHIN: usize = 1000;
/// How often all of a layer may be read as such files. Attack: each of them says that it holds all that follow.
const MAX_PASSES: usize = 4;

/// Most entries of a directory that are read, and most sectors that a chain is followed for.
const MAX_ENTRIES: usize = 20_000;
const MAX_CHAIN: usize = 1 << 16;
/// Entry of the directory, in bytes.
const ENTRY: usize = 128;
/// Sector numbers from here on are marks, such as the end of a chain.
const NO_SECTOR: u32 = 0xFFFF_FFFA;
/// Sectors of the FAT that the header names; a DIFAT names the others.
const FAT_SECTORS_IN_HEADER: usize = 109;
/// Types of entries.
const STREAM: u8 = 2;
const ROOT: u8 = 5;

/// A compound file with its directory.
pub(super) struct CompoundFile<'a> {
    content: &'a [u8],
    sector_bytes: usize,
    /// Where the FAT's sectors are, in their order.
    fat: Vec<u32>,
    mini_fat: Vec<u32>,
    mini_stream: Vec<u32>,
    mini_cutoff: u64,
    /// Names are without their end.
    pub(super) streams: Vec<Stream>,
}

/// A stream of the directory.
pub(super) struct Stream {
    pub(super) name: String,
    first: u32,
    size: u64,
}

/// Compound files behind other bytes, and whether there are more than are read.
pub(super) fn within(content: &[u8]) -> (Vec<&[u8]>, bool) {
    let (mut files, mut left) = (Vec::new(), content.len().saturating_mul(MAX_PASSES));
    let rests = memmem::find_iter(content, SIGNATURE).filter(|at| *at > 0).filter_map(|at| content.get(at..));
    for (number, rest) in rests.filter(|rest| has_plain_header(rest)).enumerate() {
        // Attack: headers of which each is followed by chains to read.
        if number >= MAX_WITHIN {
            return (files, true);
        }
        let Some(file) = CompoundFile::parse(rest) else { continue };
        let Some(less) = left.checked_sub(file.end()) else {
            return (files, true);
        };
        left = less;
        files.extend(rest.get(..file.end()));
    }
    (files, false)
}

/// Whether what follows the mark is a header: programs that know the format have its mark as well.
fn has_plain_header(content: &[u8]) -> bool {
    let small = |at, most| le16(content, at).is_some_and(|number| number <= most);
    // The version, the order of bytes and the sizes of sectors.
    small(26, 4) && has(content, 28, b"\xFE\xFF") && small(30, 28) && small(32, 28)
}

impl<'a> CompoundFile<'a> {
    /// Reads the directory; `None` for what is no compound file. Of a damaged one, what can be read.
    pub(super) fn parse(content: &'a [u8]) -> Option<Self> {
        content.starts_with(SIGNATURE).then_some(())?;
        let shift = le16(content, 30).filter(|shift| (7..=16).contains(shift))?;
        let mut file = Self {
            content,
            sector_bytes: 1 << shift,
            fat: Vec::new(),
            mini_fat: Vec::new(),
            mini_stream: Vec::new(),
            mini_cutoff: le32(content, 56)?.into(),
            streams: Vec::new(),
        };
        file.fat = file.fat_sectors();
        file.mini_fat = file.chain(le32(content, 60)?);
        for sector in file.chain(le32(content, 48)?) {
            for entry in file.sector(sector).chunks_exact(ENTRY) {
                file.add(entry);
            }
        }
        Some(file)
    }

    /// Where it ends: behind the last sector that its FAT does not call free.
    fn end(&self) -> usize {
        let in_use = |sector: &u32| self.sector(*sector).chunks_exact(4).rposition(|next| next != [0xFF; 4]);
        let last = self.fat.iter().enumerate().rev().find_map(|(at, sector)| Some((at, in_use(sector)?)));
        let sectors = last.map(|(at, within)| at * (self.sector_bytes / 4) + within + 2);
        let end = sectors.map_or(self.content.len(), |sectors| sectors.saturating_mul(self.sector_bytes));
        end.min(self.content.len())
    }

    fn add(&mut self, entry: &[u8]) {
        let (Some(length), Some(first), Some(size)) = (le16(entry, 64), le32(entry, 116), le64(entry, 120)) else {
            return;
        };
        match entry.get(66) {
            Some(&ROOT) if self.mini_stream.is_empty() => self.mini_stream = self.chain(first),
            Some(&STREAM) if self.streams.len() < MAX_ENTRIES => {
                let units = usize::from(length / 2).saturating_sub(1).min(31);
                let name: Vec<u16> = (0..units).filter_map(|at| le16(entry, at * 2)).collect();
                // Version 3 leaves the upper half undefined.
                let size = if self.sector_bytes == 512 { size & 0xFFFF_FFFF } else { size };
                self.streams.push(Stream { name: String::from_utf16_lossy(&name), first, size });
            }
            _ => {}
        }
    }

    /// The first bytes of a stream, at most `length`.
    pub(super) fn start(&self, stream: &Stream, length: usize) -> Vec<u8> {
        // Attack: a chain that ends in itself, of a stream whose size is not its own.
        let length = length.min(usize::try_from(stream.size).unwrap_or(usize::MAX)).min(self.content.len());
        let mut start = Vec::new();
        let mut at = stream.first;
        let mini = stream.size < self.mini_cutoff;
        while start.len() < length && at < NO_SECTOR {
            let part = if mini { self.mini_sector(at) } else { self.sector(at) };
            if part.is_empty() {
                break;
            }
            start.extend_from_slice(part);
            at = if mini { self.next_in(&self.mini_fat, at) } else { self.next_in(&self.fat, at) };
        }
        start.truncate(length);
        start
    }

    /// A sector; empty when it is past the end, where the last one may be cut.
    fn sector(&self, number: u32) -> &'a [u8] {
        let from = (number as usize).saturating_add(1).saturating_mul(self.sector_bytes);
        let to = from.saturating_add(self.sector_bytes).min(self.content.len());
        self.content.get(from..to).unwrap_or_default()
    }

    fn mini_sector(&self, number: u32) -> &'a [u8] {
        let from = (number as usize).saturating_mul(64);
        let sector = self.mini_stream.get(from / self.sector_bytes).map_or(&[][..], |sector| self.sector(*sector));
        let within = from % self.sector_bytes;
        sector.get(within..(within + 64).min(sector.len())).unwrap_or_default()
    }

    /// The sector after `number` by a table that lies in these sectors.
    fn next_in(&self, table: &[u32], number: u32) -> u32 {
        let (per_sector, number) = (self.sector_bytes / 4, number as usize);
        let sector = table.get(number / per_sector).map_or(&[][..], |sector| self.sector(*sector));
        le32(sector, number % per_sector * 4).unwrap_or(NO_SECTOR)
    }

    /// Most sectors of a chain that does not end in itself.
    fn max_chain(&self) -> usize {
        MAX_CHAIN.min(self.content.len() / self.sector_bytes + 1)
    }

    /// The sectors of a chain. Attack: a chain that ends in itself.
    fn chain(&self, first: u32) -> Vec<u32> {
        let mut chain = Vec::new();
        let mut at = first;
        while at < NO_SECTOR && chain.len() < self.max_chain() && !self.sector(at).is_empty() {
            chain.push(at);
            at = self.next_in(&self.fat, at);
        }
        chain
    }

    fn fat_sectors(&self) -> Vec<u32> {
        let in_header = (0..FAT_SECTORS_IN_HEADER).filter_map(|at| le32(self.content, 76 + at * 4));
        let mut fat: Vec<u32> = in_header.take_while(|sector| *sector < NO_SECTOR).collect();
        let mut difat = le32(self.content, 68).unwrap_or(NO_SECTOR);
        while difat < NO_SECTOR && fat.len() < self.max_chain() {
            let sector = self.sector(difat);
            let Some((next, numbers)) = sector.split_last_chunk::<4>().map(|(numbers, next)| (next, numbers)) else {
                break;
            };
            fat.extend(numbers.chunks_exact(4).filter_map(|number| array(number, 0).map(u32::from_le_bytes)));
            difat = u32::from_le_bytes(*next);
        }
        fat
    }
}

#[cfg(test)]
mod tests {
    use super::{super::office::tests::compound, *};

    #[test]
    fn files_behind_other_bytes_are_found_up_to_their_end() {
        let mut file = compound("Workbook", b"words");
        file[26..30].copy_from_slice(b"\x03\0\xFE\xFF");
        for prefix in [1, 512, 5000] {
            let content = [&vec![b'x'; prefix], &file[..], b"and more"].concat();
            assert_eq!(within(&content), (vec![&file[..]], false), "{prefix}");
            assert_eq!(within(&content[prefix..]).0.len(), 0);
        }
        assert_eq!(within(&[b"x", SIGNATURE, &[0; 600]].concat()).0.len(), 0);
    }

    #[test]
    fn files_that_each_hold_all_that_follow_are_bounded() {
        let mut header = [0; 64];
        header[..8].copy_from_slice(SIGNATURE);
        header[28..31].copy_from_slice(b"\xFE\xFF\x09");
        assert!(within(&[b"x", &header.repeat(100)[..], &[0; 4096]].concat()).1);
        let mut file = compound("Workbook", b"words");
        file[26..30].copy_from_slice(b"\x03\0\xFE\xFF");
        let many = |count| within(&[b"x", &file.repeat(count)[..]].concat()).1;
        assert!(many(MAX_WITHIN + 1) && !many(MAX_WITHIN));
    }

    #[test]
    fn a_chain_that_ends_in_itself_is_no_longer_than_the_file() {
        let mut file = compound("Workbook", b"words");
        let length = file.len();
        let sector_bytes = 1 << le16(&file, 30).unwrap();
        let fat = sector_bytes * (1 + le32(&file, 76).unwrap() as usize);
        // Every sector is followed by itself.
        for (at, next) in file[fat..fat + sector_bytes].chunks_exact_mut(4).enumerate() {
            next.copy_from_slice(&u32::try_from(at).unwrap().to_le_bytes());
        }
        file[56..60].fill(0);
        let read = CompoundFile::parse(&file).unwrap();
        assert!(read.chain(1).len() <= length / sector_bytes + 1);
        let stream = Stream { name: String::new(), first: 1, size: u64::MAX };
        assert_eq!(read.start(&stream, usize::MAX).len(), length);
    }
}
