//! `nacre-demo`: the whole of Nacre on this machine, from definitions to a rescan, in a few minutes. `make demo` runs it.
//!
//! It deploys the product's template into a local AWS and observes it from outside, as an operator and as an ordinary
//! user; it succeeds only if everything that it reports was observed. With `--stay` it only deploys: `make stack`.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

mod console;
mod corpus;
mod definitions;
mod narrator;
mod plans;
mod stay;
mod summary;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use aws_sdk_s3::Client;
use clap::Parser;
use nacre_aws::SystemClock;
use nacre_core::{
    port::Clock, rescan::plan::RescanPlan, scan_record::ScanRecord, tag_policy::Tag, telemetry::error_chain,
    verdict::Verdict,
};
use nacre_test_support::{Mirror, Packages, Stack, StackError, StackOptions, get_status, install, programs_directory};
use serde_json::{Value, json};

use self::{
    corpus::Corpus,
    definitions::Databases,
    narrator::Narrator,
    plans::{PlanError, Plans},
    summary::Summary,
};

/// Longest wait for the functions to do their part of a step.
const STEP_TIMEOUT: Duration = Duration::from_mins(2);

/// Watch Nacre work, on this machine and with nothing but a local AWS.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the summary and the logs are left
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    directory: PathBuf,
    /// Deploy the packages of this directory, which `make package` left, instead of those of the programs that were built last
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
    /// After the report, serve it live until Ctrl-C
    #[arg(long, conflicts_with = "stay")]
    console: bool,
    /// Show nothing: deploy, publish definitions, print the environment to use, and stay until Ctrl-C
    #[arg(long)]
    stay: bool,
}

/// Why the demo did not show what it should.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the local stack failed")]
    Stack(#[from] StackError),
    #[error("the demo's files could not be written")]
    Files(#[from] std::io::Error),
    #[error("what the change means cannot be worked out")]
    Plans(#[from] PlanError),
    #[error("{0}")]
    NotObserved(String),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.stay { stay::stay(&arguments).await } else { run(&arguments).await };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nacre-demo: {}", error_chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), DemoError> {
    let mut narrator = Narrator::new();
    let corpus = corpus::gather()?;
    narrator.step("A local AWS starts; `nacre deploy` deploys into it and has EICAR and a clean file scanned");
    let databases = Databases::new(now());
    let mirror = Mirror::start().await?;
    let stack = start(arguments, &mirror, &databases).await?;
    let observed = show(&mut narrator, &stack, &mirror, &databases, (corpus, &arguments.directory)).await;
    let served =
        if arguments.console && observed.is_ok() { console::serve(&mut narrator, &stack).await } else { Ok(()) };
    // Stopped whatever was observed: nothing may be left running.
    stack.stop().await?;
    served?;
    let summary = Summary { seconds: narrator.seconds(), ..observed? };
    summary.write(&arguments.directory)?;
    conclude(&mut narrator, &summary, arguments);
    Ok(())
}

/// Starts the local AWS and deploys the template, with a mirror that has the first databases.
async fn start(arguments: &Arguments, mirror: &Mirror, databases: &Databases) -> Result<Stack, DemoError> {
    mirror.put("main.cvd", databases.main());
    mirror.put("daily.cvd", databases.daily());
    let programs = programs_directory()?;
    let target = programs.parent().unwrap_or(&programs);
    let options = StackOptions {
        python: install(target, narrator::say).await?,
        packages: arguments.packages.as_deref().map_or_else(Packages::of_built_programs, Packages::read)?,
        mirror: mirror.url().to_owned(),
        trust_anchors: databases.trust_anchors(),
        deployer: Some(programs.join("nacre")),
        parameters: vec![("Databases".into(), "main,daily".into())],
        scratch: arguments.directory.clone(),
    };
    Ok(Stack::start(options).await?)
}

/// The acts, each observed before it is reported.
async fn show(
    narrator: &mut Narrator,
    stack: &Stack,
    mirror: &Mirror,
    databases: &Databases,
    (corpus, directory): (Corpus, &Path),
) -> Result<Summary, DemoError> {
    narrator.step("The stack itself ran the first update; the next one, as its schedule runs it, finds nothing newer");
    narrator::say(stack.output("FirstUpdate"));
    let generation_before = update(stack).await?;

    narrator.step(&format!("{} files are uploaded; S3's notifications drive the scanner", corpus.len()));
    let mut objects = Vec::new();
    for (key, bytes) in corpus {
        objects.push(stack.put(&key, bytes).await?);
    }
    let settled = |records: &[ScanRecord], generation| {
        records.iter().filter(|record| record.reported && record.generation.0 >= generation).count()
    };
    let (all, mut reported) = (objects.len(), 0);
    let records = stack
        .await_records(STEP_TIMEOUT, |records| {
            let done = settled(records, generation_before);
            if done == all || done >= reported + 10 {
                narrator::say(&format!("{done} of {all} scanned, tagged and recorded"));
                reported = done;
            }
            done == all
        })
        .await?;
    let reader = stack.ordinary_user().await?;
    let before = readable(stack, &reader, &records).await?;
    print_records(&before);
    expect(&before, corpus::EICAR_KEY, "infected", 403)?;
    expect(&before, corpus::LATENT_KEY, "clean", 200)?;

    narrator.step("The mirror gains one signature; the next update publishes a second generation");
    let cdiff = databases.next_cdiff();
    let size = cdiff.len();
    mirror.put("daily-101.cdiff", cdiff);
    mirror.put("daily.cvd", databases.next_daily());
    let generation_after = update(stack).await?;
    if mirror.requests("daily-101.cdiff") == 0 {
        return Err(not_observed("the second update downloaded no CDIFF"));
    }
    narrator::say(&format!("daily 101 was made of daily 100 and a CDIFF of {size} bytes"));
    if generation_after <= generation_before {
        return Err(not_observed("the second update published no newer generation"));
    }
    narrator.step("The rescanner requests rescans of those records that the change may concern, and of no others");
    let plans = plans::plans(stack, &records).await?;
    for (plan, count) in &plans {
        narrator::say(&format!("{count} of {all} {}", plans::in_words(*plan)));
    }
    let wanted: usize = plans.iter().filter(|(plan, _)| is_scan(**plan)).map(|(_, count)| count).sum();
    let records = stack.await_records(STEP_TIMEOUT, |records| settled(records, generation_after) == wanted).await?;
    let after = readable(stack, &reader, &records).await?;
    for (now, then) in after.iter().zip(&before).filter(|(now, then)| now.record.verdict != then.record.verdict) {
        let (key, verdict, status) = (&now.record.object.key, now.record.verdict.name(), now.status);
        narrator::say(&format!("{key}: was {}, is {verdict}; GET returns {status}", then.record.verdict.name()));
    }
    expect(&after, corpus::LATENT_KEY, "infected", 403)?;
    expect(&after, corpus::EICAR_KEY, "infected", 403)?;
    let changed = after.iter().zip(&before).filter(|(now, then)| now.status != then.status).count();
    if changed != 1 {
        return Err(not_observed(format!("{changed} objects return another status than before, not just one")));
    }
    narrator::say(&format!("the other {} return the same status as before", all - 1));
    narrator.step("A report says what was skipped, and why that was safe");
    stack.write_report(&programs_directory()?.join("nacre"), directory).await?;
    narrator::say(&format!("for a browser: {}", directory.join("report.html").display()));
    Ok(Summary { plans: planned(&plans), ..summarise(generation_before, generation_after, &records, &after) })
}

fn is_scan(plan: RescanPlan) -> bool {
    matches!(plan, RescanPlan::DeltaScan | RescanPlan::FullScan(_))
}

fn planned(plans: &Plans) -> Vec<summary::Planned> {
    let planned = plans.iter();
    planned
        .map(|(plan, records)| summary::Planned { records: *records, plan: *plan, why: plans::in_words(*plan) })
        .collect()
}

/// A record, and the status that an ordinary user gets from S3 for the object.
struct Seen {
    record: ScanRecord,
    tags: Vec<Tag>,
    status: u16,
}

/// Runs the update as its schedule does, and returns the generation that it published.
async fn update(stack: &Stack) -> Result<u64, DemoError> {
    let event = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
    let outcome = stack.invoke(stack.output("UpdaterFunction"), event).await?;
    if outcome.function_error.is_some() {
        return Err(not_observed(format!("the updater failed: {}", outcome.payload)));
    }
    let generation = outcome.payload.get("generation").and_then(Value::as_u64);
    let generation = generation.ok_or_else(|| not_observed("the updater returned no generation"))?;
    narrator::say(&match outcome.payload.get("databases") {
        Some(new) => format!("generation {generation}: {new} fetched, verified, proven by the engine, published"),
        None => format!("generation {generation} is up to date"),
    });
    Ok(generation)
}

async fn readable(stack: &Stack, reader: &Client, records: &[ScanRecord]) -> Result<Vec<Seen>, DemoError> {
    let mut seen = Vec::new();
    for record in records {
        let status = get_status(reader, &record.object).await?;
        seen.push(Seen { record: record.clone(), tags: stack.tags(&record.object).await?, status });
    }
    seen.sort_by(|a, b| a.record.object.cmp(&b.record.object));
    Ok(seen)
}

fn print_records(seen: &[Seen]) {
    let clean = seen.iter().filter(|seen| seen.record.verdict == Verdict::Clean && seen.status == 200).count();
    narrator::say(&format!("{clean} are clean, and GET returns 200 to an ordinary user; for example:"));
    let (clean, others): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|seen| seen.record.verdict == Verdict::Clean);
    for seen in clean.into_iter().rev().take(3).chain(others) {
        let tags: Vec<String> = seen.tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
        let ScanRecord { object, generation, targets, layer_count, .. } = &seen.record;
        narrator::say(&format!("- {}: GET returns {}", object.key, seen.status));
        narrator::say(&format!("    tags   {}", tags.join(", ")));
        narrator::say(&format!(
            "    record generation {}, targets {:#06x}, {layer_count} layers",
            generation.0,
            targets.bits()
        ));
    }
}

fn expect(seen: &[Seen], key: &str, verdict: &str, status: u16) -> Result<(), DemoError> {
    let seen = seen.iter().find(|seen| seen.record.object.key == key);
    let seen = seen.ok_or_else(|| not_observed(format!("{key} has no record")))?;
    let (is, returns) = (seen.record.verdict.name(), seen.status);
    if is == verdict && returns == status {
        return Ok(());
    }
    Err(not_observed(format!("{key} is {is} and returns {returns}, not {verdict} and {status}")))
}

fn summarise(generation_before: u64, generation_after: u64, records: &[ScanRecord], seen: &[Seen]) -> Summary {
    let key = |seen: &Seen| seen.record.object.key.clone();
    let infected = seen.iter().filter(|seen| matches!(seen.record.verdict, Verdict::Infected { .. }));
    let unscannable = seen.iter().filter_map(|seen| {
        let reason = seen.record.verdict.reason()?;
        Some(summary::Unscannable { key: key(seen), reason: reason.name().to_owned() })
    });
    let denied = seen.iter().filter(|seen| seen.status == 403);
    Summary {
        generation_before,
        generation_after,
        objects: records.len(),
        rescanned: seen.iter().filter(|seen| seen.record.generation.0 == generation_after).map(key).collect(),
        plans: Vec::new(),
        infected: infected.map(key).collect(),
        denied: denied.map(|seen| summary::Denied { key: key(seen), status: seen.status }).collect(),
        unscannable: unscannable.collect(),
        seconds: 0.0,
    }
}

fn conclude(narrator: &mut Narrator, summary: &Summary, arguments: &Arguments) {
    narrator.step("Summary");
    let Summary { generation_before, generation_after, objects, rescanned, infected, unscannable, plans, .. } = summary;
    narrator::say(&format!("{objects} objects; generation {generation_before} became {generation_after}"));
    narrator::say(&format!("{} rescanned: {}", rescanned.len(), rescanned.join(", ")));
    for summary::Planned { records, why, .. } in plans.iter().filter(|planned| !is_scan(planned.plan)) {
        narrator::say(&format!("{records} {why}"));
    }
    narrator::say(&format!("{} infected and refused with 403: {}", infected.len(), infected.join(", ")));
    for summary::Unscannable { key, reason } in unscannable {
        narrator::say(&format!("{key} could not be scanned ({reason}), and is tagged so: never clean by default"));
    }
    let directory = arguments.directory.display();
    narrator::say(&format!(
        "results: {directory}/report.html, records.csv, summary.json, and the functions' logs in {directory}/logs"
    ));
    narrator::say("nothing is left running");
}

fn not_observed(what: impl Into<String>) -> DemoError {
    DemoError::NotObserved(what.into())
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    u64::try_from(SystemClock.now().timestamp()).unwrap_or_default()
}
