//! What each day's pass does with the records, by the planner's own code.

use nacre_clamav::delta::Delta;
use nacre_core::{
    generation::Generation,
    rescan::{
        cost::{PassWork, cost},
        delta_summary::DeltaSummary,
        plan::{Change, RescanPlan, loaded_by, plan_rescan},
    },
    scan_record::RecordSummary,
};
use serde::Serialize;

use crate::{
    assumptions::Assumptions,
    corpus::{engine, records},
    feed::{Feed, that_differ},
};

/// One day, for all objects.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Day {
    pub(crate) number: u64,
    pub(crate) unaffected: u64,
    pub(crate) delta: u64,
    pub(crate) full: u64,
    /// Bytes that are read for those scans.
    pub(crate) bytes: u64,
    pub(crate) dollars: f64,
    /// What made the definitions' change.
    pub(crate) changed: Vec<String>,
}

/// A night in which every object is scanned.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Everything {
    pub(crate) bytes: u64,
    pub(crate) dollars: f64,
}

/// Plays all days: every record is of the generation before, as it is where each night's pass comes to its end.
pub(crate) fn year(assumptions: &Assumptions) -> Vec<Day> {
    let mut records = records(assumptions);
    let mut feed = Feed::new(&assumptions.feed, assumptions.seed);
    let mut before = feed.files();
    let mut days = Vec::new();
    for day in 1..=assumptions.days {
        let changed = feed.go_on_to(day);
        let files = feed.files();
        let (old, new) = that_differ(&before, &files);
        let change = Change::Known(DeltaSummary::of(&Delta::between(&old, &new), loaded_by(&engine())));
        before = files;
        let mut played = pass(&mut records, Generation(day + 1), &change, assumptions);
        played.number = day;
        played.changed = changed.into_iter().map(str::to_owned).collect();
        days.push(played);
    }
    days
}

/// Plans every record, and scales what is counted to all objects.
fn pass(records: &mut [RecordSummary], published: Generation, change: &Change, assumptions: &Assumptions) -> Day {
    let mut counted = Day::default();
    for record in &mut *records {
        let plan = plan_rescan(record, published, &engine(), change);
        match plan {
            RescanPlan::DeltaScan => counted.delta += 1,
            RescanPlan::FullScan(_) => counted.full += 1,
            RescanPlan::UpToDate | RescanPlan::Unaffected(_) | RescanPlan::Unreported => counted.unaffected += 1,
        }
        if matches!(plan, RescanPlan::DeltaScan | RescanPlan::FullScan(_)) {
            counted.bytes += record.size;
        }
        record.generation = published;
    }
    let scaled = |number: u64| {
        let scaled = u128::from(number) * u128::from(assumptions.objects) / records.len().max(1) as u128;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    let mut day = Day {
        unaffected: scaled(counted.unaffected),
        delta: scaled(counted.delta),
        full: scaled(counted.full),
        bytes: scaled(counted.bytes),
        ..counted
    };
    let work = PassWork {
        advanced: day.unaffected / assumptions.advanced_every,
        delta_objects: day.delta,
        full_objects: day.full,
        ..PassWork::of(assumptions.objects, record_bytes(records))
    };
    day.dollars = cost(work).total();
    day
}

/// What a scan of every object takes, each night.
pub(crate) fn everything(assumptions: &Assumptions) -> Everything {
    let records = records(assumptions);
    let bytes: u128 = records.iter().map(|record| u128::from(record.size)).sum();
    let bytes = bytes * u128::from(assumptions.objects) / records.len().max(1) as u128;
    let work = PassWork { full_objects: assumptions.objects, ..PassWork::of(assumptions.objects, 0) };
    Everything { bytes: u64::try_from(bytes).unwrap_or(u64::MAX), dollars: cost(work).total() }
}

/// Bytes of a record on average: about 400, and 76 for each layer.
fn record_bytes(records: &[RecordSummary]) -> u64 {
    let layers = |record: &RecordSummary| record.view.as_ref()?.layers.as_ref().map(Vec::len);
    let all: usize = records.iter().filter_map(layers).sum();
    400 + 76 * all as u64 / records.len().max(1) as u64
}
