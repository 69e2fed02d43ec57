//! The safe engine: definitions loaded and compiled once, files scanned with them.

use std::{
    ffi::{CStr, CString, OsStr},
    fs::{self, File},
    io::{self, BufReader, ErrorKind, Read, Seek},
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
};

use flate2::bufread::MultiGzDecoder;
use nacre_engine_protocol::{Failure, FailureCode, Limits, Message, Report};

use crate::{
    archive::unopened,
    ffi::{Code, Engine, Field, Library},
    huge_pages, load_order,
    observation::{Observation, observe, record},
    probes::{self, Probes},
};

/// Most messages of libclamav quoted in the text of a failure.
const MAX_QUOTED: usize = 5;

/// An engine with compiled definitions and probes of its own.
#[derive(Debug)]
pub(crate) struct LoadedEngine {
    engine: Engine,
    probes: Probes,
    /// Signatures of the definitions, the probes not counted.
    pub(crate) signatures: u32,
    /// Time to load them.
    pub(crate) load_time: Duration,
    /// Time to compile them, and to lay them out in huge pages.
    pub(crate) compile_time: Duration,
}

/// The result of one scan.
#[derive(Debug)]
pub(crate) struct ScanObservation {
    /// The report for the client.
    pub(crate) report: Report,
    /// Whether the canary's own signature alerted.
    pub(crate) canary: bool,
}

impl LoadedEngine {
    /// Loads every database of `directory`, one by one, then the probes, and compiles them. libclamav may write to `scratch`.
    ///
    /// # Errors
    /// [`FailureCode::LoadFailed`] with libclamav's messages; [`FailureCode::Internal`] when the probes cannot be made.
    pub(crate) fn load(library: &Library, directory: &CStr, scratch: &Path) -> Result<Self, Failure> {
        let probes = Probes::new().map_err(|error| internal("no randomness", &error))?;
        let probes_file = scratch.join("probes.ldb");
        fs::write(&probes_file, probes.signatures()).map_err(|error| internal("cannot write the probes", &error))?;
        let mut engine = Engine::new(library).ok_or_else(|| internal("no engine", &"out of memory"))?;
        engine.set_text(Field::TemporaryDirectory, &c_path(scratch)?).map_err(|code| internal("tmpdir", &code))?;

        let started = Instant::now();
        let files = load_order::files(Path::new(OsStr::from_bytes(directory.to_bytes())));
        let files = files.and_then(|files| if files.is_empty() { Err(ErrorKind::NotFound.into()) } else { Ok(files) });
        let files = files.map_err(|error| {
            load_failed(&format!("no database can be read there: {error}"), &Observation::default())
        })?;
        let mut signatures = 0;
        for file in files {
            let file = c_path(&file)?;
            let (loaded, seen) = observe(|| engine.load(&file));
            signatures += loaded.map_err(|code| load_failed(&format!("cannot load the definitions: {code}"), &seen))?;
        }
        let load_time = started.elapsed();
        if signatures == 0 {
            return Err(load_failed("the definitions hold no signature", &Observation::default()));
        }
        // After the definitions: nothing in them may depend on what we add.
        let (loaded, seen) = observe(|| engine.load(&c_path(&probes_file)?).map_err(|code| internal("probes", &code)));
        if loaded? != probes::SIGNATURES {
            return Err(load_failed("not every probe was loaded", &seen));
        }
        let started = Instant::now();
        let (compiled, seen) = observe(|| engine.compile());
        compiled.map_err(|code| load_failed(&format!("cannot compile the definitions: {code}"), &seen))?;
        huge_pages::lay_out();
        Ok(Self { engine, probes, signatures, load_time, compile_time: started.elapsed() })
    }

    /// Returns the bytes that only the canary's signature finds.
    pub(crate) fn canary(&self) -> &[u8] {
        self.probes.canary()
    }

    /// Scans an open file. libclamav may write to `scratch`, which must exist.
    ///
    /// Only called in a worker: it changes the engine's settings, and parses what an uploader made.
    ///
    /// # Errors
    /// [`FailureCode::Internal`] when `scratch` is not usable or a setting is refused; [`FailureCode::WorkerDied`] when
    /// the observation is incomplete.
    pub(crate) fn scan(&mut self, file: &File, limits: &Limits, scratch: &Path) -> Result<ScanObservation, Failure> {
        // Without a usable directory libclamav would call every object clean.
        let trial = scratch.join("trial");
        fs::write(&trial, [0]).and_then(|()| fs::remove_file(&trial)).map_err(|e| internal("no scratch space", &e))?;
        self.configure(limits, scratch)?;

        let started = Instant::now();
        let ((code, bytes_scanned), seen) = observe(|| {
            record(|observation| observation.derived.is_object(file));
            self.engine.scan(file)
        });
        if seen.incomplete {
            let message = "not every report of libclamav could be recorded".to_owned();
            return Err(Failure { code: FailureCode::WorkerDied, message });
        }
        let unopened = unopened(&seen.layers, &seen.indexes, |bound| gzip_length(file, bound));
        let alerts = self.probes.sort(seen.alerts);
        // Probes alone make libclamav return CL_VIRUS.
        let only_probes = alerts.targets != 0
            && alerts.signatures.is_empty()
            && alerts.limits_exceeded.is_empty()
            && alerts.encrypted.is_empty();
        let status = if code == Code::VIRUS && only_probes { Code::SUCCESS } else { code };
        let report = Report {
            status: status.0,
            alerts: alerts.signatures,
            limits_exceeded: alerts.limits_exceeded,
            encrypted: alerts.encrypted,
            // The probes are silent on a program that its certificate makes trusted, until that expires.
            targets: alerts.targets | seen.programs,
            layers: seen.layers,
            layer_count: seen.layer_count,
            derived: seen.derived.found,
            unread: seen.derived.unread,
            unopened,
            messages: seen.messages,
            bytes_scanned,
            duration_ms: milliseconds(started.elapsed()),
        };
        Ok(ScanObservation { report, canary: alerts.canary })
    }

    fn configure(&mut self, limits: &Limits, scratch: &Path) -> Result<(), Failure> {
        self.engine
            .set_text(Field::TemporaryDirectory, &c_path(scratch)?)
            .map_err(|code| internal("scratch directory refused", &code))?;
        let numbers = [
            (Field::MaxScanSize, limits.max_scan_size),
            (Field::MaxFileSize, limits.max_file_size),
            (Field::MaxFiles, limits.max_files.into()),
            (Field::MaxRecursion, limits.max_recursion.into()),
            (Field::MaxScanTime, limits.max_scan_time_ms.into()),
            // Past these limits libclamav skips matchers without a message: padding would make malware clean. A file within the
            // size limit is scanned by all of them.
            (Field::MaxEmbeddedProgram, limits.max_file_size),
            (Field::MaxHtmlNormalize, limits.max_file_size),
            (Field::MaxHtmlNoTags, limits.max_file_size),
            (Field::MaxScriptNormalize, limits.max_file_size),
            (Field::MaxZipTypeAgain, limits.max_file_size),
            (Field::PcreMaxFileSize, limits.max_file_size),
        ];
        for (field, number) in numbers {
            let set = self.engine.set_number(field, number);
            set.map_err(|code| internal(&format!("limit {field:?} refused"), &code))?;
        }
        Ok(())
    }
}

/// Unpacks a gzip file up to a byte past `bound`; `None` when it is damaged.
fn gzip_length(file: &File, bound: u64) -> Option<u64> {
    let mut file = file;
    file.rewind().ok()?;
    let mut unpacked = MultiGzDecoder::new(BufReader::new(file)).take(bound.saturating_add(1));
    io::copy(&mut unpacked, &mut io::sink()).ok()
}

/// Returns whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A failure of the engine itself.
pub(crate) fn internal(what: &str, cause: &impl ToString) -> Failure {
    Failure { code: FailureCode::Internal, message: format!("{what}: {}", cause.to_string()) }
}

fn load_failed(what: &str, seen: &Observation) -> Failure {
    let quoted: Vec<_> = seen.messages.iter().take(MAX_QUOTED).map(|Message { text, .. }| text.as_str()).collect();
    let message = if quoted.is_empty() { what.to_owned() } else { format!("{what}: {}", quoted.join("; ")) };
    Failure { code: FailureCode::LoadFailed, message }
}

fn c_path(path: &Path) -> Result<CString, Failure> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| internal("path", &error))
}
