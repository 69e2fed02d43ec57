//! `nacre`: the operator's command line.

mod args;
mod attach;
mod attention;
mod aws_error;
mod backfill;
mod completions;
mod console;
mod definitions;
mod deploy;
mod deployment;
mod destroy;
mod dlq;
mod doctor;
mod estimate;
mod function_logs;
mod interrupt;
mod logs;
mod object;
mod output;
mod printable;
mod prove;
mod quarantine;
mod report;
mod rescan;
mod s3_url;
mod scan;
mod stack;
mod status;
mod trigger;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Virus scanning for Amazon S3 that stays true as signatures change.
#[derive(Debug, Parser)]
#[command(name = "nacre", version)]
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
    Report(report::Arguments),
    Console(console::Arguments),
    Backfill(backfill::Arguments),
    Estimate(estimate::Arguments),
    Deploy(deploy::Arguments),
    Destroy(destroy::Arguments),
    Attach(attach::AttachArguments),
    Detach(attach::DetachArguments),
    Buckets(attach::BucketsArguments),
    Status(status::Arguments),
    Doctor(doctor::Arguments),
    Object(object::Arguments),
    Infected(attention::InfectedArguments),
    Unscannable(attention::UnscannableArguments),
    Trigger(trigger::Arguments),
    Dlq(dlq::Arguments),
    Logs(logs::Arguments),
    Completions(completions::CompletionsArguments),
    Man(completions::ManArguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Scan(arguments) => scan::run(&arguments).await,
        Command::Definitions(arguments) => definitions::run(&arguments).await,
        Command::Quarantine(arguments) => quarantine::run(&arguments).await,
        Command::Prove(arguments) => prove::run(&arguments).await,
        Command::Backfill(arguments) => backfill::run(&arguments).await,
        Command::Estimate(arguments) => estimate::run(&arguments).await,
        Command::Deploy(arguments) => deploy::run(&arguments).await,
        Command::Destroy(arguments) => destroy::run(&arguments).await,
        Command::Attach(arguments) => attach::run_attach(&arguments).await,
        Command::Detach(arguments) => attach::run_detach(&arguments).await,
        Command::Buckets(arguments) => attach::run_buckets(&arguments).await,
        Command::Report(arguments) => report::run(&arguments).await,
        Command::Console(arguments) => console::run(arguments).await,
        Command::Rescan(arguments) => rescan::run(&arguments).await,
        Command::Status(arguments) => status::run(&arguments).await,
        Command::Doctor(arguments) => doctor::run(&arguments).await,
        Command::Object(arguments) => object::run(&arguments).await,
        Command::Infected(arguments) => attention::run_infected(&arguments).await,
        Command::Unscannable(arguments) => attention::run_unscannable(&arguments).await,
        Command::Trigger(arguments) => trigger::run(&arguments).await,
        Command::Dlq(arguments) => dlq::run(&arguments).await,
        Command::Logs(arguments) => logs::run(&arguments).await,
        Command::Completions(arguments) => completions::run_completions::<Cli>(&arguments),
        Command::Man(arguments) => completions::run_man::<Cli>(&arguments),
    }
}
