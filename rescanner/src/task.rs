//! The work that is left of one segment, as its messages carry it from invocation to invocation.

use chrono::{DateTime, TimeDelta, Utc};
use nacre_core::{
    event::RescanKind,
    port::Segment,
    rescan::pass::{
        Budget, ObjectTotals, Pass, PassId, PassStats,
        allotment::Share,
        demand::{Demand, Rank},
    },
    scan_record::RecordSummary,
};
use serde::{Deserialize, Serialize};

/// Objects that were written within this time before the pass are scanned first, among those that wait equally long.
const RECENT: TimeDelta = TimeDelta::days(30);

/// What a reading of the table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// To request all scans: there is no budget.
    All,
    /// To count what is needed, before the budget is divided. An older version of this program called it `recent`.
    #[serde(alias = "recent")]
    Count,
    /// To request what the segment's share allows. An older version of this program called it `rest`.
    #[serde(alias = "rest")]
    Request,
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
    /// How often it was dispatched again.
    #[serde(default)]
    pub turn: u32,
    /// The budget of the pass.
    pub budget: Budget,
    /// The reading that is in progress.
    #[serde(rename = "round")]
    pub reading: Reading,
    /// The end of the last page.
    pub cursor: Option<Cursor>,
    /// Statistics so far. They are in the message, so that a repeated one counts nothing twice.
    #[serde(rename = "tally")]
    pub stats: PassStats,
    /// What was counted so far.
    #[serde(default)]
    pub demand: Demand,
    /// What it may request, once that is known.
    #[serde(default)]
    pub share: Option<Share>,
    /// What it requested of the last rank of its share.
    #[serde(default)]
    pub of_last_rank: ObjectTotals,
}

impl<Cursor> Task<Cursor> {
    /// All the work of a segment.
    pub fn new(pass: &Pass, segment: u32) -> Self {
        Self {
            id: pass.id,
            segment,
            total: pass.segments,
            started: pass.started,
            turn: 0,
            budget: pass.budget,
            reading: if pass.budget.is_unlimited() { Reading::All } else { Reading::Count },
            cursor: None,
            stats: PassStats::default(),
            demand: Demand::default(),
            share: None,
            of_last_rank: ObjectTotals::default(),
        }
    }

    /// The part of the table.
    pub fn part(&self) -> Segment {
        Segment { index: self.segment, total: self.total }
    }

    /// Whether this reading is the first, which counts the records.
    pub fn is_first_reading(&self) -> bool {
        self.reading != Reading::Request
    }

    /// Decides about a record that needs a scan, and counts it.
    pub fn decide(&mut self, record: &RecordSummary, kind: RescanKind, stats: &mut PassStats) -> Decision {
        let is_recent = record.written_at.is_some_and(|at| self.started - at <= RECENT);
        let rank = Rank::of(record, kind, self.id.generation, is_recent);
        match (self.reading, &self.share) {
            (Reading::All, _) => return Decision::Request,
            (Reading::Count, _) => {
                self.demand.count(rank, record.size);
                stats.deferred.count(record.size);
                return Decision::Later;
            }
            (Reading::Request, Some(share)) => {
                if rank < share.before || rank == share.before && share.last.allows_more(self.of_last_rank) {
                    self.count_request(rank, record.size);
                    return Decision::Request;
                }
                stats.wait(share.waiting_since);
            }
            (Reading::Request, None) => {}
        }
        stats.over_budget.count(record.size);
        Decision::Later
    }

    /// Counts a request of a killed invocation to the share: what it asked for was asked for.
    pub fn count_earlier(&mut self, record: &RecordSummary, kind: RescanKind) {
        let unmarked = RecordSummary { requested: None, ..record.clone() };
        let is_recent = record.written_at.is_some_and(|at| self.started - at <= RECENT);
        self.count_request(Rank::of(&unmarked, kind, self.id.generation, is_recent), record.size);
    }

    fn count_request(&mut self, rank: Rank, bytes: u64) {
        if self.share.is_some_and(|share| rank >= share.before) {
            self.of_last_rank.count(bytes);
        }
    }

    /// At the end of a reading that counted: the work that is left.
    pub fn start_requesting(&mut self) {
        self.reading = Reading::Request;
        self.cursor = None;
    }

    /// Whether nothing is needed of what the segment may request, so that the table need not be read again.
    pub fn requests_nothing(&self) -> bool {
        let Some(share) = self.share.filter(|_| self.reading == Reading::Request && self.cursor.is_none()) else {
            return false;
        };
        let requests = |(rank, needed): (Rank, ObjectTotals)| {
            needed.objects > 0
                && (rank < share.before || rank == share.before && share.last.allows_more(self.of_last_rank))
        };
        !self.demand.ranks().any(requests)
    }

    /// Leaves all that was counted to the next pass.
    pub fn leave_all(&mut self) {
        let deferred = std::mem::take(&mut self.stats.deferred);
        self.stats.over_budget.add(deferred);
        if deferred.objects > 0 {
            self.stats.wait(self.share.and_then(|share| share.waiting_since));
        }
    }
}

/// What is decided about a record that needs a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is requested.
    Request,
    /// It is requested by another reading, or by another pass.
    Later,
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
        let (cause, forgotten) = (Cause::Manual, ObjectTotals::default());
        let pass = Pass { format: FORMAT, id, cause, started, segments: 2, budget, forgotten, dispatched: false };
        let task = Task::<String>::new(&pass, 1);
        let stats = serde_json::to_value(PassStats::default()).unwrap();
        assert_eq!(
            serde_json::to_value(&task).unwrap(),
            json!({
                "generation": 7, "attempt": 1, "segment": 1, "total": 2, "begun": "1970-01-01T00:00:00Z",
                "turn": 0, "budget": { "objects": 5, "bytes": null }, "round": "count", "cursor": null, "tally": stats,
                "demand": [], "share": null, "of_last_rank": { "objects": 0, "bytes": 0 },
            })
        );
        for (name, reading) in [("recent", Reading::Count), ("rest", Reading::Request)] {
            assert_eq!(serde_json::from_value::<Reading>(json!(name)).unwrap(), reading);
        }
    }
}
