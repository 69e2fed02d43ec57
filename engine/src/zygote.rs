//! The zygote: serves requests, loads signatures itself and leaves every object to a worker.
//!
//! Scans run in parallel. Other commands wait until no scan runs, so a load never delays a worker's deadline.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs,
    io::{self, PipeReader, Stdout, Write},
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

use nacre_engine_protocol::{
    Command, Failure, FailureCode, Hello, Limits, LineError, Loaded, MAX_SCANS, Outcome, PROTOCOL_VERSION, Request,
    Response, write_message,
};

use crate::{
    WorkerHook,
    ffi::Library,
    library::{LoadedEngine, internal, milliseconds},
    lines::Lines,
    object,
    proof::prove,
    worker::Job,
    worker_pool::{WorkerPool, discard},
};

/// Workers forked ahead: one for each core of a usual machine.
const AHEAD: usize = 2;

/// The engine process and what it has loaded.
#[derive(Debug)]
pub(crate) struct Zygote {
    library: Library,
    hook: Option<WorkerHook>,
    pool: WorkerPool,
    greeted: bool,
    engines: BTreeMap<u32, LoadedEngine>,
    last_engine: u32,
    /// Scans that began since an engine was loaded.
    scans: u32,
    requests: Lines<PipeReader>,
    responses: Stdout,
    /// The request that waits until no scan runs.
    held: Option<Request>,
    /// Id of the last request.
    last_id: u64,
}

impl Zygote {
    pub(crate) fn new(library: Library, pool: WorkerPool, requests: PipeReader, hook: Option<WorkerHook>) -> Self {
        Self {
            library,
            hook,
            pool,
            greeted: false,
            engines: BTreeMap::new(),
            last_engine: 0,
            scans: 0,
            requests: Lines::new(requests),
            responses: io::stdout(),
            held: None,
            last_id: 0,
        }
    }

    /// Serves requests until the client closes the pipe.
    ///
    /// # Errors
    /// An oversized line or a broken pipe.
    pub(crate) fn serve(&mut self) -> Result<(), LineError> {
        loop {
            while self.has_room()
                && let Some(request) = self.take()?
            {
                if let Some(outcome) = self.begin(&request).unwrap_or_else(|failure| Some(Outcome::Failed(failure))) {
                    self.respond(request.id, outcome)?;
                }
            }
            if self.requests.is_closed() && self.pool.busy() == 0 {
                return Ok(self.pool.end_idle()?);
            }
            self.fork_ahead()?;
            let listening = (self.has_room() && !self.requests.is_closed()).then(|| self.requests.source.as_fd());
            let woken = self.pool.wait(listening, self.responses.as_fd())?;
            if woken.client_gone {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
            }
            for (id, outcome) in woken.done {
                self.respond(id, outcome)?;
            }
            if woken.readable {
                self.requests.fill()?;
            }
        }
    }

    /// Whether another request can start.
    fn has_room(&self) -> bool {
        if self.held.is_some() { self.pool.busy() == 0 } else { self.pool.busy() < MAX_SCANS }
    }

    /// The next request that can start.
    fn take(&mut self) -> Result<Option<Request>, LineError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let request: Request = loop {
            match self.requests.next::<Request>() {
                // Attack: a forged request with an id that the client is about to use. The client counts upwards.
                Ok(Some(request)) if request.id <= self.last_id => {
                    self.respond(
                        0,
                        Outcome::Failed(refused("the id of a request must be greater than the last one's")),
                    )?;
                }
                Ok(Some(request)) => {
                    self.last_id = request.id;
                    break request;
                }
                Ok(None) => return Ok(None),
                Err(LineError::Malformed(error)) => self.respond(0, Outcome::Failed(refused(&error.to_string())))?,
                Err(error) => return Err(error),
            }
        };
        let alone = !matches!(request.command, Command::Scan { .. } | Command::Cancel { .. });
        if alone && self.pool.busy() > 0 {
            self.held = Some(request);
            return Ok(None);
        }
        Ok(Some(request))
    }

    /// Executes a command, or starts a scan, which has no outcome yet.
    fn begin(&mut self, request: &Request) -> Result<Option<Outcome>, Failure> {
        match &request.command {
            Command::Hello { protocol } => self.greet(*protocol).map(Some),
            _ if !self.greeted => Err(refused("hello must come first")),
            Command::Load { directory } => self.load(directory).map(Some),
            Command::Scan { engine, file, limits, deadline_ms } => {
                self.check(*engine, file, *limits)?;
                self.scans = self.scans.saturating_add(1);
                let deadline = Duration::from_millis(*deadline_ms);
                let work = scanning(&mut self.engines, self.hook);
                self.pool.dispatch(request, deadline, work).map(|()| None)
            }
            Command::Cancel { scan } => {
                if let Some((id, outcome)) = self.pool.cancel(*scan) {
                    self.respond(id, outcome).map_err(|error| internal("cannot respond", &error))?;
                }
                Ok(Some(Outcome::Cancelled))
            }
            Command::Unload { engine } => {
                self.end_idle()?;
                self.engines.remove(engine).ok_or_else(|| no_such_engine(*engine))?;
                Ok(Some(Outcome::Unloaded))
            }
        }
    }

    fn respond(&mut self, id: u64, outcome: Outcome) -> io::Result<()> {
        write_message(&mut self.responses, &Response { id, outcome })?;
        self.responses.flush()
    }

    fn greet(&mut self, protocol: u32) -> Result<Outcome, Failure> {
        if protocol != PROTOCOL_VERSION {
            let message = format!("the engine's protocol version is {PROTOCOL_VERSION}, not {protocol}");
            return Err(Failure { code: FailureCode::ProtocolMismatch, message });
        }
        self.greeted = true;
        Ok(Outcome::Hello(Hello {
            protocol: PROTOCOL_VERSION,
            clamav_version: self.library.version.clone(),
            functionality_level: self.library.functionality_level,
            unrar: unrar_installed(),
            sandbox: self.pool.sandbox().state(),
        }))
    }

    fn load(&mut self, directory: &str) -> Result<Outcome, Failure> {
        if !Path::new(directory).is_absolute() {
            return Err(refused("the directory's path must be absolute"));
        }
        let directory = CString::new(directory).map_err(|_| refused("a path holds no NUL"))?;
        self.end_idle()?;
        let scratch = self.pool.scratch()?;
        let loaded = LoadedEngine::load(&self.library, &directory, &scratch);
        let proven = loaded.and_then(|mut engine| {
            let started = Instant::now();
            let report = prove(&mut engine, &mut self.pool, &scratch, self.responses.as_fd())?;
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
            messages: engine.messages.clone(),
        };
        self.engines.insert(self.last_engine, engine);
        self.scans = 0;
        Ok(Outcome::Loaded(loaded))
    }

    /// Refuses a scan that must not begin.
    fn check(&self, engine: u32, file: &str, limits: Limits) -> Result<(), Failure> {
        if !self.engines.contains_key(&engine) {
            return Err(no_such_engine(engine));
        }
        // Limits that mean "none" to libclamav.
        let Limits { max_scan_size, max_file_size, max_files, max_recursion, max_scan_time_ms, max_memory: _ } = limits;
        if [max_scan_size, max_file_size].contains(&0) || [max_files, max_recursion, max_scan_time_ms].contains(&0) {
            return Err(refused("a limit of 0 would be no limit"));
        }
        if !object::is_plain_name(file) {
            return Err(refused("the file must be a plain name"));
        }
        object::open(Path::new(file)).map_err(|error| refused(&format!("cannot open the file: {error}")))?;
        Ok(())
    }

    fn end_idle(&mut self) -> Result<(), Failure> {
        self.pool.end_idle().map_err(|error| internal("cannot end a worker", &error))
    }

    /// Forks workers for later scans while earlier ones run.
    fn fork_ahead(&mut self) -> io::Result<()> {
        // A fork of a loaded engine takes up to 20 ms: the first verdict does not wait for those that it needs not.
        let ahead = AHEAD.min(self.scans.try_into().unwrap_or(AHEAD));
        while !self.engines.is_empty() && !self.requests.is_closed() && self.pool.idle() < ahead {
            self.pool.fork_idle(scanning(&mut self.engines, self.hook))?;
        }
        Ok(())
    }
}

/// The work of a worker: its hook, then its scan.
fn scanning(engines: &mut BTreeMap<u32, LoadedEngine>, hook: Option<WorkerHook>) -> impl FnOnce(Job<'_>) -> Outcome {
    move |job| {
        if let Some(outcome) = hook.and_then(|hook| hook(job.file)) {
            return outcome;
        }
        let engine = engines.get_mut(&job.engine).ok_or_else(|| no_such_engine(job.engine));
        let scanned = engine.and_then(|engine| engine.scan(job.file, job.limits, job.scratch));
        scanned.map_or_else(Outcome::Failed, |observation| Outcome::Scanned(observation.report))
    }
}

fn refused(message: &str) -> Failure {
    Failure { code: FailureCode::BadRequest, message: message.to_owned() }
}

fn no_such_engine(engine: u32) -> Failure {
    Failure { code: FailureCode::NoSuchEngine, message: format!("no engine {engine}") }
}

/// Whether libclamunrar is in the directory of the libclamav in use, where libclamav searches for it and distributions install it.
fn unrar_installed() -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let library =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libclamav.so"));
    let Some(directory) = library.map(Path::new).and_then(Path::parent) else { return false };
    fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libclamunrar_iface.so"))
    })
}
