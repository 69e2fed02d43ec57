//! What the demo observed, for people and for programs.

use std::{fs, io, path::Path};

use nacre_core::rescan::plan::RescanPlan;
use serde::Serialize;

/// The observations of one run.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// The generation of the first scans.
    pub(super) generation_before: u64,
    /// The generation that found more.
    pub(super) generation_after: u64,
    /// Objects uploaded and scanned.
    pub(super) objects: usize,
    /// Objects scanned again under the later generation.
    pub(super) rescanned: Vec<String>,
    /// What became of the records of the previous generation, and why that is safe.
    pub(super) plans: Vec<Planned>,
    /// Keys of infected objects.
    pub(super) infected: Vec<String>,
    /// What an ordinary user was refused.
    pub(super) denied: Vec<Denied>,
    /// Objects that could not be scanned, and why: never clean, never silently.
    pub(super) unscannable: Vec<Unscannable>,
    /// Seconds of the whole run.
    pub(super) seconds: f64,
}

/// Records that needed the same.
#[derive(Debug, Serialize)]
pub(super) struct Planned {
    pub(super) records: usize,
    /// What they needed, by its stable name.
    pub(super) plan: RescanPlan,
    /// In words.
    pub(super) why: &'static str,
}

/// An object that an ordinary user was refused.
#[derive(Debug, Serialize)]
pub(super) struct Denied {
    pub(super) key: String,
    /// The HTTP status of the response.
    pub(super) status: u16,
}

/// An object that could not be scanned.
#[derive(Debug, Serialize)]
pub(super) struct Unscannable {
    pub(super) key: String,
    pub(super) reason: String,
}

impl Summary {
    /// Leaves the summary in a directory as `summary.json`.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("summary.json"), serde_json::to_string_pretty(self)? + "\n")
    }
}
