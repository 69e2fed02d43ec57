//! What Nacre decides: verdicts, tags, records, generations and rescans.
//!
//! Pure policy. What it needs from outside comes through the traits of [`port`]; it reads no clock and no environment, and it
//! logs nothing.

pub mod alert;
pub mod bucket_keys;
#[cfg(any(feature = "builder", test))]
pub mod builder;
pub mod dialect;
pub mod estimate;
pub mod event;
pub mod finding;
pub mod generation;
pub mod http_answer;
pub mod key_filter;
pub mod object;
pub mod port;
pub mod quarantine;
pub mod redelivery;
pub mod rescan;
pub mod retry;
pub mod scan_record;
pub mod self_test;
pub mod settings;
pub mod tag_policy;
pub mod targets;
pub mod telemetry;
pub mod verdict;
