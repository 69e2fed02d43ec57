//! The local stack: the same template, packages, roles and policies as on AWS, deployed into `MiniStack` on loopback.
//!
//! `make demo` and the end-to-end tests use it alike: [`install`], then [`Mirror::start`], [`Packages::of_built_programs`] and
//! [`Stack::start`]. The demo deploys by `nacre deploy`; most tests deploy the same template by calls of their own. Whatever it starts
//! dies with it, and with us.
//!
//! Where `MiniStack` 1.5.33 differs from AWS, and what is done about it here:
//! - a role's session is known to `aws:PrincipalArn` by its STS name only: the template names both;
//! - messages that a function failed stay invisible for the queue's whole visibility timeout, as on AWS, but there is no check
//!   that it is longer than the function's timeout: [`StackOptions::parameters`] may set `LocalVisibilityTimeout` to seconds;
//! - it runs functions as they are, with its own environment: `cells.py` runs each in a cell as strict as Lambda's (docs/lambda.md);
//! - there is no TLS: `launch.py` lets policies take each call for one by TLS;
//! - a template's `BucketEncryption`, `LifecycleConfiguration`, `PermissionsBoundary` and `ReservedConcurrentExecutions` have no
//!   effect;
//! - a copy ignores the tags of its source, so a user may copy what the user may not read; the copy has the tags too;
//! - a change set does not list a resource that a condition adds or takes out;
//! - alarms are kept and their actions done, but queues have no metrics, and `alarms.rs` judges them all;
//! - eleven more are mended in `launch.py`: conditions on tags when tagging, actions of batches, wildcards of policies and line breaks in
//!   keys, ranges of versions named by their id, tags of versions behind a delete marker, numbers from parameters in event sources and in a
//!   function's disk, deleted stacks whose name another has, alarms of expressions, dead-letter queues of SNS's subscriptions, and metrics
//!   in logs;
//! - `SIGTERM` would leave functions running: it is stopped by `SIGINT`, and what is left then is killed.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

mod alarms;
#[expect(clippy::missing_errors_doc, reason = "what fails ends the benchmark")]
pub mod bench;
mod browser;
mod command;
mod deploy;
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test whose world cannot be made fails")]
pub mod deployed;
mod environment;
mod error;
mod generated_table;
mod hostile_mirror;
mod identity;
mod invocation;
pub mod messages;
mod ministack;
mod mirror;
mod observe;
mod packages;
pub mod patched;
#[cfg(test)]
mod policies;
mod random;
mod report;
pub mod scanner_world;
mod stack;
mod supervised;
#[cfg(test)]
mod teardown;
#[cfg(test)]
mod tests;

pub use browser::{Browser, axe};
pub use environment::install;
pub use error::StackError;
pub use generated_table::{GeneratedTable, record_json};
pub use hostile_mirror::{Behaviour, HostileMirror, Request};
pub use invocation::InvokeOutcome;
pub use mirror::Mirror;
pub use observe::get_status;
pub use packages::{Packages, programs_directory, unpack};
pub use random::Random;
pub use stack::{Environment, Stack, StackOptions};
pub use supervised::ProcessInfo;
