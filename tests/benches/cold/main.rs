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
    path::Path,
    process::ExitCode,
};

use nacre_core::telemetry::error_chain;
use nacre_test_support::bench::{BenchError, processor, system, whole_number};

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
    let timed = |by_scan_sets, rate| -> Result<Start, BenchError> {
        let first = arena.start(&How { by_scan_sets, rate, is_sampled: false })?;
        let second = arena.start(&How { by_scan_sets, rate, is_sampled: false })?;
        Ok(if second.cpu_ms < first.cpu_ms { second } else { first })
    };
    let figures = Figures {
        signatures,
        full: timed(false, None)?,
        full_limited: timed(false, Some(RATE))?,
        full_pss_kib: arena.start(&How { by_scan_sets: false, rate: None, is_sampled: true })?.peak_kib,
        ours: timed(true, None)?,
        ours_limited: timed(true, Some(RATE))?,
        ours_pss_kib: arena.start(&How { by_scan_sets: true, rate: None, is_sampled: true })?.peak_kib,
    };
    figures.write().map_err(system("writing the figures"))?;
    figures.print(&mut io::stdout().lock(), &processor()).map_err(system("printing"))
}
