//! What a report counts, in bounded memory.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, NaiveDate, Utc};
use nacre_core::{
    object::ObjectId,
    rescan::pass::ObjectTotals,
    scan_record::RecordSummary,
    verdict::{Reason, Verdict},
};

/// Most rows of a list; the newest are kept.
pub(super) const MAX_ROWS: usize = 10_000;
/// Most different names that are counted; the others are counted together.
const MAX_NAMES: usize = 10_000;
/// Where they are.
const OTHERS: &str = "(others)";

/// What a record concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Infected,
    Unscannable,
    /// By a record that this version does not read.
    Unknown,
    Skipped,
    Clean,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Infected, Self::Unscannable, Self::Unknown, Self::Skipped, Self::Clean];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Infected => "INFECTED",
            Self::Unscannable => "UNSCANNABLE",
            Self::Unknown => "UNKNOWN",
            Self::Skipped => "SKIPPED",
            Self::Clean => "CLEAN",
        }
    }
}

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) object: ObjectId,
    pub(super) size: u64,
    /// `None` for a record of another format.
    pub(super) verdict: Option<Verdict>,
    pub(super) generation: u64,
    pub(super) engine: String,
    pub(super) scanned_at: Option<DateTime<Utc>>,
    pub(super) reported: bool,
}

impl From<RecordSummary> for Row {
    fn from(record: RecordSummary) -> Self {
        let (verdict, engine) = record.view.map(|view| (view.verdict, view.engine.version)).unzip();
        Self {
            object: record.object,
            size: record.size,
            verdict,
            generation: record.generation.0,
            engine: engine.unwrap_or_default(),
            scanned_at: record.scanned_at,
            reported: record.reported,
        }
    }
}

impl Row {
    pub(super) fn kind(&self) -> Kind {
        match &self.verdict {
            Some(Verdict::Clean) => Kind::Clean,
            Some(Verdict::Infected { .. }) => Kind::Infected,
            Some(Verdict::Unscannable { .. }) => Kind::Unscannable,
            Some(Verdict::Skipped { .. }) => Kind::Skipped,
            None => Kind::Unknown,
        }
    }

    pub(super) fn reason(&self) -> Option<&'static str> {
        self.verdict.as_ref().and_then(Verdict::reason).map(Reason::name)
    }

    pub(super) fn signatures(&self) -> &[String] {
        match &self.verdict {
            Some(Verdict::Infected { signatures }) => signatures,
            _ => &[],
        }
    }
}

/// Objects by what was concluded.
pub(super) type Kinds = BTreeMap<Kind, u64>;

/// What all records say together.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) totals: BTreeMap<Kind, ObjectTotals>,
    pub(super) buckets: BTreeMap<String, Kinds>,
    pub(super) generations: BTreeMap<u64, Kinds>,
    pub(super) days: BTreeMap<NaiveDate, Kinds>,
    pub(super) engines: BTreeMap<String, u64>,
    pub(super) reasons: BTreeMap<&'static str, u64>,
    pub(super) signatures: BTreeMap<String, u64>,
    /// The infected and the unscannable, newest first.
    pub(super) infected: Vec<Row>,
    pub(super) unscannable: Vec<Row>,
    /// Records whose tags and result are missing.
    pub(super) unreported: u64,
    /// Items of the table that are no records.
    pub(super) unreadable: u64,
}

impl Tally {
    pub(super) fn add(&mut self, row: Row) {
        let kind = row.kind();
        self.totals.entry(kind).or_default().count(row.size);
        let count = |kinds: &mut Kinds| *kinds.entry(kind).or_default() += 1;
        count(named(&mut self.buckets, &row.object.bucket));
        count(self.generations.entry(row.generation).or_default());
        if let Some(at) = row.scanned_at {
            count(self.days.entry(at.date_naive()).or_default());
        }
        *named(&mut self.engines, &row.engine) += 1;
        if let Some(reason) = row.reason() {
            *self.reasons.entry(reason).or_default() += 1;
        }
        for signature in row.signatures() {
            *named(&mut self.signatures, signature) += 1;
        }
        self.unreported += u64::from(!row.reported);
        match kind {
            Kind::Infected => keep(&mut self.infected, [row]),
            Kind::Unscannable => keep(&mut self.unscannable, [row]),
            _ => {}
        }
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
        other.engines.into_iter().for_each(|(name, n)| *named(&mut self.engines, &name) += n);
        other.reasons.into_iter().for_each(|(name, n)| *self.reasons.entry(name).or_default() += n);
        other.signatures.into_iter().for_each(|(name, n)| *named(&mut self.signatures, &name) += n);
        self.unreported += other.unreported;
        self.unreadable += other.unreadable;
        keep(&mut self.infected, other.infected);
        keep(&mut self.unscannable, other.unscannable);
        newest_first(&mut self.infected);
        newest_first(&mut self.unscannable);
    }

    pub(super) fn total(&self) -> ObjectTotals {
        let mut all = ObjectTotals::default();
        self.totals.values().for_each(|totals| all.add(*totals));
        all
    }

    pub(super) fn of(&self, kind: Kind) -> ObjectTotals {
        self.totals.get(&kind).copied().unwrap_or_default()
    }
}

/// The count of a name, or that of all others when there are too many names.
fn named<'m, T: Default>(map: &'m mut BTreeMap<String, T>, name: &str) -> &'m mut T {
    let name = if map.contains_key(name) || map.len() < MAX_NAMES { name } else { OTHERS };
    map.entry(name.to_owned()).or_default()
}

/// Adds rows; of twice as many as are shown, the older half goes.
fn keep(rows: &mut Vec<Row>, more: impl IntoIterator<Item = Row>) {
    rows.extend(more);
    if rows.len() >= 2 * MAX_ROWS {
        newest_first(rows);
    }
}

fn newest_first(rows: &mut Vec<Row>) {
    rows.sort_by(|a, b| (Reverse(a.scanned_at), &a.object).cmp(&(Reverse(b.scanned_at), &b.object)));
    rows.truncate(MAX_ROWS);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::report) fn infected(names: &[&str]) -> Verdict {
        Verdict::Infected { signatures: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    pub(in crate::report) fn row(key: &str, verdict: Verdict) -> Row {
        Row {
            object: ObjectId::new("uploads", key, Some("v1".to_owned())),
            size: 10,
            verdict: Some(verdict),
            generation: 7,
            engine: "1.4.6".to_owned(),
            scanned_at: Some("2026-11-28T10:00:00Z".parse().unwrap()),
            reported: true,
        }
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let rows = [
            row("a", Verdict::Clean),
            row("b", infected(&["A", "B"])),
            row("c", infected(&["A"])),
            row("d", Verdict::Unscannable { reason: Reason::Encrypted }),
            Row { verdict: None, reported: false, scanned_at: None, ..row("e", Verdict::Clean) },
        ];
        let (mut whole, mut halves) = (Tally::default(), [Tally::default(), Tally::default()]);
        for (at, row) in rows.into_iter().enumerate() {
            whole.add(row.clone());
            halves[at % 2].add(row);
        }
        let mut sum = Tally::default();
        for half in halves {
            sum.add_all(half);
        }
        assert_eq!(sum.totals, whole.totals);
        assert_eq!((sum.total().objects, sum.total().bytes), (5, 50));
        assert_eq!((&sum.buckets, &sum.generations, &sum.days), (&whole.buckets, &whole.generations, &whole.days));
        assert_eq!(sum.signatures, BTreeMap::from([("A".to_owned(), 2), ("B".to_owned(), 1)]));
        assert_eq!(sum.reasons, BTreeMap::from([("encrypted", 1)]));
        assert_eq!((sum.unreported, sum.infected.len(), sum.unscannable.len()), (1, 2, 1));
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let mut tally = Tally::default();
        for n in 0..i64::try_from(3 * MAX_ROWS).unwrap() {
            let at = DateTime::from_timestamp(n, 0);
            tally.add(Row { scanned_at: at, ..row("a", infected(&[&format!("A{n}")])) });
        }
        let mut sum = Tally::default();
        sum.add_all(tally);
        assert_eq!(sum.infected.len(), MAX_ROWS);
        assert_eq!(sum.infected[0].signatures(), [format!("A{}", 3 * MAX_ROWS - 1)]);
        assert!(sum.signatures.len() <= MAX_NAMES + 1);
        assert_eq!(sum.signatures.values().sum::<u64>(), 3 * MAX_ROWS as u64);
        assert_eq!(sum.of(Kind::Infected).objects, 3 * MAX_ROWS as u64);
    }
}
