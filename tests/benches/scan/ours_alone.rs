//! What is around the engine: files one at a time through the function, and through the engine's pool alone.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use nacre_core::generation::follower::PublishedDefinitions;
use nacre_engine_client::{EnginePool, Examination, protocol::Limits};
use nacre_scanner::local_definitions::{DefinitionsError, LocalDisk};

use crate::{
    measured::{Measured, fastest},
    ours::{Ours, Run, all_cpu_ms, names, warm},
    world::World,
};
use nacre_test_support::bench::{BenchError, DirectoryDefinitions, system};

/// Objects with next to nothing in them.
const TINY: usize = 200;

/// Measures small files and tiny ones, by the function and by the pool.
pub(crate) fn alone(run: &Run, report: &mut Ours, runtime: &tokio::runtime::Runtime) -> Result<(), BenchError> {
    let tiny = tempfile::tempdir().map_err(system("making a directory"))?;
    for number in 0..TINY {
        fs::write(tiny.path().join(number.to_string()), format!("object {number}\n"))
            .map_err(system("writing a file"))?;
    }
    for (directory, measured) in [(run.small.as_path(), &mut report.alone), (tiny.path(), &mut report.tiny)] {
        let world = World::new(directory);
        let scanner = world.scanner(run, 1)?;
        *measured = runtime.block_on(warm(&scanner, &names(directory)?, run.times))?;
    }
    let config = run.config()?;
    let mut disk = LocalDisk::new(&config.definitions_path, config.trust_anchors.clone())?;
    let store = DirectoryDefinitions { root: run.bucket.clone() };
    let published =
        runtime.block_on(PublishedDefinitions::default().refresh(&store)).map_err(DefinitionsError::from)?;
    let manifest = published.ok_or(DefinitionsError::NonePublished)?;
    let definitions = runtime.block_on(disk.definitions(&store, &manifest))?;
    let pool = EnginePool::new(run.engine.clone(), config.scratch_path.clone()).with_scans(1);
    for (directory, measured) in [(run.small.as_path(), &mut report.pool), (tiny.path(), &mut report.tiny_pool)] {
        let names = names(directory)?;
        let round = || runtime.block_on(examine(&pool, &definitions.directory, directory, &names, config.limits));
        round()?;
        *measured = fastest(run.times, round)?;
    }
    for directory in &run.kinds {
        let names = names(directory)?;
        let round = || runtime.block_on(examine(&pool, &definitions.directory, directory, &names, config.limits));
        report.kinds.push(fastest(run.times, round)?);
    }
    Ok(())
}

async fn examine(
    pool: &EnginePool,
    definitions: &Path,
    directory: &Path,
    names: &[String],
    limits: Limits,
) -> Result<Measured, BenchError> {
    let (before, started) = (all_cpu_ms(), Instant::now());
    for name in names {
        let fetch = async |path: &Path| fs::copy(directory.join(name), path).map(|_| ());
        let examined = pool.examine(definitions, fetch, limits, || Duration::from_mins(1)).await?;
        if !matches!(examined, Examination::Seen { .. }) {
            return Err(format!("{name}: {examined:?}").into());
        }
    }
    let wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let cpu_ms = all_cpu_ms().saturating_sub(before);
    Ok(Measured { objects: names.len() as u64, bytes: 0, wall_us, cpu_ms, peak_kib: None })
}
