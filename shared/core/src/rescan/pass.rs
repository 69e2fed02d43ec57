//! A pass over the scan records: what it is to do, what each of its segments found and did, and where that is kept.
//!
//! A pass is worked by many invocations, none of which knows the others. What they have in common is under `nacre/passes/` of the
//! definitions bucket: `<generation>/pass.json` says which attempt is under way, and `<generation>/<attempt>/<segment>.json` how far each
//! segment of it came.

mod budget;
mod store;
mod tally;

pub use budget::Budget;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
pub use store::{
    Kept, PassStoreError, Written, cancel, forget, is_cancelled, keep_report, read_pass, read_report, reports,
    spent_on, write_pass,
};
pub use tally::{Amount, Published, Tally};

use crate::generation::Generation;

/// Under this is what is known of passes.
pub const PASSES_PREFIX: &str = "nacre/passes/";

/// Most segments of a pass.
pub const MAX_SEGMENTS: u32 = 256;

/// Records that a segment should have: at 1,000 a page its work is some minutes.
const RECORDS_OF_A_SEGMENT: u64 = 50_000;

/// A segment of which nothing was heard for this long is handed out again: its message was given up on.
const STALLED: TimeDelta = TimeDelta::hours(1);

/// Which pass: several may be made for one generation, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PassId {
    /// The generation that records are brought up to.
    pub generation: Generation,
    /// From 1.
    pub attempt: u32,
}

impl PassId {
    /// Under this are the reports of its segments.
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
}

/// Key of what is under way for a generation.
pub fn pass_key(generation: Generation) -> String {
    format!("{PASSES_PREFIX}{}/pass.json", generation.0)
}

/// The generation whose passes a key is about; `None` for other keys.
pub fn generation_of(key: &str) -> Option<Generation> {
    let (generation, _) = key.strip_prefix(PASSES_PREFIX)?.split_once('/')?;
    generation.parse().ok().map(Generation)
}

/// What began a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A generation was announced.
    Announced,
    /// It was time for one.
    Scheduled,
    /// Somebody asked.
    ByHand,
}

/// What a pass is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Version of this format.
    pub format: u32,
    /// Which.
    #[serde(flatten)]
    pub id: PassId,
    /// What began it.
    pub cause: Cause,
    /// When.
    pub begun: DateTime<Utc>,
    /// Parts that the table is worked in.
    pub segments: u32,
    /// What it may spend altogether.
    pub budget: Budget,
    /// Whether the work of every segment was handed out; `false` after a crash in between.
    pub handed_out: bool,
}

/// Version of what is written here.
pub const FORMAT: u32 = 1;

/// How a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is under way.
    Working,
    /// It was worked to its end.
    Finished,
    /// A newer generation was published, whose own pass does the rest.
    Overtaken,
    /// An operator ended it.
    Cancelled,
}

impl State {
    /// Whether nothing is done any more.
    pub fn is_final(self) -> bool {
        self != Self::Working
    }
}

/// How far a segment came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentReport {
    /// Version of this format.
    pub format: u32,
    /// The pass.
    #[serde(flatten)]
    pub id: PassId,
    /// Which segment.
    pub segment: u32,
    /// When the pass was begun: what is spent counts to that day.
    pub begun: DateTime<Utc>,
    /// How it stands.
    pub state: State,
    /// Pages after which the work was last handed on. A message that knows of fewer is a repeated one.
    pub handed_on: u64,
    /// The message by which it was.
    pub left: String,
    /// When this was written.
    pub updated: DateTime<Utc>,
    /// What was found and done.
    pub tally: Tally,
}

/// How many segments suit a table of this size.
pub fn segments_for(items: u64) -> u32 {
    let segments = items.div_ceil(RECORDS_OF_A_SEGMENT).clamp(1, u64::from(MAX_SEGMENTS));
    u32::try_from(segments).unwrap_or(MAX_SEGMENTS)
}

/// How a pass stands as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `Working` while any segment is, otherwise the state that says most: cancelled, overtaken, finished.
    pub state: State,
    /// Segments that are done with.
    pub done: u32,
    /// All tallies added up.
    pub tally: Tally,
    /// When something was last heard; its beginning when nothing was yet.
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
            // Messages that were given up on have nobody to say so.
            _ if cancelled => State::Cancelled,
            _ => State::Working,
        };
        let updated = reports.iter().map(|report| report.updated).max().unwrap_or(self.begun);
        let mut tally = Tally::default();
        for report in reports {
            tally.add(&report.tally);
        }
        Progress { state, done, tally, updated }
    }

    /// Segments whose work is to be handed out (again).
    pub fn lost(&self, reports: &[SegmentReport], now: DateTime<Utc>) -> Vec<u32> {
        let of = |segment: u32| reports.iter().find(|report| report.segment == segment);
        let is_lost = |segment: &u32| match of(*segment) {
            Some(report) => !report.state.is_final() && now - report.updated > STALLED,
            None => !self.handed_out || now - self.begun > STALLED,
        };
        (0..self.segments).filter(is_lost).collect()
    }
}

#[cfg(test)]
mod tests;
