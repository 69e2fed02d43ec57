//! `nacre backfill`: requests a scan of every object that has no record yet.

mod inventory;
mod progress;
mod source;
mod work;

use std::{io, process::ExitCode, time::Duration};

use clap::{Args, builder::NonEmptyStringValueParser, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use nacre_aws::{S3Definitions, SnsTopic, SystemClock};
use nacre_core::{
    generation::published::{PointerRead, PublishedError, read_pointer},
    object::ObjectId,
    rescan::cost::{PassWork, cost},
    retry::RetryPolicy,
};
use progress::{Progress, ProgressError, Tally};
use serde_json::json;
use source::Cursor;
pub(crate) use source::{Inventory, Listing, Source, SourceError};
use work::{Backfill, WorkError};

use crate::{
    args::{BucketArgument, TableArgument},
    deployment::{Deployment, DeploymentError, Part, StackArgument},
    interrupt::until_interrupt,
    output::{INTERRUPTED, conclude, print, print_json},
    printable::printable,
    s3_url::Place,
};

/// Request a scan of every object that has no record yet, such as those that were there before Nacre.
///
/// They go by the queue of rescans, so that uploads do not wait. Progress is kept in the definitions bucket: an interrupted
/// backfill continues there when it is run again.
///
/// Exit status: 0 at the end, 2 when it stopped before, 130 when interrupted.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The objects, as `s3://bucket` or `s3://bucket/prefix`
    #[arg(value_name = "S3-URL", value_parser = Place::parse)]
    place: Place,
    /// manifest.json of an S3 Inventory (CSV) of the bucket, by s3:// or path; without, the bucket is listed
    #[arg(long, value_name = "MANIFEST", value_parser = NonEmptyStringValueParser::new())]
    inventory: Option<String>,
    /// Most objects that are requested in a second
    #[arg(long, value_name = "OBJECTS", default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Start anew, whatever was done before
    #[arg(long)]
    restart: bool,
    /// Only print what would be requested, and about what it would cost
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    bucket: BucketArgument,
    #[command(flatten)]
    table: TableArgument,
    /// The topic of rescans [default: the stack's]
    #[arg(long, env = "NACRE_TRIGGER_TOPIC_ARN", value_name = "ARN", value_parser = NonEmptyStringValueParser::new())]
    topic: Option<String>,
}

/// An object that may have no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) object: ObjectId,
    /// Of its bytes, where the source has it.
    etag: Option<String>,
    pub(crate) size: u64,
    /// Its storage class by S3's name, where the source has it.
    pub(crate) class: Option<String>,
}

/// Why a backfill was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
enum BackfillError {
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    #[error("nothing is published there yet: run the updater, unless the bucket has another name")]
    NonePublished,
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("the source cannot be used")]
    Source(#[from] SourceError),
    #[error("the progress of the previous run cannot be read")]
    Progress(#[from] ProgressError),
    #[error("it stopped before the end; run again, it continues there")]
    Work(#[from] WorkError),
    #[error("interrupts cannot be listened to")]
    Interrupts(#[source] io::Error),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    let Some(done) = until_interrupt(Box::pin(execute(arguments)), BackfillError::Interrupts).await else {
        eprintln!("nacre backfill: interrupted; run again, it continues with the page that was under way");
        return ExitCode::from(INTERRUPTED);
    };
    conclude("backfill", done)
}

async fn execute(arguments: &Arguments) -> Result<(), BackfillError> {
    let deployment = &arguments.stack.open().await?;
    let definitions = arguments.bucket.store(deployment).await?;
    let Place { bucket, prefix } = &arguments.place;
    let name = format!("s3://{bucket}/{prefix}");
    let Some(inventory) = &arguments.inventory else {
        return backfill(
            arguments,
            deployment,
            &definitions,
            &mut Listing::new(&deployment.sdk, bucket, prefix),
            (name, 0),
        )
        .await;
    };
    let mut source = Inventory::open(&deployment.sdk, inventory, Some(bucket), prefix).await?;
    let files = source.files();
    backfill(arguments, deployment, &definitions, &mut source, (format!("{name} by {inventory}"), files)).await
}

async fn backfill(
    arguments: &Arguments,
    deployment: &Deployment,
    definitions: &S3Definitions,
    source: &mut impl Source,
    (name, files): (String, usize),
) -> Result<(), BackfillError> {
    let PointerRead::Read { pointer, .. } = read_pointer(definitions, None).await? else {
        return Err(BackfillError::NonePublished);
    };
    let before = if arguments.restart || arguments.dry_run {
        Progress::new(name)
    } else {
        Progress::load(definitions, name).await?
    };
    if before.cursor.is_some() {
        eprintln!("continuing after {} objects; --restart starts anew", before.tally.objects);
    }
    let topic = deployment.name(Part::RescanTrigger, arguments.topic.as_deref()).await?;
    let backfill = Backfill {
        definitions,
        records: &arguments.table.records(deployment).await?,
        triggers: &SnsTopic::new(&deployment.sdk, &topic),
        clock: SystemClock,
        generation: pointer.generation,
        region: deployment.region(),
        rate: arguments.rate,
        dry_run: arguments.dry_run,
        retry: RetryPolicy::default(),
    };
    let bar = progress_bar(files);
    let see = |progress: &Progress, at: Option<&Candidate>| {
        if let Some(Cursor::Inventory { file, .. }) = &progress.cursor {
            bar.set_position(*file as u64);
        }
        let at = at.map(|candidate| printable(&candidate.object.key)).unwrap_or_default();
        bar.set_message(format!("{}, at {at}", in_words(progress.tally, arguments.dry_run)));
    };
    let done = backfill.run(source, before, see).await;
    bar.finish_and_clear();
    print_report(arguments, &done?)
}

/// A bar over an inventory's files; the length of a listing is not known. Only on a terminal.
fn progress_bar(files: usize) -> ProgressBar {
    let bar = if files > 0 { ProgressBar::new(files as u64) } else { ProgressBar::new_spinner() };
    let template = if files > 0 { "{bar:20} {pos}/{len} files, {wide_msg}" } else { "{spinner} {elapsed} {wide_msg}" };
    // The template is ours and valid; the default one shows the same.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn in_words(Tally { objects, recorded, requested, bytes }: Tally, dry_run: bool) -> String {
    let verb = if dry_run { "would be requested" } else { "requested" };
    format!("{objects} objects, {recorded} recorded, {requested} {verb} ({bytes} bytes)")
}

fn print_report(arguments: &Arguments, progress: &Progress) -> Result<(), BackfillError> {
    let Tally { objects, recorded, requested, bytes } = progress.tally;
    let dollars = cost(PassWork { full_objects: requested, ..PassWork::of(0, 0) }).total();
    if arguments.json {
        return Ok(print_json(&json!({
            "source": progress.source, "objects": objects, "recorded": recorded, "asked": requested, "bytes": bytes,
            "dry_run": arguments.dry_run, "dollars": dollars,
        }))?);
    }
    Ok(print(&format!("{}; about ${dollars:.2} to scan them", in_words(progress.tally, arguments.dry_run)))?)
}
