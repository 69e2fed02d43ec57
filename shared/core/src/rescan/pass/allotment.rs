//! How the budget of a pass is divided among its segments, once each of them has counted what it needs. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Budget, ObjectTotals,
    demand::{Demand, Rank},
};

/// What one segment may request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// All of lesser ranks.
    pub before: Rank,
    /// So much of this rank itself.
    pub last: Budget,
    /// Since when the one that waits longest and is not requested by this pass waits.
    pub waiting_since: Option<DateTime<Utc>>,
}

impl Share {
    /// Nothing: of a segment that had not counted when the budget was divided.
    pub fn nothing(waiting_since: Option<DateTime<Utc>>) -> Self {
        Self { before: Rank::FIRST, last: Budget { objects: Some(0), bytes: None }, waiting_since }
    }
}

/// The share of each segment that has counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allotment {
    /// Version of this format.
    pub format: u32,
    /// The segment whose message divided the budget, and sends the others theirs; `None` for an invocation that started the pass again.
    pub by: Option<u32>,
    /// Segments and their shares.
    pub shares: Vec<(u32, Share)>,
    /// Since when the one that waits longest and is not requested by this pass waits.
    pub waiting_since: Option<DateTime<Utc>>,
}

impl Allotment {
    /// The share of a segment.
    pub fn share(&self, segment: u32) -> Share {
        let found = self.shares.iter().find(|(of, _)| *of == segment);
        found.map_or(Share::nothing(self.waiting_since), |(_, share)| Share {
            waiting_since: self.waiting_since,
            ..*share
        })
    }
}

/// Divides a budget: ranks in order, the last one that it reaches in the order of segments. Returns the shares and the ranks of which
/// something is left.
pub fn allot(budget: Budget, demands: &[(u32, Demand)]) -> (Vec<(u32, Share)>, Vec<Rank>) {
    let mut all = Demand::default();
    for (_, demand) in demands {
        all.extend(demand);
    }
    let mut left = budget;
    let mut ranks = all.ranks();
    let boundary = ranks.find(|(_, total)| {
        let fits = left.covers(*total);
        if fits {
            left = left.minus(*total);
        }
        !fits
    });
    let Some((boundary, _)) = boundary else {
        let everything = Share { before: Rank::LAST, last: Budget::default(), waiting_since: None };
        return (demands.iter().map(|(segment, _)| (*segment, everything)).collect(), Vec::new());
    };
    let rest: Vec<Rank> = [boundary].into_iter().chain(ranks.map(|(rank, _)| rank)).collect();
    let share = |(segment, demand): &(u32, Demand)| {
        let needed = demand.of(boundary);
        let mut last = Budget { objects: Some(0), bytes: None };
        if left.allows_more(ObjectTotals::default()) {
            let objects = left.objects.map_or(needed.objects, |left| left.min(needed.objects));
            let bytes = left.bytes.map(|left| left.min(needed.bytes));
            last = Budget { objects: Some(objects), bytes };
            left = left.minus(ObjectTotals { objects, bytes: bytes.unwrap_or_default() });
        }
        (*segment, Share { before: boundary, last, waiting_since: None })
    };
    (demands.iter().map(share).collect(), rest)
}
