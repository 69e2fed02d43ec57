//! The search for archives by their marks, wherever they stand in a layer.

use std::{collections::VecDeque, ops::Range};

use super::{
    MAX_IN_VAIN, MAX_MARKS, MAX_PASSES, Outcome, Packing, Reading, SecondReader, ends::Ends, holes, is_sequential,
    marks, places::Places,
};
use crate::archive::arj;

/// Most archives of ARJ that are taken out of one layer.
const MAX_ARJ: usize = 8;

/// What a search may still do.
#[derive(Debug)]
pub(super) struct Budget {
    marks: usize,
    in_vain: usize,
}

impl Budget {
    pub(super) fn of(content: &[u8]) -> Self {
        Self { marks: MAX_MARKS, in_vain: in_vain(content) }
    }
}

/// Bytes of a layer that may be gone through in vain.
fn in_vain(content: &[u8]) -> usize {
    content.len().saturating_mul(MAX_PASSES).saturating_add(MAX_IN_VAIN)
}

impl SecondReader {
    /// Reads what stands in `content`, wherever a mark is within `range`. What a mark is of may go on beyond that. `ends` are those of what
    /// `content` is the start of.
    pub(super) fn search(
        &mut self,
        (content, ends): (&[u8], &Ends<'_>),
        range: Range<usize>,
        places: &mut Places,
        budget: &mut Budget,
        reading: &mut Reading,
    ) {
        let mut ranges = VecDeque::from([range]);
        while let Some(range) = ranges.pop_front() {
            let Some(fields) = self.search_one((content, ends), range, places, budget, reading) else { return };
            ranges.extend(fields);
        }
    }

    /// Returns the fields of the streams that were read, which are to be searched as well; `None` where no more may be read.
    fn search_one(
        &mut self,
        (content, ends): (&[u8], &Ends<'_>),
        range: Range<usize>,
        places: &mut Places,
        budget: &mut Budget,
        reading: &mut Reading,
    ) -> Option<Vec<Range<usize>>> {
        let (mut from, mut fields) = (range.start, Vec::new());
        let mut inside = marks::Inside::new(content, range.end);
        let is_compound = content.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");
        let is_lha = marks::at_start(content).contains(&Packing::Lha);
        while let Some((at, packing)) = inside.next(from) {
            if let Some(behind) = places.passed(at, Some(packing)) {
                from = behind;
                continue;
            }
            let Some(rest) = budget.marks.checked_sub(1) else {
                reading.unopened += 1;
                return None;
            };
            budget.marks = rest;
            if self.limit_exceeded.is_some() {
                return None;
            }
            let inner = content.get(at..).unwrap_or_default();
            let mut found = Reading::default();
            let outcome = self.unpack_inside(inner, ends.stream(at, packing), packing, &mut found);
            let is_of_nothing = outcome.entries > 0 && outcome.broken == 0 && found.promised.is_empty();
            let is_read = outcome.read > 0 || is_of_nothing;
            // Attack: marks behind each of which libarchive reads all that follows, and nothing comes out.
            let Some(rest) = budget.in_vain.checked_sub(if is_read { 0 } else { outcome.passed }) else {
                reading.unopened += 1;
                return None;
            };
            budget.in_vain = rest;
            // Chance makes marks, too: only where something came out, or the header's own sum is right, is the rest missed. The streams
            // of a compound file are pieces: libclamav shows each of them whole.
            // libclamav reads members of an LHA that libarchive does not: its index has them.
            let is_certain = marks::is_certain(inner, packing) && !(is_lha && packing == Packing::Lha);
            if (outcome.read > 0 || is_certain) && !is_compound {
                reading.unopened += outcome.broken + u64::from(outcome.refused);
                reading.promised_within.append(&mut found.promised);
            }
            // What was read is not read again from its middle: a stream but for its fields, an archive but for what is no member's.
            let consumed = if is_read && is_sequential(packing) { outcome.consumed } else { 0 };
            if packing.is_stream() && packing != Packing::Rpm {
                fields.extend(holes::fields(content, at..(at + consumed).min(content.len())));
                from = at + consumed.max(1);
            } else {
                if is_read {
                    places.append(found.places);
                }
                from = at + 1;
            }
        }
        Some(fields)
    }

    /// Takes out what stands inside other bytes: of a stream whose end is known no more than that, unless it does not come out so.
    fn unpack_inside(
        &mut self,
        content: &[u8],
        stream: Option<&[u8]>,
        packing: Packing,
        reading: &mut Reading,
    ) -> Outcome {
        let Some(stream) = stream else { return self.unpack(content, packing, reading) };
        let outcome = self.unpack(stream, packing, reading);
        if outcome.broken == 0 && !outcome.refused {
            return outcome;
        }
        let passed = outcome.passed;
        let outcome = self.unpack(content, packing, reading);
        Outcome { passed: outcome.passed.saturating_add(passed), ..outcome }
    }

    /// Keeps the archives of ARJ within `range`, each of which begins with a header whose sum is right. libclamav opens them.
    pub(super) fn arj(&mut self, content: &[u8], range: Range<usize>, places: &Places, reading: &mut Reading) {
        let (layer, depth) = self.contents.parent;
        let within = content.get(range.clone()).unwrap_or_default();
        let (mut from, mut kept, mut tried) = (range.start, 0, 0);
        for at in memchr::memmem::find_iter(within, arj::MARK).map(|at| range.start + at) {
            if at < from || tried > MAX_MARKS {
                continue;
            }
            if let Some(behind) = places.passed(at, None) {
                from = behind;
                continue;
            }
            let archive = content.get(at..).unwrap_or_default();
            if !arj::may_begin(archive) {
                continue;
            }
            tried += 1;
            // Attack: thousands of them, each of which would be kept with all that follows.
            if tried > MAX_MARKS || kept >= MAX_ARJ {
                reading.unopened += 1;
                return;
            }
            if arj::begins(archive) {
                kept += 1;
                self.keep(archive, layer, depth);
            }
        }
    }
}
