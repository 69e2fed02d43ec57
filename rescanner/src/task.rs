//! The work that is left of one segment, as its messages carry it from invocation to invocation.

use chrono::{DateTime, TimeDelta, Utc};
use nacre_core::{
    port::Segment,
    rescan::pass::{Budget, Pass, PassId, Tally},
    scan_record::RecordSummary,
};
use serde::{Deserialize, Serialize};

/// What was written within this time of the pass's beginning goes first.
const RECENT: TimeDelta = TimeDelta::days(30);

/// What a reading of the table decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// All records: there is no budget.
    All,
    /// Those that were written of late; all are counted.
    Recent,
    /// The others, with what is left of the budget.
    Rest,
}

/// The work that is left of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task<Cursor> {
    /// The pass.
    #[serde(flatten)]
    pub id: PassId,
    /// Which segment.
    pub segment: u32,
    /// Of how many.
    pub total: u32,
    /// When the pass was begun.
    pub begun: DateTime<Utc>,
    /// What this segment may spend.
    pub budget: Budget,
    /// The reading that is under way.
    pub round: Round,
    /// Where it goes on.
    pub cursor: Option<Cursor>,
    /// What was found and done so far. In the message, so that a repeated one counts nothing twice.
    pub tally: Tally,
}

impl<Cursor> Task<Cursor> {
    /// All the work of a segment.
    pub fn new(pass: &Pass, segment: u32) -> Self {
        let budget = pass.budget.part(segment, pass.segments);
        let round = if pass.budget.is_unlimited() { Round::All } else { Round::Recent };
        let (id, total, begun) = (pass.id, pass.segments, pass.begun);
        Self { id, segment, total, begun, budget, round, cursor: None, tally: Tally::default() }
    }

    /// The part of the table.
    pub fn part(&self) -> Segment {
        Segment { index: self.segment, total: self.total }
    }

    /// Whether this reading is the first: what is counted is counted by it.
    pub fn is_first_reading(&self) -> bool {
        self.round != Round::Rest
    }

    /// Whether this reading of the table decides about a record.
    pub fn selects(&self, record: &RecordSummary) -> bool {
        let is_recent = record.written_at.is_some_and(|at| self.begun - at <= RECENT);
        match self.round {
            Round::All => true,
            Round::Recent => is_recent,
            Round::Rest => !is_recent,
        }
    }

    /// Whether the budget allows another request, after those of the task and of the page that is worked on.
    pub fn may_request(&self, page: &Tally) -> bool {
        let mut spent = self.tally.published.total();
        spent.add(page.published.total());
        self.budget.allows_more(spent)
    }

    /// At the end of a reading: whether there is another. Without it, what was left to it is left to the next pass.
    pub fn begin_next_reading(&mut self) -> bool {
        let deferred = std::mem::take(&mut self.tally.deferred);
        if self.round == Round::Recent && deferred.objects > 0 && self.may_request(&Tally::default()) {
            self.round = Round::Rest;
            return true;
        }
        self.tally.carried.add(deferred);
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
        let begun = DateTime::UNIX_EPOCH;
        let pass = Pass { format: FORMAT, id, cause: Cause::ByHand, begun, segments: 2, budget, handed_out: false };
        let task = Task::<String>::new(&pass, 1);
        let tally = serde_json::to_value(Tally::default()).unwrap();
        assert_eq!(
            serde_json::to_value(&task).unwrap(),
            json!({
                "generation": 7, "attempt": 1, "segment": 1, "total": 2, "begun": "1970-01-01T00:00:00Z",
                "budget": { "objects": 2, "bytes": null }, "round": "recent", "cursor": null, "tally": tally,
            })
        );
    }
}
