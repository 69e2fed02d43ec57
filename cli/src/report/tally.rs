//! What a report counts, in bounded memory.

mod row;

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, NaiveDate, Utc};
use nacre_core::rescan::pass::ObjectTotals;

pub(super) use self::row::{Kind, Row};

/// Most rows of the infected and of the unscannable; the newest are kept.
const MAX_ROWS: usize = 10_000;
/// Most rows of the others: examples, as the CSV has all.
const MAX_EXAMPLES: usize = 1_000;
/// Most different names that are counted; the others are counted together.
const MAX_NAMES: usize = 10_000;
/// Where they are.
const OTHERS: &str = "(others)";

/// Most rows of this kind.
fn max_rows(kind: Kind) -> usize {
    match kind {
        Kind::Infected | Kind::Unscannable => MAX_ROWS,
        Kind::Unknown | Kind::Skipped | Kind::Clean => MAX_EXAMPLES,
    }
}

/// Objects by what was concluded.
pub(super) type Kinds = BTreeMap<Kind, u64>;

/// Objects of one verdict by one generation and engine, and when they were scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) totals: ObjectTotals,
    pub(super) first: Option<DateTime<Utc>>,
    pub(super) last: Option<DateTime<Utc>>,
}

/// What all records say together.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// When the pass of a generation was started.
    starts: BTreeMap<u64, DateTime<Utc>>,
    pub(super) totals: BTreeMap<Kind, ObjectTotals>,
    pub(super) buckets: BTreeMap<String, Kinds>,
    pub(super) generations: BTreeMap<u64, Kinds>,
    pub(super) days: BTreeMap<NaiveDate, Kinds>,
    /// By verdict, generation and engine: what was concluded, by what, when.
    pub(super) conclusions: BTreeMap<(Kind, u64, String), Conclusion>,
    /// By reason and type of file.
    pub(super) reasons: BTreeMap<(&'static str, String), u64>,
    pub(super) signatures: BTreeMap<String, u64>,
    /// Objects that were there when the pass of this generation was started, and that it found infected.
    pub(super) found: BTreeMap<u64, u64>,
    /// The newest rows of each kind, newest first once parts were added up.
    rows: BTreeMap<Kind, Vec<Row>>,
    /// Records whose tags and result are missing.
    pub(super) unreported: u64,
    /// Items of the table that are no records.
    pub(super) unreadable: u64,
}

impl Tally {
    /// Nothing yet; the passes of these generations were started then.
    pub(super) fn of_passes(starts: BTreeMap<u64, DateTime<Utc>>) -> Self {
        Self { starts, ..Self::default() }
    }

    pub(super) fn add(&mut self, row: Row) {
        let kind = row.kind();
        self.totals.entry(kind).or_default().count(row.size);
        let count = |kinds: &mut Kinds| *kinds.entry(kind).or_default() += 1;
        count(named(&mut self.buckets, &row.object.bucket));
        count(self.generations.entry(row.generation).or_default());
        if let Some(at) = row.scanned_at {
            count(self.days.entry(at.date_naive()).or_default());
        }
        let one = ObjectTotals { objects: 1, bytes: row.size };
        let conclusion = Conclusion { totals: one, first: row.scanned_at, last: row.scanned_at };
        self.conclude((kind, row.generation, row.engine.clone()), conclusion);
        if let Some(reason) = row.reason().filter(|_| kind == Kind::Unscannable) {
            self.unscannable(reason, &row.file_type(), 1);
        }
        for signature in row.signatures() {
            *named(&mut self.signatures, signature) += 1;
        }
        let start = self.starts.get(&row.generation);
        if kind == Kind::Infected && start.is_some_and(|start| row.is_found_again_since(*start)) {
            *self.found.entry(row.generation).or_default() += 1;
        }
        self.unreported += u64::from(!row.reported);
        keep(self.rows.entry(kind).or_default(), max_rows(kind), [row]);
    }

    pub(super) fn add_all(&mut self, other: Self) {
        for (kind, totals) in other.totals {
            self.totals.entry(kind).or_default().add(totals);
        }
        let add =
            |to: &mut Kinds, from: Kinds| from.into_iter().for_each(|(kind, n)| *to.entry(kind).or_default() += n);
        other.buckets.into_iter().for_each(|(name, kinds)| add(named(&mut self.buckets, &name), kinds));
        other
            .generations
            .into_iter()
            .for_each(|(number, kinds)| add(self.generations.entry(number).or_default(), kinds));
        other.days.into_iter().for_each(|(day, kinds)| add(self.days.entry(day).or_default(), kinds));
        other.conclusions.into_iter().for_each(|(by, conclusion)| self.conclude(by, conclusion));
        other.reasons.into_iter().for_each(|((reason, kind), n)| self.unscannable(reason, &kind, n));
        other.signatures.into_iter().for_each(|(name, n)| *named(&mut self.signatures, &name) += n);
        other.found.into_iter().for_each(|(number, n)| *self.found.entry(number).or_default() += n);
        self.unreported += other.unreported;
        self.unreadable += other.unreadable;
        for (kind, more) in other.rows {
            let rows = self.rows.entry(kind).or_default();
            keep(rows, max_rows(kind), more);
            newest_first(rows, max_rows(kind));
        }
    }

    pub(super) fn total(&self) -> ObjectTotals {
        let mut all = ObjectTotals::default();
        self.totals.values().for_each(|totals| all.add(*totals));
        all
    }

    pub(super) fn of(&self, kind: Kind) -> ObjectTotals {
        self.totals.get(&kind).copied().unwrap_or_default()
    }

    /// The newest rows of this kind.
    pub(super) fn rows(&self, kind: Kind) -> &[Row] {
        self.rows.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// Attack: a table that somebody writes to has as many generations and engines as they like.
    fn conclude(&mut self, by: (Kind, u64, String), one: Conclusion) {
        let has_place = self.conclusions.contains_key(&by) || self.conclusions.len() < MAX_NAMES;
        let by = if has_place { by } else { (by.0, 0, OTHERS.to_owned()) };
        let all = self.conclusions.entry(by).or_default();
        all.totals.add(one.totals);
        all.first = [all.first, one.first].into_iter().flatten().min();
        all.last = all.last.max(one.last);
    }

    fn unscannable(&mut self, reason: &'static str, file_type: &str, count: u64) {
        let mut by = (reason, file_type.to_owned());
        if !self.reasons.contains_key(&by) && self.reasons.len() >= MAX_NAMES {
            OTHERS.clone_into(&mut by.1);
        }
        *self.reasons.entry(by).or_default() += count;
    }
}

/// The count of a name, or that of all others when there are too many names.
fn named<'m, T: Default>(map: &'m mut BTreeMap<String, T>, name: &str) -> &'m mut T {
    let name = if map.contains_key(name) || map.len() < MAX_NAMES { name } else { OTHERS };
    map.entry(name.to_owned()).or_default()
}

/// Adds rows; of twice as many as are shown, the older half goes.
fn keep(rows: &mut Vec<Row>, most: usize, more: impl IntoIterator<Item = Row>) {
    rows.extend(more);
    if rows.len() >= 2 * most {
        newest_first(rows, most);
    }
}

fn newest_first(rows: &mut Vec<Row>, most: usize) {
    rows.sort_by(|a, b| (Reverse(a.scanned_at), &a.object).cmp(&(Reverse(b.scanned_at), &b.object)));
    rows.truncate(most);
}

#[cfg(test)]
pub(super) mod tests;
