//! `clamscan`, started for each object, as the peers do it.

use std::{
    collections::BTreeMap,
    fs, io,
    process::Command,
    time::{Duration, Instant},
};

use nacre_core::verdict::Verdict;
use nix::sys::resource::{UsageWho, getrusage};

use crate::{
    arena::Arena,
    corpus::{KNOWN_TEXT, PROGRAM_EVERY, content},
};
use nacre_test_support::bench::Outcome;
use nacre_test_support::bench::milliseconds;

/// Debian's program.
const CLAMSCAN: &str = "/usr/bin/clamscan";

/// The objects that it is run on: a wicked program and an innocent one, a wicked text and an innocent one. The others are reckoned
/// from these.
const OBJECTS: [usize; 4] = [0, PROGRAM_EVERY, KNOWN_TEXT, KNOWN_TEXT + 1];

/// What `clamscan` takes for one object.
pub(crate) struct Each {
    pub(crate) runs: usize,
    pub(crate) wall: Duration,
    pub(crate) cpu_ms: u64,
    /// Most memory of one of them, in KiB.
    pub(crate) peak_kib: u64,
}

/// Runs it on some of the objects, and fails unless it comes to the verdicts of the others.
pub(crate) fn clamscans(arena: &Arena, objects: usize, expected: &BTreeMap<String, Verdict>) -> Outcome<Each> {
    let file = arena.scratch.join("object");
    let (before, mut wall) = (children_cpu_ms()?, Duration::ZERO);
    for number in OBJECTS.into_iter().filter(|number| *number < objects) {
        fs::write(&file, content(number))?;
        let started = Instant::now();
        let output = Command::new(CLAMSCAN)
            .env("LD_LIBRARY_PATH", arena.libraries())
            .args(["--no-summary", "--allmatch=yes"])
            .arg(format!("--database={}", arena.databases().display()))
            .arg(&file)
            .output()?;
        wall += started.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        let found: Vec<&str> =
            said.lines().filter_map(|line| line.rsplit_once(": ")?.1.strip_suffix(" FOUND")).collect();
        let found = if output.status.code() == Some(0) {
            Some(Vec::new())
        } else {
            Some(found).filter(|found| !found.is_empty())
        };
        let agrees = match expected.get(&format!("object-{number}")) {
            Some(Verdict::Clean) => found.as_ref().is_some_and(Vec::is_empty),
            Some(Verdict::Infected { signatures }) => found.as_ref().is_some_and(|found| found == signatures),
            _ => false,
        };
        if !agrees {
            return Err(
                format!("clamscan says of object {number}: {said}{}", String::from_utf8_lossy(&output.stderr)).into()
            );
        }
    }
    let runs = OBJECTS.len();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(io::Error::from)?;
    let cpu_ms = children_cpu_ms()?.saturating_sub(before) / runs as u64;
    Ok(Each { runs, wall: wall / u32::try_from(runs)?, cpu_ms, peak_kib: u64::try_from(usage.max_rss())? })
}

fn children_cpu_ms() -> Outcome<u64> {
    let taken = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(io::Error::from)?;
    Ok(milliseconds(taken.user_time()) + milliseconds(taken.system_time()))
}
