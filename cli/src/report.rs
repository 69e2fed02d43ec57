//! `nacre report`: what is known of all objects, as one page for people and as rows for programs.

pub(crate) mod csv;
mod escape;
mod now;
mod page;
mod passes;
mod tally;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use nacre_aws::{DynamoRecords, S3Definitions, SystemClock};
use nacre_core::{
    port::{Clock, RecordPages, Segment, StoreError},
    rescan::pass::PassStoreError,
};

pub(crate) use self::page::{Page, Report, html};
use self::{
    csv::RowsFile,
    page::Scope,
    tally::{Row, Tally},
};
use crate::{
    args::{BucketArgument, TableArgument},
    definitions::{BucketError, kept_generations},
    deployment::{Deployment, DeploymentError, StackArgument},
    output::{conclude, print},
};

/// Segments of the table that are read at once.
const SEGMENTS: u32 = 8;

/// Records of a segment of a sample: what a page has.
const SAMPLED_TOGETHER: u64 = 1_000;

/// Most segments of DynamoDB's.
const MAX_SEGMENTS: u64 = 1_000_000;

/// Generations that are shown.
const GENERATIONS: usize = 30;

/// Write a report of all scanned objects as one HTML file, and their records as CSV.
///
/// The file needs no network and holds everything: the state of the deployment, coverage, what is infected and where, what could not be
/// scanned and why, the last passes, and the definitions. Reads the whole table of records once, or a sample of it; memory does not grow
/// with it.
///
/// Exit status: 0 when it was written, 2 when not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    selection: Selection,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// Also write a row for each record to this file: what was clean, by which engine and definitions, and when
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// What a report is about.
#[derive(Debug, Args)]
pub(crate) struct Selection {
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
    /// Read only about so many records, spread over the table; the report says so
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
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

/// What a report is made of.
pub(crate) struct Source {
    deployment: Deployment,
    definitions: S3Definitions,
    records: DynamoRecords,
}

impl Source {
    /// Finds what is not given by the stack.
    pub(crate) async fn open(stack: &StackArgument, selection: &Selection) -> Result<Self, ReportError> {
        let deployment = stack.open().await?;
        let definitions = selection.definitions.store(&deployment).await?;
        let records = selection.table.records(&deployment).await?;
        Ok(Self { deployment, definitions, records })
    }

    /// The deployment at this moment, with the newest findings.
    pub(crate) async fn now(&self, selection: &Selection) -> Result<now::Now, String> {
        let latest = now::latest(&self.records).await.map_err(|error| crate::output::explain(&error))?;
        Ok(now::Now { latest, ..now::now(&self.deployment, &selection.table).await? })
    }
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("report", report(arguments).await)
}

async fn report(arguments: &Arguments) -> Result<(), ReportError> {
    let source = Source::open(&arguments.stack, &arguments.selection).await?;
    // Before the table is read: a place that cannot be written to is known at once.
    let mut file = create(&arguments.output)?;
    let rows = arguments.csv.as_deref().map(RowsFile::create).transpose()?;
    let report = read(&source, &arguments.selection, rows.as_ref()).await?;
    let written = file.write_all(html(&report, &Page::new(false)).as_bytes()).and_then(|()| file.flush());
    written.map_err(|error| ReportError::Write(arguments.output.clone(), error))?;
    rows.map(RowsFile::finish).transpose()?;
    Ok(print(&format!("{}: {}", arguments.output.display(), report.sentence()))?)
}

fn create(path: &Path) -> Result<BufWriter<File>, ReportError> {
    File::create(path).map(BufWriter::new).map_err(|error| ReportError::Write(path.to_owned(), error))
}

/// Reads all that a report says, and gives each record to `rows` too.
pub(crate) async fn read(
    source: &Source,
    selection: &Selection,
    rows: Option<&RowsFile>,
) -> Result<Report, ReportError> {
    let Source { deployment, definitions, records } = source;
    let mut generations = match kept_generations(definitions).await {
        // A report is wanted above all when something is missing.
        Err(BucketError::Nothing) => Vec::new(),
        kept => kept?,
    };
    generations.truncate(GENERATIONS);
    let mut passes = passes::last(definitions, &generations).await?;
    let starts = passes.iter().map(|shown| (shown.pass.id.generation.0, shown.pass.started)).collect();
    let (read, now, ()) = futures::join!(
        Box::pin(read_records(records, selection, &starts, rows)),
        Box::pin(now::now(deployment, &selection.table)),
        Box::pin(passes::add_cleared(deployment, &mut passes)),
    );
    let (tally, sampled_of) = read?;
    let action = deployment.parameters().await.ok().and_then(|all| all.get("InfectedObjects").cloned());
    let scope = Scope { buckets: selection.only.clone(), since: selection.since, sampled_of };
    Ok(Report { made_at: SystemClock.now(), scope, tally, generations, passes, action, now })
}

/// Reads the table, or a sample of it: then also how many records there are.
async fn read_records(
    records: &DynamoRecords,
    selection: &Selection,
    starts: &BTreeMap<u64, DateTime<Utc>>,
    rows: Option<&RowsFile>,
) -> Result<(Tally, Option<u64>), ReportError> {
    let all = (0..SEGMENTS).map(|index| Segment { index, total: SEGMENTS }).collect();
    let (segments, sampled_of) = match selection.sample {
        None => (all, None),
        Some(wanted) => {
            let items = records.extent().await.map_err(ReportError::Records)?.items;
            let chance = uuid::Uuid::new_v4().as_u64_pair().0;
            sample(wanted, items, chance).map_or((all, None), |segments| (segments, Some(items)))
        }
    };
    let parts = segments.into_iter().map(|segment| read_segment(records, segment, selection, starts, rows));
    let mut parts = stream::iter(parts).buffer_unordered(SEGMENTS as usize);
    let mut tally = Tally::default();
    while let Some(part) = parts.try_next().await? {
        tally.add_all(part);
    }
    Ok((tally, sampled_of))
}

/// Segments that together have about so many records of a table, at equal distances from a chance beginning; `None` when that is all of
/// it. DynamoDB spreads records over segments by a digest of their keys. Pure.
fn sample(wanted: u64, items: u64, chance: u64) -> Option<Vec<Segment>> {
    let total = items.div_ceil(SAMPLED_TOGETHER).clamp(1, MAX_SEGMENTS);
    let wanted = wanted.div_ceil(items.div_ceil(total).max(1)).max(1);
    if wanted >= total {
        return None;
    }
    let index = |n: u64| u32::try_from((chance % total + n * total / wanted) % total).ok();
    let total = u32::try_from(total).ok()?;
    (0..wanted).map(|n| Some(Segment { index: index(n)?, total })).collect()
}

/// Reads one segment of the table.
async fn read_segment(
    records: &DynamoRecords,
    segment: Segment,
    selection: &Selection,
    starts: &BTreeMap<u64, DateTime<Utc>>,
    rows: Option<&RowsFile>,
) -> Result<Tally, ReportError> {
    let (mut tally, mut cursor) = (Tally::of_passes(starts.clone()), None);
    loop {
        let page = records.page(segment, cursor).await.map_err(ReportError::Records)?;
        tally.unreadable += page.unreadable;
        for row in page.records.into_iter().map(Row::from).filter(|row| is_wanted(row, selection)) {
            rows.map(|rows| rows.write(&row)).transpose()?;
            tally.add(row);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(tally);
        }
    }
}

fn is_wanted(row: &Row, Selection { only, since, .. }: &Selection) -> bool {
    let is_recent = |day: &NaiveDate| row.scanned_at.is_some_and(|at: DateTime<Utc>| at.date_naive() >= *day);
    (only.is_empty() || only.contains(&row.object.bucket)) && since.as_ref().is_none_or(is_recent)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sample_has_different_segments_and_about_the_size_that_is_wanted(
            wanted in 1..2_000_000_u64, items in 0..3_000_000_000_u64, chance: u64
        ) {
            let Some(segments) = sample(wanted, items, chance) else {
                // All of it: that is little more than what is wanted.
                prop_assert!(items <= wanted + SAMPLED_TOGETHER * 4);
                return Ok(());
            };
            let total = u64::from(segments[0].total);
            let numbers: BTreeSet<u32> = segments.iter().map(|segment| segment.index).collect();
            prop_assert_eq!(numbers.len(), segments.len());
            prop_assert!(segments.iter().all(|segment| u64::from(segment.index) < total && u64::from(segment.total) == total));
            let read = segments.len() as u64 * items.div_ceil(total);
            prop_assert!(read >= wanted && read <= wanted + items.div_ceil(total), "{} of {}", read, wanted);
        }
    }
}
