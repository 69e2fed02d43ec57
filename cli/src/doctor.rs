//! `nacre doctor`: checks a deployment from outside, and names each fault with its remedy.

mod checks;
mod failed_calls;
mod gather;
mod keys;
mod snapshot;

use std::process::ExitCode;

use checks::findings;
use clap::Args;
use gather::{GatherError, gather};

use crate::{
    deployment::StackArgument,
    output::{FINDING, failed, print, print_json},
};

/// Check a deployment from outside: events, policies, keys, queues, functions, records, definitions.
///
/// Reads only. `nacre status` says how it does at this moment, `nacre deploy` tests it with EICAR.
///
/// Exit status: 0 when there is no fault, 1 when there is one, 2 when it could not be checked.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: StackArgument,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    match execute(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDING),
        Err(error) => failed("doctor", &error),
    }
}

/// Prints the faults; whether there is none.
async fn execute(arguments: &Arguments) -> Result<bool, GatherError> {
    let deployment = arguments.stack.open().await?;
    let findings = findings(&gather(&deployment).await?);
    for finding in &findings {
        if arguments.json {
            print_json(finding)?;
            continue;
        }
        finding.lines().iter().try_for_each(|line| print(line))?;
    }
    if findings.is_empty() && !arguments.json {
        print("no fault is found")?;
    }
    Ok(findings.is_empty())
}
