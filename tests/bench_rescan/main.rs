//! What a rescan costs: the plan over a million records, and a pass after five hundred new signatures beside a rescan of everything.
//!
//! `make bench-rescan` runs it; docs/rescans.md explains the figures. Everything is made on the spot. No figure fails the run, only a
//! verdict that differs does.

#[expect(dead_code, unused_imports, reason = "a benchmark uses its part")]
#[path = "../bench_material/material.rs"]
mod material;
mod pass;
#[path = "../bench_scan/pe.rs"]
mod pe;
mod plan;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use nacre_shared::telemetry::error_chain;

use crate::material::{processor, whole_number};

/// What a benchmark fails with: whatever it was, it is told and the run ends.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench-rescan: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<()> {
    let signatures = whole_number("BENCH_SIGNATURES", 4_000_000, 10_000)?;
    let objects = whole_number("BENCH_OBJECTS", 2000, 200)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let out = &mut io::stdout().lock();
    writeln!(out, "{}", processor())?;
    let rate = runtime.block_on(plan::bench(out))?;
    runtime.block_on(pass::bench(out, signatures, objects as usize, rate))
}
