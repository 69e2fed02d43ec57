//! `nacre rescan`: what a pass over the records would ask for, and passes begun, watched and ended.

mod plan;

use std::{io, process::ExitCode};

use aws_sdk_lambda::{Client, primitives::Blob};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use nacre_shared::{
    aws::{S3Definitions, sdk_config},
    changes::ChangesError,
    definitions::manifest::Generation,
    port::{StoreError, WriteCondition},
    published::{Published, PublishedError},
    rescan_pass::{Begun, PassStatus, Progress, pass_key, read_begun, read_status, write_report},
    telemetry::error_chain,
};
use serde_json::{Value, json};

use crate::printable::printable;

/// Tell what a rescan would do and cost, begin one, watch it, end it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The definitions bucket
    #[arg(long, env = "AV_DEFINITION_S3_BUCKET", value_name = "NAME", global = true, default_value = "")]
    bucket: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Arguments),
    /// Begin a pass for the published generation.
    Start {
        /// The rescanner's function, by name or ARN
        #[arg(long, env = "NACRE_RESCANNER_FUNCTION", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        function: String,
    },
    /// Tell how far the last pass is.
    Status {
        /// Of this generation [default: the published one]
        #[arg(long, value_name = "G")]
        generation: Option<u64>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// End the pass under way; what it asked for already is scanned all the same.
    Cancel,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RescanError {
    #[error("no bucket is named: give --bucket, or set AV_DEFINITION_S3_BUCKET")]
    NoBucket,
    #[error("nothing is published there yet: run the updater, unless the bucket has another name")]
    NonePublished,
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    #[error("generation {0} is not kept any more: `nacre definitions list` tells those that are")]
    NotKept(u64),
    #[error("what changed cannot be told")]
    Changes(#[from] ChangesError),
    #[error("the table of records cannot be read: is its name right?")]
    Records(#[source] StoreError),
    #[error("no pass was begun for generation {0}")]
    NoPass(u64),
    #[error("the pass for generation {0} is over already")]
    Over(u64),
    #[error("the rescanner cannot be invoked")]
    Invoke(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the rescanner failed: {0}")]
    Failed(String),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command. Exit status: 0 when it was done, 1 when not, 2 for wrong arguments.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    match execute(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nacre rescan: {}", printable(&error_chain(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn execute(arguments: &Arguments) -> Result<(), RescanError> {
    if arguments.bucket.is_empty() {
        return Err(RescanError::NoBucket);
    }
    let sdk = sdk_config().await;
    let store = S3Definitions::new(&sdk, &arguments.bucket);
    match &arguments.command {
        Command::Plan(plan) => plan::run(plan, &sdk, &store).await,
        Command::Start { function } => start(&Client::new(&sdk), function).await,
        Command::Status { generation, json } => status(&store, *generation, *json).await,
        Command::Cancel => cancel(&store).await,
    }
}

async fn published(store: &S3Definitions) -> Result<Generation, RescanError> {
    let manifest = Published::read(store).await?.manifest.ok_or(RescanError::NonePublished)?;
    Ok(manifest.generation)
}

async fn start(client: &Client, function: &str) -> Result<(), RescanError> {
    let payload = Blob::new(json!({ "rescan": "start" }).to_string());
    let answer = client.invoke().function_name(function).payload(payload).send().await;
    let answer = answer.map_err(|error| RescanError::Invoke(error.into()))?;
    let told = answer.payload.map(|payload| String::from_utf8_lossy(payload.as_ref()).into_owned()).unwrap_or_default();
    if answer.function_error.is_some() {
        return Err(RescanError::Failed(told));
    }
    let told: Value = serde_json::from_str(&told).unwrap_or_default();
    let field = |name| told.get(name).cloned().unwrap_or_default();
    let (generation, attempt, segments) = (field("generation"), field("attempt"), field("segments"));
    println_line(&if field("begun") == json!(true) {
        format!("pass {attempt} for generation {generation} is begun, in {segments} segments")
    } else {
        format!("a pass for generation {generation} was begun a moment ago")
    })
}

async fn status(store: &S3Definitions, generation: Option<u64>, as_json: bool) -> Result<(), RescanError> {
    let generation = match generation {
        Some(generation) => Generation(generation),
        None => published(store).await?,
    };
    let status = read_status(store, generation).await?.ok_or(RescanError::NoPass(generation.0))?;
    if as_json {
        return println_line(&json!(status).to_string());
    }
    let PassStatus { begun, segments, tally } = &status;
    let count = |progress| segments.iter().filter(|segment| segment.progress == progress).count();
    println_line(&format!(
        "generation {}, pass {}, begun {}: {}",
        begun.generation.0,
        begun.attempt,
        begun.at.to_rfc3339(),
        if status.is_over() { "over" } else { "under way" }
    ))?;
    println_line(&format!(
        "segments: {} of {} finished, {} overtaken, {} cancelled",
        count(Progress::Finished),
        begun.segments,
        count(Progress::Overtaken),
        count(Progress::Cancelled)
    ))?;
    println_line(&format!(
        "records: {} examined, {} up to date, {} renewed",
        tally.examined, tally.up_to_date, tally.renewed
    ))?;
    for (why, number) in &tally.unaffected {
        println_line(&format!("  {number} unaffected: {why}"))?;
    }
    println_line(&format!("  {} for a look for what was added, {} bytes", tally.delta, tally.delta_bytes))?;
    for (why, number) in &tally.full {
        println_line(&format!("  {number} for a scan with everything: {why}"))?;
    }
    println_line(&format!(
        "asked for: {} objects in {} messages; left to the next pass: {}",
        tally.published, tally.messages, tally.carried
    ))
}

async fn cancel(store: &S3Definitions) -> Result<(), RescanError> {
    let generation = published(store).await?;
    let (begun, etag) = read_begun(store, generation).await?.ok_or(RescanError::NoPass(generation.0))?;
    let over = read_status(store, generation).await?.is_some_and(|status| status.is_over());
    if over || begun.cancelled {
        return Err(RescanError::Over(generation.0));
    }
    let cancelled = Begun { cancelled: true, ..begun };
    write_report(store, &pass_key(generation), &cancelled, WriteCondition::Etag(&etag)).await?;
    println_line(&format!("the pass for generation {} ends with its next pages", generation.0))
}

/// Writes a line; a closed pipe is an error, not a panic.
fn println_line(line: &str) -> Result<(), RescanError> {
    use std::io::Write;
    Ok(writeln!(io::stdout(), "{line}")?)
}
