//! `nacre definitions`: databases of signatures, their files and what vouches for them.

mod apply;
mod bucket;
mod build;
mod check;
mod diff;
mod file_kind;
#[cfg(test)]
pub(crate) mod generations_of_tests;
mod inspect;
mod keygen;
pub(crate) mod keys;
mod list;
mod loose;
mod rollback;
pub(crate) mod source;
mod status;
mod verify;

use std::process::ExitCode;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use nacre_clamav::cvd::CvdHeader;
use nacre_core::{generation::manifest::Manifest, port::DefinitionsStore};

pub(crate) use self::bucket::{BucketError, contents};

/// Verify, inspect, update, compare and build databases of signatures; show and change what is published.
///
/// Files are local paths or `s3://bucket/key`, of at most 1 GiB.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(verify::Arguments),
    Check(check::Arguments),
    Inspect(inspect::Arguments),
    Apply(apply::Arguments),
    Diff(diff::Arguments),
    Build(build::Arguments),
    Keygen(keygen::Arguments),
    List(list::Arguments),
    Status(status::Arguments),
    Rollback(rollback::Arguments),
    Unpin(rollback::UnpinArguments),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Command::Verify(arguments) => verify::run(arguments).await,
        Command::Check(arguments) => check::run(arguments).await,
        Command::Inspect(arguments) => inspect::run(arguments).await,
        Command::Apply(arguments) => apply::run(arguments).await,
        Command::Diff(arguments) => diff::run(arguments).await,
        Command::Build(arguments) => build::run(arguments).await,
        Command::Keygen(arguments) => keygen::run(arguments),
        Command::List(arguments) => list::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Rollback(arguments) => rollback::run(arguments).await,
        Command::Unpin(arguments) => rollback::run_unpin(arguments).await,
    }
}

/// An invalid date.
#[derive(Debug, thiserror::Error)]
#[error("a date is YYYY-MM-DD or 2026-01-31T12:00:00Z, not before 1970")]
struct InvalidDate;

/// Reads a date: RFC 3339, or a day, which is its beginning in UTC.
fn parse_date(text: &str) -> Result<DateTime<Utc>, InvalidDate> {
    let day = |text| NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let date = DateTime::parse_from_rfc3339(text).map(|date| date.to_utc()).or_else(|_| day(text));
    date.ok().filter(|date| date.timestamp() >= 0).ok_or(InvalidDate)
}

/// When a database was built, by its header: RFC 3339, or the bare seconds when they are beyond any calendar.
fn build_time(header: &CvdHeader) -> String {
    let time = i64::try_from(header.stime).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map_or_else(|| header.stime.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The generations that are kept, newest first: the published one and those before it.
///
/// # Errors
/// The store's, and when nothing is published.
pub(crate) async fn kept_generations(store: &impl DefinitionsStore) -> Result<Vec<Manifest>, BucketError> {
    let (_, newest) = bucket::current(store).await?;
    bucket::kept(store, newest.generation).await
}
