//! `nacre definitions check`: whether libclamav loads all that loose signature files hold.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use nacre_clamav::{archive::is_member_name, loose::is_loose_file};
use nacre_engine_client::{
    EngineClient, EngineError,
    loose_file::{TrialError, faults},
    program_beside_us,
};

use super::source::{Files, Location, SourceError};
use crate::output::{FINDING, explain, failed, print};

/// Check loose signature files before they are put under `nacre/custom/`.
///
/// Loads each alone with the engine. libclamav passes over what it cannot read and loads the rest in silence; here each such fault is
/// printed with its file, line and remedy. A set with such a file is not published.
///
/// Exit status: 0 when all files are loaded whole, 1 when one is not or cannot be read, 2 when nothing could be checked.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files to check: .ndb, .ldb, .hdb, .hsb, .yar, .ign2, .fp, .sfp, …
    #[arg(required = true, value_name = "FILE")]
    files: Vec<Location>,
    /// The engine program [default: nacre-engine beside this program]
    #[arg(long, value_name = "PROGRAM")]
    engine: Option<PathBuf>,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("the engine program cannot be found: name it with --engine")]
    Program(#[source] std::io::Error),
    #[error("the engine is not ready")]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error("the results cannot be written")]
    Output(#[from] std::io::Error),
}

/// Why one file cannot be checked.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error(
        "libclamav loads no loose file of this name: let it end in .ndb, .ldb, .hdb, .hsb, .yar, .cdb, .ign2, .fp, .sfp, …"
    )]
    Name,
    #[error("it cannot be read")]
    Read(#[from] SourceError),
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    match check_all(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDING),
        Err(error) => failed("definitions check", &error),
    }
}

async fn check_all(arguments: &Arguments) -> Result<bool, CommandError> {
    let program = arguments.engine.clone().map_or_else(program_beside_us, Ok).map_err(CommandError::Program)?;
    let scratch = env::temp_dir();
    let engine = EngineClient::start(&program, &scratch, 1).await?;
    let mut all = true;
    for location in &arguments.files {
        let faults = match read(location).await {
            Ok(bytes) => trial(&engine, &scratch, location.file_name(), &bytes).await?,
            Err(error) => vec![explain(&error)],
        };
        if faults.is_empty() {
            print(&format!("{location}: OK"))?;
        }
        for fault in &faults {
            all = false;
            print(&format!("{location}: {fault}"))?;
        }
    }
    Ok(all)
}

async fn read(location: &Location) -> Result<Vec<u8>, FileError> {
    let name = location.file_name();
    if !is_member_name(name) || !is_loose_file(name) {
        return Err(FileError::Name);
    }
    Ok(Files::default().read(location).await?)
}

async fn trial(engine: &EngineClient, scratch: &Path, name: &str, bytes: &[u8]) -> Result<Vec<String>, TrialError> {
    let found = faults(engine, scratch, name, bytes).await?;
    Ok(found.iter().map(ToString::to_string).collect())
}
