//! What changed since each of the last generations, held once for all of them.
//!
//! Each line has its count since the window's oldest generation, at every generation where that changed: memory grows with the lines
//! that changed, not with the generations that records are of. What changed between two generations is the difference of two counts,
//! whatever was restored between them.

use std::collections::HashMap;

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
    lines: HashMap<DeltaLine, Vec<(usize, Count)>>,
}

/// Generations of a window, a bit for each.
pub(crate) type Generations = u128;

impl Window {
    /// A window of one generation.
    pub(crate) fn from(oldest: Generation) -> Self {
        Self { oldest: oldest.0, parts: vec![0], lines: HashMap::new() }
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
            counts.push((place, sum(before, count)));
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

    /// Each line with what it counts up to the newest generation since some of the known ones; never nothing.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&DeltaLine, Count, Generations)> {
        let known = self.known();
        self.lines.iter().flat_map(move |(line, counts)| {
            let newest = counts.last().map_or(Count::default(), |(_, count)| *count);
            let starts = [(0, Count::default())].into_iter().chain(counts.iter().copied());
            let ends = counts.iter().map(|(place, _)| *place).chain([self.parts.len()]);
            let since = starts.zip(ends).map(move |((start, count), end)| {
                let places = (start..end).fold(0, |bits, place| bits | bit(place));
                (line, difference(newest, count), places & known)
            });
            since.filter(|(_, count, places)| *count != Count::default() && *places != 0)
        })
    }

    /// All lines that were added since any of the known generations, whichever: signatures of the newest set that a record of one of
    /// these has not been matched with. Rules of opaque kinds that changed are among them in any case.
    pub(crate) fn added_since_any(&self) -> Delta {
        let lines = self.changes().filter(|(line, ..)| line.moved().is_none());
        let added = lines.filter_map(|(line, count, _)| {
            if count.effective > 0 {
                return Some((line, Count { raw: 1, effective: 1 }));
            }
            Kind::of_extension(&line.extension).is_opaque().then_some((line, Count { raw: 0, effective: -1 }))
        });
        let mut lines: HashMap<&DeltaLine, Count> = HashMap::new();
        for (line, count) in added {
            let most = lines.entry(line).or_insert(count);
            if count.effective > most.effective {
                *most = count;
            }
        }
        lines.into_iter().map(|(line, count)| (line.clone(), count)).collect()
    }
}

fn bit(place: usize) -> Generations {
    1_u128.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or_default()
}

fn sum(a: Count, b: Count) -> Count {
    Count { raw: a.raw + b.raw, effective: a.effective + b.effective }
}

fn difference(a: Count, b: Count) -> Count {
    Count { raw: a.raw - b.raw, effective: a.effective - b.effective }
}
