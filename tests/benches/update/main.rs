//! What an update costs, ours beside a stock freshclam's, in one run against one mirror on loopback.
//!
//! `make bench-update` runs it; docs/benchmarks.md explains the figures. Databases, keys and mirror are made on the spot. No
//! figure fails the run, only a wrong result does.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

mod contender;
mod contest;
mod launch;
mod ours;
mod stand_in;
mod table;

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use nacre_aws::SystemClock;
use nacre_clamav::signing::SigningKeys;
use nacre_core::{port::Clock, telemetry::error_chain};
use nacre_test_support::Mirror;

use crate::{
    contender::{Arena, Contender, Proof, has_freshclam},
    contest::{Contest, Expected, state},
};
use nacre_test_support::bench::{BenchError, Database, processor, system, whole_number};

/// How often each run without an engine is repeated; the fastest counts.
const REPEATS: u32 = 3;

/// Lines of `daily` that one day drops or replaces; as many are added.
const TOUCHED_A_DAY: usize = 2000;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["launch", report, program, ref rest @ ..] => {
            let rest: Vec<String> = rest.iter().map(|argument| (*argument).to_owned()).collect();
            match launch::launch(Path::new(report), program, &rest) {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(format!("it ended with {status}")),
                Err(error) => Err(error_chain(error.as_ref())),
            }
        }
        ["update", run] => ours::update(Path::new(run)).map_err(|error| error_chain(error.as_ref())),
        ["stand-in"] => stand_in::stand_in().map_err(|error| error_chain(&error)),
        // Cargo's own arguments say nothing that matters here.
        _ => bench().map_err(|error| error_chain(error.as_ref())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            let _ = writeln!(io::stderr(), "bench-update: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// The versions that the mirror serves one after the other.
struct Versions {
    main: Vec<u8>,
    dailies: Vec<(Database, Vec<u8>)>,
    cdiffs: Vec<Vec<u8>>,
    signatures: u32,
}

fn bench() -> Result<(), BenchError> {
    let signatures = whole_number("BENCH_SIGNATURES", 4_000_000, 10_000)?;
    let scratch = tempfile::Builder::new().prefix("nacre-bench-").tempdir().map_err(system("making a directory"))?;
    let keys = SigningKeys::generate("bench")?;
    let runtime = tokio::runtime::Runtime::new().map_err(system("starting a runtime"))?;
    let mirror = runtime.block_on(Mirror::start())?;
    let arena = Arena::new(scratch.path(), mirror.url(), &keys)?;
    let contenders: &[Contender] =
        if has_freshclam() { &[Contender::Ours, Contender::Freshclam] } else { &[Contender::Ours] };
    let versions = versions(signatures, SystemClock.now().trunc_subsecs(0), &keys)?;
    let contest = Contest { arena: &arena, mirror: &mirror, keys: &keys };
    let out = &mut io::stdout().lock();
    introduce(out, &versions).map_err(system("printing"))?;
    run(&contest, contenders, versions, scratch.path(), out)
}

/// Serves version after version and measures what each costs.
fn run(
    contest: &Contest<'_>,
    contenders: &[Contender],
    versions: Versions,
    scratch: &Path,
    out: &mut impl Write,
) -> Result<(), BenchError> {
    contest.mirror.put("main.cvd", versions.main.clone());
    let mut expected = Expected { main: versions.main, daily: Vec::new() };
    let serve = |expected: &mut Expected, day: usize| -> Result<(), BenchError> {
        let Some((daily, cvd)) = versions.dailies.get(day) else { return Ok(()) };
        contest.mirror.put("daily.cvd", cvd.clone());
        if let Some(cdiff) = day.checked_sub(1).and_then(|day| versions.cdiffs.get(day)) {
            contest.mirror.put(&format!("daily-{}.cdiff", daily.version.0), cdiff.clone());
        }
        expected.daily = contest.members(daily, cvd)?;
        Ok(())
    };
    let mut phase = |title: &str, expected: &Expected, from: Option<&str>, to: &str, proof: Proof| {
        let times = if proof == Proof::With { 1 } else { REPEATS };
        let mut lines = Vec::new();
        for &contender in contenders {
            let from = from.map(|from| state(scratch, contender, from));
            let run = (from.as_deref(), proof, times);
            lines.push((contender, contest.fastest(contender, run, &state(scratch, contender, to), expected)?));
        }
        table::phase(out, title, &lines).map_err(system("printing"))
    };
    serve(&mut expected, 0)?;
    phase("Bootstrap: whole CVDs", &expected, None, "bootstrap", Proof::Without)?;
    phase("Bootstrap, proven by an engine", &expected, None, "proven", Proof::With)?;
    serve(&mut expected, 1)?;
    phase("First CDIFF, on a CVD", &expected, Some("bootstrap"), "first", Proof::Without)?;
    serve(&mut expected, 2)?;
    phase("Nightly CDIFF, on a CLD", &expected, Some("first"), "nightly", Proof::Without)?;
    phase("Nightly CDIFF, proven by an engine", &expected, Some("first"), "proven", Proof::With)
}

/// Makes `main` and three days of `daily`.
fn versions(signatures: u32, now: DateTime<Utc>, keys: &SigningKeys) -> Result<Versions, BenchError> {
    let built = now - TimeDelta::days(4);
    let (main, dailies) = thread::scope(|scope| {
        let main = scope.spawn(|| {
            let main = Database::first("main", 62, signatures / 4 * 3, built, keys)?;
            Ok::<_, BenchError>((main.cvd(keys), main.signatures()))
        });
        let dailies = days(signatures / 4, built, keys);
        (main.join(), dailies)
    });
    let (main, of_main) = main.map_err(|_| "main could not be made")??;
    let (dailies, cdiffs) = dailies?;
    let of_daily = dailies.first().map_or(0, |(daily, _)| daily.signatures());
    Ok(Versions { main, dailies, cdiffs, signatures: of_main + of_daily })
}

/// A first version and two days after it, with their CVDs and the CDIFFs between them.
type Days = (Vec<(Database, Vec<u8>)>, Vec<Vec<u8>>);

fn days(signatures: u32, built: DateTime<Utc>, keys: &SigningKeys) -> Result<Days, BenchError> {
    let first = Database::first("daily", 100, signatures, built, keys)?;
    let (second, to_second) = first.next(TOUCHED_A_DAY, keys)?;
    let (third, to_third) = second.next(TOUCHED_A_DAY, keys)?;
    let packed = [first, second, third].map(|daily| {
        let cvd = daily.cvd(keys);
        (daily, cvd)
    });
    Ok((packed.into(), vec![to_second, to_third]))
}

fn introduce(out: &mut impl Write, versions: &Versions) -> io::Result<()> {
    writeln!(out, "{}", processor())?;
    let daily = versions.dailies.first().map_or(0, |(_, cvd)| cvd.len());
    let cdiff = versions.cdiffs.last().map_or(0, Vec::len);
    writeln!(
        out,
        "{} signatures; main.cvd {} bytes, daily.cvd {daily} bytes, the nightly CDIFF {cdiff} bytes",
        versions.signatures,
        versions.main.len()
    )?;
    if !has_freshclam() {
        writeln!(out, "There is no freshclam here to compare with: `make setup` installs it.")?;
    }
    out.flush()
}
