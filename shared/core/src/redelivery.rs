//! When a message that failed comes back.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// How the waits of a message grow that fails again and again: each is twice the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Seconds of the first wait.
    pub first: u32,
    /// Seconds of the longest, which is the queue's visibility timeout: a message whose function was killed waits that long, and one
    /// that failed no longer.
    pub longest: u32,
}

impl Backoff {
    /// From 30 seconds, most of what S3, SNS and DynamoDB refuse for a moment is over.
    pub const FIRST: u32 = 30;

    /// The longest wait after the `receives`-th delivery of a message, counted from 1.
    pub fn longest_wait(self, receives: u32) -> Duration {
        let doubled = 1_u32.checked_shl(receives.saturating_sub(1)).unwrap_or(u32::MAX);
        let seconds = if receives > u32::BITS { u32::MAX } else { self.first.saturating_mul(doubled) };
        Duration::from_secs(seconds.min(self.longest).into())
    }

    /// The wait of the message with this id: from half of the longest to all of it. It is the id that chooses, so messages that failed
    /// together do not come back together, and no randomness is needed. In whole seconds, as SQS takes it.
    pub fn wait(self, id: &str, receives: u32) -> Duration {
        let longest = self.longest_wait(receives).as_secs();
        let [byte, next, ..] = Sha256::new().chain_update(id).chain_update(receives.to_be_bytes()).finalize().0;
        let share = u64::from(u16::from_be_bytes([byte, next]));
        let spread = (longest / 2 + 1) * share / (u64::from(u16::MAX) + 1);
        Duration::from_secs(longest - spread)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_between_half_and_all_of_the_schedules_and_never_beyond_the_queues(
            first in 1_u32..1000, longest in 1_u32..43_200, receives in 0_u32..2000, id in ".{0,40}",
        ) {
            let backoff = Backoff { first, longest };
            let most = backoff.longest_wait(receives).as_secs();
            let wait = backoff.wait(&id, receives);
            prop_assert_eq!(wait, Duration::from_secs(wait.as_secs()));
            prop_assert!(most <= longest.into() && most >= first.min(longest).into());
            prop_assert!(wait.as_secs() * 2 >= most && wait.as_secs() <= most, "{wait:?} of {most}");
            prop_assert!(wait.as_secs() >= 1, "a message that failed never comes back at once");
            let next = backoff.longest_wait(receives.max(1) + 1).as_secs();
            prop_assert_eq!(next, (backoff.longest_wait(receives.max(1)).as_secs() * 2).min(longest.into()));
        }
    }

    #[test]
    fn messages_that_failed_together_are_spread_over_half_of_the_wait() {
        let backoff = Backoff { first: Backoff::FIRST, longest: 5400 };
        let waits = (0..1000).map(|id| backoff.wait(&format!("message {id}"), 5).as_secs());
        let waits: std::collections::BTreeSet<u64> = waits.collect();
        assert!(waits.len() > 200, "{waits:?}");
        assert!(waits.first().is_some_and(|least| (240..250).contains(least)), "{waits:?}");
        assert!(waits.last().is_some_and(|most| (470..=480).contains(most)), "{waits:?}");
    }
}
