//! Placeholder.
use std::process::ExitCode;
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}
pub(crate) async fn run(_: &Arguments) -> ExitCode {
    ExitCode::SUCCESS
}
