//! What the segments of a pass with a budget need, and in which order it is requested.
//!
//! The order is that of who waits longest, so that nobody starves: what was concluded with the oldest generation goes first, and what
//! was requested takes its place behind all that was not, whatever became of the request.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ObjectTotals;
use crate::{event::RescanKind, generation::Generation, scan_record::RecordSummary};

/// Most ranks that a demand keeps apart: it travels in messages of 64 KiB. Beyond, the last ones count as one.
const MAX_RANKS: usize = 400;

/// The place of a record among all that need a scan; the least goes first.
///
/// Its parts in order: the generation of its last scan or request, 0 for one that is not known; the day of its last request, 0 for none; whether it needs a full scan, as in what needs a delta scan a *new* signature may match; whether its
/// object was written long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rank(u64, i64, bool, bool);

impl Rank {
    /// Before all.
    pub const FIRST: Self = Self(0, i64::MIN, false, false);
    /// Behind all.
    pub const LAST: Self = Self(u64::MAX, i64::MAX, true, true);

    /// The rank of a record in a pass for the generation `published`.
    pub fn of(record: &RecordSummary, kind: RescanKind, published: Generation, is_recent: bool) -> Self {
        // A generation that is not known is older than all.
        let scanned = if record.generation > published { 0 } else { record.generation.0 };
        let request = record.last_request();
        let requested = request.map_or(0, |mark| mark.pass.generation.min(published).0);
        let generation = scanned.max(requested);
        let day = request.map_or(0, |mark| mark.at.timestamp().div_euclid(86_400));
        // Attack: were all equal whose changes are forgotten, those that come first in a page would be first in each pass.
        Self(generation, day, kind == RescanKind::Full, !is_recent)
    }

    /// The generation by which it has its place.
    pub fn generation(self) -> Generation {
        Generation(self.0)
    }
}

/// How much is needed of each rank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Rank, ObjectTotals)>", into = "Vec<(Rank, ObjectTotals)>")]
pub struct Demand(BTreeMap<Rank, ObjectTotals>);

impl Demand {
    /// Counts an object.
    pub fn count(&mut self, rank: Rank, bytes: u64) {
        self.add(rank, ObjectTotals { objects: 1, bytes });
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: &Self) {
        for (rank, total) in &other.0 {
            self.add(*rank, *total);
        }
    }

    fn add(&mut self, rank: Rank, total: ObjectTotals) {
        self.0.entry(rank).or_default().add(total);
        if self.0.len() > MAX_RANKS
            && let Some((_, last)) = self.0.pop_last()
            && let Some(mut before) = self.0.last_entry()
        {
            before.get_mut().add(last);
        }
    }

    /// How much is needed of a rank.
    pub fn of(&self, rank: Rank) -> ObjectTotals {
        self.0.get(&rank).copied().unwrap_or_default()
    }

    /// The ranks in order.
    pub fn ranks(&self) -> impl Iterator<Item = (Rank, ObjectTotals)> {
        self.0.iter().map(|(rank, total)| (*rank, *total))
    }
}

impl From<Vec<(Rank, ObjectTotals)>> for Demand {
    fn from(ranks: Vec<(Rank, ObjectTotals)>) -> Self {
        Self(ranks.into_iter().collect())
    }
}

impl From<Demand> for Vec<(Rank, ObjectTotals)> {
    fn from(demand: Demand) -> Self {
        demand.0.into_iter().collect()
    }
}

/// Since when something of each generation has been waiting for its turn, at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Waiting(BTreeMap<u64, DateTime<Utc>>);

impl Waiting {
    /// What waits after a pass that left these ranks.
    #[must_use]
    pub fn after(&self, left: impl Iterator<Item = Rank>, now: DateTime<Utc>) -> Self {
        let since = |generation: u64| match self.0.get(&generation) {
            Some(since) => *since,
            // Their own generation is not known.
            None if generation == 0 => self.0.values().min().copied().unwrap_or(now),
            None => now,
        };
        Self(left.map(|rank| (rank.0, since(rank.0))).collect())
    }

    /// What is in either, each since the earlier time.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (generation, since) in other.0 {
            self.0.entry(generation).and_modify(|ours| *ours = since.min(*ours)).or_insert(since);
        }
        self
    }

    /// Since when the one that waits longest does.
    pub fn longest(&self) -> Option<DateTime<Utc>> {
        self.0.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{
        builder::record,
        rescan::{
            pass::{Budget, allotment::allot},
            request_mark::RequestMark,
        },
        scan_record::ScanRecord,
    };

    /// Which records a pass of one request a day requests, over many days with several generations each. Each is scanned at once.
    fn requested(records: u64, generations_a_day: u64, days: u64) -> Vec<u32> {
        let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let old = |n| ScanRecord { generation: Generation(1), ..record("uploads", &format!("{n:03}")) };
        let mut all: Vec<_> = (0..records).map(|n| RecordSummary::from(&old(n))).collect();
        let mut times = vec![0; all.len()];
        for day in 0..days {
            let now = start + TimeDelta::days(day.try_into().unwrap());
            let published = Generation(1 + generations_a_day * (day + 1));
            let mut demand = Demand::default();
            let rank = |record: &RecordSummary| Rank::of(record, RescanKind::Full, published, false);
            for record in &all {
                demand.count(rank(record), record.size);
            }
            let (shares, _) = allot(Budget { objects: Some(1), bytes: None }, &[(0, demand)]);
            let (share, mut of_last) = (shares[0].1, ObjectTotals::default());
            for (record, times) in all.iter_mut().zip(&mut times) {
                let rank = rank(record);
                if rank < share.before || rank == share.before && share.last.allows_more(of_last) {
                    of_last.count(record.size);
                    *times += 1;
                    (record.generation, record.scanned_at, record.requested) =
                        (published, Some(now), None::<RequestMark>);
                }
            }
        }
        times
    }

    #[test]
    fn a_budget_below_what_the_kept_generations_need_starves_nobody() {
        for (records, generations_a_day) in [(30, 8), (120, 1)] {
            let times = requested(records, generations_a_day, 2 * records);
            assert!(times.iter().all(|times| *times == 2), "{times:?}");
        }
    }
}
