//! `nacre attach`, `nacre detach`, `nacre buckets`: which buckets a stack scans, and what each of them needs for it.

mod buckets;
mod detach;
mod earlier;
mod execute;
mod notification;
mod other_account;
mod plan;
mod policy_text;
mod screen;
mod statements;

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

pub(crate) use buckets::{BucketsArguments, run_buckets};
use clap::{Args, builder::NonEmptyStringValueParser};
pub(crate) use detach::{DetachArguments, run_detach};
use execute::{ExecuteError, Executor};
use nacre_core::key_filter::KeyPattern;
use plan::{EventsBy, Plan, PlanError, Wanted, attach};
use screen::{Screen, show};
use statements::ReadAccess;

use crate::{
    deployment::{Deployment, DeploymentError, StackArgument},
    output::conclude,
    s3_url::Place,
};

/// Have a stack scan a bucket that exists, besides its others.
///
/// Shows what changes: parameters of the stack, and the notifications and the policy of the bucket, of which nothing that others wrote
/// is touched. Events come by SNS where nothing of the bucket's own stands in the way, else by EventBridge. What is in the bucket
/// already is scanned by `nacre backfill`.
///
/// Exit status: 0 when the bucket is attached, or shown how; 2 when it is not.
#[derive(Debug, Args)]
pub(crate) struct AttachArguments {
    /// The bucket, as `s3://bucket`, or the part of it whose keys begin so, as `s3://bucket/prefix`
    #[arg(value_name = "S3-URL", value_parser = Place::parse)]
    place: Place,
    /// Only keys that end so
    #[arg(long, value_name = "SUFFIX", value_parser = NonEmptyStringValueParser::new())]
    suffix: Option<String>,
    /// How events come [default: as they come already, else sns if nothing stands in the way]
    #[arg(long, value_enum)]
    events: Option<EventsBy>,
    /// Which objects others may read [default: as the bucket has it, else as the stack has it]
    #[arg(long, value_enum)]
    read_access: Option<ReadAccess>,
    /// Whether the hourly self-test is made in it, too, under nacre-self-test/scheduled/ [default: as it is, else true if these keys are
    /// attached and the stack makes self-tests]
    #[arg(long, value_name = "true|false")]
    self_test: Option<bool>,
    /// Account that the bucket is of, if it is another: what is to be done there is printed
    #[arg(long, value_name = "ACCOUNT", value_parser = parse_account)]
    owner: Option<String>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    stack: StackArgument,
}

/// How a change is made.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Do it without a question
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn keys(place: &Place, suffix: Option<&String>) -> KeyPattern {
    KeyPattern { prefix: place.prefix.clone(), suffix: suffix.cloned().unwrap_or_default() }
}

fn parse_account(id: &str) -> Result<String, String> {
    let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
    if is_id { Ok(id.to_owned()) } else { Err("the id of an account has twelve digits".into()) }
}

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    #[error("nothing was changed: give --yes to do it without a question")]
    NotConfirmed,
    #[error("the records of the bucket's objects were not all removed: run this again")]
    Records(#[source] nacre_core::port::StoreError),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs `nacre attach`.
pub(crate) async fn run_attach(arguments: &AttachArguments) -> ExitCode {
    conclude("attach", execute(arguments).await)
}

async fn execute(arguments: &AttachArguments) -> Result<(), AttachError> {
    let deployment = arguments.stack.open().await?;
    let executor = Executor::open(&deployment).await?;
    let AttachArguments { place, events, read_access, how, .. } = arguments;
    let keys = keys(place, arguments.suffix.as_ref());
    if let Some(owner) = arguments.owner.as_ref().filter(|owner| **owner != executor.account) {
        let other = other_account::Other { bucket: &place.bucket, owner, keys, read_access: *read_access };
        return other_account::attach(&executor, &other, *events, how).await;
    }
    executor.check(&place.bucket).await?;
    let found = executor.read(&place.bucket).await?;
    let wanted = Wanted { keys, events: *events, read_access: *read_access, self_test: arguments.self_test };
    let plan = attach(&executor.deployed, &place.bucket, &found, &wanted)?;
    let done = !how.dry_run && !plan.is_empty();
    if !how.json {
        show(&Screen::of(&plan, &executor.deployed, &found, false))?;
    }
    if done {
        confirm(how)?;
        executor.attach(&plan, &found).await?;
    }
    Screen::of(&plan, &executor.deployed, &found, done).conclude(how.json, &next(&plan, place))?;
    Ok(())
}

/// What an operator does then.
fn next(plan: &Plan, place: &Place) -> Vec<String> {
    let Place { bucket, prefix } = place;
    let backfill = format!("scan what is there already: nacre backfill s3://{bucket}/{prefix}");
    if plan.is_empty() { Vec::new() } else { vec![backfill] }
}

/// Asks whether to do what was shown.
fn confirm(how: &How) -> Result<(), AttachError> {
    if how.yes {
        return Ok(());
    }
    if how.json || !io::stdin().is_terminal() {
        return Err(AttachError::NotConfirmed);
    }
    write!(io::stderr(), "Do it? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(AttachError::NotConfirmed) }
}

/// Attaches the bucket that `nacre deploy` was given; the lines that say what was done.
///
/// # Errors
/// [`AttachError`].
pub(crate) async fn give_own(deployment: &Deployment, bucket: &str) -> Result<Vec<String>, AttachError> {
    let executor = Executor::open(deployment).await?;
    executor.check(bucket).await?;
    let found = executor.read(bucket).await?;
    let wanted = Wanted { keys: KeyPattern::default(), events: None, read_access: None, self_test: None };
    let plan = attach(&executor.deployed, bucket, &found, &wanted)?;
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    executor.attach(&plan, &found).await?;
    Ok(Screen::of(&plan, &executor.deployed, &found, true).lines())
}
