//! One pass over the scan records: what is asked of each segment, and what is told of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    definitions::manifest::Generation,
    port::{DefinitionsStore, StoreError, WriteCondition},
    published::PublishedError,
    rescan_plan::RescanPlan,
    scan_record::RecordSummary,
};

/// Under this are the reports of passes, a folder for each generation.
pub const PASSES_PREFIX: &str = "nacre/passes/";

/// Most bytes of a report.
const MAX_REPORT_BYTES: u64 = 1 << 20;

/// Most segments that a table is read in.
pub const MAX_SEGMENTS: u32 = 256;

/// A pass that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The generation that records are brought up to.
    pub generation: Generation,
    /// Which pass for it, from 1.
    pub attempt: u32,
    /// When.
    pub at: DateTime<Utc>,
    /// Parts that the table is read in.
    pub segments: u32,
    /// Whether an operator ended it.
    #[serde(default)]
    pub cancelled: bool,
}

/// What is asked of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The pass's generation.
    pub generation: Generation,
    /// Which pass for it.
    pub attempt: u32,
    /// The segment, from 0.
    pub index: u32,
    /// Number of segments.
    pub total: u32,
    /// Where to go on; absent at the beginning.
    pub cursor: Option<Value>,
    /// What was found up to there: told with the message, so that a message that comes twice counts nothing twice.
    pub tally: Tally,
}

/// How far a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Its next page is to come.
    Working,
    /// It is done.
    Finished,
    /// A newer generation was published: its own pass does the rest.
    Overtaken,
    /// An operator ended the pass.
    Cancelled,
}

/// What is told of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentReport {
    /// The segment, from 0.
    pub index: u32,
    /// How far it is.
    pub progress: Progress,
    /// What was found.
    pub tally: Tally,
}

/// What a pass, or a part of it, found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Records that were looked at.
    pub examined: u64,
    /// Of them, those judged by the generation already.
    pub up_to_date: u64,
    /// Those of which a scan would conclude the same, by the reason.
    pub unaffected: BTreeMap<String, u64>,
    /// Those for which a look for what was added is enough.
    pub delta: u64,
    /// Bytes of their objects.
    pub delta_bytes: u64,
    /// Those that need a scan with everything, by the reason.
    pub full: BTreeMap<String, u64>,
    /// Bytes of their objects.
    pub full_bytes: u64,
    /// Objects that were asked for.
    pub published: u64,
    /// Messages that they were asked for in.
    pub messages: u64,
    /// Objects that are left to the next pass because the budget is used up.
    pub carried: u64,
    /// Records that were brought to the generation without a scan.
    pub renewed: u64,
    /// Items of the table that are no records of ours.
    pub unreadable: u64,
}

impl Tally {
    /// Counts a record and what it needs.
    pub fn count(&mut self, plan: RescanPlan, record: &RecordSummary) {
        self.examined += 1;
        match plan {
            RescanPlan::UpToDate => self.up_to_date += 1,
            RescanPlan::Unaffected(why) => *self.unaffected.entry(name(&why)).or_default() += 1,
            RescanPlan::DeltaScan => {
                self.delta += 1;
                self.delta_bytes = self.delta_bytes.saturating_add(record.size);
            }
            RescanPlan::FullScan(why) => {
                *self.full.entry(name(&why)).or_default() += 1;
                self.full_bytes = self.full_bytes.saturating_add(record.size);
            }
        }
    }

    /// Adds another part's.
    pub fn add(&mut self, other: &Self) {
        self.examined += other.examined;
        self.up_to_date += other.up_to_date;
        self.delta += other.delta;
        self.delta_bytes = self.delta_bytes.saturating_add(other.delta_bytes);
        self.full_bytes = self.full_bytes.saturating_add(other.full_bytes);
        self.published += other.published;
        self.messages += other.messages;
        self.carried += other.carried;
        self.renewed += other.renewed;
        self.unreadable += other.unreadable;
        for (sums, counts) in [(&mut self.unaffected, &other.unaffected), (&mut self.full, &other.full)] {
            for (why, count) in counts {
                *sums.entry(why.clone()).or_default() += count;
            }
        }
    }
}

/// A reason's stable name.
fn name(why: &impl Serialize) -> String {
    match serde_json::to_value(why) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Key of what is told of a pass as a whole.
pub fn pass_key(generation: Generation) -> String {
    format!("{PASSES_PREFIX}{}/pass.json", generation.0)
}

/// Key of what is told of a segment.
pub fn segment_key(generation: Generation, attempt: u32, index: u32) -> String {
    format!("{PASSES_PREFIX}{}/{attempt}/{index}.json", generation.0)
}

/// A pass as its reports tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassStatus {
    /// The pass.
    pub begun: Begun,
    /// Its segments, as far as they told anything.
    pub segments: Vec<SegmentReport>,
    /// All of them together.
    pub tally: Tally,
}

impl PassStatus {
    /// Whether no segment goes on.
    pub fn is_over(&self) -> bool {
        let over = self.segments.iter().filter(|segment| segment.progress != Progress::Working).count();
        over >= self.begun.segments as usize
    }
}

/// What a pass for this generation was begun as, with the ETag of that; `None` when there was none.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_begun(
    store: &impl DefinitionsStore,
    generation: Generation,
) -> Result<Option<(Begun, String)>, PublishedError> {
    read_json(store, &pass_key(generation)).await
}

/// Writes something told of a pass.
///
/// # Errors
/// [`PublishedError`].
pub async fn write_report(
    store: &impl DefinitionsStore,
    key: &str,
    report: &impl Serialize,
    condition: WriteCondition<'_>,
) -> Result<(), PublishedError> {
    let failed = |source| PublishedError::Store { key: key.to_owned(), source };
    let bytes = serde_json::to_vec(report).map_err(|error| failed(StoreError::Unexpected(error.into())))?;
    store.write(key, bytes, &[], condition).await.map(|_| ()).map_err(failed)
}

/// Reads what is told of the last pass for a generation; `None` when there was none.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_status(
    store: &impl DefinitionsStore,
    generation: Generation,
) -> Result<Option<PassStatus>, PublishedError> {
    let Some((begun, _)) = read_begun(store, generation).await? else { return Ok(None) };
    let mut status = PassStatus { begun, segments: Vec::new(), tally: Tally::default() };
    for index in 0..status.begun.segments.min(MAX_SEGMENTS) {
        let key = segment_key(generation, status.begun.attempt, index);
        if let Some(report) = read_segment(store, &key).await? {
            status.tally.add(&report.tally);
            status.segments.push(report);
        }
    }
    Ok(Some(status))
}

/// Reads what is told of a segment; `None` when nothing is yet.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_segment(store: &impl DefinitionsStore, key: &str) -> Result<Option<SegmentReport>, PublishedError> {
    read_json(store, key).await.map(|read| read.map(|(report, _)| report))
}

async fn read_json<T: DeserializeOwned>(
    store: &impl DefinitionsStore,
    key: &str,
) -> Result<Option<(T, String)>, PublishedError> {
    let failed = |source| PublishedError::Store { key: key.to_owned(), source };
    match store.read(key, MAX_REPORT_BYTES).await {
        Ok(stored) => match serde_json::from_slice(&stored.bytes) {
            Ok(read) => Ok(Some((read, stored.etag))),
            Err(error) => Err(failed(StoreError::Unexpected(error.into()))),
        },
        Err(StoreError::NotFound) => Ok(None),
        Err(source) => Err(failed(source)),
    }
}
