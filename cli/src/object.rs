//! `nacre object`: what is known of one object.

mod reader;

use std::{io, process::ExitCode, sync::Arc};

use aws_config::SdkConfig;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use nacre_aws::{S3Objects, SystemClock};
use nacre_core::{
    generation::published::{Published, PublishedError},
    object::ObjectId,
    port::{Clock, ObjectHead, ObjectStore, RecordStore, StoreError},
    rescan::{
        plan::RescanPlan,
        planner::{Planned, RescanPlanner},
    },
    scan_record::{RecordSummary, ScanRecord},
    tag_policy::Tag,
    verdict::Reason,
};
use reader::Reader;
use serde::Serialize;

use crate::{
    args::{BucketArgument, TableArgument},
    deployment::{Deployment, DeploymentError, StackArgument},
    output::{FINDING, explain, failed, print, print_json},
    rescan::why,
    s3_url::parse_object,
};

/// Show what is known of one object: record, tags, what a reader gets, what the next pass does.
///
/// Its history is in the logs: `nacre logs --object`.
///
/// Exit status: 0 when it has a record, 1 when it has none, 2 when that is not known.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The object, as `s3://bucket/key` or `s3://bucket/key?versionId=id`; without a version, the latest
    #[arg(value_name = "S3-URL", value_parser = parse_object)]
    object: ObjectId,
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    bucket: BucketArgument,
    #[command(flatten)]
    table: TableArgument,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
enum ObjectError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("the scan record cannot be read: is the table's name right?")]
    Record(#[source] StoreError),
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Something that may be refused to the caller: an infected object's tags can be read, its bytes cannot.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Seen<T> {
    Known(T),
    Unknown { unknown: String },
}

impl<T> Seen<T> {
    fn of<E: std::error::Error + 'static>(result: Result<T, E>) -> Self {
        match result {
            Ok(known) => Self::Known(known),
            Err(error) => Self::Unknown { unknown: explain(&error) },
        }
    }
}

/// What is known, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    object: String,
    /// `null` when there is none.
    stored: Seen<Option<Stored>>,
    tags: Seen<Vec<(String, String)>>,
    reader: Seen<Reader>,
    record: Option<Recorded>,
    next_pass: Option<String>,
    /// The published generation.
    published: Option<u64>,
    findings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Stored {
    version_id: Option<String>,
    etag: String,
    size: u64,
    written_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize)]
struct Recorded {
    verdict: &'static str,
    signatures: Vec<String>,
    reason: Option<&'static str>,
    /// Names of what hid content.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<String>,
    generation: u64,
    engine: String,
    etag: String,
    layers: u64,
    scanned_at: DateTime<Utc>,
    /// Since when it is infected, as far as is known.
    first_infected: Option<DateTime<Utc>>,
    reported: bool,
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    match execute(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDING),
        Err(error) => failed("object", &error),
    }
}

async fn execute(arguments: &Arguments) -> Result<bool, ObjectError> {
    let deployment = arguments.stack.open().await?;
    let report = report(arguments, &deployment).await?;
    if arguments.json {
        print_json(&report)?;
    } else {
        report.lines().iter().try_for_each(|line| print(line))?;
    }
    Ok(report.record.is_some())
}

async fn report(arguments: &Arguments, deployment: &Deployment) -> Result<Report, ObjectError> {
    let objects = S3Objects::new(&deployment.sdk);
    let head = match objects.head(&arguments.object).await {
        Ok(head) => Ok(Some(head)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let version = match &head {
        Ok(head) => head.as_ref().and_then(|head| head.version_id.clone()),
        // An infected object is refused to its operators as well: the list of versions has its latest.
        Err(_) => latest_version(&deployment.sdk, &arguments.object).await,
    };
    let object = arguments.object.at_version(version);
    let tags = objects.tags(&object).await;
    let records = arguments.table.records(deployment).await?;
    let record = records.load(&object).await.map_err(ObjectError::Record)?;

    let store = arguments.bucket.store(deployment).await?;
    let manifest = Published::read(&store).await?.manifest.map(Arc::new);
    let plan = match (&record, &manifest) {
        (Some(record), Some(manifest)) => {
            let limit = deployment.size_limit().await;
            let mut planner = RescanPlanner::new(Arc::clone(manifest)).with_size_limit(limit);
            let summary = RecordSummary::from(record);
            let Planned { plan, .. } = planner.plan_in_pass(&store, &summary, SystemClock.now()).await?;
            Some(plan)
        }
        _ => None,
    };
    let policy = reader::policy(&deployment.sdk, &object.bucket).await;
    let published = manifest.map(|manifest| manifest.generation.0);
    let findings = findings(head.as_ref().ok().and_then(Option::as_ref), tags.as_deref().ok(), record.as_ref());
    let reader = match (policy, &tags) {
        (Ok(policy), Ok(tags)) => Seen::Known(Reader::of(policy.as_deref(), tags)),
        (Err(error), _) => Seen::Unknown { unknown: explain(&error) },
        (_, Err(error)) => Seen::Unknown { unknown: explain(error) },
    };
    let pairs = |tags: Vec<Tag>| tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    Ok(Report {
        object: object.to_string(),
        stored: Seen::of(head.map(|head| head.map(Stored::from))),
        tags: Seen::of(tags.map(pairs)),
        reader,
        next_pass: plan.map(planned),
        record: record.as_ref().map(Recorded::from),
        published,
        findings,
    })
}

/// The latest version, where a bucket has versions and the caller may list them.
async fn latest_version(sdk: &SdkConfig, object: &ObjectId) -> Option<String> {
    let client = aws_sdk_s3::Client::new(sdk);
    let request = client.list_object_versions().bucket(&object.bucket).prefix(&object.key).max_keys(1);
    let listed = request.send().await.ok()?;
    let first = listed.versions().first()?;
    let is_it = first.key() == Some(&object.key) && first.is_latest() == Some(true);
    first.version_id().filter(|version| is_it && *version != "null").map(str::to_owned)
}

impl From<ObjectHead> for Stored {
    fn from(head: ObjectHead) -> Self {
        Self { version_id: head.version_id, etag: head.etag, size: head.size, written_at: head.written_at }
    }
}

impl From<&ScanRecord> for Recorded {
    fn from(record: &ScanRecord) -> Self {
        Self {
            verdict: record.verdict.name(),
            signatures: record.verdict.signatures().to_vec(),
            reason: record.verdict.reason().map(Reason::name),
            unread: record.unread.clone(),
            generation: record.generation.0,
            engine: record.engine.version.clone(),
            etag: record.etag.clone(),
            layers: record.layer_count,
            scanned_at: record.scanned_at,
            first_infected: record.first_infected,
            reported: record.reported,
        }
    }
}

/// What a pass does with the object, in words.
fn planned(plan: RescanPlan) -> String {
    match plan {
        RescanPlan::UpToDate => "nothing: it was scanned with the published generation".into(),
        RescanPlan::Unaffected(reason) => format!("no scan: {}", why::unaffected(reason)),
        RescanPlan::DeltaScan => "a delta scan: what was added since may match it".into(),
        RescanPlan::FullScan(reason) => format!("a full scan: {}", why::full(reason)),
        RescanPlan::Unreported => "tags and result, which are missing".into(),
    }
}

/// Where object, tags and record disagree. Pure.
fn findings(head: Option<&ObjectHead>, tags: Option<&[Tag]>, record: Option<&ScanRecord>) -> Vec<String> {
    let mut findings = Vec::new();
    let Some(record) = record else {
        findings.push("it has no record: `nacre trigger` requests its scan, `nacre dlq list` shows what failed".into());
        return findings;
    };
    if head.is_some_and(|head| head.etag != record.etag) {
        findings.push("the record is of other bytes: its scan is due; `nacre trigger` requests it".into());
    }
    let status = tags.map(|tags| tags.iter().find(|tag| tag.key == STATUS_TAG).map(|tag| tag.value.as_str()));
    let expected = record.verdict.name().to_uppercase();
    if record.reported && status.is_some_and(|status| status != Some(expected.as_str())) {
        findings.push(format!(
            "the record says {expected} and the tag {}: somebody else wrote it, or the tags have other names or words",
            status.flatten().unwrap_or("nothing")
        ));
    }
    if !record.reported {
        findings.push("tags or result are not written yet: a pass, or the message's next delivery, does it".into());
    }
    findings
}

/// The tag of the status, unless the deployment has another.
const STATUS_TAG: &str = "av-status";

impl Report {
    fn lines(&self) -> Vec<String> {
        let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut lines = vec![format!("object     {}", self.object)];
        lines.push(match &self.stored {
            Seen::Known(Some(stored)) => format!("stored     {} bytes, ETag {}", stored.size, stored.etag),
            Seen::Known(None) => "stored     no: there is no such object or version".to_owned(),
            Seen::Unknown { unknown } => format!("stored     not known: {unknown}"),
        });
        lines.push(match &self.tags {
            Seen::Known(tags) if tags.is_empty() => "tags       none".to_owned(),
            Seen::Known(tags) => {
                let pairs: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("tags       {}", pairs.join(" "))
            }
            Seen::Unknown { unknown } => format!("tags       not known: {unknown}"),
        });
        match &self.record {
            None => lines.push("record     none".to_owned()),
            Some(record) => {
                let more = match record.reason {
                    Some(reason) if record.unread.is_empty() => format!(" ({reason})"),
                    Some(reason) => format!(" ({reason}: {})", record.unread.join(", ")),
                    None if record.signatures.is_empty() => String::new(),
                    None => format!(" {}", record.signatures.join(" ")),
                };
                let (generation, engine) = (record.generation, &record.engine);
                lines.push(format!("record     {}{more}", record.verdict));
                let at = time(&record.scanned_at);
                lines.push(format!(
                    "scanned    {at}, generation {generation}, engine {engine}, {} layers",
                    record.layers
                ));
                match &record.first_infected {
                    Some(first) => {
                        lines.push(format!("infected   since {}, the first scan that found it", time(first)));
                    }
                    None if record.verdict == "infected" => {
                        lines.push(format!("infected   since {at} at the latest: an older version recorded it"));
                    }
                    None => {}
                }
            }
        }
        lines.push(match &self.reader {
            Seen::Known(reader) => format!("reader     {}", reader.in_words()),
            Seen::Unknown { unknown } => format!("reader     not known: {unknown}"),
        });
        let published =
            self.published.map_or_else(|| "nothing is published".to_owned(), |it| format!("generation {it}"));
        lines.push(format!(
            "next pass  {} ({published})",
            self.next_pass.as_deref().unwrap_or("nothing: it has no record")
        ));
        lines.extend(self.findings.iter().map(|finding| format!("finding    {finding}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use nacre_core::{builder::record, verdict::Verdict};

    use super::*;

    #[test]
    fn disagreements_are_findings() {
        let infected = Verdict::Infected { signatures: vec!["A".into()] };
        let record = ScanRecord { verdict: infected, reported: true, ..record("b", "k") };
        let head = |etag: &str| ObjectHead { version_id: None, etag: etag.into(), size: 1, written_at: None };
        let tag = |value: &str| [Tag::new("av-status", value)];
        let of = |etag: &str, tags: &[Tag], record| findings(Some(&head(etag)), Some(tags), record);
        assert_eq!(of(&record.etag, &tag("INFECTED"), Some(&record)), Vec::<String>::new());
        assert!(of("other", &tag("INFECTED"), Some(&record))[0].contains("other bytes"));
        assert!(of(&record.etag, &tag("CLEAN"), Some(&record))[0].contains("says INFECTED and the tag CLEAN"));
        assert!(of(&record.etag, &[], None)[0].contains("nacre trigger"));
        let unreported = ScanRecord { reported: false, ..record.clone() };
        assert!(of(&unreported.etag, &[], Some(&unreported))[0].contains("not written yet"));
    }

    #[test]
    fn the_documentation_shows_this_screen() {
        let etag = "44d88612fea8a8f36de82e1278abb02f".to_owned();
        let at: DateTime<Utc> = "2026-11-27T12:00:00Z".parse().unwrap();
        let signature = "Eicar-Test-Signature".to_owned();
        let tags =
            [("av-status", "INFECTED"), ("av-signature", &signature), ("av-timestamp", "2026/11/27 12:00:00 UTC")];
        let report = Report {
            object: "s3://uploads/in/eicar.com?versionId=3f1c".into(),
            stored: Seen::Known(Some(Stored { version_id: None, etag: etag.clone(), size: 68, written_at: None })),
            tags: Seen::Known(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            reader: Seen::Known(Reader::Refused),
            record: Some(Recorded {
                verdict: "infected",
                signatures: vec![signature.clone()],
                reason: None,
                unread: Vec::new(),
                generation: 7,
                engine: "1.4.6".into(),
                etag,
                layers: 1,
                scanned_at: at,
                first_infected: Some(at),
                reported: true,
            }),
            next_pass: Some(planned(RescanPlan::UpToDate)),
            published: Some(7),
            findings: Vec::new(),
        };
        let screen = report.lines().join("\n");
        let page = include_str!("../../docs/operations.md");
        let shown = format!("$ nacre object s3://uploads/in/eicar.com\n{screen}\n```");
        assert!(page.contains(&shown), "docs/operations.md lacks\n{screen}");
    }
}
