//! Our scanner, in a process of its own: cold, warm, and one object at a time.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use nacre_core::telemetry::Metric;
use nacre_scanner::config::Config;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    measured::{Measured, Verdicts},
    ours_alone::alone,
    world::{Scanner, World},
};
use nacre_core::object::ObjectId;
use nacre_test_support::bench::{
    BenchError, as_clamavs, children, cpu_ms,
    memory::{Whose, peak_kib},
    system,
};
use nacre_test_support::messages::{sqs_event, uploads};

/// Messages of one invocation, as SQS gives them at most where nobody says otherwise.
const BATCH: usize = 10;

/// What to measure.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The settings, by the names of their variables.
    pub(crate) settings: BTreeMap<String, String>,
    /// The definitions bucket.
    pub(crate) bucket: PathBuf,
    /// The engine program.
    pub(crate) engine: PathBuf,
    /// Small files, and large ones.
    pub(crate) small: PathBuf,
    pub(crate) large: PathBuf,
    /// Files of one kind each.
    pub(crate) kinds: Vec<PathBuf>,
    /// How often; the fastest counts.
    pub(crate) times: u32,
}

/// What it took.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ours {
    pub(crate) cold: Cold,
    pub(crate) small: Measured,
    pub(crate) large: Measured,
    pub(crate) verdicts: Verdicts,
    /// Small files, one at a time.
    pub(crate) alone: Measured,
    /// The same by the engine's pool, without the function around it.
    pub(crate) pool: Measured,
    /// Objects of a few bytes, one at a time: by the function, and by the pool.
    pub(crate) tiny: Measured,
    pub(crate) tiny_pool: Measured,
    /// Files of one kind each, one at a time, by the pool.
    pub(crate) kinds: Vec<Measured>,
}

/// A cold start, in milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cold {
    pub(crate) wall: u64,
    /// Its parts, by the names of their metrics.
    pub(crate) parts: Vec<(String, u64)>,
    pub(crate) peak_kib: Option<u64>,
}

impl Run {
    pub(crate) fn config(&self) -> Result<Config, BenchError> {
        let config = Config::from_vars(|name| self.settings.get(name).cloned())?;
        Ok(Config { trust_anchors: as_clamavs(&config.trust_anchors), ..config })
    }
}

/// Measures as a file says, and writes the report to stdout.
pub(crate) fn measure(run: &Path) -> Result<(), BenchError> {
    let run: Run = serde_json::from_slice(&fs::read(run).map_err(system("reading what to measure"))?)?;
    let runtime = tokio::runtime::Runtime::new().map_err(system("starting a runtime"))?;
    let (small, large) = (World::new(&run.small), World::new(&run.large));
    let mut report = Ours { cold: cold(&run, &small, &runtime)?, ..Ours::default() };
    for (world, directory, measured) in
        [(&small, &run.small, &mut report.small), (&large, &run.large, &mut report.large)]
    {
        let names = names(directory)?;
        let scanner = world.scanner(&run, run.config()?.parallelism)?;
        *measured = runtime.block_on(warm(&scanner, &names, run.times))?;
        let again = || runtime.block_on(round(&scanner, "memory", &names));
        let (outcome, peak) = peak_kib(Whose::OursToo, again);
        outcome?;
        measured.peak_kib = peak;
        measured.bytes = bytes(directory)?;
        report.verdicts.extend(world.verdicts());
    }
    alone(&run, &mut report, &runtime)?;
    serde_json::to_writer(io::stdout().lock(), &report)?;
    io::stdout().flush().map_err(system("writing a report"))
}

/// Starts cold so many times; memory is not sampled in the fastest start.
fn cold(run: &Run, world: &World, runtime: &tokio::runtime::Runtime) -> Result<Cold, BenchError> {
    let start = || -> Result<Cold, BenchError> {
        let started = Instant::now();
        let scanner = world.scanner(run, 1)?;
        runtime.block_on(scanner.warm_up())?;
        let wall = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let handled = runtime.block_on(scanner.handle(&json!({ "Records": [] }), soon()))?;
        let times = [
            Metric::DefinitionsFetchTime,
            Metric::DefinitionsLayOutTime,
            Metric::EngineLoadTime,
            Metric::EngineCompileTime,
            Metric::EngineCanaryTime,
        ];
        let parts = handled.counts.iter().filter(|(metric, _)| times.contains(metric));
        Ok(Cold { wall, parts: parts.map(|(metric, ms)| (metric.name().to_owned(), *ms)).collect(), peak_kib: None })
    };
    let (first, peak) = peak_kib(Whose::OursToo, start);
    first?;
    let mut best: Option<Cold> = None;
    for _ in 0..run.times {
        let cold = start()?;
        best = best.filter(|best| best.wall <= cold.wall).or(Some(cold));
    }
    best.map(|cold| Cold { peak_kib: peak, ..cold }).ok_or_else(|| "nothing was run".into())
}

/// Has all files scanned so many times by a function that is warm, and answers the fastest time.
pub(crate) async fn warm(scanner: &Scanner<'_>, names: &[String], times: u32) -> Result<Measured, BenchError> {
    scanner.warm_up().await?;
    round(scanner, "first", names).await?;
    let mut best = None;
    for time in 0..times {
        best = Some(round(scanner, &time.to_string(), names).await?.faster(best));
    }
    best.ok_or_else(|| "nothing was run".into())
}

/// Announces all files, in one invocation after the other.
async fn round(scanner: &Scanner<'_>, round: &str, names: &[String]) -> Result<Measured, BenchError> {
    let payloads: Vec<Value> = names.chunks(BATCH).map(|names| announcement(round, names)).collect();
    let (before, started) = (all_cpu_ms(), Instant::now());
    let mut objects = 0;
    for payload in &payloads {
        let handled = scanner.handle(payload, soon()).await?;
        let counted = handled.counts.iter().filter(|(metric, _)| matches!(metric, Metric::Scanned | Metric::Unscanned));
        objects += counted.map(|(_, number)| number).sum::<u64>();
    }
    let wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if objects != names.len() as u64 {
        return Err(format!("{objects} of {} objects were scanned", names.len()).into());
    }
    Ok(Measured { objects, bytes: 0, wall_us, cpu_ms: all_cpu_ms().saturating_sub(before), peak_kib: None })
}

/// One invocation as SQS makes it: a message for each object, as S3 sends it.
fn announcement(round: &str, names: &[String]) -> Value {
    let object = |name: &String| ObjectId::new("bench", format!("{round}/{name}"), None);
    sqs_event(names.iter().map(|name| uploads(&[object(name)])))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(10)
}

/// User and system time of this process, of the engine, and of its workers that have ended.
pub(crate) fn all_cpu_ms() -> u64 {
    let own = cpu_ms(process::id()).map_or(0, |(own, _)| own);
    own + children(process::id()).into_iter().filter_map(cpu_ms).map(|(engine, workers)| engine + workers).sum::<u64>()
}

/// The files of a directory, in order.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, BenchError> {
    let entries = fs::read_dir(directory).map_err(system("listing files"))?.flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn bytes(directory: &Path) -> Result<u64, BenchError> {
    let entries = fs::read_dir(directory).map_err(system("listing files"))?.flatten();
    Ok(entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum())
}
