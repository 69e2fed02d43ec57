//! The second reader: libarchive reads what libclamav was shown, and what it gets out and libclamav did not show is scanned, too.
//!
//! libclamav passes in silence over what it does not open: packings that it does not know, members that its own reading of an archive
//! does not reach, archives behind a prefix. Each layer is read here as well while it is shown. What comes out waits until libclamav has
//! shown the same bytes, or has finished; then what is left is scanned as a layer of its own, within what is left of the limits.
//! What an archive lists and nobody gets out makes it unopened.

mod ar;
mod contents;
mod ends;
mod headers;
mod holes;
mod installers;
mod marks;
mod marshalled;
mod places;
mod search;
mod unmarked;

use std::{
    io::Read,
    iter, mem,
    ops::Range,
    time::{Duration, Instant},
};

use nacre_engine_protocol::Limits;

pub(crate) use self::contents::Found;
use self::{
    contents::{Contents, Received, Taken},
    ends::Ends,
    places::{Places, addresses, place_in},
    search::Budget,
};
use crate::{
    archive::{NEVER_SHOWN_BYTES, zip},
    ffi::libarchive::{Packing, Reader},
    marks::Coverage,
};

/// Most marks inside one layer that are tried, and most end records of a zip.
const MAX_MARKS: usize = 4096;
/// Bytes behind such marks that libarchive may go through in vain: so many times all of the layer, and what is read in any case.
const MAX_PASSES: usize = 4;
const MAX_IN_VAIN: usize = 64 << 20;
const MAX_END_RECORDS: usize = 16;

/// Bytes that the reader of lz4 takes of what follows.
const LZ4_AHEAD: usize = 11;

/// What became of one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Whether it is an archive or a packed stream, and all that is in it came out.
    pub(crate) coverage: Coverage,
    /// Number of parts that did not.
    pub(crate) unopened: u64,
    /// Sizes of members that did not come out here: libclamav may open them.
    pub(crate) promised: Vec<u64>,
    /// Those of archives that stand within it: no index of its own has these.
    pub(crate) promised_within: Vec<u64>,
    /// A zip of which libclamav shows all, if it shows what the directory lists.
    plain: bool,
    /// Where its members stand, and what else in it is to be searched.
    places: Places,
    holes: Vec<Range<usize>>,
}

/// The second reader of one object.
#[derive(Debug)]
pub(crate) struct SecondReader {
    contents: Contents,
    /// Address and length of the layer that is being read.
    layer: Range<usize>,
    deadline: Instant,
    /// Limits that were exceeded, and encryption that hid content, by names like libclamav's.
    pub(crate) limit_exceeded: Option<&'static str>,
    pub(crate) encrypted: Option<&'static str>,
    /// Something that came out could not be kept, and is not scanned.
    pub(crate) lacked_room: bool,
}

/// How the reading of one archive ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Entries with content that came out whole.
    read: u64,
    /// Entries that did not come out and name no size, or headers that cannot be read.
    broken: u64,
    /// All entries, those without content as well.
    entries: u64,
    /// Bytes of the archive that were consumed, up to the last entry that came out.
    consumed: usize,
    /// Bytes that libarchive went through.
    passed: usize,
    /// libarchive does not take it for what its mark says.
    refused: bool,
    /// From where to where the archive was unpacked, its own index left out.
    unpacked: Option<(usize, usize)>,
}

impl SecondReader {
    /// A reader that keeps what it gets out in the directory `scratch`.
    pub(crate) fn new(scratch: &std::path::Path, limits: &Limits, started: Instant) -> Self {
        Self {
            contents: Contents::new(scratch, limits),
            layer: 0..0,
            deadline: started + Duration::from_millis(limits.max_scan_time_ms.into()),
            limit_exceeded: None,
            encrypted: None,
            lacked_room: false,
        }
    }

    /// Remembers that libclamav has shown content of this SHA-256.
    pub(crate) fn is_shown(&mut self, sha256: [u8; 32]) {
        self.contents.is_shown(sha256);
    }

    /// The next content that libclamav has not shown.
    pub(crate) fn take(&mut self) -> Option<Found> {
        self.contents.take()
    }

    /// Keeps what stands in a layer, to be scanned; `layer` and `depth` are the layer's. Says whether it could be kept.
    pub(crate) fn keep(&mut self, mut piece: impl Read, layer: usize, depth: u32) -> bool {
        self.contents.parent = (layer, depth);
        let taken = self.contents.receive_stream(&mut piece, self.deadline);
        self.lacked_room |= taken == Taken::Part;
        self.is_stopped_by(taken);
        matches!(taken, Taken::Whole(_))
    }

    /// Records that a limit or the room ends the reading, and returns whether one does.
    fn is_stopped_by(&mut self, taken: Taken) -> bool {
        match taken {
            Taken::Limit(name) => self.limit_exceeded = Some(name),
            Taken::NoRoom => self.lacked_room = true,
            Taken::Whole(_) | Taken::Part => return false,
        }
        true
    }

    /// Reads a layer; `layer` and `depth` are its own.
    pub(crate) fn read(&mut self, content: &[u8], layer: usize, depth: u32) -> Reading {
        if content.len() as u64 <= NEVER_SHOWN_BYTES || self.limit_exceeded.is_some() {
            return Reading::default();
        }
        self.contents.parent = (layer, depth);
        let mut reading = Reading::default();
        let (mut is_archive, mut all_came_out) = (false, true);
        let skipped = marks::skippable(content);
        let mut budget = Budget::of(content);
        self.layer = addresses(content);
        self.holes((content, &Ends::new(content)), iter::once(0..skipped), &mut budget, &mut reading);
        reading.places = Places::default();
        let content = content.get(skipped..).unwrap_or(content);
        self.layer = addresses(content);
        let (mut end, mut covered, mut holes) = (0, 0, Vec::new());
        for packing in marks::at_start(content) {
            let outcome = self.unpack(content, packing, &mut reading);
            let is_weak = marks::is_weak(packing);
            // libarchive refuses a stream as well whose very beginning is damaged.
            let damaged = outcome.refused && packing.is_stream() && !is_weak;
            if outcome.refused && !damaged || is_weak && outcome.read == 0 && outcome.broken > 0 {
                // Other tools may read more of it, whatever else it is.
                all_came_out &= !is_weak;
                continue;
            }
            is_archive = true;
            reading.unopened += if is_weak { 0 } else { outcome.broken + u64::from(damaged) };
            if packing.is_stream() {
                let (broken, last) = self.streams_in_a_row(content, outcome.consumed, &mut reading);
                reading.unopened += broken;
                (end, covered) = (content.len(), covered.max(last));
                holes.extend(holes::of_stream(content, packing, last, &mut reading));
            } else {
                let its_end = marks::end_of_archive(content, packing).unwrap_or(outcome.consumed);
                end = end.max(its_end);
                covered = covered.max(end);
                holes.extend(holes::of_archive(content, packing, its_end, outcome.unpacked, &mut reading.places));
            }
        }
        if !is_archive && let Some(taken) = self.zlib(content) {
            (is_archive, end, covered) = (true, content.len(), content.len());
            reading.unopened += u64::from(taken == Taken::Part);
        }
        if !is_archive {
            self.odd_lzma(content, &mut reading);
        }
        let gaps = self.zip(content, &mut reading);
        let is_zip = gaps.is_some();
        if content.starts_with(b"PK\x03\x04") {
            let last = gaps.iter().flatten().next_back().filter(|gap| gap.end == content.len());
            covered = last.map_or(content.len(), |gap| gap.start);
        }
        // What follows the end of an archive that is read by another mark is not in it.
        let from = if is_archive { end } else { 1 };
        let gaps = gaps.unwrap_or_else(|| iter::once(from.min(content.len())..content.len()).collect());
        holes.append(&mut reading.holes);
        let ends = Ends::new(content);
        self.holes((content, &ends), holes.into_iter(), &mut budget, &mut reading);
        let mut places = mem::take(&mut reading.places);
        // A zip without an end: what is left of it.
        if content.starts_with(b"PK\x03\x04") && !is_zip {
            self.search((content, &ends), 0..content.len(), &mut places, &mut Budget::of(content), &mut reading);
        }
        for gap in gaps {
            let within = content.get(..gap.end).unwrap_or_default();
            if is_zip {
                self.arj(within, gap.clone(), &places, &mut reading);
            }
            self.search((within, &ends), gap, &mut places, &mut Budget::of(within), &mut reading);
        }
        self.installers(content, &mut reading);
        all_came_out &= reading.unopened == 0 && !reading.plain;
        all_came_out &= reading.promised.is_empty() && reading.promised_within.is_empty();
        let whole = (is_archive || is_zip) && all_came_out;
        let covered = if whole && covered > 0 { (skipped + covered).min(skipped + content.len()) } else { 0 };
        let members = places.members().into_iter().map(|place| skipped + place.start..skipped + place.end).collect();
        reading.coverage = Coverage { whole, covered, members };
        reading
    }

    /// Reads what is in an archive and no member of it: its fields and gaps, without the members in them.
    fn holes(
        &mut self,
        (content, ends): (&[u8], &Ends<'_>),
        ranges: impl Iterator<Item = Range<usize>>,
        budget: &mut Budget,
        reading: &mut Reading,
    ) {
        let mut places = mem::take(&mut reading.places);
        for range in ranges.flat_map(|range| places.without_members(range)).collect::<Vec<_>>() {
            self.arj(content, range.clone(), &places, reading);
            self.search((content, ends), range, &mut places, budget, reading);
        }
        reading.places = places;
    }

    /// Keeps content that libclamav ignores by its type, to be scanned under no type at all: with its first byte changed, by which the
    /// type is known. Says whether all of it will be. Only definitions without file types of their own need it.
    pub(crate) fn keep_ignored(&mut self, content: &[u8], layer: usize, depth: u32) -> bool {
        let Some((first, rest)) = content.split_first() else { return false };
        self.keep([first ^ 0x20].chain(rest), layer, depth)
    }

    /// Reads a zip by each directory that an unpacker may go by. Returns what the last one leaves to nothing; `None` when there is none.
    fn zip(&mut self, content: &[u8], reading: &mut Reading) -> Option<Vec<Range<usize>>> {
        let mut gaps = None;
        for (at, end) in zip::end_records(content).enumerate() {
            if at >= MAX_END_RECORDS {
                reading.unopened += 1;
                break;
            }
            let Some(directory) = zip::Directory::read(content, end) else { continue };
            reading.holes.extend(directory.fields(content));
            reading.holes.extend(holes::behind_deflated(content, &directory.deflated(content)));
            if at == 0 && directory.is_plain(content) {
                reading.plain = true;
                return Some(iter::once(directory.end..content.len()).collect());
            }
            // libarchive searches a shorter tail for the end record than others: nothing may follow it here.
            let until = content.get(..directory.end).unwrap_or_default();
            let outcome = self.unpack(until, Packing::ZipDirectory, reading);
            // A directory that libarchive does not find may be another reader's.
            if !directory.is_empty() {
                reading.unopened += outcome.broken + u64::from(outcome.refused) + directory.unaccounted(content);
            }
            gaps.get_or_insert_with(|| directory.links(content).chain(directory.gaps(content)).collect());
        }
        gaps
    }

    /// Reads the packed streams after one that ended at `end`, which may be padded.
    fn streams_in_a_row(&mut self, content: &[u8], mut end: usize, reading: &mut Reading) -> (u64, usize) {
        let mut broken = 0;
        for _ in 0..MAX_MARKS {
            let rest = content.get(end..).unwrap_or_default();
            let Some(padding) = rest.iter().position(|byte| *byte != 0) else { return (broken, content.len()) };
            let rest = rest.get(padding..).unwrap_or_default();
            let skipped = marks::skippable(rest);
            let next = rest.get(skipped..).unwrap_or_default();
            let Some((at, packing)) = marks::next_in_row(next) else { return (broken, end) };
            // `zstd` makes one stream of gzip's on both sides of such a frame, and others do not.
            broken += u64::from(skipped > 0 && !matches!(packing, Packing::Zstd | Packing::Lz4));
            reading.holes.push(end..end + padding + skipped + at);
            let outcome = self.unpack(next.get(at..).unwrap_or_default(), packing, reading);
            // 7-Zip makes one stream of lzma's in a row, and others do not.
            let joins = u64::from(packing == Packing::Lzma);
            broken += if outcome.read > 0 { outcome.broken + joins } else { 0 };
            end += padding + skipped + at + outcome.consumed.max(1);
        }
        (broken + 1, end)
    }

    /// Takes out all that is in `content`.
    fn unpack(&mut self, content: &[u8], packing: Packing, reading: &mut Reading) -> Outcome {
        let mut outcome = Outcome::default();
        let base = content.as_ptr().addr().saturating_sub(self.layer.start);
        if packing == Packing::Ar
            && let Some(outcome) = self.ar(content, reading)
        {
            return outcome;
        }
        let Some(mut reader) = Reader::open(content, packing) else { return Outcome { refused: true, ..outcome } };
        loop {
            let entry = match reader.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => {
                    outcome.consumed = reader.consumed();
                    break;
                }
                Err(_) if self.is_locked(&reader) => break,
                // Between members of a zip, and behind the last one, other bytes may stand.
                Err(_) if packing == Packing::ZipStream && outcome.entries > 0 => break,
                Err(broken) => {
                    outcome.broken += 1;
                    if broken.goes_on {
                        continue;
                    }
                    break;
                }
            };
            outcome.entries += 1;
            let data = reader.consumed();
            if is_sequential(packing) && !packing.is_stream() || packing == Packing::Lha {
                let header = reader.header_position();
                let is_tar = packing == Packing::Tar;
                let headers = if is_tar { holes::tar_headers(content, header..data) } else { vec![header] };
                if is_tar {
                    self.tar_names(content, &headers);
                }
                reading.places.add_headers(headers, base, packing);
            }
            // Attack: entries without content, again and again from each of them on.
            if Instant::now() > self.deadline {
                self.limit_exceeded = Some("Heuristics.Limits.Exceeded.MaxScanTime");
                break;
            }
            if entry.is_encrypted {
                self.encrypted = Some("Heuristics.Encrypted.Archive");
                continue;
            }
            let Received { taken, stored, first } = self.contents.receive(&mut reader, self.deadline);
            let end = reader.consumed();
            if let Some(first) = first {
                let wider = |(from, until): (usize, usize)| (from.min(first), until.max(end));
                outcome.unpacked = Some(outcome.unpacked.map_or((first, end), wider));
            }
            let stored: Vec<_> = stored.iter().filter_map(|stored| place_in(&self.layer, stored)).collect();
            if !stored.is_empty() {
                reading.places.add_members(stored);
            } else if packing == Packing::ZipStream && matches!(taken, Taken::Whole(_)) {
                let data = zip::data_start(content, reader.header_position()).unwrap_or(end);
                reading.places.add_member(base.saturating_add(data)..base.saturating_add(end));
            }
            // A method that libarchive does not know ends without content and without an error. Attack: the mode of a device, or of a
            // folder. Readers that know no modes give its content.
            let has_modes = !matches!(packing, Packing::ZipDirectory | Packing::ZipStream | Packing::Lha);
            let is_lost = taken == Taken::Whole(0)
                && (entry.is_file || !has_modes && !packing.is_stream())
                && entry.size.is_some_and(|size| size > NEVER_SHOWN_BYTES);
            if self.is_stopped_by(taken) {
                break;
            }
            match (taken, entry.size) {
                (Taken::Whole(size), _) if !is_lost => outcome.read += u64::from(size > 0),
                // libclamav may have opened it, and then shows a layer of this size.
                (_, Some(size)) if size > NEVER_SHOWN_BYTES && !packing.is_stream() => reading.promised.push(size),
                _ => outcome.broken += 1,
            }
            // An error after it may have consumed all that follows, in search of the next one.
            outcome.consumed = reader.consumed();
        }
        outcome.passed = reader.consumed();
        // A tar of nothing: other files start with zeros, too. Damaged headers are the end of a RAR to libarchive.
        let may_be_nothing = !matches!(packing, Packing::Tar | Packing::Rar4 | Packing::Rar5);
        outcome.refused |= outcome.entries == 0 && outcome.broken == 0 && !may_be_nothing;
        // The reader of lz4 takes the mark of the frame that it expects next.
        let ahead = if packing == Packing::Lz4 { LZ4_AHEAD } else { 0 };
        outcome.consumed = outcome.consumed.saturating_sub(ahead);
        outcome
    }

    /// Whether headers are unreadable because they are encrypted.
    fn is_locked(&mut self, reader: &Reader<'_>) -> bool {
        let locked = reader.met_encryption();
        if locked {
            self.encrypted = Some("Heuristics.Encrypted.Archive");
        }
        locked
    }
}

/// Whether an archive is read from front to back, so that what was consumed is what was read.
fn is_sequential(packing: Packing) -> bool {
    packing.is_stream() || matches!(packing, Packing::ZipStream | Packing::Tar | Packing::Cpio | Packing::Ar)
}
