//! A clock that stands still.

use chrono::{DateTime, TimeDelta, Utc};
use nacre_core::port::Clock;

/// A clock that always says this time: by default, `2027-01-15T08:00:00Z`.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub DateTime<Utc>);

impl Default for FixedClock {
    fn default() -> Self {
        Self(DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000))
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}
