//! Tests on files that an incremental rescan concludes what a scan with everything would.

use std::{
    cell::Cell,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nacre_engine_protocol::{Limits, Report};
use tempfile::TempDir;

use crate::{
    definitions::{
        archive::ArchiveLimits,
        cvd::{Cvd, HeaderError},
        database::ContainerKind,
        delta::{Delta, DeltaSummary, SignatureFile},
        manifest::Generation,
        unpacked::{UnpackError, Unpacked},
    },
    engine::{EngineError, EnginePool, Examination, ExamineError},
    incremental::{AddedNames, conclude, delta_files, is_bytecode},
    object::ObjectId,
    rescan_plan::{Change, RescanPlan, loaded_by, plan_rescan},
    scan_record::{EngineVersion, RecordSummary, ScanRecord, recorded_layers},
    verdict::{Reason, Verdict, judge},
};

/// Longest scan of one file.
const SCAN_TIMEOUT: Duration = Duration::from_mins(2);

/// The generations that the two sets stand for.
const OLD: Generation = Generation(1);
const NEW: Generation = Generation(2);

/// A directory of databases and loose files, read.
#[derive(Debug)]
pub struct SignatureSet {
    /// Where it is.
    pub directory: PathBuf,
    /// Its loose files, and the members of its databases.
    pub files: Vec<SignatureFile<'static>>,
    /// Databases with bytecode, which are only loaded whole.
    bytecode: Vec<PathBuf>,
}

/// Why a directory cannot be read as a set of signatures.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It, or something in it, cannot be read.
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A database has no header.
    #[error("{} is not a database", .0.display())]
    Header(PathBuf, #[source] HeaderError),
    /// A database cannot be unpacked.
    #[error("{} cannot be unpacked", .0.display())]
    Unpack(PathBuf, #[source] UnpackError),
}

impl SignatureSet {
    /// Reads every file of a directory, databases by their members.
    ///
    /// # Errors
    /// [`SetError`].
    pub fn read(directory: &Path) -> Result<Self, SetError> {
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |error| SetError::Read(path, error)
        };
        let directory = fs::canonicalize(directory).map_err(unread(directory))?;
        let mut set = Self { directory: directory.clone(), files: Vec::new(), bytecode: Vec::new() };
        let entries = fs::read_dir(&directory).map_err(unread(&directory))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(unread(&directory))?.path());
        }
        paths.sort();
        for path in paths.into_iter().filter(|path| path.is_file()) {
            let bytes = fs::read(&path).map_err(unread(&path))?;
            set.take(&path, bytes)?;
        }
        Ok(set)
    }

    fn take(&mut self, path: &Path, bytes: Vec<u8>) -> Result<(), SetError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("cvd" | "cud") => ContainerKind::Cvd,
            Some("cld") => ContainerKind::Cld,
            _ => {
                self.files.push(SignatureFile { official: false, name, bytes: bytes.into() });
                return Ok(());
            }
        };
        // The names of what is in an unsigned database are told as those of loose files are.
        let official = path.extension().is_none_or(|extension| extension != "cud");
        let cvd = Cvd::parse_as(kind, &bytes).map_err(|error| SetError::Header(path.to_owned(), error))?;
        let unpacked = cvd.unpack(ArchiveLimits::default());
        let Unpacked { members } = unpacked.map_err(|error| SetError::Unpack(path.to_owned(), error))?;
        if members.keys().any(|name| is_bytecode(name)) {
            self.bytecode.push(path.to_owned());
        }
        let owned =
            members.into_iter().map(|(name, bytes)| SignatureFile { official, name, bytes: bytes.into_owned().into() });
        self.files.extend(owned);
        Ok(())
    }
}

/// What one file showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The verdict of the elder set.
    pub old: Verdict,
    /// What the plan made of it.
    pub plan: RescanPlan,
    /// The verdict of the incremental rescan.
    pub incremental: Verdict,
    /// The verdict of the newer set in full.
    pub full: Verdict,
    /// Time of the incremental rescan.
    pub incremental_time: Duration,
    /// Time of the scan in full.
    pub full_time: Duration,
}

impl Trial {
    /// Whether both ways conclude the same. Infected is infected: one that a standing signature convicts is not looked at again, and
    /// libclamav does not name every signature that matches.
    pub fn agrees(&self) -> bool {
        match (&self.incremental, &self.full) {
            (Verdict::Infected { .. }, Verdict::Infected { .. }) => true,
            (Verdict::Unscannable { reason }, Verdict::Unscannable { reason: full }) => {
                reason == full || (reason.is_passing() && full.is_passing())
            }
            (incremental, full) => incremental == full,
        }
    }
}

/// Two sets, what is between them, and the engines to try it with.
#[derive(Debug)]
pub struct Prover<'a> {
    pool: &'a EnginePool,
    old: &'a SignatureSet,
    new: &'a SignatureSet,
    /// What leads from the one to the other.
    pub delta: Delta,
    names: AddedNames,
    change: Change,
    engine: EngineVersion,
    delta_directory: TempDir,
}

/// Why nothing can be tried.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// An engine takes no part.
    #[error("the engine is not ready")]
    Engine(#[from] EngineError),
    /// What a delta engine loads cannot be written.
    #[error("a directory for the delta cannot be filled")]
    Directory(#[source] io::Error),
    /// A file cannot be read.
    #[error("{} cannot be read", .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// A file that was looked at.
struct Seen {
    verdict: Verdict,
    report: Option<(Report, bool)>,
    size: u64,
    time: Duration,
}

impl<'a> Prover<'a> {
    /// Works out what is between two sets.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn new(pool: &'a EnginePool, old: &'a SignatureSet, new: &'a SignatureSet) -> Result<Self, ProveError> {
        let delta = Delta::between(&old.files, &new.files);
        let hello = pool.hello().await?;
        let engine = EngineVersion { version: hello.clamav_version, functionality_level: hello.functionality_level };
        let delta_directory =
            tempfile::Builder::new().prefix("nacre-delta-").tempdir().map_err(ProveError::Directory)?;
        let put = |name: &str, bytes: &[u8]| fs::write(delta_directory.path().join(name), bytes);
        for (name, bytes) in delta_files(&delta, new.files.iter().cloned()) {
            put(&name, &bytes).map_err(ProveError::Directory)?;
        }
        for path in &new.bytecode {
            let name = path.file_name().unwrap_or_default();
            fs::copy(path, delta_directory.path().join(name)).map_err(ProveError::Directory)?;
        }
        let change = Change::Known(DeltaSummary::of(&delta, loaded_by(&engine)));
        let names = AddedNames::of(&delta, true);
        Ok(Self { pool, old, new, delta, names, change, engine, delta_directory })
    }

    /// What is between the sets, gathered for planning.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// Tries one file.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn try_file(&self, path: &Path) -> Result<Trial, ProveError> {
        self.try_file_with(path, |record, change| self.plan(record, change)).await
    }

    /// The plan for a record of the elder set.
    pub fn plan(&self, record: &RecordSummary, change: &Change) -> RescanPlan {
        plan_rescan(record, NEW, &self.engine, change)
    }

    /// Tries one file by another plan.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn try_file_with(
        &self,
        path: &Path,
        plan: impl Fn(&RecordSummary, &Change) -> RescanPlan,
    ) -> Result<Trial, ProveError> {
        let before = self.scan(&self.old.directory, path).await?;
        let record = self.record(path, &before);
        let started = Instant::now();
        let plan = plan(&RecordSummary::from(&record), &self.change);
        let planned = started.elapsed();
        let full = self.scan(&self.new.directory, path).await?;
        let (incremental, time) = match plan {
            RescanPlan::UpToDate | RescanPlan::Unaffected(_) => (record.verdict.clone(), Duration::ZERO),
            RescanPlan::FullScan(_) => (full.verdict.clone(), full.time),
            RescanPlan::DeltaScan => {
                let seen = self.scan(self.delta_directory.path(), path).await?;
                let concluded =
                    seen.report.as_ref().and_then(|(report, unrar)| conclude(&record, report, *unrar, &self.names));
                match concluded {
                    Some(verdict) => (verdict, seen.time),
                    None => (full.verdict.clone(), seen.time + full.time),
                }
            }
        };
        let incremental_time = planned + time;
        let old = before.verdict;
        Ok(Trial { old, plan, incremental, full: full.verdict, incremental_time, full_time: full.time })
    }

    fn record(&self, path: &Path, seen: &Seen) -> ScanRecord {
        let report = seen.report.as_ref().map(|(report, _)| report);
        ScanRecord {
            object: ObjectId::new("files", path.to_string_lossy(), None),
            etag: String::new(),
            size: seen.size,
            verdict: seen.verdict.clone(),
            generation: OLD,
            engine: self.engine.clone(),
            targets: report.map_or(0, |report| report.targets),
            layers: report.and_then(recorded_layers),
            layer_count: report.map_or(0, |report| report.layer_count),
            scanned_at: chrono::DateTime::UNIX_EPOCH,
            sequencer: None,
            reported: true,
        }
    }

    async fn scan(&self, definitions: &Path, path: &Path) -> Result<Seen, ProveError> {
        self.pool.ready(definitions).await?;
        let started = Instant::now();
        let size = Cell::new(0);
        let copy = async |to: &Path| fs::copy(path, to).map(|copied| size.set(copied));
        let unscannable = |reason| (Verdict::Unscannable { reason }, None);
        let (verdict, report) = match self.pool.examine(definitions, copy, Limits::default(), || SCAN_TIMEOUT).await {
            Ok(Examination::Seen { report, unrar }) => (judge(&report, size.get(), unrar), Some((report, unrar))),
            Ok(Examination::TimedOut) => unscannable(Reason::TimeLimit),
            Ok(Examination::Died) => unscannable(Reason::EngineDied),
            Err(ExamineError::Fetch(error)) => return Err(ProveError::File(path.to_owned(), error)),
            Err(ExamineError::Engine(error)) => return Err(error.into()),
        };
        Ok(Seen { verdict, report, size: size.get(), time: started.elapsed() })
    }
}

impl Drop for Prover<'_> {
    fn drop(&mut self) {
        self.pool.dismiss(self.delta_directory.path());
    }
}
