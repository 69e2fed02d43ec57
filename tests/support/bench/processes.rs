//! What `/proc` says of processes.

use std::{fs, path::PathBuf};

use nix::sys::time::TimeVal;

/// Clock ticks in a second, as `/proc` counts time: the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// User and system time of a process, all threads': its own, and that of its children that have ended and been waited for. In
/// milliseconds; `None` when it is gone.
pub fn cpu_ms(process: u32) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(PathBuf::from(format!("/proc/{process}/stat"))).ok()?;
    // The name, in parentheses, may have spaces; the times are the 12th to 15th fields after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut sum = || Some((fields.next()?.ok()? + fields.next()?.ok()?) * 1000 / TICKS);
    Some((sum()?, sum()?))
}

/// Processes that a process has started, as long as it has not ended.
pub fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    children.flat_map(|line| line.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// A time of the operating system's accounts.
pub fn milliseconds(time: TimeVal) -> u64 {
    u64::try_from(time.tv_sec() * 1000 + time.tv_usec() / 1000).unwrap_or_default()
}
