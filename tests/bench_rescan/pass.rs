//! A pass after five hundred new signatures: ours, beside a warm rescan of everything, and beside `clamscan` for each object.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use nacre_scanner::{Function, Ports, config::Config};
use nacre_shared::{
    changes::{Changes, Composed},
    definitions::{
        manifest::{CustomEntry, EngineProof, Generation, Manifest},
        trust_anchor::TrustAnchors,
    },
    engine::EnginePool,
    event::{Recorded, RescanKind, RescanTrigger},
    incremental::delta_files,
    object::ObjectId,
    port::{Clock, DefinitionsStore, SystemClock, WriteCondition},
    published::Published,
    rescan_cost::{PassWork, cost},
    rescan_plan::{RescanPlan, plan_rescan},
    scan_record::{EngineVersion, RecordSummary},
    testing::{
        failing::{Failing, Plan},
        memory_definitions::MemoryDefinitions,
        memory_objects::MemoryObjects,
        memory_records::MemoryRecords,
        memory_topic::{MemoryBus, MemoryTopic},
    },
    verdict::Verdict,
};
use nacre_stack::programs_directory;
use nacre_updater::{custom::CustomPart, signatures::tell};
use serde_json::{Value, json};

use crate::{
    Outcome,
    material::{Random, append_signature, shares},
    pe,
    plan::ADDED,
};

/// Objects that `clamscan` is run on, a process each; the others are reckoned from these.
const CLAMSCANS: usize = 3;

/// What a message of the pass names, and what one invocation is given.
const BATCH: usize = 25;

type Files = Vec<(&'static str, Vec<u8>)>;

struct World {
    objects: MemoryObjects,
    records: MemoryRecords,
    results: MemoryTopic,
    plan: Plan,
}

type Scanner<'a> = Function<
    Failing<'a, MemoryObjects>,
    Failing<'a, MemoryRecords>,
    Failing<'a, MemoryTopic>,
    MemoryBus,
    Failing<'a, MemoryDefinitions>,
    SystemClock,
>;

impl World {
    fn new(objects: usize) -> (Self, Vec<ObjectId>) {
        let world = Self {
            objects: MemoryObjects::default(),
            records: MemoryRecords::default(),
            results: MemoryTopic::default(),
            plan: Plan::never(),
        };
        let named =
            (0..objects).map(|number| world.objects.put("versioned", &format!("object-{number}"), content(number)));
        let named = named.collect();
        (world, named)
    }

    fn scanner<'a>(&'a self, store: &'a MemoryDefinitions, scratch: &Path, full: bool) -> Outcome<Scanner<'a>> {
        let text = |path: &Path| path.display().to_string();
        let settings: BTreeMap<&str, String> = [
            ("AV_DEFINITION_S3_BUCKET", "definitions".into()),
            ("AV_DEFINITION_PATH", text(&scratch.join("definitions"))),
            ("NACRE_SCRATCH_PATH", text(scratch)),
            ("NACRE_RECORDS_TABLE", "records".into()),
            ("NACRE_STALENESS_LIMIT_HOURS", "10000000".into()),
            ("NACRE_FULL_SCANS", if full { "True" } else { "False" }.into()),
        ]
        .into();
        let config = Config::from_vars(|name| settings.get(name).cloned())?;
        let plan = &self.plan;
        let ports = Ports {
            objects: Failing { port: &self.objects, plan },
            records: Failing { port: &self.records, plan },
            results: Some(Failing { port: &self.results, plan }),
            starts: None,
            rescans: None,
            bus: None,
            definitions: Failing { port: store, plan },
            clock: SystemClock,
        };
        Ok(Function::new(config, programs_directory()?.join("nacre-engine"), ports)?)
    }

    fn verdicts(&self) -> BTreeMap<String, Verdict> {
        self.records.records().into_iter().map(|record| (record.object.key, record.verdict)).collect()
    }
}

/// One in a hundred is a program, one in five hundred holds what a new signature knows.
fn content(number: usize) -> Vec<u8> {
    let mut random = Random(number as u64 + 1);
    if !number.is_multiple_of(100) {
        let lines = (0..20 + number % 400).map(|line| format!("line {line} of text {}\n", random.hex(1)));
        return lines.collect::<Vec<_>>().concat().into_bytes();
    }
    let mut code = random.hex(300).into_bytes();
    if number.is_multiple_of(500) {
        code.extend_from_slice(NEW_PATTERN.as_bytes());
    }
    pe::program(&[(".text", code), (".data", random.hex(20).into_bytes())])
}

/// What a new signature for programs knows.
const NEW_PATTERN: &str = "what only the newest know of";

#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
pub(crate) async fn bench(out: &mut impl Write, signatures: u32, objects: usize, rate: f64) -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    let store = MemoryDefinitions::default();
    let mut random = Random(7);
    let old: Files = shares(signatures).map(|(kind, count)| (kind, made(kind, "main", count, &mut random))).collect();
    let first = publish(&store, old.clone()).await?;
    let ((world, named), (everything, _)) = (World::new(objects), World::new(objects));
    for one in [&world, &everything] {
        let scanner = one.scanner(&store, scratch.path(), true)?;
        scanner.warm_up().await.map_err(|error| format!("{error:?}"))?;
        deliver(&scanner, &named, uploads).await?;
    }
    let mut new = old;
    for (kind, count) in ADDED {
        let lines = made(kind, "daily", count, &mut random);
        // Digests in proportion; every pattern is for programs of Windows.
        if let Some((_, file)) = new.iter_mut().find(|(known, _)| *known == kind) {
            file.extend_from_slice(&lines);
        }
    }
    if let Some((_, file)) = new.iter_mut().find(|(kind, _)| *kind == "ndb") {
        file.extend_from_slice(format!("Win.Newest:1:*:{}\n", hex::encode(NEW_PATTERN)).as_bytes());
    }
    let started = Instant::now();
    let second = publish(&store, new.clone()).await?;
    let telling = started.elapsed();

    let (delta, asked) = ours(&world, &store, scratch.path(), &named).await?;
    let full = in_full(&everything, &store, scratch.path(), &named).await?;
    let (one, other) = (world.verdicts(), everything.verdicts());
    if one != other {
        let differing = one.iter().filter(|(key, verdict)| other.get(*key) != Some(verdict)).take(5);
        return Err(format!("verdicts differ: {:?}", differing.collect::<Vec<_>>()).into());
    }
    let infected = one.values().filter(|verdict| matches!(verdict, Verdict::Infected { .. })).count();
    let engine = delta_engine(&store, scratch.path()).await?;
    let peers = clamscans(&new, scratch.path(), &world, &named)?;
    writeln!(
        out,
        "\nA pass over {objects} objects, 1 % of them programs, from generation {} to {}: 500 signatures on {signatures}",
        first.0, second.0
    )?;
    writeln!(
        out,
        "all verdicts agree; {infected} newly infected; telling the delta took {:.2} s of the update",
        telling.as_secs_f64()
    )?;
    writeln!(out, "{:<34} {:>10} {:>10} {:>14}", "", "wall s", "fetched", "bytes fetched")?;
    for (name, way) in [("ours: plan, and what was added", &delta), ("everything, engine warm", &full)] {
        writeln!(out, "{name:<34} {:>10.3} {:>10} {:>14}", way.wall.as_secs_f64(), way.fetched, way.bytes)?;
    }
    if let Some(each) = peers {
        let all = each.as_secs_f64() * objects as f64;
        writeln!(out, "{:<34} {all:>10.0} {objects:>10} {:>14}", "clamscan for each, as peers do", full.bytes)?;
        writeln!(out, "  reckoned from {CLAMSCANS} runs of {:.2} s", each.as_secs_f64())?;
        writeln!(out, "ratio clamscan / ours: {:.0}", all / delta.wall.as_secs_f64())?;
    }
    let warm = full.wall.as_secs_f64() / delta.wall.as_secs_f64();
    writeln!(
        out,
        "ratio everything / ours: {warm:.0}, with the delta engine's start in it; without: {:.0}",
        full.wall.as_secs_f64() / delta.wall.saturating_sub(engine.ready).as_secs_f64()
    )?;
    writeln!(
        out,
        "delta engine: laid out and ready in {:.0} ms, {:.0} MiB",
        engine.ready.as_secs_f64() * 1000.0,
        engine.memory as f64 / 1_048_576.0
    )?;
    dollars(out, (&delta, &full), asked, objects, rate)
}

/// What one way took.
struct Way {
    wall: Duration,
    fetched: u64,
    bytes: u64,
}

async fn ours(world: &World, store: &MemoryDefinitions, scratch: &Path, named: &[ObjectId]) -> Outcome<(Way, usize)> {
    let before = world.objects.downloads();
    let started = Instant::now();
    let manifest = Arc::new(Published::read(store).await?.manifest.ok_or("nothing is published")?);
    let engine = engine_of(&manifest);
    let mut changes = Changes::new(Arc::clone(&manifest), engine.clone());
    let mut asked = Vec::new();
    for record in world.records.records() {
        let change = changes.since(store, record.generation).await?;
        let summary = RecordSummary::from(&record);
        match plan_rescan(&summary, manifest.generation, &engine, &change) {
            RescanPlan::UpToDate | RescanPlan::Unaffected(_) => {}
            RescanPlan::DeltaScan => asked.push(record.object),
            RescanPlan::FullScan(why) => return Err(format!("a full scan was planned: {why:?}").into()),
        }
    }
    let scanner = world.scanner(store, scratch, false)?;
    deliver(&scanner, &asked, |batch| rescans(batch, manifest.generation)).await?;
    let wall = started.elapsed();
    let bytes = asked.iter().map(|object| size(world, object)).sum();
    debug_assert!(asked.len() <= named.len());
    Ok((Way { wall, fetched: world.objects.downloads() - before, bytes }, asked.len()))
}

async fn in_full(world: &World, store: &MemoryDefinitions, scratch: &Path, named: &[ObjectId]) -> Outcome<Way> {
    let scanner = world.scanner(store, scratch, true)?;
    scanner.warm_up().await.map_err(|error| format!("{error:?}"))?;
    let before = world.objects.downloads();
    let started = Instant::now();
    deliver(&scanner, named, uploads).await?;
    let wall = started.elapsed();
    let bytes = named.iter().map(|object| size(world, object)).sum();
    Ok(Way { wall, fetched: world.objects.downloads() - before, bytes })
}

fn size(world: &World, object: &ObjectId) -> u64 {
    world.objects.bytes(&object.bucket, &object.key).map_or(0, |bytes| bytes.len() as u64)
}

/// What a delta engine is, by itself.
struct DeltaEngine {
    ready: Duration,
    memory: u64,
}

async fn delta_engine(store: &MemoryDefinitions, scratch: &Path) -> Outcome<DeltaEngine> {
    let manifest = Arc::new(Published::read(store).await?.manifest.ok_or("nothing is published")?);
    let from = Generation(manifest.generation.0 - 1);
    let mut changes = Changes::new(Arc::clone(&manifest), engine_of(&manifest));
    let Composed::Delta(delta) = changes.delta_since(store, from).await? else { return Err("no delta".into()) };
    let directory = scratch.join("delta-alone");
    let started = Instant::now();
    fs::create_dir_all(&directory)?;
    for (name, bytes) in delta_files(&delta, []) {
        fs::write(directory.join(name), bytes)?;
    }
    let pool = EnginePool::new(programs_directory()?.join("nacre-engine"), scratch.to_owned());
    pool.ready(&directory).await?;
    let ready = started.elapsed();
    Ok(DeltaEngine { ready, memory: pool.memory(&directory).await.unwrap_or_default() })
}

/// The time of one `clamscan`, on average; `None` where there is none here.
fn clamscans(files: &Files, scratch: &Path, world: &World, named: &[ObjectId]) -> Outcome<Option<Duration>> {
    let directory = scratch.join("clamscan");
    fs::create_dir_all(&directory)?;
    for (kind, lines) in files {
        fs::write(directory.join(format!("main.{kind}")), lines)?;
    }
    let mut took = Duration::ZERO;
    for object in named.iter().take(CLAMSCANS) {
        let file = scratch.join("object");
        fs::write(&file, world.objects.bytes(&object.bucket, &object.key).unwrap_or_default())?;
        let started = Instant::now();
        let ran = Command::new("clamscan")
            .arg("--no-summary")
            .arg(format!("--database={}", directory.display()))
            .arg(&file)
            .output();
        if ran.is_err() {
            return Ok(None);
        }
        took += started.elapsed();
    }
    Ok(Some(took / u32::try_from(CLAMSCANS).unwrap_or(1)))
}

/// The dollars for a million such objects, with what they are reckoned from.
#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
fn dollars(out: &mut impl Write, (delta, full): (&Way, &Way), asked: usize, objects: usize, rate: f64) -> Outcome<()> {
    let work = PassWork {
        records: 1_000_000,
        record_bytes: 500,
        records_per_second: rate.min(20_000.0),
        delta_objects: asked as u64 * 1_000_000 / objects as u64,
        delta_seconds: delta.wall.as_secs_f64() / asked.max(1) as f64,
        full_objects: 0,
        full_seconds: full.wall.as_secs_f64() / objects as f64,
        objects_per_message: BATCH as f64,
    };
    let (ours, everything) = (cost(work), cost(PassWork { delta_objects: 0, full_objects: 1_000_000, ..work }));
    writeln!(out, "\nDollars for a million such objects, with the time of requests to AWS left out")?;
    writeln!(out, "inputs: {}", json!(work))?;
    writeln!(out, "ours ${:.4} {}", ours.total(), json!(ours))?;
    writeln!(out, "everything ${:.2} {}", everything.total(), json!(everything))?;
    Ok(())
}

fn engine_of(manifest: &Manifest) -> EngineVersion {
    let (version, functionality_level) = (manifest.engine.clamav_version.clone(), manifest.engine.functionality_level);
    EngineVersion { version, functionality_level }
}

fn made(kind: &str, database: &str, count: u32, random: &mut Random) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 0..u64::from(count) {
        append_signature(kind, database, number, random, &mut lines);
    }
    lines
}

/// Publishes loose files as the next generation.
async fn publish(store: &MemoryDefinitions, files: Files) -> Outcome<Generation> {
    let mut custom = Vec::new();
    for (kind, bytes) in files {
        let entry = CustomEntry::of(format!("main.{kind}"), "file:".into(), None, &bytes);
        store.write(&entry.object_key, bytes.clone(), &[], WriteCondition::Always).await?;
        custom.push(CustomPart { entry, bytes });
    }
    let before = Published::read(store).await?;
    let generation = before.next_generation();
    let told = tell(store, before.manifest.as_ref(), generation, &[], &custom).await?;
    for (entry, bytes) in told.bodies {
        store.write(&entry.object_key, bytes, &[], WriteCondition::Always).await?;
    }
    let hello = EnginePool::new(programs_directory()?.join("nacre-engine"), std::env::temp_dir()).hello().await?;
    let proof = EngineProof {
        clamav_version: hello.clamav_version,
        functionality_level: hello.functionality_level,
        signatures: 1,
        eicar: Vec::new(),
        expected_signatures: 0,
        clean_files: 0,
    };
    let anchor = TrustAnchors::clamav().identity();
    let custom = custom.into_iter().map(|part| part.entry).collect();
    let mut manifest = Manifest::new(generation, SystemClock.now(), anchor, Vec::new(), proof).with_custom(custom);
    (manifest.history, manifest.contexts) = (told.history, told.contexts);
    before.advance(store, &manifest, false).await?;
    Ok(generation)
}

fn uploads(batch: &[ObjectId]) -> Value {
    let records = batch.iter().map(|object| {
        json!({
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": object.bucket }, "object": { "key": object.key, "versionId": object.version_id } },
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

fn rescans(batch: &[ObjectId], generation: Generation) -> Value {
    let trigger = RescanTrigger { generation, kind: RescanKind::Delta, region: "eu-west-1", at: SystemClock.now() };
    let recorded = batch.iter().map(|object| Recorded { object, etag: "", size: 1, sequencer: None });
    serde_json::from_str(&trigger.message(recorded).body).unwrap_or_default()
}

/// Brings messages as SQS does, several in an invocation, so that several objects are looked at at once.
async fn deliver(scanner: &Scanner<'_>, objects: &[ObjectId], message: impl Fn(&[ObjectId]) -> Value) -> Outcome<()> {
    let deadline = Instant::now() + Duration::from_mins(15);
    for batch in objects.chunks(2 * BATCH) {
        let records: Vec<Value> = batch
            .chunks(BATCH.min(batch.len().div_ceil(2)))
            .enumerate()
            .map(|(number, some)| {
                json!({ "eventSource": "aws:sqs", "messageId": number.to_string(), "body": message(some).to_string() })
            })
            .collect();
        let handled = scanner.handle(&json!({ "Records": records }), deadline).await?;
        if handled.response.get("batchItemFailures") != Some(&json!([])) {
            return Err(format!("messages failed: {}", handled.response).into());
        }
    }
    Ok(())
}
