//! What was measured.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use nacre_test_support::bench::BenchError;

/// Names of the signatures that were found in each file, by the file's name; none for a clean one.
pub(crate) type Verdicts = BTreeMap<String, BTreeSet<String>>;

/// What some files took a contender.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// How many files.
    pub(crate) objects: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Microseconds from the first to the end of the last.
    pub(crate) wall_us: u64,
    /// Milliseconds of user and system time, of all processes.
    pub(crate) cpu_ms: u64,
    /// Most memory of all processes together, in KiB, pages that several have counted once (PSS). `None`: the system does not say.
    pub(crate) peak_kib: Option<u64>,
}

impl Measured {
    /// Microseconds for each file, as the clock goes.
    pub(crate) fn wall_us_each(&self) -> u64 {
        self.wall_us.checked_div(self.objects).unwrap_or_default()
    }

    /// Microseconds of user and system time for each file.
    pub(crate) fn cpu_us_each(&self) -> u64 {
        (self.cpu_ms * 1000).checked_div(self.objects).unwrap_or_default()
    }

    /// Files a second, times ten.
    pub(crate) fn tenths_a_second(&self) -> u64 {
        (self.objects * 10_000_000).checked_div(self.wall_us).unwrap_or_default()
    }

    /// The faster of two runs.
    pub(crate) fn faster(self, other: Option<Self>) -> Self {
        other.filter(|other| other.wall_us <= self.wall_us).unwrap_or(self)
    }
}

/// Runs something so many times and keeps the fastest.
///
/// # Errors
/// What the runs fail with.
pub(crate) fn fastest(
    times: u32,
    mut run: impl FnMut() -> Result<Measured, BenchError>,
) -> Result<Measured, BenchError> {
    let mut best = None;
    for _ in 0..times {
        best = Some(run()?.faster(best));
    }
    best.ok_or_else(|| "nothing was run".into())
}

/// Fails unless a contender reported so many files, and of each what is in it.
///
/// # Errors
/// When a verdict is wrong.
pub(crate) fn agree(contender: &str, objects: u64, found: &Verdicts, expected: &Verdicts) -> Result<(), BenchError> {
    if found.len() as u64 != objects {
        return Err(format!("{contender} reports {} files, not of {objects}", found.len()).into());
    }
    for (file, names) in found {
        if expected.get(file) != Some(names) {
            let should = expected.get(file);
            return Err(format!("{contender} says {names:?} of {file}, which has {should:?}").into());
        }
    }
    Ok(())
}
