//! The probe: a Lambda function that reports what its surroundings allow. `nacre deploy --probe` deploys it, invokes it once and
//! removes it. It changes nothing, and sends nothing anywhere but in its response.
//!
//! With `--print` it reports on the machine that it is run on, to compare. A call that could change this process for good is tried in a process of its own: `nacre-probe --attempt NAME`.

mod attempts;
mod surroundings;

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    process::{Command, ExitCode},
};

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

/// What is reported.
#[derive(Debug, Serialize)]
struct Report {
    /// What the system says of itself.
    facts: BTreeMap<&'static str, String>,
    /// Each attempt, with `allowed` or the error.
    calls: BTreeMap<&'static str, String>,
    /// Directories, with `writable` or the error.
    directories: BTreeMap<&'static str, String>,
    /// Names of the environment's variables; their values are nobody's business.
    environment: Vec<String>,
}

/// Not by `tokio::main`: an attempt must be the only thread of its process, or `unshare` refuses for that.
fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let printed = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--attempt"), Some(name)) => attempts::attempt(&name),
        (Some("--print"), None) => serde_json::to_string_pretty(&look()).ok(),
        (None, None) => return serve(),
        _ => None,
    };
    let text = printed.as_deref().unwrap_or("usage: nacre-probe [--print | --attempt NAME]");
    // A closed pipe has no reader whom it could matter to.
    let _ = writeln!(io::stdout(), "{text}");
    if printed.is_some() { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// Answers Lambda.
fn serve() -> ExitCode {
    let served = Runtime::new().map_err(Error::from).and_then(|runtime| runtime.block_on(run(service_fn(report))));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nacre-probe: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn report(_: LambdaEvent<Value>) -> Result<Report, Error> {
    Ok(tokio::task::spawn_blocking(look).await?)
}

fn look() -> Report {
    let mut environment: Vec<_> = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    environment.sort_unstable();
    Report {
        facts: surroundings::facts(),
        calls: attempts::ATTEMPTS.iter().map(|(name, _)| (*name, in_a_process_of_its_own(name))).collect(),
        directories: surroundings::directories(),
        environment,
    }
}

/// What an attempt printed; one that was killed says by what.
fn in_a_process_of_its_own(name: &str) -> String {
    let output = env::current_exe().and_then(|program| Command::new(program).args(["--attempt", name]).output());
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => format!("ended by it: {}", output.status),
        Err(error) => format!("not tried: {error}"),
    }
}
