//! `nacre report`: what is known of all objects, as one page for people and as rows for programs.

pub(crate) mod csv;
mod escape;
mod page;
mod passes;
mod tally;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use nacre_aws::{DynamoRecords, SystemClock};
use nacre_core::{
    generation::manifest::Manifest,
    port::{Clock, RecordPages, Segment, StoreError},
    rescan::pass::PassStoreError,
};

use self::{
    page::{Chapter, Report},
    tally::{Row, Tally},
};
use crate::{
    args::{BucketArgument, TableArgument},
    definitions::{BucketError, kept_generations},
    deployment::{DeploymentError, StackArgument},
    output::{conclude, print},
};

/// Segments of the table that are read at once.
const SEGMENTS: u32 = 8;

/// Generations and passes that are shown.
const GENERATIONS: usize = 30;

/// Write a report of all scanned objects as one HTML file, and their records as CSV.
///
/// The file needs no network and holds everything: coverage, what is infected and where, what could not be scanned and why, the last
/// passes, and the definitions. Reads the whole table of records once; memory does not grow with it.
///
/// Exit status: 0 when it was written, 2 when not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    definitions: BucketArgument,
    #[command(flatten)]
    table: TableArgument,
    /// Only objects of this bucket; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only what was scanned on this day or later
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<NaiveDate>,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// Also write a row for each record to this file: what was clean, by which engine and definitions, and when
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Definitions(#[from] BucketError),
    #[error("the table of records cannot be read: is its name right, and may the credentials read it?")]
    Records(#[source] StoreError),
    #[error("the records of passes cannot be read")]
    Passes(#[from] PassStoreError),
    #[error("{0} cannot be written: choose another file")]
    Write(PathBuf, #[source] io::Error),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("report", report(arguments).await)
}

async fn report(arguments: &Arguments) -> Result<(), ReportError> {
    let deployment = arguments.stack.open().await?;
    let store = arguments.definitions.store(&deployment).await?;
    let records = arguments.table.records(&deployment).await?;
    // Before the table is read: a place that cannot be written to is known at once.
    let mut html = create(&arguments.output)?;
    let rows = arguments.csv.as_deref().map(csv_file).transpose()?.map(Mutex::new);
    let generations: Vec<Manifest> = kept_generations(&store).await?.into_iter().take(GENERATIONS).collect();
    let segments =
        (0..SEGMENTS).map(|index| read_segment(&records, Segment { index, total: SEGMENTS }, arguments, rows.as_ref()));
    let tallies: Vec<Tally> = stream::iter(segments).buffer_unordered(SEGMENTS as usize).try_collect().await?;
    let mut tally = Tally::default();
    for part in tallies {
        tally.add_all(part);
    }
    let passes = passes::last(&store, &generations).await?;
    let scope = Chapter { buckets: arguments.only.clone(), since: arguments.since };
    let report = Report { made_at: SystemClock.now(), scope, tally, generations, passes };
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let written = html.write_all(page::html(&report, &nonce).as_bytes()).and_then(|()| html.flush());
    written.map_err(|error| ReportError::Write(arguments.output.clone(), error))?;
    if let (Some(rows), Some(path)) = (rows, &arguments.csv) {
        let finished = rows.into_inner().map_err(|_| io::Error::other("a reader failed")).and_then(csv::Rows::finish);
        finished.map_err(|error| ReportError::Write(path.clone(), error))?;
    }
    Ok(print(&format!("{}: {}", arguments.output.display(), report.sentence()))?)
}

fn create(path: &Path) -> Result<BufWriter<File>, ReportError> {
    File::create(path).map(BufWriter::new).map_err(|error| ReportError::Write(path.to_owned(), error))
}

fn csv_file(path: &Path) -> Result<csv::Rows<BufWriter<File>>, ReportError> {
    csv::Rows::begin(create(path)?).map_err(|error| ReportError::Write(path.to_owned(), error))
}

/// Reads one segment of the table.
async fn read_segment(
    records: &DynamoRecords,
    segment: Segment,
    arguments: &Arguments,
    rows: Option<&Mutex<csv::Rows<BufWriter<File>>>>,
) -> Result<Tally, ReportError> {
    let (mut tally, mut cursor) = (Tally::default(), None);
    loop {
        let page = records.page(segment, cursor).await.map_err(ReportError::Records)?;
        tally.unreadable += page.unreadable;
        for row in page.records.into_iter().map(Row::from).filter(|row| is_wanted(row, arguments)) {
            if let (Some(rows), Some(path)) = (rows, &arguments.csv) {
                let written =
                    rows.lock().map_err(|_| io::Error::other("a reader failed")).and_then(|mut it| it.write(&row));
                written.map_err(|error| ReportError::Write(path.clone(), error))?;
            }
            tally.add(row);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(tally);
        }
    }
}

fn is_wanted(row: &Row, Arguments { only, since, .. }: &Arguments) -> bool {
    let is_recent = |day: &NaiveDate| row.scanned_at.is_some_and(|at: DateTime<Utc>| at.date_naive() >= *day);
    (only.is_empty() || only.contains(&row.object.bucket)) && since.as_ref().is_none_or(is_recent)
}
