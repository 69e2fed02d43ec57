//! `nacre dlq`: what the functions gave up on, why, and how to have it done after all.

mod letter;
mod letters;
mod queue;

use std::{collections::BTreeMap, num::NonZeroU32, process::ExitCode, time::Duration};

use aws_sdk_lambda::primitives::Blob;
use clap::{Args, Subcommand};
use letter::{Letter, Selection};
pub(crate) use letters::DlqError;
use letters::Letters;
use nacre_core::object::ObjectId;
pub(crate) use queue::{DeadLetterQueue, depth};
use serde_json::json;

use crate::{
    deployment::{Part, StackArgument},
    output::{FINDING, failed, print, print_json},
    s3_url::parse_object,
};

/// List what was given up on and why, have it done after all, or drop it.
///
/// Messages are kept for 14 days from when they were first sent. Remove the cause first, then `redrive`. A message is sent to where it
/// came from before it is deleted: a run that is killed loses nothing, and what is done twice is answered by its record.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how many messages are in each dead-letter queue.
    ///
    /// Exit status: 0 when there are none, 1 when there are some, 2 when that is not known.
    List {
        #[command(flatten)]
        stack: StackArgument,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show the messages of a dead-letter queue by object, with the function's own last error for it.
    ///
    /// They are hidden from other readers for a moment. Exit status: 0 when there are none, 1 when there are some, 2 when that is not
    /// known.
    Show {
        #[command(flatten)]
        which: Which,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Send messages back to where they came from.
    ///
    /// Exit status: 0 when all that were chosen are sent, 2 when not.
    Redrive {
        #[command(flatten)]
        which: Which,
        /// Most messages that are sent in a second
        #[arg(long, value_name = "MESSAGES", default_value = "10")]
        rate: NonZeroU32,
    },
    /// Delete messages for good. What they requested is not done.
    ///
    /// Exit status: 0 when all that were chosen are deleted, 2 when not.
    Drop {
        #[command(flatten)]
        which: Which,
        /// Delete them; without, they are only counted
        #[arg(long)]
        yes: bool,
    },
}

/// Which messages.
#[derive(Debug, Args)]
struct Which {
    /// The queue
    #[arg(value_enum)]
    queue: DeadLetterQueue,
    /// Only those whose cause has this text
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// Only those about this object, as `s3://bucket/key` or `s3://bucket/key?versionId=id`
    #[arg(long, value_name = "S3-URL", value_parser = parse_object)]
    object: Option<ObjectId>,
    #[command(flatten)]
    stack: StackArgument,
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.command {
        Command::List { stack, json } => list(stack, *json).await,
        Command::Show { which, json } => show(which, *json).await,
        Command::Redrive { which, rate } => redrive(which, *rate).await.map(|()| false),
        Command::Drop { which, yes } => drop_letters(which, *yes).await.map(|()| false),
    };
    match done {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(FINDING),
        Err(error) => failed("dlq", &error),
    }
}

async fn list(stack: &StackArgument, as_json: bool) -> Result<bool, DlqError> {
    let deployment = stack.open().await?;
    let mut any = false;
    for queue in DeadLetterQueue::ALL {
        let count = depth(&deployment, queue.part()).await?;
        any |= count.all() > 0;
        if as_json {
            print_json(&json!({ "queue": queue.name(), "messages": count.all(), "in_flight": count.in_flight }))?;
        } else {
            print(&format!("{:13} {:>6}  {}", queue.name(), count.all(), queue.meaning()))?;
        }
    }
    Ok(any)
}

async fn show(which: &Which, as_json: bool) -> Result<bool, DlqError> {
    let deployment = which.stack.open().await?;
    let mut letters = Letters::open(&deployment, which.queue).await?;
    let (chosen, selection) = (letters.all().await, which.selection());
    // What was read goes back at once, whatever is printed.
    letters.release().await;
    let chosen: Vec<Letter> = chosen?.into_iter().filter(|letter| selection.takes(letter)).collect();
    if as_json {
        chosen.iter().try_for_each(|letter| print_json(&letter.json()))?;
        return Ok(!chosen.is_empty());
    }
    let mut by_cause: BTreeMap<&str, Vec<&Letter>> = BTreeMap::new();
    for letter in &chosen {
        by_cause.entry(&letter.cause).or_default().push(letter);
    }
    for (cause, letters) in by_cause {
        print(&format!("{}: {cause}", letters.len()))?;
        letters.iter().flat_map(|letter| letter.lines()).try_for_each(|line| print(&format!("  {line}")))?;
    }
    if letters.logs_cut {
        eprintln!("nacre dlq: not all logs were read: some causes may be missing");
    }
    Ok(!chosen.is_empty())
}

async fn redrive(which: &Which, rate: NonZeroU32) -> Result<(), DlqError> {
    let deployment = which.stack.open().await?;
    let mut letters = Letters::open(&deployment, which.queue).await?;
    let selection = which.selection();
    let pause = Duration::from_secs(1) / rate.get();
    let sent = async {
        let (mut sent, mut left, mut pass_started) = (0_u64, 0_u64, false);
        while let Some(batch) = letters.batch().await? {
            for letter in batch.into_iter().filter(|letter| selection.takes(letter)) {
                if letter.is_of_a_schedule() {
                    left += 1;
                    continue;
                }
                match which.queue.source(&letter) {
                    Some(source) => letters.send(source, &letter).await?,
                    // One pass does what all announcements request.
                    None if pass_started => {}
                    None => {
                        start_pass(&deployment).await?;
                        pass_started = true;
                    }
                }
                letters.delete(&letter).await?;
                sent += 1;
                tokio::time::sleep(pause).await;
            }
        }
        Ok::<_, DlqError>((sent, left))
    }
    .await;
    letters.release().await;
    let (sent, left) = sent?;
    if left > 0 {
        print(&format!("{left} messages stay: their schedule sends the next ones itself, so drop them"))?;
    }
    Ok(print(&format!("{sent} messages sent back; `nacre dlq list` shows what fails again"))?)
}

async fn drop_letters(which: &Which, yes: bool) -> Result<(), DlqError> {
    let deployment = which.stack.open().await?;
    let mut letters = Letters::open(&deployment, which.queue).await?;
    let selection = which.selection();
    let dropped = async {
        let (mut dropped, mut kept) = (0_u64, 0_u64);
        while let Some(batch) = letters.batch().await? {
            for letter in batch.into_iter().filter(|letter| selection.takes(letter)) {
                // The requests of other objects would go with it, without a word.
                if selection.object.is_some() && letter.objects.len() > 1 {
                    kept += 1;
                    continue;
                }
                if yes {
                    letters.delete(&letter).await?;
                }
                dropped += 1;
            }
        }
        Ok::<_, DlqError>((dropped, kept))
    }
    .await;
    letters.release().await;
    let (dropped, kept) = dropped?;
    if kept > 0 {
        print(&format!("{kept} messages stay, as they name other objects as well: redrive them, or drop by cause"))?;
    }
    let what = if yes { "deleted" } else { "would be deleted: --yes deletes them" };
    Ok(print(&format!("{dropped} messages {what}"))?)
}

/// A pass over the records finds what an announcement would have found.
async fn start_pass(deployment: &crate::deployment::Deployment) -> Result<(), DlqError> {
    let function = deployment.name(Part::RescannerFunction, None).await?;
    let request = aws_sdk_lambda::Client::new(&deployment.sdk).invoke().function_name(&function);
    let response = request.payload(Blob::new(r#"{"rescan":"start"}"#)).send().await;
    let response = response.map_err(|error| DlqError::Pass(function.clone(), error.into()))?;
    if response.function_error().is_some() {
        let said = String::from_utf8_lossy(response.payload().map(Blob::as_ref).unwrap_or_default()).into_owned();
        return Err(DlqError::Pass(function, said.into()));
    }
    Ok(())
}

impl Which {
    fn selection(&self) -> Selection<'_> {
        Selection { cause: self.cause.as_deref(), object: self.object.as_ref() }
    }
}
