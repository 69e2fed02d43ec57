//! Tests a set of databases with a real engine before it is published, as freshclam's `TestDatabases` does.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nacre_clamav::{
    cvd::HeaderError,
    delta::SignatureFile,
    unpacked::UnpackError,
    yara::{RepeatedRule, repeated_rules},
};
use nacre_core::{
    generation::{
        engine_form::{EngineFormError, engine_form},
        manifest::{EngineProof, ScanSetEntry},
    },
    port::{DefinitionsStore, StoreError},
    scan_record::FunctionalityLevel,
    verdict::Verdict,
};
use nacre_engine_client::{
    EngineError, EnginePool, Examination, ExamineError, SandboxPolicy,
    local_definitions::DefinitionsError,
    protocol::Limits,
    scan_sets::{DecideError, SampleError, ScanSets, layout},
};
use nacre_scan_set::mini::FILLERS;

use crate::{
    clean_corpus::{documents, eicar_containers},
    custom::CustomPart,
    database_update::StagedDatabase,
    loose_test::{Faulty, faulty, foreign_name},
};

/// The EICAR test file in two halves, so that no scanner takes our own program for it.
const EICAR: [&str; 2] = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];

/// Longest scan of one file.
const SCAN_TIMEOUT: Duration = Duration::from_mins(2);

/// How many promised signatures an engine may pass over: a tenth, or ten where that is more. What a header counts includes signatures
/// of unwanted programs, allow-lists, and signatures for older and newer engines.
fn may_be_passed_over(promised: u64) -> u64 {
    (promised / 10).max(10)
}

/// Most signatures that a loose file can have: its rules in YARA, its lines in everything else.
fn signature_lines(name: &str, bytes: &[u8]) -> u64 {
    let yara = name.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "yar" | "yara"));
    let begins_rule =
        |line: &[u8]| [&b"rule "[..], b"private rule ", b"global rule "].iter().any(|start| line.starts_with(start));
    let counts = |line: &&[u8]| if yara { begins_rule(line) } else { !line.is_empty() && !line.starts_with(b"#") };
    bytes.split(|byte| *byte == b'\n').filter(counts).count() as u64
}

/// Most files of the operator's that a set is tried on.
const MAX_CANARIES: usize = 1000;

/// Most bytes of one of them.
const MAX_CANARY_BYTES: u64 = 256 << 20;

/// Why a set is not fit for use.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseTestError {
    /// The set could not be laid out for the engine.
    #[error("the databases could not be written for their test")]
    Disk(#[source] io::Error),
    /// A database could not be converted to the engine's form.
    #[error("the databases could not be unpacked for their test")]
    Form(#[from] EngineFormError),
    /// A database has no header.
    #[error("a database has no header")]
    Header(#[source] HeaderError),
    /// A database could not be read.
    #[error("a database could not be unpacked for its test")]
    Unpack(#[source] UnpackError),
    /// The scan sets could not be laid out for the engine.
    #[error("the scan sets could not be read for the test")]
    ScanSets(#[source] Box<DefinitionsError>),
    /// A scan set does not have what it must have.
    #[error("the scan sets fail the test of a sample")]
    Sample(#[source] Box<SampleError>),
    /// What the filters do not rule out could not be compared.
    #[error("the scan sets could not be used in the test")]
    Decide(#[source] Box<DecideError>),
    /// The engine could not be started.
    #[error("the engine could not be used")]
    Engine(#[source] EngineError),
    /// The operator's canary files could not be read.
    #[error("a canary file could not be read")]
    Canary(#[from] StoreError),
    /// The set failed its test.
    #[error("the set failed")]
    Rejection(#[from] Rejection),
}

impl From<DecideError> for DatabaseTestError {
    fn from(error: DecideError) -> Self {
        Self::Decide(Box::new(error))
    }
}

/// What is wrong with a set.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// A loose file of which libclamav loads less than it holds.
    #[error("{file}: {faults}: mend the file, and try it with `nacre definitions check`, or remove it")]
    Loose {
        /// Where it came from.
        file: String,
        /// What is wrong with it, line by line.
        faults: String,
    },
    /// A name on which libclamav dies when it reports it.
    #[error("{database}: the signature in {place} has a name that is not in UTF-8, on which libclamav dies")]
    Name {
        /// The database.
        database: String,
        /// The member and the line.
        place: String,
    },
    /// The engine refused it.
    #[error("the engine does not load the databases")]
    NotLoaded(#[source] EngineError),
    /// Fewer signatures than the headers promise.
    #[error("the engine loaded {loaded} signatures of {expected} that the databases promise")]
    Count {
        /// Loaded.
        loaded: u64,
        /// Promised.
        expected: u64,
    },
    /// The set loads, but it misses the file that every set must find.
    #[error("the databases do not find the EICAR test file in {container}: add a database that does")]
    NoEicar {
        /// What it was in.
        container: &'static str,
    },
    /// A clean file is infected in its eyes.
    #[error(
        "the databases find {signatures} in the clean file {file}: allow-list the signature (local.ign2), or remove the file if it is not clean"
    )]
    FalsePositive {
        /// The file: one of ours, or a key of the operator's.
        file: String,
        /// The signatures.
        signatures: String,
    },
}

/// The test of a set.
#[derive(Debug)]
pub struct DatabaseTest<'a, Store> {
    /// The engine program.
    pub program: &'a Path,
    /// Where the test may write.
    pub scratch: &'a Path,
    /// The definitions bucket.
    pub store: &'a Store,
    /// Prefix of the operator's own clean files in it, with a slash at its end.
    pub canary_prefix: &'a str,
    /// Whether the engine may run without a layer of its sandbox.
    pub sandbox: SandboxPolicy,
    /// Whether the databases are signed by ClamAV.
    pub signed_by_clamav: bool,
}

impl<Store: DefinitionsStore> DatabaseTest<'_, Store> {
    /// Loads the set with a fresh engine: it must have the expected number of signatures, find EICAR in five containers, and
    /// find nothing in clean files, ours and the operator's.
    ///
    /// Of databases that have one of these scan sets, which are published, the engine loads the set, as scanners do. That tests as much:
    /// what is behind a filter was read line by line when the set was built, and a line that libclamav might read otherwise stays in the
    /// body.
    ///
    /// # Errors
    /// [`DatabaseTestError`]; [`DatabaseTestError::Rejection`] says that it is the set's fault.
    pub async fn run(
        &self,
        parts: &[StagedDatabase],
        custom: &[CustomPart],
        sets: &[ScanSetEntry],
    ) -> Result<EngineProof, DatabaseTestError> {
        let directory =
            tempfile::Builder::new().prefix("proof-").tempdir_in(self.scratch).map_err(DatabaseTestError::Disk)?;
        let sets = layout::lay_out(self.store, sets, self.signed_by_clamav, directory.path()).await;
        let sets = sets.map_err(|error| DatabaseTestError::ScanSets(Box::new(error)))?;
        let is_whole = |part: &&StagedDatabase| sets.iter().all(|set| set.database != part.entry.name);
        for part in parts.iter().filter(is_whole) {
            self.lay_out(part, directory.path())?;
        }
        for part in custom {
            fs::write(directory.path().join(&part.entry.name), &part.bytes).map_err(DatabaseTestError::Disk)?;
        }
        self.try_files(parts, custom).await?;
        warn_of_repeated_rules(custom);
        let pool = EnginePool::new(self.program.to_owned(), self.scratch.to_owned()).with_policy(self.sandbox);
        let (hello, loaded) = match pool.ready(directory.path()).await {
            Ok(ready) => ready,
            Err(error @ EngineError::Refused(_)) => return Err(Rejection::NotLoaded(error).into()),
            Err(error) => return Err(DatabaseTestError::Engine(error)),
        };
        let fillers = if sets.is_empty() { 0 } else { FILLERS };
        let signatures = sets.iter().map(|set| set.lines).sum::<u64>() + loaded.signatures.saturating_sub(fillers);
        let names = custom.iter().map(|part| part.entry.name.clone()).collect();
        let sets = ScanSets::new(directory.path().to_owned(), sets, names, self.signed_by_clamav);
        match sets.try_sample(self.store, &pool, &hello).await {
            Ok(lines) => tracing::info!(lines, "lines of the scan sets tried"),
            Err(error) => return Err(DatabaseTestError::Sample(Box::new(error))),
        }
        let expected: u64 = parts.iter().map(|part| u64::from(part.entry.signatures)).sum();
        // What the operator added must not make up for what is missing of the databases.
        let added: u64 = custom.iter().map(|part| signature_lines(&part.entry.name, &part.bytes)).sum();
        let official = signatures.saturating_sub(added);
        if official + may_be_passed_over(expected) < expected {
            return Err(Rejection::Count { loaded: official, expected }.into());
        }
        let mut loaded_set = LoadedSet { pool, store: self.store, sets, clean_files: 0 };
        for (container, bytes) in eicar_containers(EICAR.concat().as_bytes()) {
            if !matches!(loaded_set.scan(&bytes).await?, Verdict::Infected { .. }) {
                return Err(Rejection::NoEicar { container }.into());
            }
        }
        self.try_clean_files(&mut loaded_set).await?;
        Ok(EngineProof {
            clamav_version: hello.clamav_version,
            functionality_level: FunctionalityLevel(hello.functionality_level),
            signatures,
            eicar: loaded.eicar,
            expected_signatures: expected,
            clean_files: loaded_set.clean_files,
        })
    }

    /// What would be loaded in part is not loaded at all.
    async fn try_files(&self, parts: &[StagedDatabase], custom: &[CustomPart]) -> Result<(), DatabaseTestError> {
        for part in parts {
            if let Some(place) = foreign_name(part)? {
                return Err(Rejection::Name { database: part.entry.file_name(), place }.into());
            }
        }
        let first = faulty(self.program, self.scratch, custom).await?.into_iter().next();
        first.map_or(Ok(()), |Faulty { source, faults, .. }| Err(Rejection::Loose { file: source, faults }.into()))
    }

    async fn try_clean_files(&self, loaded_set: &mut LoadedSet<'_, Store>) -> Result<(), DatabaseTestError> {
        for (name, bytes) in documents() {
            loaded_set.must_pass(name, &bytes).await?;
        }
        // Most signatures are of programs, and this one is clean.
        loaded_set.must_pass("nacre-engine", &fs::read(self.program).map_err(DatabaseTestError::Disk)?).await?;
        let canaries = self.store.list(self.canary_prefix, MAX_CANARIES).await?;
        for canary in canaries.iter().filter(|canary| !canary.key.ends_with('/')) {
            let stored = self.store.read(&canary.key, MAX_CANARY_BYTES).await?;
            loaded_set.must_pass(&canary.key, &stored.bytes).await?;
        }
        Ok(())
    }

    fn lay_out(&self, part: &StagedDatabase, directory: &Path) -> Result<(), DatabaseTestError> {
        if self.signed_by_clamav {
            let to: PathBuf = directory.join(part.entry.file_name());
            return fs::hard_link(&part.path, to).map_err(DatabaseTestError::Disk);
        }
        let file = fs::read(&part.path).map_err(DatabaseTestError::Disk)?;
        let (name, bytes) = engine_form(&part.entry, &file, false)?;
        fs::write(directory.join(name), bytes).map_err(DatabaseTestError::Disk)
    }
}

/// Says which rules are not used since another has their name: libclamav only warns, and reads such a file no further.
fn warn_of_repeated_rules(custom: &[CustomPart]) {
    let files: Vec<SignatureFile<'_>> =
        custom.iter().map(|part| SignatureFile::loose(part.entry.name.as_str(), part.bytes.as_slice())).collect();
    for RepeatedRule { name, used, skipped } in repeated_rules(&files) {
        tracing::warn!(
            rule = name,
            used_file = used,
            skipped_file = skipped,
            "a YARA rule has a name that another rule has: it and the rest of its file are not used; rename it"
        );
    }
}

/// An engine with the set loaded.
struct LoadedSet<'a, Store> {
    pool: EnginePool,
    store: &'a Store,
    /// In the directory that the engine has loaded; of no database where all are loaded whole.
    sets: ScanSets,
    clean_files: u64,
}

impl<Store: DefinitionsStore> LoadedSet<'_, Store> {
    async fn examine(&self, definitions: &Path, bytes: &[u8]) -> Result<Examination, DatabaseTestError> {
        let write = async |path: &Path| fs::write(path, bytes);
        match self.pool.examine(definitions, write, Limits::default(), || SCAN_TIMEOUT).await {
            Ok(examination) => Ok(examination),
            Err(ExamineError::Fetch(error)) => Err(DatabaseTestError::Disk(error)),
            Err(ExamineError::Engine(error)) => Err(DatabaseTestError::Engine(error)),
        }
    }

    /// The verdict, by the scan sets where there are any. A file that cannot be scanned is no false positive, and does not show that
    /// EICAR is found either.
    async fn scan(&mut self, bytes: &[u8]) -> Result<Verdict, DatabaseTestError> {
        let (report, unrar) = match self.examine(self.sets.directory(), bytes).await? {
            Examination::Seen { report, unrar } => (report, unrar),
            other => return Ok(other.verdict(bytes.len() as u64)),
        };
        let again = async |mini: &Path| -> Result<_, DatabaseTestError> {
            Ok(match self.examine(mini, bytes).await? {
                Examination::Seen { report, .. } => Ok(report),
                other => Err(other),
            })
        };
        let decided = self.sets.decide(self.store, &self.pool, report, again).await?;
        let seen = decided.map_or_else(|stopped| stopped, |report| Examination::Seen { report, unrar });
        Ok(seen.verdict(bytes.len() as u64))
    }

    async fn must_pass(&mut self, file: &str, bytes: &[u8]) -> Result<(), DatabaseTestError> {
        match self.scan(bytes).await? {
            Verdict::Infected { signatures } => {
                return Err(
                    Rejection::FalsePositive { file: file.to_owned(), signatures: signatures.join(", ") }.into()
                );
            }
            Verdict::Clean => self.clean_files += 1,
            // No false positive, and no clean file either: it is not counted.
            Verdict::Unscannable { .. } | Verdict::Skipped { .. } => {}
        }
        Ok(())
    }
}
