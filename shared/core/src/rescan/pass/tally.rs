//! What a pass, or a segment of it, found and did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rescan::plan::{FullScan, RescanPlan, Unaffected};

/// Objects, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    /// Counts an object of this many bytes.
    pub fn count(&mut self, bytes: u64) {
        self.add(Self { objects: 1, bytes });
    }

    /// Adds the other.
    pub fn add(&mut self, other: Self) {
        self.objects = self.objects.saturating_add(other.objects);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// To be scanned with what was added.
    pub delta: Amount,
    /// To be scanned with everything.
    pub full: Amount,
    /// Messages.
    pub messages: u64,
}

impl Published {
    /// Both kinds together.
    pub fn total(self) -> Amount {
        let mut total = self.delta;
        total.add(self.full);
        total
    }
}

/// What a pass, or a segment of it, found and did. Every record is in exactly one of `up_to_date`, `unaffected`,
/// `delta`, `full` and `unreported`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Pages that were read; a table that is read twice counts twice here, and nowhere else.
    pub pages: u64,
    /// Records that were looked at.
    pub examined: u64,
    /// Of them, those of the published generation.
    pub up_to_date: u64,
    /// Of them, those of which a scan would conclude the same again, by the reason.
    pub unaffected: BTreeMap<Unaffected, u64>,
    /// Of them, those for which what was added is enough.
    pub delta: Amount,
    /// Of them, those that need everything, by the reason.
    pub full: BTreeMap<FullScan, Amount>,
    /// Of them, those that need no scan, but whose tags and result are missing. All are asked for, whatever the budget.
    pub unreported: u64,
    /// What was asked for.
    pub published: Published,
    /// What needs a scan and was left to the next pass, as the budget was used up.
    pub carried: Amount,
    /// What needs a scan and is decided in the second reading.
    pub deferred: Amount,
    /// Unaffected records that were said to be of the published generation.
    pub renewed: u64,
    /// Items of the table that are no records of ours.
    pub unreadable: u64,
}

impl Tally {
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
        self.published.delta.add(other.published.delta);
        self.published.full.add(other.published.full);
        self.published.messages += other.published.messages;
        self.carried.add(other.carried);
        self.deferred.add(other.deferred);
        self.renewed += other.renewed;
        self.unreadable += other.unreadable;
    }

    /// What needs a scan with everything, whatever the reason.
    pub fn full_total(&self) -> Amount {
        let mut total = Amount::default();
        for amount in self.full.values() {
            total.add(*amount);
        }
        total
    }
}
