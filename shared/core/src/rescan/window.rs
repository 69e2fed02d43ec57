//! What changed since each of the last generations, held once for all of them.
//!
//! Each line has its count since the window's oldest generation, at every generation where that changed: memory grows with the lines
//! that changed, not with the generations that records are of. What changed between two generations is the difference of two counts,
//! whatever was restored between them.
//!
//! Marks of a delta are not counted: they say that something happened on the way, and the way back does not take it back. For those,
//! the counts are places: where a mark was set last. Two generations of different places have a mark between them.

use std::collections::BTreeMap;

use nacre_clamav::{
    delta::{Count, Delta, DeltaLine},
    signature::Kind,
};

use crate::generation::Generation;

/// The lines that changed in a window of generations.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// The oldest generation.
    oldest: u64,
    /// The part of history that each generation belongs to: between two of one part it is known what changed.
    parts: Vec<usize>,
    /// The count of each line from the places of the window on, in order.
    lines: BTreeMap<DeltaLine, Vec<(usize, Count)>>,
}

/// Generations of a window, a bit for each.
pub(crate) type Generations = u128;

/// The count of a line that was added, and of a mark that was set.
const ONCE: Count = Count { raw: 1, effective: 1 };

/// What changed of a line up to the newest generation, each with the generations since which it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineChange {
    /// Anything.
    pub(crate) any: Generations,
    /// There are more of those that are not ignored.
    pub(crate) added: Generations,
    /// There are fewer of those that are not ignored.
    pub(crate) fewer: Generations,
    /// There are fewer, ignored or not.
    pub(crate) removed: Generations,
    /// There are more, but none that is not ignored.
    pub(crate) shadowed: Generations,
}

impl LineChange {
    /// Adds a count since some generations.
    pub(crate) fn with(mut self, count: Count, since: Generations) -> Self {
        let Count { raw, effective } = count;
        let effects = [
            (&mut self.any, count != Count::default()),
            (&mut self.added, effective > 0),
            (&mut self.fewer, effective < 0),
            (&mut self.removed, effective < 0 || raw < 0),
            (&mut self.shadowed, raw > 0 && effective <= 0),
        ];
        for (generations, _) in effects.into_iter().filter(|(_, applies)| *applies) {
            *generations |= since;
        }
        self
    }
}

impl Window {
    /// A window of one generation.
    pub(crate) fn from(oldest: Generation) -> Self {
        Self { oldest: oldest.0, parts: vec![0], lines: BTreeMap::new() }
    }

    /// Adds the generation that this delta leads to.
    pub(crate) fn push(&mut self, delta: &Delta) {
        let place = self.parts.len();
        self.parts.push(self.parts.last().copied().unwrap_or_default());
        for (line, count) in delta.lines() {
            let counts = match self.lines.get_mut(line) {
                Some(counts) => counts,
                None => self.lines.entry(line.clone()).or_insert_with(|| Vec::with_capacity(1)),
            };
            let before = counts.last().map_or(Count::default(), |(_, count)| *count);
            counts.push((place, if line.is_mark() { mark_at(place) } else { sum(before, count) }));
        }
    }

    /// Adds a generation of which it is not known what leads to it.
    pub(crate) fn push_unknown(&mut self) {
        self.parts.push(self.parts.len());
    }

    /// Adds a generation that has the signatures of an older one again.
    pub(crate) fn push_restored(&mut self, older: Generation) {
        let restored = older.0.checked_sub(self.oldest).and_then(|place| usize::try_from(place).ok());
        let Some((at, part)) = restored.and_then(|at| Some((at, *self.parts.get(at)?))) else {
            return self.push_unknown();
        };
        let place = self.parts.len();
        self.parts.push(part);
        for counts in self.lines.values_mut() {
            let then = counts.iter().rfind(|(from, _)| *from <= at).map_or(Count::default(), |(_, count)| *count);
            if counts.last().is_some_and(|(_, now)| *now != then) {
                counts.push((place, then));
            }
        }
    }

    /// Number of generations.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The generations since which it is known what changed up to the newest.
    pub(crate) fn known(&self) -> Generations {
        let newest = self.parts.last();
        let bits = self.parts.iter().enumerate().filter(|(_, part)| Some(*part) == newest);
        bits.fold(0, |bits, (place, _)| bits | bit(place))
    }

    /// Each line with what changed of it since some of the known generations.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&DeltaLine, LineChange)> {
        let known = self.known();
        let changes = self.lines.iter().map(move |(line, counts)| {
            let newest = counts.last().map_or(Count::default(), |(_, count)| *count);
            let starts = [(0, Count::default())].into_iter().chain(counts.iter().copied());
            let ends = counts.iter().map(|(place, _)| *place).chain([self.parts.len()]);
            let change = starts.zip(ends).fold(LineChange::default(), |change, ((start, count), end)| {
                let places = (start..end).fold(0, |bits, place| bits | bit(place));
                change.with(difference(line, newest, count), places & known)
            });
            (line, change)
        });
        changes.filter(|(_, change)| change.any != 0)
    }

    /// All lines that were added since any of the known generations, whichever: signatures of the newest set that a record of one of
    /// these has not been matched with. Rules of opaque kinds that changed are among them in any case.
    pub(crate) fn added_since_any(&self) -> Delta {
        let lines = self.changes().filter(|(line, _)| line.moved().is_none());
        let added = lines.filter_map(|(line, change)| {
            let is_opaque = Kind::of_extension(&line.extension).is_opaque();
            let count = match change.added {
                0 => is_opaque.then_some(Count { raw: 0, effective: -1 })?,
                _ => ONCE,
            };
            Some((line.clone(), count))
        });
        added.collect()
    }
}

fn bit(place: usize) -> Generations {
    1_u128.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or_default()
}

fn sum(a: Count, b: Count) -> Count {
    Count { raw: a.raw + b.raw, effective: a.effective + b.effective }
}

/// What the mark counts that is set at a place: unlike any before.
fn mark_at(place: usize) -> Count {
    let place = i64::try_from(place).unwrap_or(i64::MAX);
    Count { raw: place, effective: place }
}

fn difference(line: &DeltaLine, newer: Count, older: Count) -> Count {
    match line.is_mark() {
        true if newer == older => Count::default(),
        true => ONCE,
        false => Count { raw: newer.raw - older.raw, effective: newer.effective - older.effective },
    }
}
