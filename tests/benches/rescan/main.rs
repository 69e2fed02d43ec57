//! What a rescan costs: the plan over millions of records, and a pass after five hundred new signatures beside a rescan of
//! everything and beside `clamscan`.
//!
//! `make bench-rescan` runs it; docs/rescans.md explains the figures. Everything is made on the spot. No figure fails the run, only a
//! verdict that differs does.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

mod arena;
mod corpus;
mod delta_engine;
mod kept;
mod made_up;
mod million;
mod passes;
mod peers;
mod plan;
mod processes;
mod table;
mod world;

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use nacre_core::telemetry::error_chain;
use nacre_test_support::bench::Outcome;

use crate::arena::Arena;
use nacre_test_support::bench::{processor, whole_number};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["plan", records, generations] => plan::row(records, generations),
        ["pass", way, run] => passes::measure(way, Path::new(run)),
        // Cargo's own arguments say nothing that matters here.
        _ => bench(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench-rescan: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<()> {
    let signatures = whole_number("BENCH_SIGNATURES", 4_000_000, 50_000)?;
    let objects = whole_number("BENCH_OBJECTS", 10_000, 200)? as usize;
    let out = &mut io::stdout().lock();
    writeln!(out, "{}", processor())?;
    table::plans(out, &plan::rows()?)?;
    let scratch = tempfile::Builder::new().prefix("nacre-bench-").tempdir()?;
    let arena = Arena::new(scratch.path())?;
    let published = arena.publish(signatures)?;
    let ways = passes::contest(&arena, objects)?;
    let peers = peers::clamscans(&arena, objects, &ways.full.verdicts)?;
    table::pass(out, &published, objects, &ways, &peers)?;
    table::dollars(out, objects, &ways)?;
    million::beside_the_model(out)?;
    Ok(())
}
