//! `nacre definitions status`: what is published, how old it is, and what the updater waits for.

use std::{collections::BTreeMap, io, process::ExitCode};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use nacre_aws::SystemClock;
use nacre_core::{
    generation::{manifest::ScanSetEntry, updater_state::UpdaterState},
    port::{Clock, DefinitionsStore},
};
use serde::Serialize;

use super::bucket::{BucketError, contents, current};
use crate::args::BucketArgument;
use crate::deployment::StackArgument;
use crate::output::{FINDING, failed, print, print_json};

/// Show what is published, how old it is, and what the updater waits for.
///
/// Exit status: 0 when it is younger than the staleness limit, 1 when it is older, 2 when that is not known.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    bucket: BucketArgument,
    /// Age beyond which definitions are stale, in hours [default: 72]
    #[arg(long, env = "NACRE_UPDATE_STALENESS_LIMIT_HOURS", value_name = "HOURS")]
    staleness_limit: Option<u32>,
    /// The former name of the variable, taken with a warning.
    #[arg(long, hide = true, env = "NACRE_STALENESS_LIMIT_HOURS", hide_env = true)]
    former_staleness_limit: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Hours, as the updater's own default.
const DEFAULT_STALENESS_LIMIT: u32 = 72;

/// Why the status is not known.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("the status cannot be written")]
    Output(#[from] io::Error),
}

/// The status, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Status {
    generation: u64,
    published: DateTime<Utc>,
    pinned: bool,
    restores: Option<u64>,
    contents: String,
    /// What cold starts load of its databases instead of them.
    scan_sets: Vec<ScanSetSize>,
    trust_anchor: String,
    /// Signatures that the engine loaded when it proved the set.
    signatures: u64,
    /// Since the newest of its databases was built.
    age_hours: i64,
    staleness_limit_hours: u32,
    stale: bool,
    announced: bool,
    last_check: Option<DateTime<Utc>>,
    last_success: Option<DateTime<Utc>>,
    /// Mirrors that are rate-limiting us, and until when.
    cooling_down: BTreeMap<String, DateTime<Utc>>,
    /// Databases whose newest CDIFF is announced and not there yet, and since when.
    awaited: BTreeMap<String, DateTime<Utc>>,
}

/// The bytes of a scan set.
#[derive(Debug, Serialize)]
struct ScanSetSize {
    database: String,
    /// Signatures that need no engine.
    lines: u64,
    /// What a cold start downloads.
    download_bytes: u64,
    /// What it may have to read a part of.
    shard_bytes: u64,
}

impl From<&ScanSetEntry> for ScanSetSize {
    fn from(set: &ScanSetEntry) -> Self {
        Self {
            database: set.database.to_string(),
            lines: set.lines,
            download_bytes: set.body.size + set.filter.size,
            shard_bytes: set.shards.size,
        }
    }
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    match print_report(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDING),
        Err(error) => failed("definitions status", &error),
    }
}

/// Age in hours beyond which definitions are stale.
fn staleness_limit(arguments: &Arguments) -> u32 {
    if arguments.staleness_limit.is_none() && arguments.former_staleness_limit.is_some() {
        eprintln!(
            "nacre: NACRE_STALENESS_LIMIT_HOURS is the former name of NACRE_UPDATE_STALENESS_LIMIT_HOURS: rename it"
        );
    }
    arguments.staleness_limit.or(arguments.former_staleness_limit).unwrap_or(DEFAULT_STALENESS_LIMIT)
}

async fn print_report(arguments: &Arguments) -> Result<bool, StatusError> {
    let store = arguments
        .bucket
        .store(&arguments.stack.open().await.map_err(BucketError::from)?)
        .await
        .map_err(BucketError::from)?;
    let status = status(&store, staleness_limit(arguments), SystemClock.now()).await?;
    if arguments.json {
        print_json(&status)?;
    } else {
        for line in status.lines() {
            print(&line)?;
        }
    }
    Ok(!status.stale)
}

async fn status(store: &impl DefinitionsStore, limit: u32, now: DateTime<Utc>) -> Result<Status, BucketError> {
    let (published, manifest) = current(store).await?;
    let (state, _) = UpdaterState::read(store).await?;
    let age = now - manifest.newest_built();
    Ok(Status {
        generation: manifest.generation.0,
        published: manifest.published,
        pinned: published.pinned,
        restores: manifest.restores.map(|restored| restored.0),
        contents: contents(&manifest),
        scan_sets: manifest.scan_sets.iter().map(ScanSetSize::from).collect(),
        signatures: manifest.engine.signatures,
        age_hours: age.num_hours(),
        staleness_limit_hours: limit,
        stale: age > TimeDelta::hours(limit.into()),
        announced: state.settled_generation >= manifest.generation.0,
        last_check: state.last_check,
        last_success: state.last_success,
        cooling_down: state.cool_downs.into_iter().filter(|(_, until)| *until > now).collect(),
        awaited: state.awaited,
        trust_anchor: manifest.trust_anchor,
    })
}

impl Status {
    fn lines(&self) -> Vec<String> {
        let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let at = |when: Option<DateTime<Utc>>| when.as_ref().map_or_else(|| "never".to_owned(), time);
        let restores = self.restores.map(|restored| format!(", as in generation {restored}")).unwrap_or_default();
        let pinned = if self.pinned { "; pinned: updates wait until `nacre definitions unpin`" } else { "" };
        let stale = if self.stale { "; STALE: see the updater's log" } else { "" };
        let limit = self.staleness_limit_hours;
        let mut lines = vec![
            format!("generation    {}{restores}, published {}{pinned}", self.generation, time(&self.published)),
            format!("contents      {}", self.contents),
            format!("signed by     {}", self.trust_anchor),
            format!("signatures    {}", self.signatures),
            format!("age           {} hours, of {limit} allowed{stale}", self.age_hours),
            format!("last check    {}, last success {}", at(self.last_check), at(self.last_success)),
        ];
        lines.extend(self.scan_sets.iter().map(|set| {
            let ScanSetSize { database, lines, download_bytes, shard_bytes } = set;
            format!(
                "scan set      {database}: {download_bytes} bytes, and {shard_bytes} of {lines} lines behind its filter"
            )
        }));
        if !self.announced {
            lines.push("announcement  still to come, with the updater's next run".to_owned());
        }
        let cooling =
            self.cooling_down.iter().map(|(mirror, until)| format!("cooling down  {mirror} until {}", time(until)));
        let awaited =
            self.awaited.iter().map(|(database, since)| format!("awaited       {database} since {}", time(since)));
        lines.extend(cooling.chain(awaited));
        lines
    }
}

#[cfg(test)]
mod tests {
    use nacre_clamav::{database::DatabaseName, digest::Sha256Digest};
    use nacre_core::{bucket_keys::UPDATER_STATE_KEY, generation::manifest::BodyEntry, port::WriteCondition};

    use super::*;
    use crate::definitions::generations_of_tests::{at, published};

    #[tokio::test]
    async fn what_is_published_is_shown_with_its_age_and_what_is_waited_for() {
        let store = published(&[100]).await;
        let fresh = status(&store, 72, at(3)).await.unwrap();
        assert!(!fresh.stale && !fresh.pinned && !fresh.announced);
        assert_eq!((fresh.generation, fresh.age_hours, fresh.contents.as_str()), (1, 3, "daily 100"));
        assert!(
            fresh.lines().iter().any(|line| line == "last check    never, last success never"),
            "{:?}",
            fresh.lines()
        );

        let part = BodyEntry::of_scan_set(b"part");
        let set = ScanSetEntry {
            database: DatabaseName::new("daily").unwrap(),
            of: Sha256Digest::of(b"daily"),
            body: part.clone(),
            filter: part.clone(),
            shards: part,
            lines: 7,
        };
        let with_set = Status { scan_sets: vec![ScanSetSize::from(&set)], ..fresh };
        let line = "scan set      daily: 8 bytes, and 4 of 7 lines behind its filter";
        assert!(with_set.lines().iter().any(|shown| shown == line), "{:?}", with_set.lines());

        let state = UpdaterState {
            settled_generation: 1,
            cool_downs: [("https://a.example".to_owned(), at(90)), ("https://b.example".to_owned(), at(4))].into(),
            ..UpdaterState::default()
        };
        let bytes = serde_json::to_vec(&state).unwrap();
        store.write(UPDATER_STATE_KEY, bytes, &[], WriteCondition::Always).await.unwrap();
        let later = status(&store, 72, at(80)).await.unwrap();
        assert!(later.stale && later.announced);
        let lines = later.lines();
        assert!(lines.iter().any(|line| line == "age           80 hours, of 72 allowed; STALE: see the updater's log"));
        assert!(
            lines.iter().any(|line| line == "cooling down  https://a.example until 2026-11-26T18:00:00Z"),
            "{lines:?}"
        );
        assert!(!lines.iter().any(|line| line.contains("b.example")), "that one is over");
    }
}
