//! `nacre destroy`: deletes a stack, and accounts for what stays.

mod kept;
mod policies;
mod removal;

use std::{error::Error, io, process::ExitCode};

use aws_config::Region;
use aws_sdk_cloudformation::types::{Stack, StackStatus};
use clap::Args;
use kept::{Account, Kept, NotKept, account, left, named, without_orphans};
use nacre_aws::sdk_config;
use policies::deletions;
use removal::{Presence, RemovalError, Remover};
use serde_json::json;

use crate::{
    deploy::default_bucket,
    deployment::DEFAULT_STACK,
    output::{conclude, print, print_json},
    stack::{Ended, Situation, StackError, Stacks, check_is_ours, parameters, parse_name_or_arn, situation},
};

/// Delete a stack of Nacre, and say what stays and why.
///
/// Without --yes it only says so. Objects, definitions, scan records and quarantine stay, whatever becomes of the stack: each is
/// removed only when --remove-data names it, also after the stack is gone.
///
/// Exit status: 0 when it was done, or shown; 2 when not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the stack, or ARN of one that was deleted
    #[arg(long, env = "NACRE_STACK", value_name = "NAME", default_value = DEFAULT_STACK, value_parser = parse_name_or_arn)]
    stack: String,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Remove this bucket or table too, with every version of every object in it; one that this command shows
    #[arg(long, value_name = "NAME")]
    remove_data: Vec<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Why a stack was not deleted, or not all that was named was removed.
#[derive(Debug, thiserror::Error)]
enum DestroyError {
    #[error("AWS does not know who is calling: set credentials, as the AWS CLI takes them")]
    Identity(#[source] Box<dyn Error + Send + Sync>),
    #[error(
        "there is no stack {0} in this region, and none was deleted in the last 90 days: check --stack and AWS_REGION"
    )]
    NoStack(String),
    #[error("nothing was done")]
    NotKept(#[from] NotKept),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(
        "the stack is {status}, and nothing of its data was removed. Remove the cause and run this again: {failures}"
    )]
    NotDeleted { status: String, failures: String },
    #[error("the template of the stack {0} cannot be read, so what would be kept is not known")]
    Template(String, #[source] yaml_rust2::ScanError),
    #[error(transparent)]
    Removal(#[from] RemovalError),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command. An interrupt ends it as it ends any program: what was begun goes on, and another run continues.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("destroy", execute(arguments).await)
}

async fn execute(arguments: &Arguments) -> Result<(), DestroyError> {
    let sdk = sdk_config().await;
    let caller = aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await;
    let caller = caller.map_err(|error| DestroyError::Identity(error.into()))?;
    let caller = caller.account().unwrap_or_default().to_owned();
    let own_packages = default_bucket(&caller, sdk.region().map(Region::as_ref).unwrap_or_default());
    let remover = Remover::new(&sdk, caller);
    let stacks = Stacks::new(&sdk);
    let Found { stack, exists, shell } = find(&stacks, &arguments.stack).await?;
    let id = stack.stack_id().unwrap_or(&arguments.stack);
    let packages =
        parameters(&stack).remove("CodeBucket").map(|bucket| Kept::packages(&bucket, bucket == own_packages));
    for bucket in attached(&stack).iter().filter(|_| exists) {
        // Its policy would exempt a role that is gone.
        eprintln!(
            "{bucket} is attached: run `nacre detach s3://{bucket}` first. Otherwise its notifications go to a topic that is gone, and \
             its infected objects can be read and tagged by nobody until you change its policy"
        );
    }
    let Account { kept, lost } = if exists {
        let deletions = deletions(&stacks.template(id).await?);
        let deletions = deletions.map_err(|error| DestroyError::Template(arguments.stack.clone(), error))?;
        account(&stacks.resources(id).await?, &deletions)
    } else {
        Account { kept: left(&stacks.left_by_deletion(id).await?), lost: Vec::new() }
    };
    let stays = there(&remover, kept.into_iter().chain(packages.clone())).await?;
    let to_remove = named(&stays, &arguments.remove_data)?;
    if !arguments.yes {
        return show(arguments, &stays, &lost, &to_remove, exists);
    }
    if let Some(shell) = shell {
        stacks.delete(&shell).await?;
    }
    if exists {
        delete(&stacks, id).await?;
    }
    let mut gone = Vec::new();
    for kept in to_remove {
        eprintln!("removing {}", kept.name);
        remover.remove(&kept).await?;
        gone.push(kept.name);
    }
    // What CloudFormation says that it left, as far as it is still there.
    let resources = left(&stacks.left_by_deletion(id).await?);
    let mut stays = there(&remover, resources.into_iter().chain(packages)).await?;
    // A table goes a moment after it was deleted.
    stays.retain(|kept| !gone.contains(&kept.name));
    report(arguments, exists, &stays, &gone)
}

/// The names of attached buckets.
fn attached(stack: &Stack) -> Vec<String> {
    let arns = parameters(stack).remove("AttachedBucketArns").unwrap_or_default();
    arns.split(',').filter_map(|arn| Some(arn.trim().rsplit_once(":::")?.1.to_owned())).collect()
}

/// What of it is there.
async fn there(remover: &Remover, kept: impl Iterator<Item = Kept>) -> Result<Vec<Kept>, RemovalError> {
    let mut there = Vec::new();
    for kept in kept {
        match remover.presence(&kept).await? {
            Presence::There => there.push(kept),
            Presence::Unseen => {
                let why = format!("{}. These credentials may not see whether it is still there", kept.why);
                there.push(Kept { why, ..kept });
            }
            Presence::Gone => {}
        }
    }
    Ok(without_orphans(there))
}

/// A stack that is deleted, or was.
struct Found {
    stack: Stack,
    exists: bool,
    /// A later stack of that name that is nothing but a change set, as a dry run makes one for a moment.
    shell: Option<String>,
}

/// The stack: one that was deleted is found, too, for what it left.
async fn find(stacks: &Stacks, name: &str) -> Result<Found, DestroyError> {
    let absent = || DestroyError::NoStack(name.to_owned());
    let deleted = async || match stacks.newest_deleted(name).await? {
        Some(id) => stacks.describe(&id).await,
        None => Ok(None),
    };
    loop {
        let found = stacks.describe(name).await?;
        let is_shell = found.as_ref().and_then(Stack::stack_status) == Some(&StackStatus::ReviewInProgress);
        let (stack, shell) = match found {
            Some(shell) if is_shell => match deleted().await? {
                Some(stack) => (stack, shell.stack_id().map(str::to_owned)),
                None => (shell, None),
            },
            Some(stack) => (stack, None),
            None => (deleted().await?.ok_or_else(absent)?, None),
        };
        check_is_ours(&stack)?;
        let id = stack.stack_id().unwrap_or(name).to_owned();
        if situation(stack.stack_status()) != Situation::Busy {
            let exists = stack.stack_status() != Some(&StackStatus::DeleteComplete);
            return Ok(Found { stack, exists, shell });
        }
        eprintln!("an operation on the stack is under way, and waited for");
        stacks.follow(&id, "waiting", stacks.newest_event(&id).await?).await?;
    }
}

async fn delete(stacks: &Stacks, id: &str) -> Result<(), DestroyError> {
    let after = stacks.newest_event(id).await?;
    stacks.delete(id).await?;
    let Ended { status, failures } = stacks.follow(id, "deleting", after).await?;
    if status == StackStatus::DeleteComplete {
        return Ok(());
    }
    Err(DestroyError::NotDeleted { status: status.to_string(), failures: failures.join("; ") })
}

/// What would be done.
fn show(
    arguments: &Arguments,
    stays: &[Kept],
    lost: &[Kept],
    to_remove: &[Kept],
    exists: bool,
) -> Result<(), DestroyError> {
    if arguments.json {
        let names: Vec<_> = to_remove.iter().map(|kept| &kept.name).collect();
        let shown =
            json!({ "stack": arguments.stack, "deleted": false, "kept": stays, "lost": lost, "would_remove": names });
        return Ok(print_json(&shown)?);
    }
    if exists {
        print(&format!("the stack {} would be deleted, and all that is in it but this:", arguments.stack))?;
    } else {
        print(&format!("the stack {} is deleted, and left this:", arguments.stack))?;
    }
    for kept in stays {
        let removed = if to_remove.contains(kept) { "WOULD BE REMOVED, with every version in it: " } else { "stays: " };
        print(&format!("{removed}{}", kept.in_words()))?;
    }
    for lost in lost {
        print(&format!("GOES WITH IT, and all that is in it: {}", lost.in_words()))?;
    }
    Ok(print("nothing was done: give --yes to do it, and --remove-data NAME for each thing to be removed too")?)
}

/// What was done.
fn report(arguments: &Arguments, exists: bool, left: &[Kept], removed: &[String]) -> Result<(), DestroyError> {
    let name = &arguments.stack;
    if arguments.json {
        return Ok(print_json(&json!({ "stack": name, "deleted": true, "kept": left, "removed": removed }))?);
    }
    if exists {
        print(&format!("the stack {name} is deleted"))?;
    }
    for name in removed {
        print(&format!("removed: {name}"))?;
    }
    for kept in left {
        print(&format!("stays: {}", kept.in_words()))?;
    }
    if left.is_empty() {
        return Ok(print("nothing of it is left")?);
    }
    Ok(print(&format!("to remove something of it: nacre destroy --stack {name} --yes --remove-data NAME"))?)
}
