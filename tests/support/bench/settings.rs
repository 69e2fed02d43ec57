//! The arguments of a benchmark, and where it runs.

use std::{env, fs, thread};

use super::BenchError;

/// A number from the environment.
///
/// # Errors
/// When the value is no such number.
#[expect(clippy::disallowed_methods, reason = "a benchmark is its own composition root")]
pub fn whole_number(name: &'static str, default: u32, least: u32) -> Result<u32, BenchError> {
    let Ok(value) = env::var(name) else { return Ok(default) };
    value
        .parse()
        .ok()
        .filter(|number| *number >= least)
        .ok_or_else(|| format!("{name} is {value:?}: set it to a whole number of at least {least}").into())
}

/// The processor's name and how many of them there are.
pub fn processor() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", processor.map_or("an unknown processor", |(_, name)| name))
}
