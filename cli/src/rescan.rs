//! `nacre rescan`: plans, starts, shows and cancels passes over the scan records.

mod plan;
mod status;
pub(crate) mod why;

use std::{io, process::ExitCode};

use aws_sdk_lambda::primitives::Blob;
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use nacre_aws::{S3Definitions, SystemClock};
use nacre_core::{
    generation::{
        Generation,
        manifest::ManifestError,
        published::{PointerRead, PublishedError, read_pointer},
    },
    port::{Clock, StoreError},
    rescan::pass::{Pass, PassStoreError, StoredPass, cancel, read_pass},
};
use serde::Deserialize;

use crate::{
    args::BucketArgument,
    deployment::{DeploymentError, Part, StackArgument},
    output::{conclude, print, print_lines},
};

/// Rescan recorded objects, as far as what changed concerns them.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Arguments),
    /// Start a pass over the scan records for the published generation, unless one is under way.
    Start {
        #[command(flatten)]
        stack: StackArgument,
        /// The rescanner's function [default: the stack's]
        #[arg(long, env = "NACRE_RESCANNER_FUNCTION", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        function: Option<String>,
    },
    /// Show how far a pass is, and what it found and did.
    Status {
        #[command(flatten)]
        which: Which,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Cancel the pass that is under way; what it requested stays requested.
    Cancel {
        #[command(flatten)]
        which: Which,
    },
}

/// Which pass.
#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    bucket: BucketArgument,
    /// Generation of definitions; the published one when not given
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u64>,
}

/// Why a command was not done; each with what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RescanError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    #[error("nothing is published there yet: run the updater, unless the bucket has another name")]
    Nothing,
    #[error("generation {0} is not kept any more: `nacre definitions list` shows those that are")]
    NotKept(u64),
    #[error("{key} cannot be read from the definitions bucket: check that the credentials may read it, then try again")]
    Manifest {
        key: String,
        #[source]
        source: StoreError,
    },
    #[error("{key} has a format that this version of nacre does not know: install the version that is deployed")]
    ManifestFormat {
        key: String,
        #[source]
        source: ManifestError,
    },
    #[error("{key} is not a valid manifest: give another generation with --to (`nacre definitions list` has them)")]
    ManifestInvalid {
        key: String,
        #[source]
        source: ManifestError,
    },
    #[error("the table of records cannot be read: is its name right?")]
    Records(#[source] StoreError),
    #[error("there is no pass for generation {0}: `nacre rescan start` starts one")]
    NoPass(u64),
    #[error("the records of passes cannot be read or written")]
    Passes(#[from] PassStoreError),
    #[error("the pass for generation {0} has ended: there is nothing to cancel")]
    Done(u64),
    #[error("{0} could not be invoked")]
    Invoke(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{function} failed: {response}")]
    Function { function: String, response: String },
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.command {
        Command::Plan(arguments) => plan::run(arguments).await,
        Command::Start { stack, function } => start(stack, function.as_deref()).await,
        Command::Status { which, json } => status(which, *json).await,
        Command::Cancel { which } => end(which).await,
    };
    conclude("rescan", done)
}

/// What the rescanner returns.
#[derive(Debug, Deserialize)]
struct Started {
    generation: u64,
    attempt: u32,
    segments: u32,
    outcome: String,
}

async fn start(stack: &StackArgument, given: Option<&str>) -> Result<(), RescanError> {
    let deployment = stack.open().await?;
    let function = &deployment.name(Part::RescannerFunction, given).await?;
    let client = aws_sdk_lambda::Client::new(&deployment.sdk);
    let request = client.invoke().function_name(function).payload(Blob::new(r#"{"rescan":"start"}"#));
    let response = request.send().await.map_err(|error| RescanError::Invoke(function.clone(), error.into()))?;
    let payload = response.payload().map(Blob::as_ref).unwrap_or_default();
    let failed = || RescanError::Function {
        function: function.clone(),
        response: String::from_utf8_lossy(payload).into_owned(),
    };
    if response.function_error().is_some() {
        return Err(failed());
    }
    let Started { generation, attempt, segments, outcome } = serde_json::from_slice(payload).map_err(|_| failed())?;
    let what = match outcome.as_str() {
        "begun" => "has started",
        "resumed" => "was stuck, and continues",
        _ => "is under way already",
    };
    print(&format!("pass {attempt} for generation {generation} {what}, in {segments} segments"))?;
    Ok(print("`nacre rescan status` shows how far it is")?)
}

async fn status(which: &Which, json: bool) -> Result<(), RescanError> {
    let (store, pass) = find(which).await?;
    let progress = status::progress(&store, &pass).await?;
    Ok(print_lines(&if json { status::as_json(&pass, &progress) } else { status::in_words(&pass, &progress) })?)
}

async fn end(which: &Which) -> Result<(), RescanError> {
    let (store, pass) = find(which).await?;
    if status::progress(&store, &pass).await?.state.is_final() {
        return Err(RescanError::Done(pass.id.generation.0));
    }
    cancel(&store, pass.id, SystemClock.now()).await?;
    let (attempt, generation) = (pass.id.attempt, pass.id.generation.0);
    Ok(print(&format!("pass {attempt} for generation {generation} ends before its next pages"))?)
}

/// The newest pass for a generation.
async fn find(which: &Which) -> Result<(S3Definitions, Pass), RescanError> {
    let store = which.bucket.store(&which.stack.open().await?).await?;
    let generation = match which.generation {
        Some(generation) => Generation(generation),
        None => match read_pointer(&store, None).await? {
            PointerRead::Read { pointer, .. } => pointer.generation,
            PointerRead::Missing | PointerRead::Unchanged => return Err(RescanError::Nothing),
        },
    };
    let kept = read_pass(&store, generation).await?;
    let StoredPass { pass, .. } = kept.ok_or(RescanError::NoPass(generation.0))?;
    Ok((store, pass))
}
