//! `nacre buckets`: which buckets a stack scans.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{
    AttachError,
    execute::Executor,
    plan::{EventsBy, PlanError},
    policy_text,
    statements::read_access,
};
use crate::{
    deployment::StackArgument,
    output::{FINDING, explain, failed, print, print_json},
};

/// List the buckets that a stack scans, and how.
///
/// Exit status: 0 when each of them sends its events, 1 when one does not or cannot be read, 2 when they could not be listed.
#[derive(Debug, Args)]
pub(crate) struct BucketsArguments {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgument,
}

/// One bucket.
#[derive(Debug, Serialize)]
struct Line {
    bucket: String,
    /// Whether it is the stack's own.
    own: bool,
    events: Option<&'static str>,
    keys: Vec<String>,
    read_access: Option<&'static str>,
    /// Why it cannot be read.
    unreadable: Option<String>,
}

impl Line {
    fn in_words(&self) -> String {
        if let Some(error) = &self.unreadable {
            return format!("{}  cannot be read: {error}", self.bucket);
        }
        let keys: Vec<_> = self.keys.iter().map(|keys| if keys == "*" { "all" } else { keys }).collect();
        let events = self.events.unwrap_or("NO EVENTS");
        let access = self.read_access.unwrap_or("NOT DENIED");
        let own = if self.own { "  the stack's own" } else { "" };
        format!(
            "{}  {events}  {}  {access}{own}",
            self.bucket,
            if keys.is_empty() { "-".into() } else { keys.join(" ") }
        )
    }
}

/// Runs `nacre buckets`.
pub(crate) async fn run_buckets(arguments: &BucketsArguments) -> ExitCode {
    match execute(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDING),
        Err(error) => failed("buckets", &error),
    }
}

/// Prints the buckets; whether all of them send events.
async fn execute(arguments: &BucketsArguments) -> Result<bool, AttachError> {
    let deployment = arguments.stack.open().await?;
    let executor = Executor::open(&deployment).await?;
    let mut right = true;
    for (number, bucket) in executor.deployed.buckets().into_iter().enumerate() {
        let line = line(&executor, bucket, number == 0).await?;
        right &= line.events.is_some();
        if arguments.json { print_json(&line)? } else { print(&line.in_words())? }
    }
    Ok(right)
}

async fn line(executor: &Executor<'_>, bucket: String, own: bool) -> Result<Line, PlanError> {
    let found = match executor.read(&bucket).await {
        Ok(found) => found,
        Err(error) => {
            let unreadable = Some(explain(&error));
            return Ok(Line { bucket, own, events: None, keys: Vec::new(), read_access: None, unreadable });
        }
    };
    let deployed = &executor.deployed;
    let attached = deployed.attached(&bucket, &found.notification)?;
    let has_bridge = found.notification.event_bridge_configuration().is_some();
    let attached = attached.filter(|(events, _)| *events == EventsBy::Sns || has_bridge);
    let statements = found.policy.as_deref().map(policy_text::statements).transpose()?.unwrap_or_default();
    let access = read_access(&deployed.scanner_role, &statements);
    let (events, keys) = attached.map(|(events, keys)| (events.name(), keys)).unzip();
    let keys = keys.unwrap_or_default().iter().map(ToString::to_string).collect();
    Ok(Line { bucket, own, events, keys, read_access: access.map(super::ReadAccess::name), unreadable: None })
}
