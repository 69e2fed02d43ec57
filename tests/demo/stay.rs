//! `nacre-demo --stay`: the stack of the demo, kept running to work with. `make stack` runs it.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _, stdout},
    path::Path,
};

use nacre_test_support::{Mirror, Stack};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Arguments, DemoError, now, start};
use crate::{
    definitions::Databases,
    narrator::{self, Narrator},
};

/// Outputs of the template as settings: those that `nacre` reads, and the bucket to upload to.
const SETTINGS: [(&str, &str); 5] = [
    ("AV_DEFINITION_S3_BUCKET", "DefinitionsBucket"),
    ("NACRE_RECORDS_TABLE", "ScanRecords"),
    ("NACRE_TRIGGER_TOPIC_ARN", "RescanTrigger"),
    ("NACRE_RESCANNER_FUNCTION", "RescannerFunction"),
    ("SCANNED_BUCKET", "ScannedBucket"),
];

/// Starts the stack, which publishes definitions, and waits for an interrupt or SIGTERM. Whenever that comes, all of it is stopped.
pub(super) async fn stay(arguments: &Arguments) -> Result<(), DemoError> {
    let (mut interrupts, mut terminations) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut narrator = Narrator::new();
    let databases = Databases::new(now());
    let mirror = Mirror::start().await?;
    narrator.step("A local AWS starts, and `nacre deploy` deploys into it");
    let stack = tokio::select! {
        started = Box::pin(start(arguments, &mirror, &databases)) => started?,
        // What has started by then ends as it is dropped.
        () = ended(&mut interrupts, &mut terminations) => return Ok(()),
    };
    let file = arguments.directory.join("environment");
    let served = tokio::select! {
        served = serve(&mut narrator, &stack, &file) => served,
        () = ended(&mut interrupts, &mut terminations) => Ok(()),
    };
    // Its settings are no longer valid.
    let removed = fs::remove_file(&file);
    stack.stop().await?;
    served?;
    narrator.step("Stopped; nothing is left running");
    match removed {
        // Interrupted before it was written.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed?),
    }
}

/// Prints the environment, and returns only when that failed.
async fn serve(narrator: &mut Narrator, stack: &Stack, file: &Path) -> Result<(), DemoError> {
    let exports = exports(stack);
    fs::write(file, &exports)?;
    narrator::say(stack.output("FirstUpdate"));
    narrator.step(&format!("It runs until Ctrl-C. In another terminal: . {}", file.display()));
    write!(stdout(), "\n{exports}")?;
    stdout().flush()?;
    std::future::pending().await
}

async fn ended(interrupts: &mut Signal, terminations: &mut Signal) {
    tokio::select! {
        _ = interrupts.recv() => (),
        _ = terminations.recv() => (),
    }
}

/// A line for each setting of the AWS CLI and of `nacre`, for a shell.
fn exports(stack: &Stack) -> String {
    let operator = stack.operator_environment().into_iter();
    // The AWS CLI reads no other name of the region.
    let region =
        operator.clone().find(|(name, _)| *name == "AWS_REGION").map(|(_, region)| ("AWS_DEFAULT_REGION", region));
    let outputs = SETTINGS.map(|(name, output)| (name, stack.output(output).to_owned()));
    let mut lines = String::new();
    for (name, value) in operator.chain(region).chain(outputs) {
        // Writing to memory cannot fail.
        let _ = writeln!(lines, "export {name}={value}");
    }
    lines
}
