//! Keeps an engine warm over many files, and replaces it when it dies.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    EngineClient, EngineError,
    protocol::{Failure, FailureCode, Hello, Limits, Loaded, Report},
};

/// Longest load of a full set of definitions: 16 s were measured for 6.45 million signatures on one core.
const LOAD_TIMEOUT: Duration = Duration::from_mins(5);

/// A file that killed its engine gets one more try in a fresh process.
const ATTEMPTS: u32 = 2;

/// The name of the file under examination: no part of it ever derives from a key or an uploader's name.
const SCRATCH_NAME: &str = "object";

/// The engines of one process. Today one, with everything loaded; engines that load less than everything join it here.
#[derive(Debug)]
pub struct EnginePool {
    program: PathBuf,
    scratch: PathBuf,
    running: Option<Running>,
}

/// A child process with loaded definitions.
#[derive(Debug)]
struct Running {
    client: EngineClient,
    definitions: PathBuf,
    loaded: Loaded,
}

/// What examining a file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examination {
    /// The engine's report, and whether it can open RAR archives.
    Seen {
        /// What it saw.
        report: Report,
        /// Whether RAR archives could be opened.
        unrar: bool,
    },
    /// The engine was not done in the time allowed.
    TimedOut,
    /// Every engine that tried died over it.
    Died,
}

/// Why a file could not be examined; says nothing about the file.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError<Fetch> {
    /// The file's bytes could not be had.
    #[error("the file could not be fetched")]
    Fetch(Fetch),
    /// No engine could be made ready.
    #[error("no engine is ready")]
    Engine(#[from] EngineError),
}

impl EnginePool {
    /// Makes an empty pool that starts `program` with private directories under `scratch`.
    pub fn new(program: PathBuf, scratch: PathBuf) -> Self {
        Self { program, scratch, running: None }
    }

    /// Makes sure that an engine with the definitions of this directory is warm, and answers who it is and what it loaded.
    /// A directory's content must never change: other definitions come in another directory.
    ///
    /// # Errors
    /// [`EngineError`] when the program cannot be started or refuses the definitions.
    pub async fn ready(&mut self, definitions: &Path) -> Result<(&Hello, &Loaded), EngineError> {
        let running = self.running(definitions).await?;
        Ok((running.client.hello(), &running.loaded))
    }

    /// Examines the bytes that `fetch` writes to the path that it is given, in the time that is `allowed` after that. Both
    /// may be asked twice.
    ///
    /// # Errors
    /// [`ExamineError`].
    pub async fn examine<Error>(
        &mut self,
        definitions: &Path,
        fetch: impl AsyncFn(&Path) -> Result<(), Error>,
        limits: Limits,
        allowed: impl Fn() -> Duration,
    ) -> Result<Examination, ExamineError<Error>> {
        for _ in 0..ATTEMPTS {
            let running = self.running(definitions).await?;
            let file = ScratchFile::claim(running.client.directory());
            fetch(&file.0).await.map_err(ExamineError::Fetch)?;
            let allowed = allowed();
            if allowed.is_zero() {
                return Ok(Examination::TimedOut);
            }
            match running.client.scan(running.loaded.engine, SCRATCH_NAME, limits, allowed).await {
                Ok(report) => return Ok(Examination::Seen { report, unrar: running.client.hello().unrar }),
                Err(EngineError::Refused(Failure { code: FailureCode::DeadlineExceeded, .. })) => {
                    return Ok(Examination::TimedOut);
                }
                Err(EngineError::Refused(Failure { code: FailureCode::WorkerDied, message })) => {
                    tracing::warn!(cause = message, "engine worker died over a file");
                }
                Err(error) => {
                    // Whatever else went wrong, this child is not to be trusted with the next file.
                    tracing::warn!(cause = crate::telemetry::error_chain(&error), "engine died over a file");
                    self.running = None;
                }
            }
        }
        Ok(Examination::Died)
    }

    async fn running(&mut self, definitions: &Path) -> Result<&mut Running, EngineError> {
        let warm = self.running.take().filter(|running| running.definitions == definitions);
        let running = match warm {
            Some(running) => running,
            None => self.start(definitions).await?,
        };
        Ok(self.running.insert(running))
    }

    async fn start(&self, definitions: &Path) -> Result<Running, EngineError> {
        let mut client = EngineClient::start(&self.program, &self.scratch).await?;
        let loaded = client.load(definitions, LOAD_TIMEOUT).await?;
        tracing::info!(
            signatures = loaded.signatures,
            load_ms = loaded.load_ms,
            compile_ms = loaded.compile_ms,
            canary_ms = loaded.canary_ms,
            "engine loaded"
        );
        Ok(Running { client, definitions: definitions.to_owned(), loaded })
    }
}

/// A file in the engine's private directory that is gone when its scan is.
struct ScratchFile(PathBuf);

impl ScratchFile {
    /// Claims the scratch file, removing what a crash may have left.
    fn claim(directory: &Path) -> Self {
        let path = directory.join(SCRATCH_NAME);
        let _ = fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // Nothing more can be done here; the private directory itself goes with its engine.
        let _ = fs::remove_file(&self.0);
    }
}

/// The engine program beside the running one, where packages and builds put it.
///
/// # Errors
/// The operating system's, when it does not tell where the running program is.
pub fn program_beside_us() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("nacre-engine"))
}
