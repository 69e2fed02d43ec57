//! Starts the engine in a directory of its own and speaks to it.

use std::{
    fs,
    io::{BufReader, Write},
    os::{fd::AsFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use md5::{Digest, Md5};
use nacre_engine_protocol::{
    Command, FailureCode, Limits, Loaded, Outcome, PROTOCOL_VERSION, Report, Request, Response, read_message,
    write_message,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;

/// Ends a hang, and nothing that makes progress on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(10);

/// [`DEADLINE`], as the protocol has it.
pub(crate) const DEADLINE_MS: u64 = 10 * 60 * 1000;

/// Where Debian's clamav-testfiles are.
const TEST_FILES: &str = "/usr/share/clamav-testfiles";

/// A running engine.
pub(crate) struct Engine {
    pub(crate) child: Child,
    pub(crate) directory: TempDir,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
    last_id: u64,
}

impl Engine {
    /// Starts an engine that has not been greeted.
    pub(crate) fn start() -> Self {
        Self::start_program(env!("CARGO_BIN_EXE_nacre-engine"))
    }

    /// Starts an engine by its program.
    pub(crate) fn start_program(program: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let mut child = std::process::Command::new(program)
            .env_clear()
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, directory, stdin, stdout, last_id: 0 }
    }

    /// Starts and greets an engine.
    pub(crate) fn greeted() -> Self {
        Self::start().greet()
    }

    /// Starts, greets and loads an engine whose workers attack, or spin, when the file orders it.
    pub(crate) fn attacked(definitions: &[(&str, &str)]) -> Self {
        let mut engine = Self::start_program(env!("CARGO_BIN_EXE_nacre-engine-attack-probe")).greet();
        assert_eq!(engine.load(definitions).engine, 1);
        engine
    }

    /// Greets it.
    pub(crate) fn greet(mut self) -> Self {
        let engine = &mut self;
        assert!(matches!(engine.ask(Command::Hello { protocol: PROTOCOL_VERSION }), Outcome::Hello(_)));
        self
    }

    /// Starts, greets and loads an engine; its first engine's id is 1.
    pub(crate) fn with(definitions: &[(&str, &str)]) -> Self {
        let mut engine = Self::greeted();
        assert_eq!(engine.load(definitions).engine, 1);
        engine
    }

    /// Sends a request and returns its id.
    ///
    /// A worker removes the name of the file that it scans: it gets another name of the same file, so that tests may scan theirs again.
    pub(crate) fn send(&mut self, mut command: Command) -> u64 {
        self.last_id += 1;
        if let Command::Scan { file, .. } = &mut command {
            let (place, other) = (self.directory.path(), format!("scan-{}", self.last_id));
            // What cannot be linked is not a plain file of the directory, which is for the engine to refuse.
            if !file.contains('/') && fs::hard_link(place.join(&*file), place.join(&other)).is_ok() {
                *file = other;
            }
        }
        write_message(self.stdin.as_mut().unwrap(), &Request { id: self.last_id, command }).unwrap();
        self.last_id
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Outcome {
        let Response { id, outcome } = self.receive_any();
        assert_eq!(id, self.last_id);
        outcome
    }

    pub(crate) fn receive_any(&mut self) -> Response {
        read_message(self.stdout.as_mut().unwrap()).unwrap()
    }

    /// Whether an answer can be received at once.
    pub(crate) fn has_answered(&self) -> bool {
        let stdout = self.stdout.as_ref().unwrap();
        let mut watched = [PollFd::new(stdout.get_ref().as_fd(), PollFlags::POLLIN)];
        !stdout.buffer().is_empty() || poll(&mut watched, PollTimeout::ZERO).unwrap() > 0
    }

    pub(crate) fn ask(&mut self, command: Command) -> Outcome {
        self.send(command);
        self.receive()
    }

    /// Asks for what must fail and returns how it did.
    pub(crate) fn refuse(&mut self, command: Command) -> (FailureCode, String) {
        match self.ask(command) {
            Outcome::Failed(failure) => (failure.code, failure.message),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) fn load(&mut self, definitions: &[(&str, &str)]) -> Loaded {
        let definitions = directory_of(definitions);
        match self.ask(load(definitions.path())) {
            Outcome::Loaded(loaded) => loaded,
            other => panic!("not loaded: {other:?}"),
        }
    }

    /// Puts a file into the private directory.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        fs::write(self.directory.path().join(name), content).unwrap();
    }

    /// Scans `content` within `limits`, with the first engine.
    pub(crate) fn scan_within(&mut self, content: &[u8], limits: Limits) -> Report {
        self.put("object", content);
        let outcome = self.ask(Command::Scan { engine: 1, file: "object".into(), limits, deadline_ms: DEADLINE_MS });
        self.assert_nothing_left();
        match outcome {
            Outcome::Scanned(report) => report,
            other => panic!("not scanned: {other:?}"),
        }
    }

    pub(crate) fn scan(&mut self, content: &[u8]) -> Report {
        self.scan_within(content, Limits::default())
    }

    /// Nothing of one object outlives its scan.
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(fs::read_dir(self.directory.path().join("tmp")).unwrap().count(), 0, "something is left in tmp/");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn load(directory: &Path) -> Command {
    Command::Load { directory: directory.to_str().unwrap().to_owned() }
}

pub(crate) fn scan(file: &str) -> Command {
    Command::Scan { engine: 1, file: file.to_owned(), limits: Limits::default(), deadline_ms: DEADLINE_MS }
}

/// Makes a directory of definitions.
pub(crate) fn directory_of(definitions: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, content) in definitions {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

/// The EICAR test file, assembled so that no scanner takes this file for it.
pub(crate) fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat().into_bytes()
}

/// A hash signature of `content`.
pub(crate) fn hdb(name: &str, content: &[u8]) -> String {
    format!("{}:{}:{name}\n", hex::encode(Md5::digest(content)), content.len())
}

/// A body signature of `content`, wherever it stands.
pub(crate) fn ndb(name: &str, content: &[u8]) -> String {
    format!("{name}:0:*:{}\n", hex::encode(content))
}

/// A zip of the named members.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// What keeps a worker of [`Engine::attacked`] busy until it is killed.
pub(crate) const ENDLESS: &[u8] = b"attack spin";

/// What finds all of the test files: the hash of the program inside each of them.
pub(crate) const TEST_FILES_SIGNATURE: (&str, &str) =
    ("testfiles.hdb", "aa15bcf478d165efd2065190eb473bcb:544:ClamAV-Test-File\n");

/// Debian's clamav-testfiles, sorted; none, loudly, when they are not installed.
pub(crate) fn test_files() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(TEST_FILES) else {
        println!("skipped: {TEST_FILES} is not installed");
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Processor time that a process has used, in clock ticks; none once it has ended.
pub(crate) fn processor_ticks(process: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    status.split(' ').nth(13)?.parse().ok()
}

/// Whether a process runs on a processor, or could: not one that waits, is stopped or has ended.
pub(crate) fn is_running(process: i32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|status| status.contains(") R "))
}

/// The children of a process.
pub(crate) fn children(of: u32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    children.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Returns what `found` finds, once it finds something.
pub(crate) fn await_some<T>(awaited: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "{awaited}: not within {DEADLINE:?}");
        sleep(Duration::from_millis(1));
    }
}

/// Makes a directory that only its owner may enter.
pub(crate) fn private_directory(path: &Path) {
    fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}
