//! One cold start of our function, in a process of its own, up to the first verdict.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nacre_aws::S3Definitions;
use nacre_core::{object::ObjectId, port::DefinitionsStore, telemetry::Metric, verdict::Verdict};
use nacre_scanner::config::Config;
use nacre_test_support::{
    bench::{
        BenchError, DirectoryDefinitions, as_clamavs, children, cpu_ms,
        memory::{Whose, peak_kib},
        stack_s3, system,
    },
    messages::{sqs_event, uploads},
    scanner_world::ScannerWorld,
};
use nacre_testing::memory_objects::MemoryObjects;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::limited_store::LimitedStore;

/// How to start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct How {
    pub(crate) by_scan_sets: bool,
    /// Bytes a second that the bucket gives.
    pub(crate) rate: Option<u64>,
    /// Whether memory is sampled, which takes time.
    pub(crate) is_sampled: bool,
    /// Where the local stack's S3 has the bucket; `None` reads its directory, without HTTP.
    pub(crate) endpoint: Option<String>,
}

/// What to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) how: How,
    /// The settings, by the names of their variables.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) bucket: PathBuf,
    pub(crate) engine: PathBuf,
    /// Contents, and whether a signature knows them.
    pub(crate) objects: Vec<(String, Vec<u8>, bool)>,
}

/// What a cold start took, first verdict included.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) wall_ms: u64,
    pub(crate) cpu_ms: u64,
    pub(crate) bytes: u64,
    pub(crate) peak_kib: Option<u64>,
    /// The parts of readiness, in milliseconds, by the names of their metrics.
    pub(crate) parts: Vec<(String, u64)>,
}

/// Starts as a file says, and writes what it took to stdout.
pub(crate) fn measure(run: &Path) -> Result<(), BenchError> {
    let run: Run = serde_json::from_slice(&fs::read(run).map_err(system("reading what to measure"))?)?;
    let start = if run.how.is_sampled {
        let (start, peak) = peak_kib(Whose::OursToo, || cold(&run));
        Start { peak_kib: peak, ..start? }
    } else {
        cold(&run)?
    };
    serde_json::to_writer(io::stdout().lock(), &start)?;
    io::stdout().flush().map_err(system("writing a report"))
}

fn cold(run: &Run) -> Result<Start, BenchError> {
    let (before, started) = (all_cpu_ms(), Instant::now());
    let runtime = Runtime::new().map_err(system("starting a runtime"))?;
    let Some(endpoint) = &run.how.endpoint else {
        return cold_from(run, &runtime, before, started, DirectoryDefinitions { root: run.bucket.clone() });
    };
    let (config, bucket) = runtime.block_on(stack_s3(endpoint));
    cold_from(run, &runtime, before, started, S3Definitions::new(&config, bucket))
}

fn cold_from(
    run: &Run,
    runtime: &Runtime,
    before: u64,
    started: Instant,
    store: impl DefinitionsStore + Send + 'static,
) -> Result<Start, BenchError> {
    let bytes = Arc::new(AtomicU64::new(0));
    let config = Config::from_vars(|name| run.settings.get(name).cloned())?;
    let config = Config { trust_anchors: as_clamavs(&config.trust_anchors), ..config };
    let store = LimitedStore::new(store, run.how.rate, bytes.clone());
    let world = ScannerWorld::new(MemoryObjects::default());
    let scanner = world.scanner(config, run.engine.clone(), store)?;
    runtime.block_on(scanner.warm_up())?;
    let mut start: Option<Start> = None;
    for (name, content, is_known) in &run.objects {
        let object: ObjectId = world.objects.put("bench", name, content.clone());
        let deadline = Instant::now() + Duration::from_mins(10);
        let handled =
            runtime.block_on(scanner.handle(&sqs_event([uploads(std::slice::from_ref(&object))]), deadline))?;
        let record = world.records.records().into_iter().find(|record| record.object == object);
        let verdict = record.ok_or("an object was not scanned")?.verdict;
        let is_as_expected = if *is_known { verdict.is_infected() } else { verdict == Verdict::Clean };
        if !is_as_expected {
            return Err(format!("{name} is {verdict:?}").into());
        }
        if start.is_none() {
            let times = [
                Metric::DefinitionsFetchTime,
                Metric::DefinitionsLayOutTime,
                Metric::EngineLoadTime,
                Metric::EngineCompileTime,
                Metric::EngineCanaryTime,
            ];
            let parts = handled.counts.iter().filter(|(metric, _)| times.contains(metric));
            start = Some(Start {
                wall_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                cpu_ms: all_cpu_ms().saturating_sub(before),
                bytes: bytes.load(Ordering::Relaxed),
                peak_kib: None,
                parts: parts.map(|(metric, ms)| (metric.name().to_owned(), *ms)).collect(),
            });
        }
    }
    start.ok_or_else(|| "nothing was scanned".into())
}

/// User and system time of this process and of all under it, those that have ended as well.
fn all_cpu_ms() -> u64 {
    cpu_ms_under(process::id())
}

fn cpu_ms_under(process: u32) -> u64 {
    let own = cpu_ms(process).map_or(0, |(own, ended)| own + ended);
    own + children(process).into_iter().map(cpu_ms_under).sum::<u64>()
}
