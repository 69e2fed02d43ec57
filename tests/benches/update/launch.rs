//! Runs a program to its end, and measures it and its children.
//!
//! A process of its own, and a small one: Linux counts the memory of whoever starts a program as that program's, and the bench
//! itself holds whole databases.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use nacre_test_support::bench::{BenchError, children, cpu_ms, milliseconds, system};

/// How often the processes are sampled.
const PERIOD: Duration = Duration::from_millis(10);

/// What a program took.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Milliseconds from start to end.
    pub(crate) wall_ms: u64,
    /// Milliseconds of user and system time, of the program and all its children.
    pub(crate) cpu_ms: u64,
    /// Of these, the children's, as last seen of each.
    pub(crate) children_cpu_ms: u64,
    /// Most memory of the program itself, in KiB.
    pub(crate) peak_kib: u64,
    /// Most memory of any one of its children, in KiB.
    pub(crate) children_peak_kib: u64,
}

/// Runs `program` and writes what it took to `report`.
pub(crate) fn launch(report: &Path, program: &str, arguments: &[String]) -> Result<ExitStatus, BenchError> {
    let started = Instant::now();
    let mut child = Command::new(program).args(arguments).spawn().map_err(system(format!("starting {program}")))?;
    let (root, mut seen) = (child.id(), BTreeMap::new());
    let status = loop {
        look(root, &mut seen);
        match child.try_wait().map_err(system(format!("waiting for {program}")))? {
            Some(status) => break status,
            None => thread::sleep(PERIOD),
        }
    };
    let wall = started.elapsed();
    let taken = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(io::Error::from).map_err(system("asking for times"))?;
    let own = seen.remove(&root).unwrap_or_default();
    let children_cpu_ms = seen.values().map(|process: &Process| process.cpu_ms).sum();
    // A child that nobody waited for is in no account but what was seen of it.
    let accounted = milliseconds(taken.user_time()) + milliseconds(taken.system_time());
    let children_peak_kib = seen.values().map(|process| process.peak_kib).max().unwrap_or_default();
    // The account has the peak to the byte, but of the largest process alone.
    let largest = u64::try_from(taken.max_rss()).unwrap_or_default();
    let usage = Usage {
        wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        cpu_ms: accounted.max(own.cpu_ms + children_cpu_ms),
        children_cpu_ms,
        peak_kib: if own.peak_kib >= children_peak_kib { own.peak_kib.max(largest) } else { own.peak_kib },
        children_peak_kib,
    };
    fs::write(report, serde_json::to_vec(&usage)?).map_err(system("writing a report"))?;
    Ok(status)
}

/// What was last seen of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Process {
    cpu_ms: u64,
    peak_kib: u64,
}

/// Reads a process and all under it; one that has just ended is left as it was last seen.
fn look(id: u32, seen: &mut BTreeMap<u32, Process>) {
    if let (Some((cpu_ms, _)), Some(peak_kib)) = (cpu_ms(id), peak_kib(id)) {
        // While it waits to become another program it is still its parent's image, and has its parent's memory.
        seen.insert(id, Process { cpu_ms, peak_kib });
    }
    for child in children(id) {
        look(child, seen);
    }
}

/// Most memory that the program of this process ever had.
fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}
