//! The deployment at this moment, as `nacre status` has it, and the newest findings.

use chrono::{SecondsFormat, TimeDelta};
use futures::{StreamExt, TryStreamExt, stream};
use nacre_aws::{DynamoRecords, SystemClock};
use nacre_core::{
    port::{AttentionIndex, Clock, RecordStore, StoreError},
    scan_record::ScanRecord,
};
use serde::Serialize;

use crate::{args::TableArgument, deployment::Deployment, output::explain, printable::printable, status};

/// Findings that are shown of each verdict.
const LATEST: usize = 10;

/// How old the newest findings may be.
const LATEST_DAYS: i64 = 30;

/// Records that are read at once.
const READS: usize = 8;

/// The deployment at one moment, in lines of a name and a text.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Now {
    pub(crate) at: String,
    pub(crate) lines: Vec<(String, String)>,
    pub(crate) wrong: Vec<String>,
    /// Empty in a report, which has the rows.
    pub(crate) latest: Vec<String>,
}

/// The deployment now; a sentence with the reason where that is not known.
pub(crate) async fn now(deployment: &Deployment, table: &TableArgument) -> Result<Now, String> {
    let (lines, wrong) = status::of(deployment, table).await.map_err(|error| explain(&error))?;
    let at = SystemClock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
    Ok(Now { at, lines: lines.iter().map(|line| named(line)).collect(), wrong, latest: Vec::new() })
}

/// A line of `nacre status`: a name without a blank, blanks, and a text; or a name of two words, as that of dead letters.
fn named(line: &str) -> (String, String) {
    let (name, text) = line.split_once("  ").unwrap_or((line, ""));
    (name.trim().to_owned(), text.trim().to_owned())
}

/// The newest infected and unscannable objects, a line for each.
pub(crate) async fn latest(records: &DynamoRecords) -> Result<Vec<String>, StoreError> {
    let since = SystemClock.now() - TimeDelta::days(LATEST_DAYS);
    let mut found = Vec::new();
    for verdict in ["infected", "unscannable"] {
        let objects = records.newest(verdict, since, LATEST).await?;
        let loads = objects.iter().map(|object| records.load(object));
        let loaded: Vec<Option<ScanRecord>> = stream::iter(loads).buffered(READS).try_collect().await?;
        found.extend(loaded.into_iter().flatten());
    }
    found.sort_by_key(|record| std::cmp::Reverse(record.scanned_at));
    Ok(found.iter().map(line).collect())
}

fn line(record: &ScanRecord) -> String {
    let why = record.verdict.reason().map_or_else(|| record.verdict.signatures().join(" "), |it| it.name().to_owned());
    let at = record.scanned_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    printable(&format!("{at} {} {why} {}", record.verdict.name().to_uppercase(), record.object))
}

#[cfg(test)]
mod tests {
    use nacre_core::{builder::record, verdict::Verdict};

    use super::*;

    #[test]
    fn lines_of_the_status_have_names() {
        let expected = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(named("dead letters  rescan 0, scan 0"), expected("dead letters", "rescan 0, scan 0"));
        assert_eq!(named("pass          under way"), expected("pass", "under way"));
    }

    #[test]
    fn a_finding_is_one_line_and_its_key_is_shown() {
        let verdict = Verdict::Infected { signatures: vec!["A".into()] };
        let line = line(&ScanRecord { verdict, ..record("b", "a\n\u{202e}b") });
        assert!(line.ends_with(r" INFECTED A s3://b/a\n\u{202e}b"), "{line}");
    }
}
