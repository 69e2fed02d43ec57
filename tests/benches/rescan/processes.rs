//! This program once more, for one measurement: what a process had in memory before would be in its peak.

use std::{
    env, fs, process,
    process::{Command, Stdio},
};

use serde::de::DeserializeOwned;

use nacre_test_support::bench::Outcome;
use nacre_test_support::bench::{children, cpu_ms};

/// Runs this program with these arguments, and reads what it writes.
pub(crate) fn ourselves<Report: DeserializeOwned>(arguments: &[&str]) -> Outcome<Report> {
    let output = Command::new(env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("a process of the benchmark failed; its words are above".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// User and system time of this process, of those it has started, and of their children that have ended. In milliseconds, to ten.
pub(crate) fn all_cpu_ms() -> u64 {
    let own = cpu_ms(process::id()).map_or(0, |(own, _)| own);
    own + children(process::id()).into_iter().filter_map(cpu_ms).map(|(engine, workers)| engine + workers).sum::<u64>()
}

/// Most memory that this process ever had, in KiB.
pub(crate) fn own_peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.unwrap_or_default()
}
