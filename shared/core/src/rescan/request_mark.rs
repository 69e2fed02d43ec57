//! The mark in a record that a pass requested a rescan, so that none requests it again while its message waits.

use chrono::{DateTime, TimeDelta, Utc};

use super::pass::PassId;

/// How long the message of a rescan waits at most: the `MessageRetentionPeriod` of the template's queues of rescans. Then it is in their
/// dead-letter queue, or nowhere.
pub const REQUEST_LIFETIME: TimeDelta = TimeDelta::days(4);

/// How long an object that was found archived is taken to be. Its restoration is announced; this is for one whose announcement was
/// lost.
pub const ARCHIVED_FOR: TimeDelta = TimeDelta::days(30);

/// The last request of a record's rescan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestMark {
    /// The pass that requested it.
    pub pass: PassId,
    /// When.
    pub at: DateTime<Utc>,
}

/// Whether `at` is less than `span` from now. A time that far in the future was written by a clock that was wrong, and must not hold
/// anything for longer.
pub(crate) fn is_within(span: TimeDelta, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - at).abs() < span
}
