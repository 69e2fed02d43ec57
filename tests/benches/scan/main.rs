//! What a scan costs, ours beside `clamscan`'s and a warm `clamd`'s, in one run on the same files and definitions.
//!
//! `make bench-scan` runs it; docs/benchmarks.md explains the figures. Definitions and files are made on the spot. No figure
//! fails the run, only a verdict that differs does.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

mod arena;
mod clamav;
mod clamd;
mod contest;
mod corpus;
mod directory_objects;
mod file_kinds;
mod measured;
mod ours;
mod ours_alone;
mod table;
mod world;

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use nacre_clamav::signing::SigningKeys;
use nacre_core::telemetry::error_chain;

use crate::{arena::Arena, contest::contest, corpus::Corpus};
use nacre_test_support::bench::{BenchError, processor, system, whole_number};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["ours", run] => ours::measure(Path::new(run)),
        // Cargo's own arguments say nothing that matters here.
        _ => bench(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench-scan: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), BenchError> {
    let signatures = whole_number("BENCH_SIGNATURES", 1_000_000, 10_000)?;
    let objects = whole_number("BENCH_OBJECTS", 400, 100)?;
    let scratch = tempfile::Builder::new().prefix("nacre-bench-").tempdir().map_err(system("making a directory"))?;
    let corpus = Corpus::make(scratch.path(), objects)?;
    let keys = SigningKeys::generate("bench")?;
    let arena = Arena::new(scratch.path(), &keys)?;
    let signatures = arena.publish(signatures, &corpus, &keys)?;
    let out = &mut io::stdout().lock();
    table::introduce(out, &processor(), signatures, &corpus).map_err(system("printing"))?;
    contest(&arena, &corpus, out)
}
