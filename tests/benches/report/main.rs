//! What a report of a million records takes: seconds, and the memory of `nacre` at its peak.
//!
//! `make bench-report` runs it. The table is made up on loopback, so that the figure is what the program takes, and the most that a
//! network would let it. No figure fails the run. It is left in `target/bench/report.json`.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Instant,
};

use nacre_core::telemetry::error_chain;
use nacre_test_support::{
    GeneratedTable,
    bench::{Outcome, system, whole_number},
    programs_directory, record_json,
};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;
use tokio::process::Command;

/// Records of the table.
const RECORDS: u32 = 1_000_000;

#[tokio::main]
async fn main() -> ExitCode {
    match bench().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench-report: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// One of a hundred is infected, one could not be scanned.
fn record(number: u64) -> String {
    let key = format!("{:03}/{number}-a-key-of-an-ordinary-length.pdf", number % 1000);
    let at = format!("2026-11-{:02}T10:{:02}:00.000Z", 1 + number % 28, number / 28 % 60);
    match number % 100 {
        0 => record_json(&key, "infected", ",\"signatures\":{\"SS\":[\"Win.Test.EICAR_HDB-1\"]}", &at),
        1 => record_json(&key, "unscannable", ",\"reason\":{\"S\":\"encrypted\"}", &at),
        _ => record_json(&key, "clean", "", &at),
    }
}

async fn bench() -> Outcome<()> {
    let records = whole_number("BENCH_RECORDS", RECORDS, 1_000)?;
    let scratch = tempfile::Builder::new().prefix("nacre-bench-").tempdir().map_err(system("making a directory"))?;
    let table = GeneratedTable::start(records.into(), record).await?;
    let seconds = report(&table, scratch.path(), &["--csv", "records.csv"]).await?;
    // Of all processes that ended: there was one.
    let peak_mib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() / 1024;
    let size = |name| fs::metadata(scratch.path().join(name)).map(|file| file.len()).map_err(system("reading a file"));
    let (page_bytes, csv_bytes) = (size("report.html")?, size("records.csv")?);
    let sample = (records / 20).max(1).to_string();
    let sample_seconds = report(&table, scratch.path(), &["--sample", &sample]).await?;
    let into = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&into).map_err(system("making target/bench"))?;
    let figures = json!({ "records": records, "seconds": seconds, "peak_mib": peak_mib, "page_bytes": page_bytes, "csv_bytes": csv_bytes,
        "sample": sample, "sample_seconds": sample_seconds });
    fs::write(into.join("report.json"), serde_json::to_vec_pretty(&figures)?).map_err(system("writing figures"))?;
    writeln!(
        io::stdout(),
        "{records} records: {seconds:.1} s, peak {peak_mib} MiB, page {page_bytes} bytes, CSV {csv_bytes} bytes; a sample of {sample}: {sample_seconds:.1} s"
    )?;
    Ok(())
}

/// Has `nacre` write a report into a directory; the seconds that it took.
async fn report(table: &GeneratedTable, into: &Path, more: &[&str]) -> Outcome<f64> {
    let mut command = Command::new(programs_directory()?.join("nacre"));
    command.arg("report").args(more).current_dir(into).env_clear().envs(table.environment()).env("HOME", into);
    let start = Instant::now();
    let output = command.output().await.map_err(system("running nacre"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(start.elapsed().as_secs_f64())
}
