//! `nacre logs`: the functions' structured logs, of one object across the functions.

use std::{io, process::ExitCode};

use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use nacre_aws::SystemClock;
use nacre_core::{object::ObjectId, port::Clock};

use crate::{
    deployment::{DeploymentError, StackArgument},
    function_logs::{FunctionLogs, LogsError, parse_duration},
    output::{conclude, print, print_json},
    s3_url::parse_object,
};

/// Show what the functions logged, of one object or of all.
///
/// Exit status: 0 when the logs were read, 2 when not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only lines about this object, as `s3://bucket/key` or `s3://bucket/key?versionId=id`
    #[arg(long, value_name = "S3-URL", value_parser = parse_object)]
    object: Option<ObjectId>,
    /// Only lines of this function
    #[arg(long, value_enum)]
    function: Option<Function>,
    /// Since when, such as 90m, 12h or 14d
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = parse_duration)]
    since: TimeDelta,
    #[command(flatten)]
    stack: StackArgument,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Function {
    Updater,
    Rescanner,
    Scanner,
    Rescan,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Updater => "updater",
            Self::Rescanner => "rescanner",
            Self::Scanner => "scanner",
            Self::Rescan => "rescan",
        }
    }
}

/// Why logs were not shown.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error("the lines cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("logs", execute(arguments).await)
}

async fn execute(arguments: &Arguments) -> Result<(), CommandError> {
    let deployment = arguments.stack.open().await?;
    let logs = FunctionLogs::open(&deployment).await?;
    let functions: Vec<_> = arguments.function.iter().map(|function| function.name()).collect();
    let since = SystemClock.now() - arguments.since;
    let key = arguments.object.as_ref().map(|object| object.key.as_str());
    let found = logs.search(&functions, since, key).await?;
    for line in &found.lines {
        if arguments.object.as_ref().is_some_and(|object| !line.is_about(object)) {
            continue;
        }
        if arguments.json { print_json(line)? } else { print(&line.to_string())? }
    }
    if found.cut {
        eprintln!("nacre logs: there is more than was read: give a shorter --since");
    }
    Ok(())
}
