//! Client of the scanning engine, a child process in a private directory that communicates over pipes.
//!
//! Several tasks may scan at once. Every request has a timeout and every response a size limit. The first error on the pipe ends the
//! child and all pending requests; a scan whose future is dropped is cancelled and affects no other. [`EngineError`] says what the
//! caller can do.

pub mod claimed_directory;
mod conversation;
pub mod equivalence;
mod pool;
mod process;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use nacre_engine_protocol as protocol;
pub use pool::{EnginePool, Examination, ExamineError, program_beside_us};
use protocol::{
    Command, Failure, FailureCode, Hello, Landlock, Limits, LineError, Loaded, MAX_SCANS, Outcome, PROTOCOL_VERSION,
    Report, Sandbox,
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
    /// The engine refused the request and goes on; act on the code.
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
    /// It closed the pipe, or wrote what is no message.
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
        // Where the kernel has no Landlock, this keeps our environment and memory from a compromised engine: it has the
        // same user.
        nix::sys::prctl::set_dumpable(false).map_err(|error| failed(error.into()))?;
        // The child's directory is another: a relative path would mean another file there.
        let absolute = std::path::absolute(program).map_err(failed)?;
        let directory = private_directory(scratch)?;
        let command = tokio::process::Command::new(absolute);
        let conversation = Conversation::start(command, directory.path()).map_err(failed)?;
        Self::greet(conversation, directory, scans).await
    }

    async fn greet(conversation: Conversation, directory: ClaimedDirectory, scans: usize) -> Result<Self, EngineError> {
        let nothing = Sandbox { seccomp: false, landlock: Landlock::Absent };
        let placeholder = Hello {
            protocol: 0,
            clamav_version: String::new(),
            functionality_level: 0,
            unrar: false,
            sandbox: nothing,
        };
        let slots = Arc::new(Semaphore::new(scans.clamp(1, MAX_SCANS)));
        // Constructed before the handshake, so that dropping it ends the child however the handshake ends.
        let mut client = Self { conversation, hello: placeholder, slots, directory };
        let hello = Command::Hello { protocol: PROTOCOL_VERSION };
        client.hello = client
            .ask(hello, None, COMMAND_TIMEOUT, |outcome| match outcome {
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
        self.ask(load, None, timeout, |outcome| if let Outcome::Loaded(loaded) = outcome { Some(loaded) } else { None })
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
        self.ask(scan, slot.0, timeout, report).await
    }

    /// Frees a loaded engine, once the scans under way have ended.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when there is none of that id.
    pub async fn unload(&self, engine: u32) -> Result<(), EngineError> {
        let unload = Command::Unload { engine };
        self.ask(unload, None, UNLOAD_TIMEOUT, |outcome| matches!(outcome, Outcome::Unloaded).then_some(())).await
    }

    async fn ask<T>(
        &self,
        command: Command,
        slot: Option<OwnedSemaphorePermit>,
        timeout: Duration,
        expected: fn(Outcome) -> Option<T>,
    ) -> Result<T, EngineError> {
        match self.conversation.ask(command, slot, timeout).await? {
            Outcome::Failed(failure) => Err(EngineError::Refused(failure)),
            outcome => {
                if let Some(answer) = expected(outcome) {
                    return Ok(answer);
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

/// Makes a directory under `scratch` that only its owner may enter, and that is gone with this process, however that ends.
fn private_directory(scratch: &Path) -> Result<ClaimedDirectory, EngineError> {
    let directory = ClaimedDirectory::new(scratch, "engine-");
    directory.map_err(|cause| EngineError::Directory { scratch: scratch.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Instant};

    use super::*;

    const HELLO: &str = r#"{"id":1,"outcome":"hello","protocol":2,"clamav_version":"1.4.6","functionality_level":216,"unrar":false,"sandbox":{"seccomp":true,"landlock":"absent"}}"#;

    /// An engine of which `script` is all there is.
    async fn fake(script: &str) -> Result<EngineClient, EngineError> {
        let mut shell = tokio::process::Command::new("/bin/sh");
        shell.arg("-c").arg(script);
        let directory = private_directory(&std::env::temp_dir())?;
        let conversation = Conversation::start(shell, directory.path()).expect("a shell");
        EngineClient::greet(conversation, directory, 4).await
    }

    /// A greeted engine that goes on with `script` once asked for something.
    async fn greeted(script: &str) -> EngineClient {
        fake(&format!("read hello; echo '{HELLO}'; read request; {script}")).await.expect("a greeted fake")
    }

    /// Has the fake killed by a scan and returns what it died of.
    async fn killed(client: &EngineClient) -> (Death, String) {
        let process = client.process_id().expect("a live child");
        let scanned = client.scan(client.slot().await, 1, "object", Limits::default(), Duration::from_millis(1)).await;
        let Err(EngineError::Dead { cause, stderr_tail }) = scanned else { panic!("not dead: {scanned:?}") };
        assert!(!Path::new(&format!("/proc/{process}")).exists(), "the child was not reaped");
        assert_eq!(client.process_id(), None);
        let after = client.unload(1).await;
        assert!(matches!(after, Err(EngineError::Dead { cause: Death::Earlier, .. })), "{after:?}");
        (cause, stderr_tail)
    }

    #[tokio::test]
    async fn a_child_that_exits_is_dead_and_its_stderr_is_reported() {
        let client = greeted("echo alas >&2; exit 3").await;
        let (cause, stderr_tail) = killed(&client).await;
        assert!(matches!(&cause, Death::Pipe(error) if matches!(**error, LineError::Closed)), "{cause:?}");
        assert_eq!(stderr_tail, "alas");
    }

    #[tokio::test]
    async fn garbage_on_the_pipe_kills_the_child() {
        for garbage in ["echo nonsense", "echo", "printf '{\"id\":2'", "printf '\\377\\n'"] {
            let (cause, _) = killed(&greeted(garbage).await).await;
            assert!(matches!(cause, Death::Pipe(_)), "{garbage}: {cause:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_to_something_else_kills_the_child() {
        for answer in [r#"{"id":1,"outcome":"unloaded"}"#, r#"{"id":2,"outcome":"unloaded"}"#, HELLO] {
            let (cause, _) = killed(&greeted(&format!("echo '{answer}'; exec /bin/sleep 60")).await).await;
            assert!(matches!(cause, Death::OutOfTurn), "{answer}: {cause:?}");
        }
    }

    #[tokio::test]
    async fn a_child_that_never_answers_is_killed_after_deadline_and_grace() {
        let started = Instant::now();
        let (cause, _) = killed(&greeted("exec /bin/sleep 60").await).await;
        assert!(matches!(cause, Death::Late(_)), "{cause:?}");
        assert!(started.elapsed() >= GRACE && started.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn an_endless_answer_is_not_held() {
        let (cause, _) = killed(&greeted("exec /bin/cat /dev/zero").await).await;
        assert!(matches!(&cause, Death::Pipe(error) if matches!(**error, LineError::Unbounded)), "{cause:?}");
    }

    #[tokio::test]
    async fn endless_stderr_is_cut_to_its_tail() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo word-$i >&2; i=$((i+1)); done; exit 1";
        let client = greeted(script).await;
        let load = client.load(Path::new("/absent"), Duration::from_secs(30)).await;
        let Err(EngineError::Dead { stderr_tail, .. }) = load else { panic!("not dead: {load:?}") };
        assert!(stderr_tail.len() <= 2048 && stderr_tail.ends_with("word-2999"), "{stderr_tail}");
    }

    #[tokio::test]
    async fn a_request_dropped_midway_leaves_no_answer_to_misread() {
        let client = greeted(r#"/bin/sleep 1; echo '{"id":2,"outcome":"unloaded"}'; exec /bin/sleep 60"#).await;
        let dropped = tokio::time::timeout(Duration::from_millis(50), client.unload(1)).await;
        assert!(dropped.is_err());
        let next = client.unload(2).await;
        assert!(matches!(next, Err(EngineError::Dead { cause: Death::Earlier, .. })), "{next:?}");
    }

    #[tokio::test]
    async fn a_refusal_leaves_the_child_alive() {
        let refusal = r#"{"id":2,"outcome":"failed","code":"worker_died","message":"signal 11"}"#;
        let unloaded = r#"{"id":3,"outcome":"unloaded"}"#;
        let client = greeted(&format!("echo '{refusal}'; read request; echo '{unloaded}'; read request")).await;
        let scanned = client.scan(client.slot().await, 1, "object", Limits::default(), COMMAND_TIMEOUT).await;
        let Err(EngineError::Refused(failure)) = scanned else { panic!("not refused: {scanned:?}") };
        assert_eq!(failure.code, FailureCode::WorkerDied);
        assert_eq!(client.hello().functionality_level, 216);
        client.unload(1).await.expect("the child goes on");
    }

    fn asked(client: &EngineClient, slot: Slot) -> impl Future<Output = Result<Report, EngineError>> {
        client.scan(slot, 1, "object", Limits::default(), COMMAND_TIMEOUT)
    }

    fn report(id: u64, status: u32) -> String {
        let report = Report { status, ..Report::default() };
        let response = protocol::Response { id, outcome: Outcome::Scanned(report) };
        serde_json::to_string(&response).expect("JSON")
    }

    #[tokio::test]
    async fn answers_in_any_order_reach_their_askers() {
        let (first, second) = (report(2, 10), report(3, 11));
        let client = greeted(&format!("read request; echo '{second}'; echo '{first}'; read request")).await;
        let (one, other) = tokio::join!(async { asked(&client, client.slot().await).await }, async {
            asked(&client, client.slot().await).await
        });
        assert_eq!((one.expect("a report").status, other.expect("a report").status), (10, 11));
    }

    #[tokio::test]
    async fn a_dropped_scan_is_cancelled_and_costs_no_other() {
        let other = report(3, 11);
        let cancelled = r#"{"id":2,"outcome":"failed","code":"cancelled","message":""}"#;
        let done = r#"{"id":4,"outcome":"cancelled"}"#;
        let script =
            format!("read request; read cancel; echo '{cancelled}'; echo '{done}'; echo '{other}'; read request");
        let client = greeted(&script).await;
        let dropped = async {
            let scan = asked(&client, client.slot().await);
            tokio::time::timeout(Duration::from_millis(100), scan).await
        };
        let (dropped, other) = tokio::join!(dropped, async { asked(&client, client.slot().await).await });
        assert!(dropped.is_err());
        assert_eq!(other.expect("a report").status, 11);
        assert_eq!(client.slots.available_permits(), 4, "the cancelled scan's slot is free again");
    }

    #[tokio::test]
    async fn a_death_reaches_every_pending_request() {
        let client = greeted("read request; echo nonsense; exec /bin/sleep 60").await;
        let (one, other) = tokio::join!(async { asked(&client, client.slot().await).await }, async {
            asked(&client, client.slot().await).await
        });
        for outcome in [one, other] {
            let Err(EngineError::Dead { cause: Death::Pipe(_), .. }) = outcome else { panic!("not dead: {outcome:?}") };
        }
    }

    #[tokio::test]
    async fn no_more_scans_than_slots_are_under_way() {
        let client = greeted("exec /bin/sleep 60").await;
        let mut slots = Vec::new();
        for _ in 0..4 {
            slots.push(client.slot().await);
        }
        assert!(tokio::time::timeout(Duration::from_millis(50), client.slot()).await.is_err());
        slots.pop();
        client.slot().await;
    }

    #[tokio::test]
    async fn a_stranger_is_not_taken_for_the_engine() {
        let other = HELLO.replace("\"protocol\":2", "\"protocol\":3");
        let greeting = fake(&format!("read hello; echo '{other}'; exec /bin/sleep 60")).await;
        assert!(matches!(greeting, Err(EngineError::Dead { cause: Death::OutOfTurn, .. })), "{greeting:?}");
    }

    #[tokio::test]
    async fn the_child_has_no_environment_and_a_directory_of_its_own() {
        let client = greeted("").await;
        let process = client.process_id().expect("a live child");
        let environment = std::fs::read(format!("/proc/{process}/environ")).expect("readable");
        assert!(environment.is_empty(), "{}", String::from_utf8_lossy(&environment));
        assert_eq!(std::fs::read_link(format!("/proc/{process}/cwd")).expect("readable"), client.directory());
        let mode = client.directory().metadata().expect("readable").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let directory = client.directory().to_owned();
        drop(client);
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn a_missing_program_or_place_is_named() {
        let (program, place) = (Path::new("/absent/engine"), Path::new("/absent/place"));
        let error = EngineClient::start(program, &std::env::temp_dir(), 1).await.expect_err("absent");
        assert!(error.to_string().contains("`/absent/engine`: build it"), "{error}");
        let error = EngineClient::start(program, place, 1).await.expect_err("absent");
        assert!(error.to_string().contains("`/absent/place`"), "{error}");
    }
}
