//! The time of day, where it enters.

use chrono::{DateTime, Utc};
use nacre_core::port::Clock;

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time enters")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
