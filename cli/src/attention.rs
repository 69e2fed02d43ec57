//! `nacre infected` and `nacre unscannable`: what a person should see, from the sparse index of the records.

use std::{collections::BTreeMap, io, process::ExitCode};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use nacre_aws::DynamoRecords;
use nacre_core::{
    port::{RecordStore, StoreError},
    scan_record::ScanRecord,
    verdict::Reason,
};
use serde::Serialize;

use crate::{
    args::TableArgument,
    deployment::{DeploymentError, StackArgument},
    output::{FINDING, failed, print, print_json},
    report::csv::inert,
};

/// Records that are read at once.
const READS: usize = 16;

/// List the infected objects.
///
/// Exit status: 0 when there is none, 1 when there is one, 2 when that is not known.
#[derive(Debug, Args)]
pub(crate) struct InfectedArguments {
    #[command(flatten)]
    common: Common,
}

/// List the objects that could not be scanned, by reason.
///
/// Exit status: 0 when there is none, 1 when there is one, 2 when that is not known.
#[derive(Debug, Args)]
pub(crate) struct UnscannableArguments {
    /// Only those with this reason (docs/verdicts.md has them)
    #[arg(long, value_name = "REASON", value_parser = parse_reason)]
    reason: Option<Reason>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Only objects whose URL begins so, such as `s3://bucket/prefix`
    #[arg(long, value_name = "S3-URL", default_value = "", hide_default_value = true)]
    under: String,
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    table: TableArgument,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, with a header
    #[arg(long)]
    csv: bool,
}

fn parse_reason(name: &str) -> Result<Reason, String> {
    let names = || Reason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(", ");
    Reason::from_name(name).ok_or_else(|| format!("there is no such reason; there are {}", names()))
}

/// Why nothing was listed.
#[derive(Debug, thiserror::Error)]
enum AttentionError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("the scan records cannot be read: is the table's name right?")]
    Records(#[from] StoreError),
    #[error("the list cannot be written")]
    Output(#[from] io::Error),
    #[error("the list cannot be written")]
    Csv(#[from] csv::Error),
}

/// Runs `infected`.
pub(crate) async fn run_infected(arguments: &InfectedArguments) -> ExitCode {
    conclude("infected", execute("infected", None, &arguments.common).await)
}

/// Runs `unscannable`.
pub(crate) async fn run_unscannable(arguments: &UnscannableArguments) -> ExitCode {
    conclude("unscannable", execute("unscannable", arguments.reason, &arguments.common).await)
}

fn conclude(command: &str, found: Result<bool, AttentionError>) -> ExitCode {
    match found {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(FINDING),
        Err(error) => failed(command, &error),
    }
}

/// Prints them; whether there is one.
async fn execute(verdict: &str, reason: Option<Reason>, common: &Common) -> Result<bool, AttentionError> {
    let deployment = common.stack.open().await?;
    let records = common.table.records(&deployment).await?;
    let rows = read(&records, verdict).await?;
    let rows: Vec<Row> = rows
        .into_iter()
        .filter(|row| row.object.starts_with(&common.under))
        .filter(|row| reason.is_none_or(|reason| row.reason == Some(reason.name())))
        .collect();
    if common.json {
        rows.iter().try_for_each(print_json)?;
    } else if common.csv {
        print_csv(&rows)?;
    } else {
        lines(&rows).iter().try_for_each(|line| print(line))?;
    }
    Ok(!rows.is_empty())
}

/// Reads the records that the index names, as far as they still say so.
async fn read(records: &DynamoRecords, verdict: &str) -> Result<Vec<Row>, StoreError> {
    let objects = records.needing_attention(verdict).await?;
    let loads = objects.iter().map(|object| records.load(object));
    let loaded: Vec<Option<ScanRecord>> = stream::iter(loads).buffered(READS).try_collect().await?;
    Ok(loaded.iter().flatten().filter(|record| record.verdict.name() == verdict).map(Row::from).collect())
}

/// One object, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    object: String,
    bucket: String,
    key: String,
    version_id: Option<String>,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Names of what hid content.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<String>,
    generation: u64,
    scanned_at: DateTime<Utc>,
    /// Since when it is infected, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_infected: Option<DateTime<Utc>>,
    reported: bool,
}

impl From<&ScanRecord> for Row {
    fn from(record: &ScanRecord) -> Self {
        Self {
            object: record.object.to_string(),
            bucket: record.object.bucket.clone(),
            key: record.object.key.clone(),
            version_id: record.object.version_id.clone(),
            size: record.size,
            reason: record.verdict.reason().map(Reason::name),
            unread: record.unread.clone(),
            signatures: record.verdict.signatures().to_vec(),
            generation: record.generation.0,
            scanned_at: record.scanned_at,
            first_infected: record.first_infected,
            reported: record.reported,
        }
    }
}

/// One object a line, under their reasons where they have any.
fn lines(rows: &[Row]) -> Vec<String> {
    let mut by_reason: BTreeMap<Option<&str>, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        by_reason.entry(row.reason).or_default().push(row);
    }
    let mut lines = Vec::new();
    for (reason, rows) in by_reason {
        if let Some(reason) = reason {
            lines.push(format!("{reason}: {}", rows.len()));
        }
        let indent = if reason.is_some() { "  " } else { "" };
        lines.extend(rows.iter().map(|row| {
            let time = time(row.scanned_at);
            // Before what others chose: a key may have any words.
            let first = row.first_infected.map(|at| format!("  first {}", self::time(at))).unwrap_or_default();
            let signatures =
                if row.signatures.is_empty() { String::new() } else { format!("  {}", row.signatures.join(" ")) };
            let unread = if row.unread.is_empty() { String::new() } else { format!("  [{}]", row.unread.join(", ")) };
            let unreported = if row.reported { "" } else { "  (tags or result are missing)" };
            format!("{indent}{time}{first}{signatures}  {}{unread}{unreported}", row.object)
        }));
    }
    lines
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn print_csv(rows: &[Row]) -> Result<(), AttentionError> {
    let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(io::stdout().lock());
    writer.write_record([
        "bucket",
        "key",
        "version_id",
        "size",
        "reason",
        "signatures",
        "generation",
        "scanned_at",
        "reported",
        "first_infected",
    ])?;
    for row in rows {
        writer.write_record([
            inert(&row.bucket),
            inert(&row.key),
            inert(row.version_id.as_deref().unwrap_or_default()),
            row.size.to_string(),
            row.reason.unwrap_or_default().to_owned(),
            inert(&row.signatures.join(" ")),
            row.generation.to_string(),
            time(row.scanned_at),
            row.reported.to_string(),
            row.first_infected.map(time).unwrap_or_default(),
        ])?;
    }
    Ok(writer.flush()?)
}

#[cfg(test)]
mod tests {
    use nacre_core::{builder::record, verdict::Verdict};

    use super::*;

    #[test]
    fn objects_are_listed_under_their_reasons() {
        let row = |key: &str, verdict| Row::from(&ScanRecord { verdict, reported: true, ..record("b", key) });
        let unscannable = |key, reason| row(key, Verdict::Unscannable { reason });
        let rows = [
            unscannable("2", Reason::Encrypted),
            unscannable("1", Reason::Archived),
            unscannable("3", Reason::Encrypted),
        ];
        let lines = lines(&rows);
        assert_eq!((lines[0].as_str(), lines[2].as_str()), ("archived: 1", "encrypted: 2"));
        assert!(lines[3].ends_with("s3://b/2") && lines[4].ends_with("s3://b/3"), "{lines:?}");
        let verdict = Verdict::Unscannable { reason: Reason::UnsupportedFormat };
        let named = Row::from(&ScanRecord { verdict, unread: vec!["VMDK".into()], reported: true, ..record("b", "5") });
        assert!(super::lines(&[named])[1].ends_with("s3://b/5  [VMDK]"));
        let found = super::lines(&[row("4", Verdict::Infected { signatures: vec!["A".into(), "B".into()] })]);
        assert!(found.len() == 1 && found[0].ends_with("Z  A B  s3://b/4"), "{found:?}");
        let first_infected = Some("2026-11-01T00:00:00Z".parse().unwrap());
        let verdict = Verdict::Infected { signatures: vec!["A".into()] };
        let since = Row::from(&ScanRecord { verdict, first_infected, reported: true, ..record("b", "6") });
        assert!(super::lines(&[since])[0].ends_with("Z  first 2026-11-01T00:00:00Z  A  s3://b/6"));
    }

    #[test]
    fn a_key_is_no_formula() {
        assert_eq!(inert("=HYPERLINK(\"x\")\u{1b}"), "'=HYPERLINK(\"x\")\\u{1b}");
        assert_eq!(inert("plain"), "plain");
        assert!(parse_reason("encrypted").is_ok() && parse_reason("bad").unwrap_err().contains("too_large"));
    }
}
