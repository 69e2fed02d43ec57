//! The work that is left of one segment, as its messages carry it from invocation to invocation.

use chrono::{DateTime, TimeDelta, Utc};
use nacre_core::{
    port::Segment,
    rescan::pass::{Budget, Pass, PassId, PassStats},
    scan_record::RecordSummary,
};
use serde::{Deserialize, Serialize};

/// Objects that were written within this time before the pass are scanned first.
const RECENT: TimeDelta = TimeDelta::days(30);

/// The records that a reading of the table decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// All records: there is no budget.
    All,
    /// Records of recently written objects; all records are counted.
    Recent,
    /// The other records, with the rest of the budget.
    Rest,
}

/// The work that is left of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task<Cursor> {
    /// The pass.
    #[serde(flatten)]
    pub id: PassId,
    /// Index of the segment.
    pub segment: u32,
    /// Number of segments.
    pub total: u32,
    /// When the pass was started.
    #[serde(rename = "begun")]
    pub started: DateTime<Utc>,
    /// The budget of this segment.
    pub budget: Budget,
    /// The reading that is in progress.
    #[serde(rename = "round")]
    pub reading: Reading,
    /// The end of the last page.
    pub cursor: Option<Cursor>,
    /// Statistics so far. They are in the message, so that a repeated one counts nothing twice.
    #[serde(rename = "tally")]
    pub stats: PassStats,
}

impl<Cursor> Task<Cursor> {
    /// All the work of a segment.
    pub fn new(pass: &Pass, segment: u32) -> Self {
        let budget = pass.budget.part(segment, pass.segments);
        let reading = if pass.budget.is_unlimited() { Reading::All } else { Reading::Recent };
        let (id, total, started) = (pass.id, pass.segments, pass.started);
        Self { id, segment, total, started, budget, reading, cursor: None, stats: PassStats::default() }
    }

    /// The part of the table.
    pub fn part(&self) -> Segment {
        Segment { index: self.segment, total: self.total }
    }

    /// Whether this reading is the first, which counts the records.
    pub fn is_first_reading(&self) -> bool {
        self.reading != Reading::Rest
    }

    /// Whether this reading of the table decides about a record.
    pub fn selects(&self, record: &RecordSummary) -> bool {
        let is_recent = record.written_at.is_some_and(|at| self.started - at <= RECENT);
        match self.reading {
            Reading::All => true,
            Reading::Recent => is_recent,
            Reading::Rest => !is_recent,
        }
    }

    /// Whether the budget allows another request, after those of the task and of the page that is worked on.
    pub fn may_request(&self, page: &PassStats) -> bool {
        let mut spent = self.stats.requested.total();
        spent.add(page.requested.total());
        self.budget.allows_more(spent)
    }

    /// At the end of a reading: whether another one starts. If not, its scans are left to the next pass.
    pub fn start_next_reading(&mut self) -> bool {
        let deferred = std::mem::take(&mut self.stats.deferred);
        if self.reading == Reading::Recent && deferred.objects > 0 && self.may_request(&PassStats::default()) {
            self.reading = Reading::Rest;
            return true;
        }
        self.stats.over_budget.add(deferred);
        false
    }
}

#[cfg(test)]
mod tests {
    use nacre_core::{
        generation::Generation,
        rescan::pass::{Cause, FORMAT},
    };
    use serde_json::json;

    use super::*;

    /// Messages of an older version are in the queue while a newer one is deployed.
    #[test]
    fn messages_keep_their_names() {
        let id = PassId { generation: Generation(7), attempt: 1 };
        let budget = Budget { objects: Some(5), bytes: None };
        let started = DateTime::UNIX_EPOCH;
        let pass = Pass { format: FORMAT, id, cause: Cause::Manual, started, segments: 2, budget, dispatched: false };
        let task = Task::<String>::new(&pass, 1);
        let stats = serde_json::to_value(PassStats::default()).unwrap();
        assert_eq!(
            serde_json::to_value(&task).unwrap(),
            json!({
                "generation": 7, "attempt": 1, "segment": 1, "total": 2, "begun": "1970-01-01T00:00:00Z",
                "budget": { "objects": 2, "bytes": null }, "round": "recent", "cursor": null, "tally": stats,
            })
        );
    }
}
