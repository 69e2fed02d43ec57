//! Tests on files that an incremental rescan and a full scan give equivalent verdicts.

mod set;

use std::{
    cell::Cell,
    env, fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nacre_clamav::{database::FunctionalityLevel, delta::Delta};
use nacre_core::{
    generation::Generation,
    object::ObjectId,
    rescan::{
        conclude::{AddedNames, conclude, delta_files},
        delta_summary::DeltaSummary,
        plan::{Change, RescanPlan, loaded_by, plan_rescan},
    },
    scan_record::{EngineVersion, RecordSummary, ScanRecord, recorded_layers, recorded_types},
    targets::Targets,
    verdict::{Reason, Verdict, judge},
};
use nacre_engine_protocol::{Hello, Limits, MAX_NAMES, Report};
pub use set::{SetError, SignatureSet};

use crate::{EngineError, EnginePool, Examination, ExamineError, claimed_directory::ClaimedDirectory};

/// Longest scan of one file.
const SCAN_TIMEOUT: Duration = Duration::from_mins(2);

/// The generations that the two sets stand for.
const OLD: Generation = Generation(1);
const NEW: Generation = Generation(2);

/// The two verdicts on one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The verdict of the old set.
    pub old: Verdict,
    /// The rescan plan.
    pub plan: RescanPlan,
    /// The verdict of the incremental rescan.
    pub incremental: Verdict,
    /// The verdict of a full scan with the new set.
    pub full: Verdict,
    /// Time of the incremental rescan.
    pub incremental_time: Duration,
    /// Time of the full scan.
    pub full_time: Duration,
}

impl Comparison {
    /// Whether the verdicts are equivalent. For an infected file, the incremental signatures must be among those of the full scan. A
    /// file that needs no rescan, because one of its signatures is unchanged, must have one of them in the full scan.
    pub fn agrees(&self) -> bool {
        match (&self.incremental, &self.full) {
            (Verdict::Infected { signatures }, Verdict::Infected { signatures: all }) => match self.plan {
                // Of a file that more match than are kept, the record's may be among the others.
                RescanPlan::Unaffected(_) if all.len() >= MAX_NAMES => true,
                RescanPlan::Unaffected(_) => signatures.iter().any(|name| all.contains(name)),
                _ => !signatures.is_empty() && signatures.iter().all(|name| all.contains(name)),
            },
            (Verdict::Unscannable { reason }, Verdict::Unscannable { reason: full }) => {
                reason == full || (reason.is_transient() && full.is_transient())
            }
            (incremental, full) => incremental == full,
        }
    }
}

/// Two signature sets, their delta, and the engines to compare them.
#[derive(Debug)]
pub struct EquivalenceCheck<'a> {
    pool: &'a EnginePool,
    old: &'a SignatureSet,
    new: &'a SignatureSet,
    /// The delta from the old set to the new.
    pub delta: Delta,
    names: AddedNames,
    change: Change,
    engine: EngineVersion,
    delta_directory: ClaimedDirectory,
}

/// Why a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum EquivalenceError {
    /// An engine cannot be started or loaded.
    #[error("the engine is not ready")]
    Engine(#[from] EngineError),
    /// libclamav does not load the added signatures on their own.
    #[error("the engine does not load what was added")]
    DeltaEngine(#[source] EngineError),
    /// What a delta engine loads cannot be written.
    #[error("a directory for the delta cannot be filled: make room, or set TMPDIR")]
    Directory(#[source] io::Error),
    /// A file cannot be read.
    #[error("{} cannot be read", .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// The result of a full scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// As the scanner records it.
    pub record: ScanRecord,
    /// The time that it took.
    pub time: Duration,
}

impl<'a> EquivalenceCheck<'a> {
    /// Computes the delta of two sets.
    pub async fn new(
        pool: &'a EnginePool,
        old: &'a SignatureSet,
        new: &'a SignatureSet,
    ) -> Result<Self, EquivalenceError> {
        Self::after(pool, old, new, Delta::between(&old.files, &new.files)).await
    }

    /// Uses this delta of two sets.
    pub async fn after(
        pool: &'a EnginePool,
        old: &'a SignatureSet,
        new: &'a SignatureSet,
        delta: Delta,
    ) -> Result<Self, EquivalenceError> {
        let engine = version_of(pool.hello().await?);
        let delta_directory =
            ClaimedDirectory::new(&env::temp_dir(), "nacre-delta-").map_err(EquivalenceError::Directory)?;
        let put = |name: &str, bytes: &[u8]| fs::write(delta_directory.path().join(name), bytes);
        for (name, bytes) in delta_files(&delta, new.files.iter().cloned()) {
            put(&name, &bytes).map_err(EquivalenceError::Directory)?;
        }
        for path in &new.bytecode {
            let name = path.file_name().unwrap_or_default();
            fs::copy(path, delta_directory.path().join(name)).map_err(EquivalenceError::Directory)?;
        }
        let change = Change::Known(DeltaSummary::of(&delta, loaded_by(&engine)));
        let names = AddedNames::of(&delta, true);
        Ok(Self { pool, old, new, delta, names, change, engine, delta_directory })
    }

    /// The change that plans are made from.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// The engine that scans.
    pub fn engine(&self) -> &EngineVersion {
        &self.engine
    }

    /// Compares the verdicts on one file.
    pub async fn compare_file(&self, path: &Path) -> Result<Comparison, EquivalenceError> {
        let old = scan_in_full(self.pool, self.old, path).await?;
        let full = scan_in_full(self.pool, self.new, path).await?;
        self.compare_scanned(path, (&old, &full), |record, change| self.plan(record, change)).await
    }

    /// The plan for a record of the old set.
    pub fn plan(&self, record: &RecordSummary, change: &Change) -> RescanPlan {
        plan_rescan(record, NEW, &self.engine, change)
    }

    /// Compares the verdicts on one file whose full scans are known, with any plan. The full scan with the new set counts for both.
    pub async fn compare_scanned(
        &self,
        path: &Path,
        (old, full): (&Scanned, &Scanned),
        plan: impl Fn(&RecordSummary, &Change) -> RescanPlan,
    ) -> Result<Comparison, EquivalenceError> {
        let record = &old.record;
        let started = Instant::now();
        let plan = plan(&RecordSummary::from(record), &self.change);
        let concluded = match plan {
            RescanPlan::UpToDate | RescanPlan::Unaffected(_) | RescanPlan::Unreported => Some(record.verdict.clone()),
            RescanPlan::FullScan(_) => None,
            RescanPlan::DeltaScan => self.scan_delta(path, record).await?,
        };
        let spent = started.elapsed();
        let full_verdict = &full.record.verdict;
        let (incremental, incremental_time) = match concluded {
            Some(verdict) => (verdict, spent),
            None => (full_verdict.clone(), spent + full.time),
        };
        let (old, full, full_time) = (record.verdict.clone(), full_verdict.clone(), full.time);
        Ok(Comparison { old, plan, incremental, full, incremental_time, full_time })
    }

    /// The verdict of a delta scan; `None` when a full scan is needed.
    async fn scan_delta(&self, path: &Path, record: &ScanRecord) -> Result<Option<Verdict>, EquivalenceError> {
        let directory = self.delta_directory.path();
        self.pool.ready(directory).await.map_err(EquivalenceError::DeltaEngine)?;
        Ok(match scan_file(self.pool, directory, path).await? {
            ScanOutcome::Scanned { report, unrar, .. } => conclude(record, &report, unrar, &self.names),
            ScanOutcome::Unscannable(_) => None,
        })
    }
}

/// Scans a file with all signatures of a set.
pub async fn scan_in_full(pool: &EnginePool, set: &SignatureSet, path: &Path) -> Result<Scanned, EquivalenceError> {
    let (hello, _) = pool.ready(&set.directory).await?;
    let started = Instant::now();
    let seen = scan_file(pool, &set.directory, path).await?;
    let time = started.elapsed();
    let mut record = ScanRecord {
        object: ObjectId::new("files", path.to_string_lossy(), None),
        etag: String::new(),
        size: 0,
        verdict: Verdict::Clean,
        generation: OLD,
        engine: version_of(hello),
        targets: Targets::NONE,
        layers: None,
        layer_count: 0,
        types: None,
        scanned_at: chrono::DateTime::UNIX_EPOCH,
        written_at: None,
        sequencer: None,
        reported: true,
        published: true,
        requested: None,
        archived_at: None,
        unread: Vec::new(),
        first_infected: None,
    };
    match seen {
        ScanOutcome::Scanned { report, unrar, size } => {
            record.size = size;
            record.verdict = judge(&report, size, unrar);
            record.targets = Targets::from_bits(report.targets);
            record.layers = recorded_layers(&report);
            record.layer_count = report.layer_count;
            record.types = recorded_types(&report);
        }
        ScanOutcome::Unscannable(reason) => record.verdict = Verdict::Unscannable { reason },
    }
    Ok(Scanned { record, time })
}

fn version_of(hello: Hello) -> EngineVersion {
    EngineVersion { version: hello.clamav_version, functionality_level: FunctionalityLevel(hello.functionality_level) }
}

/// The result of one scan.
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly always the largest")]
enum ScanOutcome {
    Scanned { report: Report, unrar: bool, size: u64 },
    Unscannable(Reason),
}

async fn scan_file(pool: &EnginePool, definitions: &Path, path: &Path) -> Result<ScanOutcome, EquivalenceError> {
    let unread = |error| EquivalenceError::File(path.to_owned(), error);
    let limits = Limits::default();
    if fs::metadata(path).map_err(unread)?.len() > limits.max_file_size {
        return Ok(ScanOutcome::Unscannable(Reason::TooLarge));
    }
    let size = Cell::new(0);
    let copy = async |to: &Path| fs::copy(path, to).map(|copied| size.set(copied));
    match pool.examine(definitions, copy, limits, || SCAN_TIMEOUT).await {
        Ok(Examination::Seen { report, unrar }) => Ok(ScanOutcome::Scanned { report, unrar, size: size.get() }),
        Ok(Examination::TimedOut) => Ok(ScanOutcome::Unscannable(Reason::TimeLimit)),
        Ok(Examination::Died) => Ok(ScanOutcome::Unscannable(Reason::EngineDied)),
        Err(ExamineError::Fetch(error)) => Err(unread(error)),
        Err(ExamineError::Engine(error)) => Err(error.into()),
    }
}

impl Drop for EquivalenceCheck<'_> {
    fn drop(&mut self) {
        self.pool.dismiss(self.delta_directory.path());
    }
}

#[cfg(test)]
mod tests;
