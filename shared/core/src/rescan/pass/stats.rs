//! Statistics of a pass, or of a segment of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::rescan::plan::{FullScan, RescanPlan, Unaffected};

/// Numbers of objects and of their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectTotals {
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

impl ObjectTotals {
    /// Counts an object of this many bytes.
    pub fn count(&mut self, bytes: u64) {
        self.add(Self { objects: 1, bytes });
    }

    /// Adds the other.
    pub fn add(&mut self, other: Self) {
        self.objects = self.objects.saturating_add(other.objects);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    /// The greater number of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { objects: self.objects.max(other.objects), bytes: self.bytes.max(other.bytes) }
    }
}

/// Rescans that were requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// Delta scans.
    pub delta: ObjectTotals,
    /// Full scans.
    pub full: ObjectTotals,
    /// Of both, those of records whose tags and result were overdue: no budget delays them, and they take no part of it.
    #[serde(default)]
    pub overdue: ObjectTotals,
    /// Messages.
    pub messages: u64,
}

impl Requested {
    /// Both kinds together.
    pub fn total(self) -> ObjectTotals {
        self.delta.plus(self.full)
    }

    /// What counts to a budget.
    pub fn of_budget(self) -> ObjectTotals {
        let ObjectTotals { objects, bytes } = self.total();
        ObjectTotals {
            objects: objects.saturating_sub(self.overdue.objects),
            bytes: bytes.saturating_sub(self.overdue.bytes),
        }
    }
}

/// Statistics of a pass, or of a segment of it. Every record is in exactly one of `up_to_date`, `unaffected`,
/// `delta`, `full` and `unreported`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassStats {
    /// Pages that were read; a table that is read twice counts twice here, and nowhere else.
    pub pages: u64,
    /// Records that were planned.
    pub examined: u64,
    /// Of them, those of the published generation.
    pub up_to_date: u64,
    /// Of them, those of which a scan would conclude the same again, by reason.
    pub unaffected: BTreeMap<Unaffected, u64>,
    /// Of them, those that need a delta scan.
    pub delta: ObjectTotals,
    /// Of them, those that need a full scan, by reason.
    pub full: BTreeMap<FullScan, ObjectTotals>,
    /// Of them, those that need no scan, but whose tags and result are missing. All are requested, whatever the budget.
    pub unreported: u64,
    /// Rescans that were requested.
    #[serde(rename = "published")]
    pub requested: Requested,
    /// Scans that an earlier pass requested, and whose messages may still wait. They are not requested again.
    pub queued: ObjectTotals,
    /// Scans that are left to the next pass, as the budget was used up.
    #[serde(rename = "carried")]
    pub over_budget: ObjectTotals,
    /// Scans that the second reading decides about.
    pub deferred: ObjectTotals,
    /// Unaffected records whose generation was advanced to the published one.
    #[serde(rename = "renewed")]
    pub advanced: u64,
    /// Items of the table that are not records of a known format.
    pub unreadable: u64,
    /// Since when the one that waits longest for its scan waits, at most: for its turn, or in a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<DateTime<Utc>>,
}

impl PassStats {
    /// Counts a record of this many bytes by what it needs.
    pub fn count(&mut self, plan: RescanPlan, bytes: u64) {
        self.examined += 1;
        match plan {
            RescanPlan::UpToDate => self.up_to_date += 1,
            RescanPlan::Unaffected(why) => *self.unaffected.entry(why).or_default() += 1,
            RescanPlan::DeltaScan => self.delta.count(bytes),
            RescanPlan::FullScan(why) => self.full.entry(why).or_default().count(bytes),
            RescanPlan::Unreported => self.unreported += 1,
        }
    }

    /// Adds the other.
    pub fn add(&mut self, other: &Self) {
        self.pages += other.pages;
        self.examined += other.examined;
        self.up_to_date += other.up_to_date;
        for (why, count) in &other.unaffected {
            *self.unaffected.entry(*why).or_default() += count;
        }
        self.delta.add(other.delta);
        for (why, amount) in &other.full {
            self.full.entry(*why).or_default().add(*amount);
        }
        self.unreported += other.unreported;
        self.requested.delta.add(other.requested.delta);
        self.requested.full.add(other.requested.full);
        self.requested.overdue.add(other.requested.overdue);
        self.requested.messages += other.requested.messages;
        self.queued.add(other.queued);
        self.over_budget.add(other.over_budget);
        self.deferred.add(other.deferred);
        self.advanced += other.advanced;
        self.unreadable += other.unreadable;
        self.wait(other.waiting_since);
    }

    /// Counts one that waits since then.
    pub fn wait(&mut self, since: Option<DateTime<Utc>>) {
        self.waiting_since = self.waiting_since.into_iter().chain(since).min();
    }

    /// Full scans that are needed, whatever the reason.
    pub fn full_total(&self) -> ObjectTotals {
        let mut total = ObjectTotals::default();
        for amount in self.full.values() {
            total.add(*amount);
        }
        total
    }
}
