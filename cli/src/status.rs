//! `nacre status`: one screen on a deployment.

mod snapshot;

use std::{collections::BTreeMap, error::Error, io, process::ExitCode, time::Duration};

use aws_sdk_cloudwatch::types::StateValue;
use chrono::{DateTime, TimeDelta, Utc};
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
use snapshot::{Alarm, Attention, Definitions, PassState, SelfTest, Snapshot, Waiting, of_last_run};
use tokio::time::sleep;

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
const QUEUES: [(&str, Part, Part); 4] = [
    ("new objects", Part::ScanQueue, Part::ScannerFunction),
    ("rescans", Part::RescanQueue, Part::RescanFunction),
    ("full rescans", Part::FullRescanQueue, Part::ScannerFunction),
    ("segments of passes", Part::PassQueue, Part::RescannerFunction),
];

/// How long a message may wait that no function has taken, with none in flight.
const TIME_TO_BE_TAKEN: Duration = Duration::from_secs(3);

/// Names in one call of `DescribeAlarms`, at most.
const MOST_ALARMS: usize = 100;

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
pub(crate) enum StatusError {
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
    #[error("the stack cannot be read: check that the credentials may call {0}")]
    Call(&'static str, #[source] Box<dyn Error + Send + Sync>),
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

/// What is known of a deployment, as the command's lines, and what is wrong.
pub(crate) async fn of(
    deployment: &Deployment,
    table: &TableArgument,
) -> Result<(Vec<String>, Vec<String>), StatusError> {
    let snapshot = gather(deployment, table).await?;
    let wrong = snapshot.wrong();
    // What is wrong goes on its own.
    let lines = snapshot.lines(&wrong).into_iter().filter(|line| !line.starts_with("WRONG")).collect();
    Ok((lines, wrong))
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
    for (name, part, function) in QUEUES {
        let mut found = depth(deployment, part).await?;
        if found.visible > 0 && found.in_flight == 0 {
            // One that came this moment is taken in the next.
            sleep(TIME_TO_BE_TAKEN).await;
            found = depth(deployment, part).await?;
        }
        let stalled = found.visible > 0 && found.in_flight == 0;
        let source = source(deployment, part, function).await?;
        let (messages, in_flight) = (found.visible + found.delayed, found.in_flight);
        queues.push(Waiting { name, messages, in_flight, stalled, source });
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
    let alarms = alarms(deployment).await?;
    let self_tests = self_tests(&logs, now).await?;
    Ok(Snapshot {
        at: now,
        definitions,
        pass,
        queues,
        dead_letters,
        errors,
        sandbox_layers,
        self_tests,
        attention,
        alarms,
    })
}

/// The state of the event source mapping by which a function takes the messages of a queue.
async fn source(deployment: &Deployment, queue: Part, function: Part) -> Result<Option<String>, StatusError> {
    let (url, function) = (deployment.name(queue, None).await?, deployment.name(function, None).await?);
    // A queue's URL ends as its ARN does.
    let name = url.rsplit('/').next().unwrap_or_default();
    let mut pages = aws_sdk_lambda::Client::new(&deployment.sdk)
        .list_event_source_mappings()
        .function_name(function)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| StatusError::Call("lambda:ListEventSourceMappings", error.into()))?;
        let is_its = |arn: &str| arn.rsplit(':').next() == Some(name);
        let mapping = page.event_source_mappings().iter().find(|it| it.event_source_arn().is_some_and(is_its));
        if let Some(mapping) = mapping {
            return Ok(Some(mapping.state().unwrap_or_default().to_owned()));
        }
    }
    Ok(None)
}

/// The last self-test of each bucket that is tested, of a day, by what the rescanner logged.
async fn self_tests(logs: &FunctionLogs, now: DateTime<Utc>) -> Result<BTreeMap<String, SelfTest>, StatusError> {
    let lines = logs.search(&["rescanner"], now - TimeDelta::days(1), Some("self-test")).await?.lines;
    let tests = lines.iter().filter(|line| line.message.starts_with("self-test "));
    let tests = tests.map(|line| {
        let why = line.text("findings").or_else(|| line.text("cause")).unwrap_or("see its log");
        let failure = (line.message != "self-test passed").then(|| why.to_owned());
        (line.text("s3.bucket").unwrap_or_default().to_owned(), SelfTest { at: line.at, failure })
    });
    Ok(of_last_run(tests.collect()))
}

/// The alarms of the stack that ring.
async fn alarms(deployment: &Deployment) -> Result<Vec<Alarm>, StatusError> {
    let of_stack = deployment.resources("AWS::CloudWatch::Alarm").await?;
    let names: Vec<_> = of_stack.values().cloned().collect();
    let client = aws_sdk_cloudwatch::Client::new(&deployment.sdk);
    let mut ringing = Vec::new();
    for names in names.chunks(MOST_ALARMS) {
        let request = client.describe_alarms().state_value(StateValue::Alarm).set_alarm_names(Some(names.to_vec()));
        let found =
            request.send().await.map_err(|error| StatusError::Call("cloudwatch:DescribeAlarms", error.into()))?;
        ringing.extend(found.metric_alarms().iter().filter_map(|alarm| {
            let since = alarm.state_transitioned_timestamp().or(alarm.state_updated_timestamp());
            let since = since.and_then(|since| DateTime::from_timestamp(since.secs(), 0));
            let (logical, _) = of_stack.iter().find(|(_, name)| Some(name.as_str()) == alarm.alarm_name())?;
            Some(Alarm { name: logical.clone(), since })
        }));
    }
    Ok(ringing)
}

async fn definitions(
    store: &S3Definitions,
    limit: u32,
    now: DateTime<Utc>,
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
