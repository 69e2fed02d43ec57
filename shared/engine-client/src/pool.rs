//! Keeps engines warm over many files, several at once, and replaces those that die.

use std::{
    collections::HashMap,
    env, fs, io,
    num::NonZero,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex as StdMutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nacre_core::verdict::{Reason, Verdict, judge};
use tokio::sync::Mutex;

use crate::{
    Death, EngineClient, EngineError,
    protocol::{Failure, FailureCode, Hello, Limits, Loaded, Report, Sandbox},
    seal::Seals,
};

/// Longest load of a full set of definitions: 16 s were measured for 6.45 million signatures on one core.
const LOAD_TIMEOUT: Duration = Duration::from_mins(5);

/// A file that killed its engine gets one more try in a fresh process.
const ATTEMPTS: u32 = 2;

/// How often a file goes to a fresh process without counting as an attempt, because its engine died of another file.
const FRESH_STARTS: u32 = 8;

/// Whether an engine may run without a layer of its sandbox that the system refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SandboxPolicy {
    /// It may: a scan in a weaker sandbox is better than none. What is missing is logged.
    #[default]
    BestEffort,
    /// It may not.
    Required,
}

impl FromStr for SandboxPolicy {
    type Err = &'static str;

    /// Reads the value of `NACRE_SANDBOX`; the error is a list of valid values.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "best-effort" => Ok(Self::BestEffort),
            "required" => Ok(Self::Required),
            _ => Err("best-effort or required"),
        }
    }
}

/// The engines of one process, each with the definitions of one directory: everything, or the part of a delta.
#[derive(Debug)]
pub struct EnginePool {
    program: PathBuf,
    scratch: PathBuf,
    scans: usize,
    policy: SandboxPolicy,
    /// By the directory of their definitions.
    seats: StdMutex<HashMap<PathBuf, Arc<Seat>>>,
    /// What those directories were when an engine was first started with them, until they are out of use.
    seals: Seals,
}

/// The place of an engine that runs, starts, or will start on demand.
type Seat = Mutex<Option<Arc<Running>>>;

/// A child process with loaded definitions.
#[derive(Debug)]
struct Running {
    client: EngineClient,
    loaded: Loaded,
    last_file: AtomicU64,
}

/// Memory of a process, in bytes; `None` when it has ended.
fn resident_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?;
    Some(kibibytes.parse::<u64>().ok()? << 10)
}

/// The result of examining a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly always the largest")]
pub enum Examination {
    /// The scan finished.
    Seen {
        /// The engine's report.
        report: Report,
        /// Whether RAR archives could be opened.
        unrar: bool,
    },
    /// The scan exceeded its time.
    TimedOut,
    /// Every attempt ended with the death of a worker or an engine.
    Died,
}

impl Examination {
    /// The verdict on a file of `size` bytes.
    pub fn verdict(&self, size: u64) -> Verdict {
        match self {
            Self::Seen { report, unrar } => judge(report, size, *unrar),
            Self::TimedOut => Verdict::Unscannable { reason: Reason::TimeLimit },
            Self::Died => Verdict::Unscannable { reason: Reason::EngineDied },
        }
    }
}

/// Why a file could not be examined; says nothing about the file.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError<Fetch> {
    /// The file's bytes could not be fetched.
    #[error("the file could not be fetched")]
    Fetch(Fetch),
    /// No engine could be made ready.
    #[error("no engine is ready")]
    Engine(#[from] EngineError),
}

impl EnginePool {
    /// Makes an empty pool that starts `program` with private directories under `scratch`, for as many scans at once as there are
    /// cores.
    pub fn new(program: PathBuf, scratch: PathBuf) -> Self {
        let scans = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            program,
            scratch,
            scans,
            policy: SandboxPolicy::default(),
            seats: StdMutex::default(),
            seals: Seals::default(),
        }
    }

    /// Each engine runs at most `scans` scans at once.
    #[must_use]
    pub fn with_scans(self, scans: usize) -> Self {
        Self { scans, ..self }
    }

    /// Engines start only with the sandbox that the policy requires.
    #[must_use]
    pub fn with_policy(self, policy: SandboxPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Makes sure that an engine with the definitions of this directory is warm, and returns its versions and what it loaded.
    /// A directory's content must never change: other definitions come in another directory. Engines with other definitions stay.
    ///
    /// # Errors
    /// [`EngineError::Changed`] when it did, until it is [dismissed](Self::dismiss); another when the program cannot be started or refuses the definitions.
    pub async fn ready(&self, definitions: &Path) -> Result<(Hello, Loaded), EngineError> {
        let running = self.running(definitions).await?;
        Ok((running.client.hello().clone(), running.loaded.clone()))
    }

    /// Returns the engine's versions, from a child that loads nothing.
    ///
    /// # Errors
    /// [`EngineError`] when it cannot be started.
    pub async fn hello(&self) -> Result<Hello, EngineError> {
        Ok(EngineClient::start(&self.program, &self.scratch, 1).await?.hello().clone())
    }

    /// Takes the engine with these definitions out of use. It lives on until the last scan with it has ended.
    pub fn dismiss(&self, definitions: &Path) {
        self.seats().remove(definitions);
        self.seals.remove(definitions);
    }

    /// Memory of the warm engine with these definitions, in bytes; `None` when there is none or it cannot be read.
    pub async fn memory(&self, definitions: &Path) -> Option<u64> {
        let seat = self.seats().get(definitions).cloned()?;
        let process = seat.lock().await.as_ref()?.client.process_id()?;
        resident_bytes(process)
    }

    /// Memory of all warm engines, in bytes. One that is still loading is not among them.
    pub fn memory_of_all(&self) -> u64 {
        let seats: Vec<_> = self.seats().values().cloned().collect();
        let of = |seat: &Arc<Seat>| resident_bytes(seat.try_lock().ok()?.as_ref()?.client.process_id()?);
        seats.iter().filter_map(of).sum()
    }

    /// Bytes that are free where objects are put for their scans; `None` where the system does not say.
    pub fn free_space(&self) -> Option<u64> {
        let found = nix::sys::statvfs::statvfs(&self.scratch).ok()?;
        Some(found.blocks_available().saturating_mul(found.fragment_size()))
    }

    /// Examines the bytes that `fetch` writes to the path that it is given, in the time that is `allowed` after that. Both
    /// may be called several times. Files that are examined at once share the engine; fetching takes none of its time.
    pub async fn examine<Error>(
        &self,
        definitions: &Path,
        fetch: impl AsyncFn(&Path) -> Result<(), Error>,
        limits: Limits,
        allowed: impl Fn() -> Duration,
    ) -> Result<Examination, ExamineError<Error>> {
        let (mut attempts, mut fresh_starts) = (0, 0);
        while attempts < ATTEMPTS && fresh_starts < FRESH_STARTS {
            let running = self.running(definitions).await?;
            let file = ScratchFile::claim(&running);
            fetch(&file.path).await.map_err(ExamineError::Fetch)?;
            let slot = running.client.slot().await;
            let allowed = allowed();
            if allowed.is_zero() {
                return Ok(Examination::TimedOut);
            }
            match running.client.scan(slot, running.loaded.engine, &file.name, limits, allowed).await {
                Ok(report) => return Ok(Examination::Seen { report, unrar: running.client.hello().unrar }),
                Err(EngineError::Refused(Failure { code: FailureCode::DeadlineExceeded, .. })) => {
                    return Ok(Examination::TimedOut);
                }
                Err(EngineError::Refused(Failure { code: FailureCode::WorkerDied, message })) => {
                    tracing::warn!(cause = message, "engine worker died over a file");
                    attempts += 1;
                }
                Err(EngineError::Dead { cause: Death::Earlier, .. }) => {
                    self.retire(definitions, &running).await;
                    fresh_starts += 1;
                }
                Err(error) => {
                    // Whatever else went wrong, this child is not to be trusted with the next file.
                    tracing::warn!(cause = nacre_core::telemetry::error_chain(&error), "engine died over a file");
                    self.retire(definitions, &running).await;
                    attempts += 1;
                }
            }
        }
        Ok(Examination::Died)
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine with these definitions. Callers that come while it starts wait for it.
    async fn running(&self, definitions: &Path) -> Result<Arc<Running>, EngineError> {
        let seat = Arc::clone(self.seats().entry(definitions.to_owned()).or_default());
        let mut current = seat.lock().await;
        if let Some(warm) = current.as_ref() {
            return Ok(Arc::clone(warm));
        }
        let started = Arc::new(self.start(definitions).await?);
        Ok(Arc::clone(current.insert(started)))
    }

    /// Takes an engine that failed out of its seat. It lives on until the last scan with it has ended; one that has taken its place
    /// already stays.
    async fn retire(&self, definitions: &Path, running: &Arc<Running>) {
        let Some(seat) = self.seats().get(definitions).cloned() else { return };
        let mut current = seat.lock().await;
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, running)) {
            *current = None;
        }
    }

    /// Refuses an engine whose sandbox has fewer layers than required.
    fn check(&self, sandbox: Sandbox) -> Result<(), EngineError> {
        let missing = sandbox.missing();
        match self.policy {
            _ if missing.is_empty() => Ok(()),
            SandboxPolicy::Required => Err(EngineError::Sandbox { missing: missing.join(", ") }),
            SandboxPolicy::BestEffort => {
                tracing::warn!(missing = missing.join(" "), "the system refuses layers of the engine's sandbox");
                Ok(())
            }
        }
    }

    async fn start(&self, definitions: &Path) -> Result<Running, EngineError> {
        let client = EngineClient::start(&self.program, &self.scratch, self.scans).await?;
        self.check(client.hello().sandbox)?;
        self.seals.check(definitions)?;
        let loaded = client.load(definitions, LOAD_TIMEOUT).await?;
        let sandbox = client.hello().sandbox;
        tracing::info!(
            signatures = loaded.signatures,
            load_ms = loaded.load_ms,
            compile_ms = loaded.compile_ms,
            canary_ms = loaded.canary_ms,
            no_new_privileges = sandbox.no_new_privileges,
            not_dumpable = sandbox.not_dumpable,
            seccomp = sandbox.seccomp,
            landlock = ?sandbox.landlock,
            "engine loaded"
        );
        Ok(Running { client, loaded, last_file: AtomicU64::new(0) })
    }
}

/// A file in the engine's private directory that is removed when its scan ends. No part of its name ever derives from a key or an
/// uploader's name.
struct ScratchFile {
    name: String,
    path: PathBuf,
}

impl ScratchFile {
    fn claim(running: &Running) -> Self {
        let name = format!("object-{}", running.last_file.fetch_add(1, Ordering::Relaxed));
        let path = running.client.directory().join(&name);
        Self { name, path }
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // Nothing more can be done here; the private directory itself goes with its engine.
        let _ = fs::remove_file(&self.path);
    }
}

/// The engine program beside the running one, where packages and builds put it.
///
/// # Errors
/// The operating system's, when the path of the running program is unknown.
pub fn program_beside_us() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("nacre-engine"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that speaks as the engine does; the first one started dies of the first two scans.
    const PROGRAM: &str = r#"#!/bin/sh
echo started >> PLACE/starts
read hello; echo '{"id":1,"outcome":"hello","protocol":4,"clamav_version":"1.4.6","functionality_level":216,"unrar":false,"sandbox":{"seccomp":true,"landlock":"absent"}}'
read load; echo '{"id":2,"outcome":"loaded","engine":1,"signatures":1,"eicar":[],"load_ms":0,"compile_ms":0,"canary_ms":0}'
if ! [ -e PLACE/died ]; then : > PLACE/died; read one; read other; exit 1; fi
id=3
while read scan; do
    echo "{\"id\":$id,\"outcome\":\"scanned\",\"status\":0,\"alerts\":[],\"limits_exceeded\":[],\"encrypted\":[],\"targets\":1,\"layers\":[],\"layer_count\":0,\"unopened\":0,\"messages\":[],\"bytes_scanned\":0,\"duration_ms\":0}"
    id=$((id+1))
done
"#;

    fn pool_of(place: &Path) -> EnginePool {
        let program = place.join("engine");
        fs::write(&program, PROGRAM.replace("PLACE", &place.to_string_lossy())).expect("a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("a program");
        fs::create_dir(place.join("definitions")).expect("a directory");
        fs::write(place.join("definitions/a.hdb"), "first").expect("definitions");
        EnginePool::new(program, place.to_owned()).with_scans(2)
    }

    #[tokio::test]
    async fn definitions_that_a_worker_changed_are_not_loaded_again() {
        let place = tempfile::tempdir().expect("a directory");
        let (pool, definitions) = (pool_of(place.path()), place.path().join("definitions"));
        // The first engine dies of its scans: a worker of its might have written this before.
        pool.ready(&definitions).await.expect("an engine");
        fs::write(definitions.join("a.hdb"), "nothing is found by these").expect("definitions");
        let examine = || async {
            let fetch = async |path: &Path| fs::write(path, "content");
            pool.examine(&definitions, fetch, Limits::default(), || Duration::from_mins(10)).await
        };
        let (one, other) = tokio::join!(examine(), examine());
        for examined in [one, other] {
            assert!(matches!(&examined, Err(ExamineError::Engine(EngineError::Changed { .. }))), "{examined:?}");
        }
        let ready = pool.ready(&definitions).await;
        assert!(matches!(&ready, Err(EngineError::Changed { .. })), "and it stays so: {ready:?}");
        pool.dismiss(&definitions);
        pool.ready(&definitions).await.expect("an engine with definitions that were laid out anew");
    }

    #[tokio::test]
    async fn scans_that_lose_their_engine_share_one_fresh_one() {
        let place = tempfile::tempdir().expect("a directory");
        let (pool, definitions) = (pool_of(place.path()), place.path().join("definitions"));
        let examine = || async {
            let fetch = async |path: &Path| fs::write(path, "content");
            pool.examine(&definitions, fetch, Limits::default(), || Duration::from_mins(10)).await
        };
        let (one, other) = tokio::join!(examine(), examine());
        for examined in [one, other] {
            assert!(matches!(examined, Ok(Examination::Seen { .. })), "{examined:?}");
        }
        let starts = fs::read_to_string(place.path().join("starts")).expect("starts");
        assert_eq!(starts.lines().count(), 2, "one restart for both");
        // Each has its lock beside it.
        let is_engine =
            |entry: &fs::DirEntry| entry.path().is_dir() && entry.file_name().to_string_lossy().starts_with("engine-");
        let engines = fs::read_dir(place.path()).expect("a directory").flatten().filter(is_engine);
        assert_eq!(engines.count(), 1, "the dead engine's directory is removed");
    }
}
