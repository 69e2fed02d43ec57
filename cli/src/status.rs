//! `nacre status`: one screen on a deployment.

mod snapshot;

use std::{collections::BTreeMap, io, process::ExitCode};

use chrono::{TimeDelta, Utc};
use clap::Args;
use nacre_aws::{S3Definitions, SystemClock};
use nacre_core::{
    generation::{
        published::{Published, PublishedError},
        updater_state::UpdaterState,
    },
    port::{Clock, StoreError},
    rescan::pass::{PassStoreError, StoredPass, is_cancelled, read_pass, reports},
    telemetry::Metric,
};
use snapshot::{Attention, Definitions, PassState, Snapshot, Waiting};

use crate::{
    args::TableArgument,
    deployment::{Deployment, DeploymentError, Part, StackArgument},
    dlq::{DeadLetterQueue, DlqError, depth},
    function_logs::{FunctionLogs, LogsError},
    output::{FINDING, failed, print, print_json},
};

/// Hours, as the template's default.
const STALENESS_LIMIT: u32 = 72;

/// The queues that functions take their work from.
const QUEUES: [(&str, Part); 4] = [
    ("new objects", Part::ScanQueue),
    ("rescans", Part::RescanQueue),
    ("full rescans", Part::FullRescanQueue),
    ("segments of passes", Part::PassQueue),
];

/// Show whether a deployment is well: definitions, backlog, pass, verdicts, dead letters, errors.
///
/// Exit status: 0 when nothing is wrong, 1 when something is, with its remedy, 2 when that is not known.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    table: TableArgument,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why the status is not known.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    #[error("the updater's state cannot be read")]
    Updater(#[source] StoreError),
    #[error("the pass cannot be read")]
    Pass(#[from] PassStoreError),
    #[error("the scan records cannot be read")]
    Records(#[source] StoreError),
    #[error(transparent)]
    Queues(#[from] DlqError),
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error("the status cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    match execute(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDING),
        Err(error) => failed("status", &error),
    }
}

/// Prints the status; whether all is well.
async fn execute(arguments: &Arguments) -> Result<bool, StatusError> {
    let deployment = arguments.stack.open().await?;
    let snapshot = gather(&deployment, &arguments.table).await?;
    let wrong = snapshot.wrong();
    if arguments.json {
        print_json(&snapshot.with_findings(&wrong))?;
    } else {
        snapshot.lines(&wrong).iter().try_for_each(|line| print(line))?;
    }
    Ok(wrong.is_empty())
}

async fn gather(deployment: &Deployment, table: &TableArgument) -> Result<Snapshot, StatusError> {
    let now = SystemClock.now();
    let bucket = deployment.name(Part::DefinitionsBucket, None).await?;
    let store = S3Definitions::new(&deployment.sdk, &bucket);
    let limit = deployment.parameters().await?.get("StalenessLimitHours").and_then(|limit| limit.parse().ok());
    let definitions = definitions(&store, limit.unwrap_or(STALENESS_LIMIT), now).await?;
    let pass = match &definitions {
        Some(definitions) => pass(&store, definitions.generation).await?,
        None => None,
    };
    let mut queues = Vec::new();
    for (name, part) in QUEUES {
        let depth = depth(deployment, part).await?;
        queues.push(Waiting { name, messages: depth.visible + depth.delayed, in_flight: depth.in_flight });
    }
    let mut dead_letters = BTreeMap::new();
    for queue in DeadLetterQueue::ALL {
        dead_letters.insert(queue.name(), depth(deployment, queue.part()).await?.all());
    }
    let logs = FunctionLogs::open(deployment).await?;
    let mut errors = BTreeMap::new();
    for line in logs.errors(&[], now - TimeDelta::hours(1)).await?.lines {
        *errors.entry(line.function).or_default() += 1;
    }
    let sandbox_layers = logs.newest_metric(Metric::SandboxLayers.name(), now - TimeDelta::days(7)).await?;
    let attention = attention(deployment, table).await?;
    Ok(Snapshot { at: now, definitions, pass, queues, dead_letters, errors, sandbox_layers, attention })
}

async fn definitions(
    store: &S3Definitions,
    limit: u32,
    now: chrono::DateTime<Utc>,
) -> Result<Option<Definitions>, StatusError> {
    let published = Published::read(store).await?;
    let Some(manifest) = &published.manifest else { return Ok(None) };
    let (updater, _) = UpdaterState::read(store).await.map_err(StatusError::Updater)?;
    Ok(Some(Definitions {
        generation: manifest.generation,
        age_hours: (now - manifest.newest_built()).num_hours(),
        limit_hours: limit,
        pinned: published.pinned,
        last_check: updater.last_check,
        last_success: updater.last_success,
    }))
}

async fn pass(
    store: &S3Definitions,
    generation: nacre_core::generation::Generation,
) -> Result<Option<PassState>, StatusError> {
    let Some(StoredPass { pass, .. }) = read_pass(store, generation).await? else { return Ok(None) };
    let progress = pass.progress(&reports(store, pass.id).await?, is_cancelled(store, pass.id).await?);
    Ok(Some(PassState {
        attempt: pass.id.attempt,
        state: progress.state,
        segments_done: u64::from(progress.done),
        segments: pass.segments.into(),
        updated: progress.updated,
    }))
}

/// Counts by bucket, from the sparse index.
async fn attention(deployment: &Deployment, table: &TableArgument) -> Result<BTreeMap<String, Attention>, StatusError> {
    let records = table.records(deployment).await?;
    let mut buckets: BTreeMap<String, Attention> = BTreeMap::new();
    for object in records.needing_attention("infected").await.map_err(StatusError::Records)? {
        buckets.entry(object.bucket).or_default().infected += 1;
    }
    for object in records.needing_attention("unscannable").await.map_err(StatusError::Records)? {
        buckets.entry(object.bucket).or_default().unscannable += 1;
    }
    Ok(buckets)
}
