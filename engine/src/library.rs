//! The safe engine: definitions loaded and compiled once, files scanned with them.

mod trust;

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, OsStr},
    fs::{self, File},
    io::{self, BufReader, ErrorKind, Read, Seek},
    mem,
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
};

use flate2::bufread::MultiGzDecoder;
use nacre_engine_protocol::{Failure, FailureCode, Limits, Message, Report};

use crate::{
    archive::unopened,
    ffi::{Code, Engine, Field, Library},
    file_types, huge_pages, load_order,
    lookup::{LoadedFilters, Lookup},
    observation::{Observation, observe, observe_more, record},
    probes::{self, Probes},
    second_reader::SecondReader,
};

/// Most messages of libclamav quoted in the text of a failure.
const MAX_QUOTED: usize = 5;

/// An engine with compiled definitions and probes of its own.
#[derive(Debug)]
pub(crate) struct LoadedEngine {
    engine: Engine,
    probes: Probes,
    filters: LoadedFilters,
    /// Signatures of the definitions, the probes not counted.
    pub(crate) signatures: u32,
    /// Time to load them.
    pub(crate) load_time: Duration,
    /// Time to compile them.
    pub(crate) compile_time: Duration,
    /// What libclamav said while it loaded them.
    pub(crate) messages: Vec<Message>,
}

/// The result of one scan.
#[derive(Debug)]
pub(crate) struct ScanObservation {
    /// The report for the client.
    pub(crate) report: Report,
    /// Whether the canary's own signature alerted.
    pub(crate) canary: bool,
    /// Number of contents that only the second reader got out.
    pub(crate) found: usize,
}

impl LoadedEngine {
    /// Loads every database of `directory`, one by one, then the probes, and compiles them. libclamav may write to `scratch`.
    ///
    /// # Errors
    /// [`FailureCode::LoadFailed`] with libclamav's messages; [`FailureCode::Internal`] when the probes cannot be made.
    pub(crate) fn load(library: &Library, directory: &CStr, scratch: &Path) -> Result<Self, Failure> {
        let _memory = huge_pages::Loading::begin();
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
        let (mut signatures, mut messages) = (0, Vec::new());
        for file in files {
            let file = c_path(&file)?;
            let (loaded, seen) = observe(|| engine.load(&file));
            signatures += loaded.map_err(|code| load_failed(&format!("cannot load the definitions: {code}"), &seen))?;
            messages.extend(seen.messages);
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
        let place = Path::new(OsStr::from_bytes(directory.to_bytes()));
        let filters = LoadedFilters::load(place)?;
        if file_types::brings_types(place).map_err(|error| internal("cannot read the definitions", &error))? {
            let types = scratch.join("types.ftm");
            fs::write(&types, file_types::TYPES).map_err(|error| internal("cannot write the file types", &error))?;
            let (loaded, _) = observe(|| engine.load(&c_path(&types)?).map_err(|code| internal("file types", &code)));
            loaded?;
        }
        let started = Instant::now();
        let (compiled, seen) = observe(|| engine.compile());
        compiled.map_err(|code| load_failed(&format!("cannot compile the definitions: {code}"), &seen))?;
        Ok(Self { engine, probes, filters, signatures, load_time, compile_time: started.elapsed(), messages })
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
    /// the observation is incomplete, or there was no room for what was unpacked.
    pub(crate) fn scan(&mut self, file: &File, limits: &Limits, scratch: &Path) -> Result<ScanObservation, Failure> {
        // Without a usable directory libclamav would call every object clean.
        let trial = scratch.join("trial");
        fs::write(&trial, [0]).and_then(|()| fs::remove_file(&trial)).map_err(|e| internal("no scratch space", &e))?;
        self.configure(limits, scratch)?;

        let started = Instant::now();
        let (scanned, mut seen) = observe(|| {
            record(|observation| {
                observation.derived.is_object(file);
                observation.reader = Some(SecondReader::new(scratch, limits, started));
                observation.lookup = self.filters.lookup();
            });
            self.engine.scan(file)
        });
        let mut sum = Sum::default();
        sum.add(scanned);
        let trusted = self.trusted_targets(&seen, file, limits, scratch, started)?;
        // What is in a trusted archive is trusted with it.
        if trusted == 0 {
            self.scan_found(&mut seen, &mut sum, limits, scratch, started)?;
        }
        if seen.incomplete {
            let message = "not every report of libclamav could be recorded".to_owned();
            return Err(Failure { code: FailureCode::WorkerDied, message });
        }
        let mut lacked_room = sum.code.lacks_room();
        if let Some(reader) = seen.reader.take() {
            lacked_room |= reader.lacked_room;
            // libclamav's own name says more.
            let is_named = seen
                .alerts
                .iter()
                .any(|alert| probes::is_own_alert(alert, "Heuristics.Encrypted.") && !seen.marks.is_opened(alert));
            let encrypted = reader.encrypted.filter(|_| !is_named);
            seen.alerts.extend([reader.limit_exceeded, encrypted].into_iter().flatten().map(str::to_owned));
        }
        let (proposals, unlooked) = seen.lookup.take().map(Lookup::finish).unwrap_or_default();
        let found = seen.found.len();
        seen.marks.conclude(&seen.layers, &seen.found);
        let (derived, unread) = seen.derived.finish(&seen.layers);
        let order = found_in_place(seen.layers.len(), &seen.found);
        let layers = in_order(seen.layers, &order);
        let indexes = in_order(seen.indexes, &order);
        let sums = in_order(seen.sums, &order);
        let unopened = sum.unopened + unopened(&layers, &indexes, &sums, |bound| gzip_length(file, bound));
        let empty = (0..).zip(&order).filter(|(_, at)| seen.marks.empty.contains(at)).map(|(at, _)| at).collect();
        let read_whole = indexes.iter().zip(0..).filter(|(index, _)| index.coverage.whole).map(|(_, at)| at).collect();
        let mut alerts = self.probes.sort(seen.alerts);
        alerts.encrypted.retain(|alert| !seen.marks.is_opened(alert));
        if lacked_room && alerts.signatures.is_empty() {
            let message = "no room on the disk or in memory for what was unpacked".to_owned();
            return Err(Failure { code: FailureCode::WorkerDied, message });
        }
        // Probes alone make libclamav return CL_VIRUS.
        let only_probes = alerts.targets != 0
            && alerts.signatures.is_empty()
            && alerts.limits_exceeded.is_empty()
            && alerts.encrypted.is_empty();
        let status = if sum.code == Code::VIRUS && only_probes { Code::SUCCESS } else { sum.code };
        alerts.encrypted.extend(seen.marks.encrypted.into_iter().map(str::to_owned));
        let report = Report {
            status: status.0,
            alerts: alerts.signatures,
            limits_exceeded: alerts.limits_exceeded,
            encrypted: alerts.encrypted,
            // The probes are silent on a program that its certificate makes trusted, until that expires.
            targets: alerts.targets | seen.programs | trusted,
            layers,
            layer_count: seen.layer_count,
            derived,
            unread,
            proposals,
            unlooked,
            unopened,
            read_whole,
            containers: seen.marks.containers.into_iter().map(str::to_owned).collect(),
            empty,
            messages: seen.messages,
            bytes_scanned: sum.bytes,
            duration_ms: milliseconds(started.elapsed()),
        };
        Ok(ScanObservation { report, canary: alerts.canary, found })
    }

    /// Scans what the second reader got out and libclamav did not show, each as a layer, within what is left of the limits.
    fn scan_found(
        &mut self,
        seen: &mut Observation,
        sum: &mut Sum,
        limits: &Limits,
        scratch: &Path,
        started: Instant,
    ) -> Result<(), Failure> {
        loop {
            // An object that has met a limit is not scanned whole, whatever else is in it.
            if seen.alerts.iter().any(|alert| probes::is_own_alert(alert, "Heuristics.Limits.")) {
                return Ok(());
            }
            let Some(reader) = seen.reader.as_mut().filter(|reader| reader.limit_exceeded.is_none()) else {
                return Ok(());
            };
            let Some(found) = reader.take() else { return Ok(()) };
            let (parent, sha256) = (found.parent, hex::encode(found.sha256));
            match rest_of(limits, found.parent.1 + 1, seen.layer_count, sum.bytes, started) {
                Ok(rest) => self.configure(&rest, scratch)?,
                Err(name) => {
                    reader.limit_exceeded = Some(name);
                    return Ok(());
                }
            }
            let file = found.open(scratch).map_err(|error| internal("cannot keep what was unpacked", &error))?;
            let first = seen.layers.len();
            let (scanned, now_seen) = observe_more(mem::take(seen), || {
                record(|observation| {
                    observation.derived.is_object(&file);
                    observation.begin_found(parent);
                });
                self.engine.scan(&file)
            });
            *seen = now_seen;
            sum.add(scanned);
            // What libclamav did not even show was not scanned.
            let is_shown = seen.layers.get(first).is_some_and(|layer| layer.sha256 == sha256);
            sum.unopened += u64::from(!is_shown);
        }
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

/// The results of all scans of one object.
#[derive(Debug, Default)]
struct Sum {
    code: Code,
    bytes: u64,
    unopened: u64,
}

impl Sum {
    fn add(&mut self, (code, bytes): (Code, u64)) {
        // A failure outweighs a match here: the match is among the alerts.
        self.code = self.code.max(code);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What is left of the limits for a layer at `depth`; the name of the limit when nothing is.
fn rest_of(limits: &Limits, depth: u32, layers: u64, bytes: u64, started: Instant) -> Result<Limits, &'static str> {
    let left = |limit: u64, used: u64, name| limit.checked_sub(used).filter(|left| *left > 0).ok_or(name);
    let left32 =
        |limit: u32, used, name| left(limit.into(), used, name).map(|left| u32::try_from(left).unwrap_or(limit));
    Ok(Limits {
        max_scan_size: left(limits.max_scan_size, bytes, "Heuristics.Limits.Exceeded.MaxScanSize")?,
        max_files: left32(limits.max_files, layers, "Heuristics.Limits.Exceeded.MaxFiles")?,
        max_recursion: left32(limits.max_recursion, depth.into(), "Heuristics.Limits.Exceeded.MaxRecursion")?,
        max_scan_time_ms: left32(
            limits.max_scan_time_ms,
            milliseconds(started.elapsed()),
            "Heuristics.Limits.Exceeded.MaxScanTime",
        )?,
        ..*limits
    })
}

/// The order in which layers that the second reader found follow the layer that they came out of. `found` has the first layer of each
/// scan of such content, and the layer around it.
fn found_in_place(layers: usize, found: &[(usize, usize)]) -> Vec<usize> {
    let ends = found.iter().skip(1).map(|(first, _)| *first).chain([layers]);
    let mut inside: BTreeMap<usize, Vec<Range<usize>>> = BTreeMap::new();
    for ((first, around), end) in found.iter().zip(ends) {
        inside.entry(*around).or_default().push(*first..end);
    }
    let mut order = Vec::with_capacity(layers);
    let mut open: Vec<_> = std::iter::once(0..found.first().map_or(layers, |(first, _)| *first)).collect();
    while let Some(range) = open.last_mut() {
        match range.next() {
            None => drop(open.pop()),
            Some(layer) => {
                order.push(layer);
                open.extend(inside.remove(&layer).into_iter().flatten().rev());
            }
        }
    }
    order
}

fn in_order<T>(items: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut items: Vec<_> = items.into_iter().map(Some).collect();
    order.iter().filter_map(|at| items.get_mut(*at).and_then(Option::take)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_follows_the_layer_around_it() {
        // 0 and 1 by libclamav; 2 and 3 found in 1; 4 found in 2; 5 found in 0.
        assert_eq!(found_in_place(6, &[(2, 1), (4, 2), (5, 0)]), [0, 5, 1, 2, 4, 3]);
        assert_eq!(found_in_place(3, &[]), [0, 1, 2]);
        assert_eq!(in_order(vec!['a', 'b', 'c'], &[2, 0, 1]), ['c', 'a', 'b']);
    }
}
