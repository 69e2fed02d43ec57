//! What commands print, and the exit status that they end with.
//!
//! Exit status of every command: 0 when it was done, 1 for a finding that it exists to report (an infected file, definitions that
//! are stale), 2 for an error, as clap has it for wrong arguments, 3 when what it did could not be tested, 130 when interrupted.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use nacre_core::telemetry::error_chain;
use serde::Serialize;

use crate::aws_error::{before_sdk, remedy};
use crate::printable::{printable, printable_json};

/// Exit status of a finding.
pub(crate) const FINDING: u8 = 1;

/// Exit status of an error.
pub(crate) const ERROR: u8 = 2;

/// Exit status when all was done and whether it works is not known.
pub(crate) const UNPROVEN: u8 = 3;

/// Exit status after an interrupt, as shells have it: 128 and the number of the signal.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error in one line, with all its causes. Where the credentials, the region or the network are the cause, one sentence with the remedy
/// takes the place of what the SDK says.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> String {
    match remedy(error) {
        Some(remedy) => format!("{}: {remedy}", before_sdk(error)),
        None => error_chain(error),
    }
}

/// Prints a command's failure on standard error: the sentence first, where there is one.
pub(crate) fn failed(command: &str, error: &(dyn Error + 'static)) -> ExitCode {
    let message = match remedy(error) {
        Some(remedy) => format!("{remedy} ({})", before_sdk(error)),
        None => error_chain(error),
    };
    eprintln!("nacre {command}: {}", printable(&message));
    ExitCode::from(ERROR)
}

/// Ends a command that has nothing to report but what it printed.
pub(crate) fn conclude<E: Error + 'static>(command: &str, done: Result<(), E>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(command, &error),
    }
}

/// Prints one line: a line break within it, as in a file's name, is escaped.
pub(crate) fn print(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", printable(line))
}

/// Prints a text of several lines.
pub(crate) fn print_lines(text: &str) -> io::Result<()> {
    text.lines().try_for_each(print)
}

/// Prints one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(value)?;
    writeln!(io::stdout().lock(), "{}", printable_json(&json))
}
