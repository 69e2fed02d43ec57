//! The pure core of Nacre, and behind features what connects it to the world.
//!
//! Without features this crate does no I/O, reads no clock and no environment, and logs nothing: it decides and returns.
//! `aws` adds the adapters to S3, DynamoDB and SNS, `engine` the client of the scanning engine, `testing` fakes and
//! builders.

pub mod changes;
pub mod definitions;
pub mod dialect;
pub mod event;
pub mod incremental;
pub mod object;
pub mod port;
pub mod published;
pub mod quarantine;
pub mod rescan_pass;
pub mod rescan_plan;
pub mod scan_record;
pub mod settings;
pub mod tag_policy;
pub mod telemetry;
pub mod updater_state;
pub mod verdict;

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "engine")]
pub mod claimed_directory;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod prove;
#[cfg(any(feature = "testing", test))]
pub mod testing;
