//! A year of nightly updates: what each night's pass scans, reads and costs, beside a scan of everything.
//!
//! `make bench-year` runs it; docs/rescans.md explains the figures. Definitions and records are made up as `assumptions.json` says, in
//! the proportions of what is published about ClamAV's updates; each night is planned by the code that plans it in the rescanner.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![expect(clippy::cast_precision_loss, reason = "figures to be read")]

mod assumptions;
mod corpus;
mod feed;
mod play;
mod table;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use nacre_core::telemetry::error_chain;
use nacre_test_support::bench::{Outcome, system};
use serde_json::json;

use crate::assumptions::Assumptions;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench-year: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<()> {
    let assumptions = Assumptions::read()?;
    let out = &mut io::stdout().lock();
    table::assumptions(out, &assumptions)?;
    let (days, everything) = (play::year(&assumptions), play::everything(&assumptions));
    table::days(out, &days)?;
    table::year(out, &days, everything)?;
    let into = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&into).map_err(system("making target/bench"))?;
    let written = serde_json::to_vec_pretty(&json!({"days": days, "everything_each_night": everything}))?;
    fs::write(into.join("year.json"), written).map_err(system("writing target/bench/year.json"))?;
    writeln!(out, "Every day is in target/bench/year.json.")?;
    Ok(())
}
