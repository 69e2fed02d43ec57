//! Two ways to the verdicts of all objects under the second generation, each in a process of its own.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Instant,
};

use nacre_core::{
    generation::{Generation, published::Published},
    object::ObjectId,
    rescan::{plan::RescanPlan, planner::RescanPlanner},
    scan_record::RecordSummary,
    verdict::Verdict,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::{
    arena::Arena,
    delta_engine::{DeltaEngine, alone},
    kept::{keep, restore},
    processes::{all_cpu_ms, ourselves},
    world::{Run, World, deliver, rescans_of},
};
use nacre_test_support::bench::Outcome;
use nacre_test_support::bench::memory::{Whose, peak_kib};
use nacre_test_support::messages::uploads;

/// How often each way is gone; the fastest counts.
pub(crate) const REPEATS: u32 = 3;

/// What a way took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) wall_us: u64,
    /// Milliseconds of user and system time of all processes.
    pub(crate) cpu_ms: u64,
    /// Objects that were fetched, and their bytes.
    pub(crate) fetched: u64,
    pub(crate) bytes: u64,
    /// Most memory of scanner and engine together, in KiB; `None`: the system does not say.
    pub(crate) peak_kib: Option<u64>,
    /// What was concluded of each object.
    pub(crate) verdicts: BTreeMap<String, Verdict>,
}

/// What all ways took.
pub(crate) struct Ways {
    pub(crate) ours: Taken,
    pub(crate) full: Taken,
    pub(crate) delta_engine: DeltaEngine,
    /// Objects that were infected by the first generation.
    pub(crate) infected_before: usize,
}

/// Goes each way, and fails unless both come to the same.
pub(crate) fn contest(arena: &Arena, objects: usize) -> Outcome<Ways> {
    let run = |bucket| Run {
        bucket,
        engine: arena.engine(),
        scratch: arena.scratch.clone(),
        trust_anchors: arena.trust_anchors(),
        objects,
        records: arena.scratch.join("records.json"),
    };
    let written = |name: &str, run: &Run| -> Outcome<String> {
        let path = arena.scratch.join(name);
        fs::write(&path, serde_json::to_vec(run)?)?;
        Ok(path.display().to_string())
    };
    let (old, new) = (written("old.json", &run(arena.old_bucket()))?, written("new.json", &run(arena.bucket()))?);
    let before: Taken = ourselves(&["pass", "first", &old])?;
    let mut best: Option<Taken> = None;
    for _ in 0..REPEATS {
        let ours: Taken = ourselves(&["pass", "ours", &new])?;
        best = best.filter(|best| best.wall_us <= ours.wall_us).or(Some(ours));
    }
    // Looking at memory takes time: that is another pass.
    let watched: Taken = ourselves(&["pass", "ours-watched", &new])?;
    let ours = Taken { peak_kib: watched.peak_kib, ..best.unwrap_or_default() };
    let delta_engine = ourselves(&["pass", "delta-engine", &new])?;
    let full: Taken = ourselves(&["pass", "full", &new])?;
    if full.fetched != objects as u64 {
        return Err(format!("{} of {objects} objects were scanned with everything", full.fetched).into());
    }
    for other in [&ours.verdicts, &watched.verdicts] {
        let differing = full.verdicts.iter().filter(|(key, verdict)| other.get(*key) != Some(verdict));
        let differing: Vec<_> = differing.map(|(key, verdict)| (key, verdict, other.get(key))).take(5).collect();
        if !differing.is_empty() || other.len() != full.verdicts.len() {
            return Err(format!("verdicts differ: {differing:?}").into());
        }
    }
    let infected_before = before.verdicts.values().filter(|verdict| **verdict != Verdict::Clean).count();
    Ok(Ways { ours, full, delta_engine, infected_before })
}

/// Goes one way, and writes what it took.
pub(crate) fn measure(way: &str, run: &Path) -> Outcome<()> {
    let run: Run = serde_json::from_slice(&fs::read(run)?)?;
    let runtime = Runtime::new()?;
    let out = &mut io::stdout().lock();
    match way {
        "delta-engine" => serde_json::to_writer(&mut *out, &runtime.block_on(alone(&run))?)?,
        "ours" => serde_json::to_writer(&mut *out, &runtime.block_on(ours(&run))?)?,
        "ours-watched" => {
            let (taken, peak_kib) = peak_kib(Whose::OursToo, || runtime.block_on(ours(&run)));
            serde_json::to_writer(&mut *out, &Taken { peak_kib, ..taken? })?;
        }
        _ => {
            let taken = in_full(&run, &runtime, way == "first")?;
            serde_json::to_writer(&mut *out, &taken)?;
        }
    }
    Ok(out.flush()?)
}

/// Plans over all records, and scans what the plan asks for. What a record already answers takes no more.
async fn ours(run: &Run) -> Outcome<Taken> {
    let (world, _) = World::new(run.objects);
    restore(&world.records, &run.records).await?;
    let (cpu, started) = (all_cpu_ms(), Instant::now());
    let (asked, generation) = plan(run, &world).await?;
    let scanner = world.scanner(run, false)?;
    deliver(&scanner, &asked, |batch| rescans_of(batch, generation)).await?;
    taken(&world, started, cpu)
}

/// The objects that the plan has scanned for what was added.
async fn plan(run: &Run, world: &World) -> Outcome<(Vec<ObjectId>, Generation)> {
    let store = run.store();
    let manifest = Arc::new(Published::read(&store).await?.manifest.ok_or("nothing is published")?);
    let generation = manifest.generation;
    let mut planner = RescanPlanner::new(manifest);
    let mut asked = Vec::new();
    for record in world.records.records() {
        match planner.plan(&store, &RecordSummary::from(&record)).await? {
            RescanPlan::UpToDate | RescanPlan::Unaffected(_) | RescanPlan::Unreported => {}
            RescanPlan::DeltaScan => asked.push(record.object),
            RescanPlan::FullScan(why) => return Err(format!("a full scan was planned: {why:?}").into()),
        }
    }
    Ok((asked, generation))
}

/// Scans every object with everything, warm; `first` leaves the records for a rescan.
fn in_full(run: &Run, runtime: &Runtime, first: bool) -> Outcome<Taken> {
    let (world, named) = World::new(run.objects);
    let scanner = world.scanner(run, true)?;
    // Memory is at its peak as definitions are loaded, which is before anything is timed.
    let (warm, peak_kib) = peak_kib(Whose::OursToo, || runtime.block_on(scanner.warm_up()));
    warm?;
    let mut best: Option<Taken> = None;
    for _ in 0..if first { 1 } else { REPEATS } {
        runtime.block_on(world.forget())?;
        let (downloads, bytes) = (world.objects.downloads(), world.objects.downloaded_bytes());
        let (cpu, started) = (all_cpu_ms(), Instant::now());
        runtime.block_on(deliver(&scanner, &named, uploads))?;
        let taken = taken(&world, started, cpu)?;
        let (fetched, bytes) = (taken.fetched - downloads, taken.bytes - bytes);
        let taken = Taken { fetched, bytes, peak_kib, ..taken };
        best = best.filter(|best| best.wall_us <= taken.wall_us).or(Some(taken));
    }
    if first {
        keep(&world.records, &run.records)?;
    }
    Ok(best.unwrap_or_default())
}

fn taken(world: &World, started: Instant, cpu_before: u64) -> Outcome<Taken> {
    let wall_us = u64::try_from(started.elapsed().as_micros())?;
    Ok(Taken {
        wall_us,
        cpu_ms: all_cpu_ms().saturating_sub(cpu_before),
        fetched: world.objects.downloads(),
        bytes: world.objects.downloaded_bytes(),
        peak_kib: None,
        verdicts: world.verdicts(),
    })
}
