//! What a year is made of: a profile of the objects, and what definitions change from day to day.

use std::{env, fs, path::Path};

use nacre_core::{scan_record::FileTypes, targets::Targets};
use nacre_test_support::bench::{Outcome, system};
use serde::Deserialize;

/// The assumptions of this folder, with the source of each.
const OURS: &str = include_str!("assumptions.json");

/// What a year is made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assumptions {
    pub(crate) days: u64,
    /// Objects of the bucket.
    pub(crate) objects: u64,
    /// Records that are planned each day; every share is one of these.
    pub(crate) sampled: u64,
    pub(crate) seed: u64,
    /// Generations after which the record of an unaffected object is written anew.
    pub(crate) advanced_every: u64,
    pub(crate) corpus: Vec<ObjectKind>,
    pub(crate) feed: Vec<FeedRow>,
}

/// Objects of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectKind {
    pub(crate) kind: String,
    /// Of all objects. Shares are relative to their sum.
    pub(crate) share: f64,
    pub(crate) bytes: u64,
    /// Matcher targets that run on them.
    targets: Vec<u8>,
    pub(crate) layers: u64,
    /// Types of their layers, as libclamav names them; without any, they are as of old records, and may be any.
    #[serde(default)]
    types: Vec<String>,
}

/// Lines of one form that come and go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedRow {
    pub(crate) what: String,
    /// Where the numbers are from.
    pub(crate) source: String,
    /// File of the set.
    pub(crate) file: String,
    /// The line, with `{name}`, `{size}`, `{hex}` (a pattern), `{fuzzy}`, `{md5}` and `{sha256}` for what is made up.
    pub(crate) line: String,
    /// Lines that are there on the first day.
    #[serde(default)]
    pub(crate) initial: u64,
    /// Lines that are added and removed on each of its days; the oldest go first.
    pub(crate) added: u64,
    pub(crate) removed: u64,
    /// Days from one of its days to the next.
    pub(crate) every: u64,
    /// Days on which all of its lines are missing.
    #[serde(default)]
    pub(crate) absent_on: Vec<u64>,
}

impl Assumptions {
    /// Those of the file that `BENCH_YEAR` names, or ours.
    ///
    /// # Errors
    /// When the file cannot be read, or says something else.
    #[expect(clippy::disallowed_methods, reason = "a benchmark is its own composition root")]
    pub(crate) fn read() -> Outcome<Self> {
        let Ok(path) = env::var("BENCH_YEAR") else { return Self::parse(OURS) };
        Self::parse(&fs::read_to_string(Path::new(&path)).map_err(system(format!("reading BENCH_YEAR={path}")))?)
    }

    fn parse(text: &str) -> Outcome<Self> {
        let read: Self = serde_json::from_str(text)?;
        if read.sampled == 0 || read.objects == 0 || read.advanced_every == 0 || read.corpus.is_empty() {
            return Err("objects, sampled, advanced_every and corpus must not be empty".into());
        }
        if let Some(row) = read.feed.iter().find(|row| row.every == 0) {
            return Err(format!("{}: every must be at least 1 day", row.what).into());
        }
        Ok(read)
    }
}

impl ObjectKind {
    /// Types of their layers.
    pub(crate) fn types(&self) -> Option<FileTypes> {
        let types = self.types.iter().map(|name| FileTypes::of(&format!("CL_TYPE_{name}"))).collect();
        (!self.types.is_empty()).then_some(types)
    }

    /// Matcher targets that run on them.
    pub(crate) fn targets(&self) -> Targets {
        let mut all = Targets::NONE;
        for target in &self.targets {
            all |= Targets::of(*target);
        }
        all
    }
}
