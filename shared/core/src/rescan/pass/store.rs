//! Passes and their reports in the definitions bucket.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    FORMAT, ObjectTotals, Pass, PassId, SegmentReport,
    allotment::Allotment,
    demand::{Rank, Waiting},
    generation_of, pass_key,
};
use crate::{
    bucket_keys::PASSES_PREFIX,
    generation::Generation,
    port::{Call, DefinitionsStore, StoreError, WriteCondition},
};

/// Largest pass or report that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Most keys under a pass: its reports, and its cancellation.
const MAX_KEYS_OF_A_PASS: usize = 1000;

/// Most keys of all passes; retention keeps far fewer.
const MAX_KEYS: usize = 100_000;

/// Attempts of a conditional write that loses races.
const MAX_ATTEMPTS: u32 = 5;

/// Why a pass or a report could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PassStoreError {
    /// The definitions bucket could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The document is not valid.
    #[error("{key} is not valid")]
    Invalid {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Written by a later version of this program.
    #[error("{key} has format {found}, and this program knows format {FORMAT}: update this program")]
    Format {
        /// The key.
        key: String,
        /// Its format.
        found: u32,
    },
}

/// A stored pass, and the ETag by which it may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPass {
    /// The pass.
    pub pass: Pass,
    /// Its ETag.
    pub etag: String,
}

/// The result of writing a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was written.
    Ours,
    /// The stored report has a final state or is of a later turn, and was kept.
    Theirs,
}

/// Reads the pass of a generation.
///
/// # Errors
/// [`PassStoreError`].
pub async fn read_pass(
    store: &impl DefinitionsStore,
    generation: Generation,
) -> Result<Option<StoredPass>, PassStoreError> {
    let stored = read(store, &pass_key(generation)).await?;
    Ok(stored.map(|(pass, etag)| StoredPass { pass, etag }))
}

/// Writes a pass in the place of the one that was read, or of none; returns its ETag, or `None` if another one was written first.
///
/// # Errors
/// [`PassStoreError`].
pub async fn write_pass(
    store: &impl DefinitionsStore,
    pass: &Pass,
    before: Option<&str>,
) -> Result<Option<String>, PassStoreError> {
    let key = pass_key(pass.id.generation);
    let condition = before.map_or(WriteCondition::Absent, WriteCondition::Etag);
    match store.write(&key, to_bytes(pass), &[], condition).await {
        Ok(etag) => Ok(Some(etag)),
        Err(StoreError::PreconditionFailed(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the report of a segment.
///
/// # Errors
/// [`PassStoreError`].
pub async fn read_report(
    store: &impl DefinitionsStore,
    id: PassId,
    segment: u32,
) -> Result<Option<SegmentReport>, PassStoreError> {
    Ok(read(store, &id.report_key(segment)).await?.map(|(report, _)| report))
}

/// Writes the report of a segment, unless the stored one has a final state or is of a later turn.
///
/// # Errors
/// [`PassStoreError`].
pub async fn keep_report(store: &impl DefinitionsStore, report: &SegmentReport) -> Result<Written, PassStoreError> {
    let key = report.id.report_key(report.segment);
    for _ in 0..MAX_ATTEMPTS {
        let known: Option<(SegmentReport, String)> = read(store, &key).await?;
        let mut ours = report.clone();
        if let Some((known, _)) = &known {
            if known.state.is_final() || known.turn > ours.turn {
                return Ok(Written::Theirs);
            }
            ours.demand = ours.demand.or_else(|| known.demand.clone());
            if known.continued_after > ours.continued_after {
                (ours.continued_after, ours.continuation) = (known.continued_after, known.continuation.clone());
            }
        }
        let condition = known.as_ref().map_or(WriteCondition::Absent, |(_, etag)| WriteCondition::Etag(etag));
        match store.write(&key, to_bytes(&ours), &[], condition).await {
            Ok(_) => return Ok(Written::Ours),
            Err(StoreError::PreconditionFailed(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::PreconditionFailed(Call::new("PutObject", key)).into())
}

/// Reads the reports of all segments of a pass.
///
/// # Errors
/// [`PassStoreError`].
pub async fn reports(store: &impl DefinitionsStore, id: PassId) -> Result<Vec<SegmentReport>, PassStoreError> {
    let mut reports = Vec::new();
    for key in keys(store, &id.prefix(), MAX_KEYS_OF_A_PASS).await? {
        if is_report(&key) {
            // Only retention removes a report.
            reports.extend(read(store, &key).await?.map(|(report, _)| report));
        }
    }
    Ok(reports)
}

/// Returns what all passes that were started on the day of `day`, but for this one, took of its budget.
///
/// # Errors
/// [`PassStoreError`].
pub async fn spent_on(
    store: &impl DefinitionsStore,
    day: DateTime<Utc>,
    except: PassId,
) -> Result<ObjectTotals, PassStoreError> {
    let mut spent = ObjectTotals::default();
    let ours = except.prefix();
    for listed in store.list(PASSES_PREFIX, MAX_KEYS).await? {
        // What was not written since is not of a pass of that day.
        if listed.modified.date_naive() < day.date_naive() || listed.key.starts_with(&ours) {
            continue;
        }
        if is_report(&listed.key) {
            let report: Option<(SegmentReport, String)> = read(store, &listed.key).await?;
            spent.add(report.map(|(report, _)| report.spent_on(day)).unwrap_or_default());
        } else if generation_of(&listed.key).is_some_and(|generation| listed.key == pass_key(generation)) {
            let pass: Option<(Pass, String)> = read(store, &listed.key).await?;
            let today = pass.filter(|(pass, _)| pass.started.date_naive() == day.date_naive());
            spent.add(today.map(|(pass, _)| pass.forgotten).unwrap_or_default());
        }
    }
    Ok(spent)
}

/// Whether an operator cancelled a pass.
///
/// # Errors
/// [`PassStoreError`].
pub async fn is_cancelled(store: &impl DefinitionsStore, id: PassId) -> Result<bool, PassStoreError> {
    match store.read(&id.cancel_key(), MAX_BYTES).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Cancels a pass: each segment sees it before its next page.
///
/// # Errors
/// [`PassStoreError`].
pub async fn cancel(store: &impl DefinitionsStore, id: PassId, now: DateTime<Utc>) -> Result<(), PassStoreError> {
    store.write(&id.cancel_key(), now.to_rfc3339().into_bytes(), &[], WriteCondition::Always).await?;
    Ok(())
}

/// Removes the reports of a pass.
///
/// # Errors
/// [`PassStoreError`].
pub async fn forget(store: &impl DefinitionsStore, id: PassId) -> Result<(), PassStoreError> {
    for key in keys(store, &id.prefix(), MAX_KEYS_OF_A_PASS).await? {
        store.remove(&key).await?;
    }
    Ok(())
}

/// Says that a segment has counted what it needs, after its report does.
///
/// # Errors
/// [`PassStoreError`].
pub async fn mark_counted(store: &impl DefinitionsStore, id: PassId, segment: u32) -> Result<(), PassStoreError> {
    let key = format!("{}{segment}", id.counted_prefix());
    store.write(&key, Vec::new(), &[], WriteCondition::Always).await?;
    Ok(())
}

/// Returns how many segments have counted what they need.
///
/// # Errors
/// [`PassStoreError`].
pub async fn counted(store: &impl DefinitionsStore, id: PassId) -> Result<usize, PassStoreError> {
    Ok(keys(store, &id.counted_prefix(), MAX_KEYS_OF_A_PASS).await?.len())
}

/// Reads how the budget of a pass was divided.
///
/// # Errors
/// [`PassStoreError`].
pub async fn read_allotment(store: &impl DefinitionsStore, id: PassId) -> Result<Option<Allotment>, PassStoreError> {
    Ok(read(store, &id.allotment_key()).await?.map(|(allotment, _)| allotment))
}

/// Writes how the budget of a pass is divided, once; returns what stands.
///
/// # Errors
/// [`PassStoreError`].
pub async fn write_allotment(
    store: &impl DefinitionsStore,
    id: PassId,
    allotment: Allotment,
) -> Result<Allotment, PassStoreError> {
    let key = id.allotment_key();
    match store.write(&key, to_bytes(&allotment), &[], WriteCondition::Absent).await {
        Ok(_) => Ok(allotment),
        Err(StoreError::PreconditionFailed(call)) => {
            read_allotment(store, id).await?.ok_or(StoreError::PreconditionFailed(call).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Key of what waits for its turn.
fn waiting_key() -> String {
    format!("{PASSES_PREFIX}waiting")
}

/// What waits for its turn, as it is kept.
#[derive(Serialize, Deserialize)]
struct KeptWaiting {
    format: u32,
    /// The pass that left it; `None` for one of an older version of this program.
    #[serde(default)]
    of: Option<PassId>,
    /// What waited before that pass.
    #[serde(default)]
    before: Waiting,
    value: Waiting,
}

/// Notes what waits for its turn, as a pass leaves something of these ranks, and returns it.
///
/// It may be repeated: a division of the budget that was killed after this is made again. What a later pass left stays.
///
/// # Errors
/// [`PassStoreError`].
pub async fn note_waiting(
    store: &impl DefinitionsStore,
    id: PassId,
    left: &[Rank],
    now: DateTime<Utc>,
) -> Result<Waiting, PassStoreError> {
    for _ in 0..MAX_ATTEMPTS {
        let known: Option<(KeptWaiting, String)> = read(store, &waiting_key()).await?;
        let (known, etag) = known.unzip();
        let of = known.as_ref().and_then(|known| known.of);
        let (before, ours) = match known {
            Some(known) if of == Some(id) => (known.before, known.value),
            Some(known) => (known.value, Waiting::default()),
            None => <(Waiting, Waiting)>::default(),
        };
        let value = before.after(left.iter().copied(), now).or(ours);
        if of > Some(id) {
            return Ok(value);
        }
        let condition = etag.as_deref().map_or(WriteCondition::Absent, WriteCondition::Etag);
        let kept = KeptWaiting { format: FORMAT, of: Some(id), before, value };
        match store.write(&waiting_key(), to_bytes(&kept), &[], condition).await {
            Ok(_) => return Ok(kept.value),
            Err(StoreError::PreconditionFailed(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::PreconditionFailed(Call::new("PutObject", waiting_key())).into())
}

/// Key of the highest generation of a record that is above the published one.
fn recorded_key() -> String {
    format!("{PASSES_PREFIX}highest-recorded")
}

/// Returns the highest generation that a pass found in a record above the published one: the bucket was emptied or replaced, and the
/// next generation has to be above it.
///
/// # Errors
/// [`PassStoreError`].
pub async fn highest_recorded(store: &impl DefinitionsStore) -> Result<Generation, PassStoreError> {
    let stored: Option<(Kept<Generation>, String)> = read(store, &recorded_key()).await?;
    Ok(stored.map(|(kept, _)| kept.value).unwrap_or_default())
}

/// Notes the generation of a record that is above the published one, unless a higher one is noted.
///
/// # Errors
/// [`PassStoreError`].
pub async fn note_recorded(store: &impl DefinitionsStore, generation: Generation) -> Result<(), PassStoreError> {
    for _ in 0..MAX_ATTEMPTS {
        let known: Option<(Kept<Generation>, String)> = read(store, &recorded_key()).await?;
        if known.as_ref().is_some_and(|(kept, _)| kept.value >= generation) {
            return Ok(());
        }
        let condition = known.as_ref().map_or(WriteCondition::Absent, |(_, etag)| WriteCondition::Etag(etag));
        let kept = Kept { format: FORMAT, value: generation };
        match store.write(&recorded_key(), to_bytes(&kept), &[], condition).await {
            Ok(_) => return Ok(()),
            Err(StoreError::PreconditionFailed(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::PreconditionFailed(Call::new("PutObject", recorded_key())).into())
}

/// A value of its own, with the version of its format.
#[derive(Serialize, Deserialize)]
struct Kept<Value> {
    format: u32,
    value: Value,
}

/// Whether a key under a pass is that of a segment's report.
fn is_report(key: &str) -> bool {
    let number = key.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

async fn keys(store: &impl DefinitionsStore, prefix: &str, limit: usize) -> Result<Vec<String>, PassStoreError> {
    Ok(store.list(prefix, limit).await?.into_iter().map(|listed| listed.key).collect())
}

async fn read<Document: DeserializeOwned>(
    store: &impl DefinitionsStore,
    key: &str,
) -> Result<Option<(Document, String)>, PassStoreError> {
    #[derive(Deserialize)]
    struct Envelope {
        format: u32,
    }
    let stored = match store.read(key, MAX_BYTES).await {
        Ok(stored) => stored,
        Err(StoreError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let invalid = |source| PassStoreError::Invalid { key: key.to_owned(), source };
    // The format first: a later one may have any other fields.
    let Envelope { format } = serde_json::from_slice(&stored.bytes).map_err(invalid)?;
    if format != FORMAT {
        return Err(PassStoreError::Format { key: key.to_owned(), found: format });
    }
    Ok(Some((serde_json::from_slice(&stored.bytes).map_err(invalid)?, stored.etag)))
}

fn to_bytes(document: &impl Serialize) -> Vec<u8> {
    // Serialising these types to memory cannot fail: their keys are strings and their numbers finite.
    serde_json::to_vec_pretty(document).unwrap_or_default()
}
