//! A pass over the scan records: its work, the report of each of its segments, and where these are stored.
//!
//! Many invocations work on a pass, and none knows the others. Their common state is under `nacre/passes/` of the
//! definitions bucket: `<generation>/pass.json` says which attempt is in progress, and `<generation>/<attempt>/<segment>.json` how far each
//! segment of it came.

pub mod allotment;
mod budget;
pub mod demand;
mod stats;
mod store;

pub use budget::Budget;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
pub use stats::{ObjectTotals, PassStats, Requested};
pub use store::{
    PassStoreError, StoredPass, Written, cancel, counted, forget, highest_recorded, is_cancelled, keep_report,
    mark_counted, note_recorded, note_waiting, read_allotment, read_pass, read_report, reports, spent_on,
    write_allotment, write_pass,
};

use crate::bucket_keys::PASSES_PREFIX;
use crate::generation::Generation;
use demand::Demand;

/// Most segments of a pass.
pub const MAX_SEGMENTS: u32 = 256;

/// Records that a segment should have: at 1,000 a page its work is some minutes.
const RECORDS_OF_A_SEGMENT: u64 = 50_000;

/// A segment without a report for this long is dispatched again: its message went to the dead-letter queue.
const STALLED: TimeDelta = TimeDelta::hours(1);

/// Which pass: several may be made for one generation, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PassId {
    /// The generation that records are rescanned for.
    pub generation: Generation,
    /// From 1.
    pub attempt: u32,
}

impl PassId {
    /// Prefix of the keys of its segments' reports.
    pub fn prefix(self) -> String {
        format!("{PASSES_PREFIX}{}/{}/", self.generation.0, self.attempt)
    }

    /// Key of the report of a segment.
    pub fn report_key(self, segment: u32) -> String {
        format!("{}{segment}.json", self.prefix())
    }

    /// Key of what an operator writes to end it.
    pub fn cancel_key(self) -> String {
        format!("{}cancelled", self.prefix())
    }

    /// Prefix of the keys that say which segments have counted what they need.
    fn counted_prefix(self) -> String {
        format!("{}counted-", self.prefix())
    }

    /// Key of the division of its budget.
    fn allotment_key(self) -> String {
        format!("{}allotment", self.prefix())
    }
}

/// Key of the pass of a generation.
pub fn pass_key(generation: Generation) -> String {
    format!("{PASSES_PREFIX}{}/pass.json", generation.0)
}

/// The generation whose passes a key is about; `None` for other keys.
pub fn generation_of(key: &str) -> Option<Generation> {
    let (generation, _) = key.strip_prefix(PASSES_PREFIX)?.split_once('/')?;
    generation.parse().ok().map(Generation)
}

/// What started a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A generation was announced.
    Announced,
    /// The schedule is due.
    Scheduled,
    /// An operator started it.
    #[serde(rename = "by_hand")]
    Manual,
}

/// The work of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Version of this format.
    pub format: u32,
    /// Its id.
    #[serde(flatten)]
    pub id: PassId,
    /// What started it.
    pub cause: Cause,
    /// Its start.
    #[serde(rename = "begun")]
    pub started: DateTime<Utc>,
    /// Parts that the table is worked in.
    pub segments: u32,
    /// The budget of the day on which it was started. What other passes of that day requested is taken off when it is divided.
    pub budget: Budget,
    /// What the attempts of this generation requested on that day whose reports are not kept any more.
    #[serde(default)]
    pub forgotten: ObjectTotals,
    /// Whether the work of every segment was sent to the queue; `false` after a crash in between.
    #[serde(rename = "handed_out")]
    pub dispatched: bool,
}

/// Version of the format of passes and reports.
pub const FORMAT: u32 = 1;

/// The state of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is in progress.
    Working,
    /// It was worked to its end.
    Finished,
    /// A newer generation was published, whose own pass does the rest.
    Overtaken,
    /// An operator ended it.
    Cancelled,
}

impl State {
    /// Whether no work is left.
    pub fn is_final(self) -> bool {
        self != Self::Working
    }
}

/// The report of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentReport {
    /// Version of this format.
    pub format: u32,
    /// The pass.
    #[serde(flatten)]
    pub id: PassId,
    /// Which segment.
    pub segment: u32,
    /// When the pass was started: its budget counts to that day.
    #[serde(rename = "begun")]
    pub started: DateTime<Utc>,
    /// Its state.
    pub state: State,
    /// Pages after which the last message with the rest of the work was sent. A message with fewer was delivered again.
    #[serde(rename = "handed_on")]
    pub continued_after: u64,
    /// That message.
    #[serde(rename = "left")]
    pub continuation: String,
    /// How often it was dispatched again. A message of an earlier turn is done with.
    #[serde(default)]
    pub turn: u32,
    /// What it needs; `None` until that is counted, and in a pass without a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
    /// When this was written.
    pub updated: DateTime<Utc>,
    /// Most that it has taken of the day's budget: what it requested, and what it was about to request when this was written.
    #[serde(default)]
    pub reserved: ObjectTotals,
    /// Its statistics.
    #[serde(rename = "tally")]
    pub stats: PassStats,
}

impl SegmentReport {
    /// What it took of the budget of the day on which its pass was started; 0 on other days.
    pub fn spent_on(&self, day: DateTime<Utc>) -> ObjectTotals {
        let is_of_day = self.started.date_naive() == day.date_naive();
        if is_of_day { self.reserved.max(self.stats.requested.of_budget()) } else { ObjectTotals::default() }
    }
}

/// How many segments suit a table of this size.
pub fn segments_for(items: u64) -> u32 {
    let segments = items.div_ceil(RECORDS_OF_A_SEGMENT).clamp(1, u64::from(MAX_SEGMENTS));
    u32::try_from(segments).unwrap_or(MAX_SEGMENTS)
}

/// The state of a pass as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `Working` while any segment is, otherwise the state that says most: cancelled, overtaken, finished.
    pub state: State,
    /// Segments with a final state.
    pub done: u32,
    /// The sum of all segments' statistics.
    pub stats: PassStats,
    /// The time of the last report, or of the start before the first.
    pub updated: DateTime<Utc>,
}

impl Pass {
    /// Adds the reports of its segments up.
    pub fn progress(&self, reports: &[SegmentReport], cancelled: bool) -> Progress {
        let done = reports.iter().filter(|report| report.state.is_final()).count();
        let done = u32::try_from(done).unwrap_or(u32::MAX);
        let most = reports.iter().map(|report| report.state).max();
        let state = match most {
            Some(state) if done >= self.segments => state,
            // Segments whose messages went to the dead-letter queue report nothing.
            _ if cancelled => State::Cancelled,
            _ => State::Working,
        };
        let updated = reports.iter().map(|report| report.updated).max().unwrap_or(self.started);
        let mut sum = PassStats::default();
        for report in reports {
            sum.add(&report.stats);
        }
        Progress { state, done, stats: sum, updated }
    }

    /// Segments whose work has to be dispatched (again).
    ///
    /// A segment that has counted what it needs waits for the others, and reports nothing meanwhile.
    pub fn stalled_segments(&self, reports: &[SegmentReport], now: DateTime<Utc>) -> Vec<u32> {
        let of = |segment: u32| reports.iter().find(|report| report.segment == segment);
        let is_stalled = |segment: &u32| match of(*segment) {
            Some(report) => !report.state.is_final() && now - report.updated > STALLED,
            None => !self.dispatched || now - self.started > STALLED,
        };
        let has_counted = |segment: u32| of(segment).is_some_and(|report| report.demand.is_some());
        let is_counting =
            |segment: u32| !of(segment).is_some_and(|report| report.state.is_final()) && !has_counted(segment);
        let others_count = (0..self.segments).any(|segment| is_counting(segment) && !is_stalled(&segment));
        (0..self.segments).filter(is_stalled).filter(|segment| !(has_counted(*segment) && others_count)).collect()
    }
}

#[cfg(test)]
mod tests;
