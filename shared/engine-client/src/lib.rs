//! Client of the scanning engine, a child process in a private directory that communicates over pipes.
//!
//! Several tasks may scan at once. Every request has a timeout and every response a size limit. The first error on the pipe ends the
//! child and all pending requests; a scan whose future is dropped is cancelled and affects no other. [`EngineError`] says what the
//! caller can do.

pub mod claimed_directory;
mod conversation;
pub mod equivalence;
pub mod local_definitions;
pub mod loose_file;
mod pool;
mod process;
pub mod scan_sets;
mod seal;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use nacre_engine_protocol as protocol;
pub use pool::{EnginePool, Examination, ExamineError, SandboxPolicy, program_beside_us};
use protocol::{
    Command, Failure, FailureCode, Hello, Limits, LineError, Loaded, MAX_SCANS, Outcome, PROTOCOL_VERSION, Report,
    Sandbox,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::conversation::Conversation;
use crate::claimed_directory::ClaimedDirectory;

/// Timeout of a command that needs no work.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// Time past a scan's deadline for the engine to kill its worker and say so.
const GRACE: Duration = Duration::from_secs(2);
/// Time to free a loaded engine, which may hold a gigabyte.
const UNLOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A running engine. Dropping it kills the child and removes its directory.
#[derive(Debug)]
pub struct EngineClient {
    conversation: Conversation,
    hello: Hello,
    slots: Arc<Semaphore>,
    directory: ClaimedDirectory,
}

/// The right to one scan among those that run at once.
#[derive(Debug)]
pub struct Slot(Option<OwnedSemaphorePermit>);

/// Why a request failed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The program is missing or cannot be run: nothing helps but installing it.
    #[error("cannot start the engine `{}`: build it with `cargo build -p nacre-engine`, or name where it is", program.display())]
    Start {
        /// The engine program.
        program: PathBuf,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
    /// The private directory cannot be made: nothing helps but another place or more space.
    #[error("cannot make a directory for the engine in `{}`", scratch.display())]
    Directory {
        /// The parent directory.
        scratch: PathBuf,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
    /// The system refuses layers of the sandbox, all of which are required.
    #[error(
        "the system refuses these layers of the engine's sandbox: {missing}; set NACRE_SANDBOX to best-effort to scan without them"
    )]
    Sandbox {
        /// Names of the layers.
        missing: String,
    },
    /// The definitions are no longer those that an engine has loaded before: they must be laid out anew, in an empty directory.
    #[error("the definitions in `{}` were changed after an engine had loaded them", directory.display())]
    Changed {
        /// Where they are.
        directory: PathBuf,
    },
    /// The definitions' directory cannot be read.
    #[error("the definitions in `{}` cannot be read", directory.display())]
    Definitions {
        /// Where they should be.
        directory: PathBuf,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
    /// The engine refused the request and continues; act on the code.
    #[error("the engine refused ({:?}): {}", .0.code, .0.message)]
    Refused(Failure),
    /// The child has been killed: start a fresh one.
    #[error("the engine is dead; stderr ended with {stderr_tail:?}")]
    Dead {
        /// The end of what it wrote to stderr, at most 2 KiB; often nothing.
        stderr_tail: String,
        /// The reason.
        #[source]
        cause: Death,
    },
}

/// Why an engine died. Every pending request gets it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Death {
    /// It did not respond in time.
    #[error("no response within {} ms", .0.as_millis())]
    Late(Duration),
    /// It closed the pipe, or wrote an invalid message.
    #[error("no message came over the pipe")]
    Pipe(#[source] Arc<LineError>),
    /// Its response was to no pending request, or of another kind.
    #[error("the response did not match a request")]
    OutOfTurn,
    /// It died during an earlier request, which failed or was dropped before its response.
    #[error("it ended with an earlier request")]
    Earlier,
}

impl From<LineError> for Death {
    fn from(error: LineError) -> Self {
        Self::Pipe(Arc::new(error))
    }
}

impl EngineClient {
    /// Starts the engine `program` with an empty environment in a fresh directory under `scratch`, and sends hello. It runs at
    /// most `scans` scans at once.
    ///
    /// # Errors
    /// [`EngineError::Start`] or [`EngineError::Directory`] when it cannot be started; otherwise as every request.
    pub async fn start(program: &Path, scratch: &Path, scans: usize) -> Result<Self, EngineError> {
        let failed = |cause| EngineError::Start { program: program.to_owned(), cause };
        // Where the kernel has no Landlock, this keeps our environment and memory from a compromised engine, which has the same
        // user. AWS Lambda refuses it.
        let not_dumpable = nix::sys::prctl::set_dumpable(false).is_ok();
        // The child's directory is another: a relative path would mean another file there.
        let absolute = std::path::absolute(program).map_err(failed)?;
        let directory = private_directory(scratch)?;
        let command = tokio::process::Command::new(absolute);
        let conversation = Conversation::start(command, directory.path()).map_err(failed)?;
        let mut client = Self::greet(conversation, directory, scans).await?;
        client.hello.sandbox.not_dumpable &= not_dumpable;
        Ok(client)
    }

    async fn greet(conversation: Conversation, directory: ClaimedDirectory, scans: usize) -> Result<Self, EngineError> {
        let placeholder = Hello {
            protocol: 0,
            clamav_version: String::new(),
            functionality_level: 0,
            unrar: false,
            sandbox: Sandbox::NONE,
        };
        let slots = Arc::new(Semaphore::new(scans.clamp(1, MAX_SCANS)));
        // Constructed before the handshake, so that dropping it ends the child however the handshake ends.
        let mut client = Self { conversation, hello: placeholder, slots, directory };
        let hello = Command::Hello { protocol: PROTOCOL_VERSION };
        client.hello = client
            .request(hello, None, COMMAND_TIMEOUT, |outcome| match outcome {
                Outcome::Hello(hello) if hello.protocol == PROTOCOL_VERSION => Some(hello),
                _ => None,
            })
            .await?;
        Ok(client)
    }

    /// Returns the engine's versions and capabilities.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Returns the engine's private directory: files to scan are put here, under plain names.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the child's process id while it lives.
    pub fn process_id(&self) -> Option<u32> {
        self.conversation.process_id()
    }

    /// Loads every database of `directory`, an absolute path, into a new engine of the child, once the scans under way have ended.
    /// Scans requested meanwhile wait for it: request none.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when the definitions must not be used; [`EngineError::Dead`] past `timeout`.
    pub async fn load(&self, directory: &Path, timeout: Duration) -> Result<Loaded, EngineError> {
        let Some(path) = directory.to_str().filter(|_| directory.is_absolute()) else {
            let message = format!("not an absolute path in UTF-8: `{}`", directory.display());
            return Err(EngineError::Refused(Failure { code: FailureCode::BadRequest, message }));
        };
        let load = Command::Load { directory: path.to_owned() };
        self.request(
            load,
            None,
            timeout,
            |outcome| if let Outcome::Loaded(loaded) = outcome { Some(loaded) } else { None },
        )
        .await
    }

    /// Waits until one scan more may run.
    pub async fn slot(&self) -> Slot {
        // The semaphore is never closed.
        Slot(Arc::clone(&self.slots).acquire_owned().await.ok())
    }

    /// Scans `file`, a plain name inside [`directory`](Self::directory), with a loaded engine. Dropping the future cancels the
    /// scan; its slot is free once the engine has ended it.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when this scan failed and another may not; [`EngineError::Dead`] when the engine did not
    /// enforce `deadline`, or died.
    pub async fn scan(
        &self,
        slot: Slot,
        engine: u32,
        file: &str,
        limits: Limits,
        deadline: Duration,
    ) -> Result<Report, EngineError> {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let scan = Command::Scan { engine, file: file.to_owned(), limits, deadline_ms };
        let timeout = deadline.saturating_add(GRACE);
        let report = |outcome| if let Outcome::Scanned(report) = outcome { Some(report) } else { None };
        self.request(scan, slot.0, timeout, report).await
    }

    /// Frees a loaded engine, once the scans under way have ended.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when there is none of that id.
    pub async fn unload(&self, engine: u32) -> Result<(), EngineError> {
        let unload = Command::Unload { engine };
        self.request(unload, None, UNLOAD_TIMEOUT, |outcome| matches!(outcome, Outcome::Unloaded).then_some(())).await
    }

    async fn request<T>(
        &self,
        command: Command,
        slot: Option<OwnedSemaphorePermit>,
        timeout: Duration,
        expected: fn(Outcome) -> Option<T>,
    ) -> Result<T, EngineError> {
        match self.conversation.request(command, slot, timeout).await? {
            Outcome::Failed(failure) => Err(EngineError::Refused(failure)),
            outcome => {
                if let Some(value) = expected(outcome) {
                    return Ok(value);
                }
                self.conversation.abort(Death::OutOfTurn);
                Err(self.conversation.dead().await)
            }
        }
    }
}

impl Drop for EngineClient {
    fn drop(&mut self) {
        // Before its directory.
        self.conversation.end();
    }
}

/// Makes a directory under `scratch` that only its owner may enter, and that is removed once this process has ended, in whatever way.
fn private_directory(scratch: &Path) -> Result<ClaimedDirectory, EngineError> {
    let directory = ClaimedDirectory::new(scratch, "engine-");
    directory.map_err(|cause| EngineError::Directory { scratch: scratch.to_owned(), cause })
}

#[cfg(test)]
mod tests;
