//! What a cold start costs by scan sets, beside a full load in libclamav, in one run on the same definitions.
//!
//! `make bench-cold` runs it; docs/cold-start.md has figures. Definitions are made on the spot. No figure fails the run, only a wrong
//! verdict does. The figures are left in `target/bench/cold.json`.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

mod arena;
mod limited_store;
mod start;
mod table;

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use nacre_core::telemetry::error_chain;
use nacre_test_support::bench::{BenchError, StackS3, processor, system, whole_number};
use tokio::runtime::Runtime;

use crate::{
    arena::Arena,
    start::{How, Start},
    table::Figures,
};

/// Signatures of ClamAV's `main` and `daily`.
const SIGNATURES: u32 = 8_670_000;

/// What a function in Lambda reads from S3, in bytes a second.
const RATE: u64 = 80_000_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["start", run] => start::measure(Path::new(run)),
        // Cargo's own arguments say nothing that matters here.
        _ => bench(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench-cold: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), BenchError> {
    let signatures = whole_number("BENCH_SIGNATURES", SIGNATURES, 50_000)?;
    let scratch = tempfile::Builder::new().prefix("nacre-bench-").tempdir().map_err(system("making a directory"))?;
    let arena = Arena::new(scratch.path())?;
    let signatures = arena.publish(signatures)?;
    let runtime = Runtime::new().map_err(system("starting a runtime"))?;
    let target = target_directory()?;
    let s3 = runtime.block_on(StackS3::start(&target, &scratch.path().join("stack"), &arena.bucket()))?;
    let timed = |how: How| -> Result<Start, BenchError> {
        let (first, second) = (arena.start(&how)?, arena.start(&how)?);
        Ok(if second.cpu_ms < first.cpu_ms { second } else { first })
    };
    let whole = How::default();
    let sets = How { by_scan_sets: true, ..How::default() };
    let limited = |how: &How| How { rate: Some(RATE), endpoint: Some(s3.endpoint().to_owned()), ..how.clone() };
    let sampled = |how: &How| How { is_sampled: true, ..how.clone() };
    let figures = Figures {
        signatures,
        full: timed(whole.clone())?,
        full_limited: timed(limited(&whole))?,
        full_pss_kib: arena.start(&sampled(&whole))?.peak_kib,
        ours: timed(sets.clone())?,
        ours_limited: timed(limited(&sets))?,
        ours_pss_kib: arena.start(&sampled(&sets))?.peak_kib,
    };
    runtime.block_on(s3.stop())?;
    figures.write(&target).map_err(system("writing the figures"))?;
    figures.print(&mut io::stdout().lock(), &processor()).map_err(system("printing"))
}

/// Cargo's target directory: `<target>/<profile>/deps/<this program>`.
fn target_directory() -> Result<PathBuf, BenchError> {
    let own = env::current_exe().map_err(system("asking for our own path"))?;
    Ok(own.ancestors().nth(3).map_or_else(|| PathBuf::from("target"), PathBuf::from))
}
