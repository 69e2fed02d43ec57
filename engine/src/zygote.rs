//! The zygote: answers requests one after the other, loads signatures itself and leaves every object to a worker.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nacre_engine_protocol::{
    Command, Failure, FailureCode, Hello, Limits, LineError, Loaded, Outcome, PROTOCOL_VERSION, Report, Request,
    Response, read_message, write_message,
};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use sha2::{Digest, Sha256};

use crate::{
    canary,
    ffi::Library,
    library::{LoadedEngine, internal, milliseconds},
    worker,
};

/// The engine's working place inside its private directory, which is the current one.
const TEMPORARY: &str = "tmp";
/// Time for the canary's scan; it takes milliseconds.
const CANARY_DEADLINE: Duration = Duration::from_secs(30);

/// The engine process and what it has loaded.
#[derive(Debug)]
pub(crate) struct Zygote {
    library: Library,
    greeted: bool,
    engines: BTreeMap<u32, LoadedEngine>,
    last_engine: u32,
    last_scratch: u64,
}

impl Zygote {
    /// Makes a zygote whose private directory is the current one.
    ///
    /// # Errors
    /// When the directory is not fresh: cleaning up might delete what is not ours.
    pub(crate) fn new(library: Library) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(TEMPORARY)?;
        Ok(Self { library, greeted: false, engines: BTreeMap::new(), last_engine: 0, last_scratch: 0 })
    }

    /// Answers requests until there are no more.
    ///
    /// # Errors
    /// A line without bound or a broken pipe; the other side is then not to be trusted any more.
    pub(crate) fn serve(&mut self, requests: &mut impl BufRead, answers: &mut impl Write) -> Result<(), LineError> {
        loop {
            let response = match read_message(requests) {
                Ok(Request { id, command }) => {
                    Response { id, outcome: self.answer(command).unwrap_or_else(Outcome::Failed) }
                }
                Err(LineError::Malformed(error)) => {
                    Response { id: 0, outcome: Outcome::Failed(refused(&error.to_string())) }
                }
                Err(LineError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            };
            write_message(answers, &response)?;
        }
    }

    fn answer(&mut self, command: Command) -> Result<Outcome, Failure> {
        match command {
            Command::Hello { protocol } => self.greet(protocol),
            _ if !self.greeted => Err(refused("hello must come first")),
            Command::Load { directory } => self.load(directory),
            Command::Scan { engine, file, limits, deadline_ms } => {
                self.scan(engine, &file, limits, Duration::from_millis(deadline_ms))
            }
            Command::Unload { engine } => {
                self.engines.remove(&engine).map(|_| Outcome::Unloaded).ok_or_else(|| no_such_engine(engine))
            }
        }
    }

    fn greet(&mut self, protocol: u32) -> Result<Outcome, Failure> {
        if protocol != PROTOCOL_VERSION {
            let message = format!("the engine speaks version {PROTOCOL_VERSION}, not {protocol}");
            return Err(Failure { code: FailureCode::ProtocolMismatch, message });
        }
        self.greeted = true;
        Ok(Outcome::Hello(Hello {
            protocol: PROTOCOL_VERSION,
            clamav_version: self.library.version.clone(),
            functionality_level: self.library.functionality_level,
            unrar: unrar_installed(),
        }))
    }

    fn load(&mut self, directory: String) -> Result<Outcome, Failure> {
        if !Path::new(&directory).is_absolute() {
            return Err(refused("the directory's path must be absolute"));
        }
        let directory = CString::new(directory).map_err(|_| refused("a path holds no NUL"))?;
        let scratch = self.scratch()?;
        let loaded = LoadedEngine::load(&self.library, &directory, &scratch);
        let proven = loaded.and_then(|mut engine| {
            let started = Instant::now();
            let report = prove(&mut engine, &scratch)?;
            Ok((engine, report, started.elapsed()))
        });
        discard(&scratch)?;
        let (engine, canary, canary_time) = proven?;
        self.last_engine += 1;
        let loaded = Loaded {
            engine: self.last_engine,
            signatures: engine.signatures.into(),
            eicar: canary.alerts,
            load_ms: milliseconds(engine.load_time),
            compile_ms: milliseconds(engine.compile_time),
            canary_ms: milliseconds(canary_time),
        };
        self.engines.insert(self.last_engine, engine);
        Ok(Outcome::Loaded(loaded))
    }

    fn scan(&mut self, engine: u32, file: &str, limits: Limits, deadline: Duration) -> Result<Outcome, Failure> {
        let scratch = self.scratch()?;
        let scanned = match self.engines.get_mut(&engine) {
            None => Err(no_such_engine(engine)),
            Some(engine) => check(limits).and_then(|()| open(file)).map(|file| {
                worker::run(deadline, || match engine.scan(&file, &limits, &scratch) {
                    Ok(sighting) => Outcome::Scanned(sighting.report),
                    Err(failure) => Outcome::Failed(failure),
                })
            }),
        };
        // Nothing of one object outlives its scan, even when its worker was killed.
        discard(&scratch)?;
        scanned
    }

    /// Makes a directory for one load or scan.
    fn scratch(&mut self) -> Result<PathBuf, Failure> {
        self.last_scratch += 1;
        let scratch = Path::new(TEMPORARY).join(self.last_scratch.to_string());
        DirBuilder::new().mode(0o700).create(&scratch).map_err(|error| internal("no scratch space", &error))?;
        Ok(scratch)
    }
}

/// Has a worker find the canary; returns what the definitions themselves found in it.
fn prove(engine: &mut LoadedEngine, scratch: &Path) -> Result<Report, Failure> {
    let canary_failed = |message: String| Failure { code: FailureCode::CanaryFailed, message };
    let path = scratch.join("canary.zip");
    let archive = canary::archive(engine.canary()).map_err(|error| internal("cannot build the canary", &error))?;
    let member = hex::encode(Sha256::digest(canary::member(engine.canary())));
    fs::write(&path, archive).map_err(|error| internal("cannot write the canary", &error))?;
    let file = File::open(&path).map_err(|error| internal("cannot open the canary", &error))?;
    let outcome = worker::run(CANARY_DEADLINE, || match engine.scan(&file, &Limits::default(), scratch) {
        Ok(sighting) if !sighting.canary => Outcome::Failed(canary_failed("its own signature did not match".into())),
        Ok(sighting) => Outcome::Scanned(sighting.report),
        Err(failure) => Outcome::Failed(failure),
    });
    match outcome {
        Outcome::Scanned(report) if report.targets & 1 == 0 => {
            Err(canary_failed("the probe of target 0 did not match".into()))
        }
        Outcome::Scanned(report) if report.layers.iter().all(|layer| layer.sha256 != member) => {
            Err(canary_failed("its member was not among the layers".into()))
        }
        Outcome::Scanned(report) => Ok(report),
        Outcome::Failed(failure) => Err(canary_failed(format!("{:?}: {}", failure.code, failure.message))),
        other => Err(canary_failed(format!("unexpected {other:?}"))),
    }
}

/// Opens a file of the private directory: a plain name of a regular file, and no link to anywhere else.
fn open(name: &str) -> Result<File, Failure> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(refused("the file must be a plain name"));
    }
    // Without O_NONBLOCK a named pipe would hold the zygote up for ever. std adds O_CLOEXEC.
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(name);
    let file = file.map_err(|error| refused(&format!("cannot open the file: {error}")))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        _ => Err(refused("not a regular file")),
    }
}

/// Refuses limits that mean "none" to libclamav.
fn check(limits: Limits) -> Result<(), Failure> {
    let Limits { max_scan_size, max_file_size, max_files, max_recursion, max_scan_time_ms } = limits;
    if [max_scan_size, max_file_size].contains(&0) || [max_files, max_recursion, max_scan_time_ms].contains(&0) {
        return Err(refused("a limit of 0 would be no limit"));
    }
    Ok(())
}

fn discard(scratch: &Path) -> Result<(), Failure> {
    fs::remove_dir_all(scratch).map_err(|error| internal("cannot clean up", &error))
}

fn refused(message: &str) -> Failure {
    Failure { code: FailureCode::BadRequest, message: message.to_owned() }
}

fn no_such_engine(engine: u32) -> Failure {
    Failure { code: FailureCode::NoSuchEngine, message: format!("no engine {engine}") }
}

/// Whether libclamunrar stands beside the libclamav in use: where libclamav looks for it, and distributions put it.
fn unrar_installed() -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let library =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libclamav.so"));
    let Some(directory) = library.map(Path::new).and_then(Path::parent) else { return false };
    fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libclamunrar_iface.so"))
    })
}
