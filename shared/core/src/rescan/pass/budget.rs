//! The budget of passes.

use serde::{Deserialize, Serialize};

use super::ObjectTotals;

/// Most objects and bytes that may be requested; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Objects.
    pub objects: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl Budget {
    /// Whether there is no bound.
    pub fn is_unlimited(self) -> bool {
        self == Self::default()
    }

    /// The rest of the budget.
    #[must_use]
    pub fn minus(self, spent: ObjectTotals) -> Self {
        let left = |budget: Option<u64>, spent: u64| budget.map(|budget| budget.saturating_sub(spent));
        Self { objects: left(self.objects, spent.objects), bytes: left(self.bytes, spent.bytes) }
    }

    /// Whether another object may be requested. The last one may exceed the bytes: an object that is larger than the whole budget
    /// would otherwise never be scanned.
    pub fn allows_more(self, spent: ObjectTotals) -> bool {
        let left = |budget: Option<u64>, spent: u64| budget.is_none_or(|budget| spent < budget);
        left(self.objects, spent.objects) && left(self.bytes, spent.bytes)
    }

    /// Whether it is enough for all of these.
    pub fn covers(self, needed: ObjectTotals) -> bool {
        let covers = |budget: Option<u64>, needed: u64| budget.is_none_or(|budget| needed <= budget);
        covers(self.objects, needed.objects) && covers(self.bytes, needed.bytes)
    }
}
