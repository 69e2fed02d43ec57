//! `nacre`: the operator's command line.

mod args;
mod aws_error;
mod backfill;
mod definitions;
mod deploy;
mod deployment;
mod destroy;
mod interrupt;
mod output;
mod printable;
mod prove;
mod quarantine;
mod rescan;
mod scan;
mod stack;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Virus scanning for Amazon S3 that stays true as signatures change.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Scan(scan::Arguments),
    Definitions(definitions::Arguments),
    Quarantine(quarantine::Arguments),
    Prove(prove::Arguments),
    Rescan(rescan::Arguments),
    Backfill(backfill::Arguments),
    Deploy(deploy::Arguments),
    Destroy(destroy::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Scan(arguments) => scan::run(&arguments).await,
        Command::Definitions(arguments) => definitions::run(&arguments).await,
        Command::Quarantine(arguments) => quarantine::run(&arguments).await,
        Command::Prove(arguments) => prove::run(&arguments).await,
        Command::Backfill(arguments) => backfill::run(&arguments).await,
        Command::Deploy(arguments) => deploy::run(&arguments).await,
        Command::Destroy(arguments) => destroy::run(&arguments).await,
        Command::Rescan(arguments) => rescan::run(&arguments).await,
    }
}
