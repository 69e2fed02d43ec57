//! Scan sets on local disk, and how what their filters do not rule out is decided.
//!
//! An engine that has loaded the bodies of scan sets proposes digests. The lines behind them are read from the shards and compared
//! exactly. Where a line matches, an engine of the matching lines and of all that steers a scan scans the object again: libclamav
//! decides, and the verdict is by the alerts of both scans. What cannot be compared is an error, never clean.

mod disk;
pub mod layout;
mod sample;
mod shards;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use memchr::memmem;
use nacre_core::{
    generation::manifest::ScanSetEntry,
    port::{DefinitionsStore, StoreError},
};
use nacre_engine_protocol::{FILTER_EXTENSION, Proposal, Proposed, Report};
use nacre_scan_set::{
    filter::{Filter, FilterError, ShardPlace},
    key::{Candidate, Digest},
    line::Kind,
    shard::{Hit, ShardError},
};
use tokio::sync::OnceCell;

pub use self::sample::SampleError;
use self::{disk::Context, shards::Shards};
use crate::EnginePool;

/// Suffix of libclamav's names for signatures that are not from a signed database.
const UNOFFICIAL: &str = ".UNOFFICIAL";

/// Why nothing is decided about an object. Another attempt may succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// The local disk failed.
    #[error("{path} of the scan sets cannot be read or written")]
    Disk {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A filter on local disk is not the one that was downloaded.
    #[error("{path} is no filter")]
    Filter {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: FilterError,
    },
    /// The engine proposed what no filter has.
    #[error("the engine proposed a digest that cannot be one of {filter}")]
    Proposal {
        /// The filter.
        filter: String,
    },
    /// A body on local disk is not the one that was written.
    #[error("the body of {database} cannot be read again")]
    Body {
        /// The database.
        database: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A shard cannot be had.
    #[error("a shard of {database} cannot be read")]
    Shard {
        /// The database.
        database: String,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// A shard is not what its filter says.
    #[error("shard {number} of {database} has another SHA-256 than its filter says")]
    Digest {
        /// The database.
        database: String,
        /// The shard.
        number: usize,
    },
    /// A shard cannot be unpacked.
    #[error("a shard of {database} is damaged")]
    Damaged {
        /// The database.
        database: String,
        /// The cause.
        #[source]
        source: ShardError,
    },
    /// libclamav matched on contents that could not be looked up.
    #[error("{0} contents could not be looked up in the filters")]
    Unlooked(u64),
}

/// The scan sets of a generation. Their files are removed when this is dropped.
#[derive(Debug)]
pub struct ScanSets {
    /// The directory that an engine loads.
    directory: PathBuf,
    /// Where shards and the directories of mini engines are.
    work: PathBuf,
    sets: Vec<ScanSetEntry>,
    /// Names of loose signature files in the directory.
    custom: Vec<String>,
    /// Whether an engine of the whole databases would load them as ClamAV's own.
    official: bool,
    context: OnceCell<Context>,
    shards: Shards,
    last_mini: AtomicU64,
}

/// The directory of a mini engine, which is removed and the engine dismissed when this is dropped.
#[derive(Debug)]
pub struct MiniSet<'a> {
    pool: &'a EnginePool,
    /// The directory that the engine loads.
    pub directory: PathBuf,
}

impl Drop for MiniSet<'_> {
    fn drop(&mut self) {
        self.pool.dismiss(&self.directory);
        // What cannot be removed goes with the scan sets.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Drop for ScanSets {
    fn drop(&mut self) {
        // What cannot be removed goes with the directory around it.
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_dir_all(&self.work);
    }
}

impl PartialEq for ScanSets {
    fn eq(&self, other: &Self) -> bool {
        self.directory == other.directory
    }
}

impl Eq for ScanSets {}

/// The file of a database's filter, in the directory that an engine loads.
pub fn filter_file(set: &ScanSetEntry) -> String {
    format!("{}.{FILTER_EXTENSION}", set.database)
}

impl ScanSets {
    /// The sets that were laid out in `directory`, whose bodies are of ClamAV's own databases if they are `official`. `custom` names the
    /// loose signature files beside them.
    pub fn new(directory: PathBuf, sets: Vec<ScanSetEntry>, custom: Vec<String>, official: bool) -> Self {
        let work = directory.with_extension("decisions");
        let shards = Shards::new(work.join("shards"));
        Self { directory, work, sets, custom, official, context: OnceCell::new(), shards, last_mini: AtomicU64::new(0) }
    }

    /// Decides about an object by the report of the bodies' engine. Where a line matches, `again` scans the object with the engine of a
    /// directory. What kept that from a report is the outcome, unless the bodies' engine has found something: a match wins over everything.
    ///
    /// # Errors
    /// [`DecideError`], or those of `again`: then nothing is known about the object.
    pub async fn decide<Stopped, E: From<DecideError>>(
        &self,
        store: &impl DefinitionsStore,
        pool: &EnginePool,
        report: Report,
        again: impl AsyncFnOnce(&Path) -> Result<Result<Report, Stopped>, E>,
    ) -> Result<Result<Report, Stopped>, E> {
        let of_mini = match self.compare(store, &report, pool).await? {
            None => None,
            Some(mini) => match again(&mini.directory).await? {
                Ok(report) => Some(report),
                Err(_) if !report.alerts.is_empty() => None,
                Err(stopped) => return Ok(Err(stopped)),
            },
        };
        Ok(Ok(self.decided(report, of_mini)?))
    }

    /// Compares what a report proposes with the lines of the shards. Returns the directory of the engine that must scan the object
    /// again; `None` when no line matches.
    ///
    /// # Errors
    /// [`DecideError`]: then nothing is known about the object.
    pub async fn compare<'a>(
        &self,
        store: &impl DefinitionsStore,
        report: &Report,
        pool: &'a EnginePool,
    ) -> Result<Option<MiniSet<'a>>, DecideError> {
        let hits = self.hits(store, report).await?;
        if hits.is_empty() {
            return Ok(None);
        }
        self.mini(&hits, pool).await.map(Some)
    }

    /// The lines that match what a report proposes exactly, by database.
    async fn hits(
        &self,
        store: &impl DefinitionsStore,
        report: &Report,
    ) -> Result<BTreeMap<String, BTreeSet<Hit>>, DecideError> {
        let mut hits = BTreeMap::new();
        for set in &self.sets {
            let name = set.database.as_str();
            let proposals: Vec<&Proposal> =
                report.proposals.iter().filter(|proposal| proposal.filter == name).collect();
            if !proposals.is_empty() {
                let found = self.shards.hits(store, set, self.places(set, &proposals)?).await?;
                let found: BTreeSet<Hit> = found.into_iter().collect();
                hits.extend((!found.is_empty()).then(|| (name.to_owned(), found)));
            }
        }
        let is_of_none = |proposal: &&Proposal| self.sets.iter().all(|set| set.database.as_str() != proposal.filter);
        if let Some(Proposal { filter, .. }) = report.proposals.iter().find(is_of_none) {
            return Err(DecideError::Proposal { filter: filter.clone() });
        }
        Ok(hits)
    }

    /// The directory of an engine of these lines.
    async fn mini<'a>(
        &self,
        hits: &BTreeMap<String, BTreeSet<Hit>>,
        pool: &'a EnginePool,
    ) -> Result<MiniSet<'a>, DecideError> {
        let write = async || Context::write(&self.directory, &self.work, &self.sets);
        let context = self.context.get_or_try_init(write).await?;
        let number = self.last_mini.fetch_add(1, Ordering::Relaxed);
        let mini = MiniSet { pool, directory: self.work.join(format!("mini-{number}")) };
        context.write_mini(&mini.directory, hits)?;
        Ok(mini)
    }

    /// The candidates of each shard that may have them.
    fn places(
        &self,
        set: &ScanSetEntry,
        proposals: &[&Proposal],
    ) -> Result<Vec<(ShardPlace, Vec<Candidate>)>, DecideError> {
        let path = self.directory.join(filter_file(set));
        let bytes = fs::read(&path).map_err(disk::failed(&path))?;
        let filter = Filter::parse(&bytes).map_err(|source| DecideError::Filter { path, source })?;
        let mut places: BTreeMap<usize, (ShardPlace, Vec<Candidate>)> = BTreeMap::new();
        for proposal in proposals {
            let digest = Digest::from_hex(proposal.digest.as_bytes());
            let digest = digest.ok_or_else(|| DecideError::Proposal { filter: proposal.filter.clone() })?;
            let kind = match proposal.of {
                Proposed::File => Kind::File,
                Proposed::Section => Kind::Section,
            };
            let candidate = Candidate { kind, digest, size: proposal.size };
            let place = filter.shard_of(&candidate);
            places.entry(place.number).or_insert_with(|| (place, Vec::new())).1.push(candidate);
        }
        Ok(places.into_values().collect())
    }

    /// The report of an engine of all signatures, by that of the bodies' engine and that of the mini engine if one had to scan.
    ///
    /// # Errors
    /// [`DecideError::Unlooked`].
    pub fn decided(&self, body: Report, mini: Option<Report>) -> Result<Report, DecideError> {
        let unlooked = body.unlooked;
        let mut decided = Report { proposals: Vec::new(), unlooked: 0, ..body };
        let of_bodies = decided.alerts.iter().map(|alert| self.full_engine_name(alert));
        let mut alerts: BTreeSet<String> = of_bodies.collect();
        if let Some(mini) = mini {
            let bare = |alert: &String| match alert.strip_suffix(UNOFFICIAL) {
                Some(name) if self.official => name.to_owned(),
                _ => alert.clone(),
            };
            alerts.extend(mini.alerts.iter().map(bare));
            // Whatever kept the mini engine from the end speaks against "clean" as well.
            decided.status = decided.status.max(mini.status);
            merge(&mut decided.limits_exceeded, mini.limits_exceeded);
            merge(&mut decided.encrypted, mini.encrypted);
            decided.unread = decided.unread.max(mini.unread);
            decided.unopened = decided.unopened.max(mini.unopened);
            decided.messages.extend(mini.messages);
        }
        decided.alerts = alerts.into_iter().collect();
        if unlooked > 0 && decided.alerts.is_empty() {
            return Err(DecideError::Unlooked(unlooked));
        }
        Ok(decided)
    }

    /// The name of an alert where the databases are loaded whole: text gets a suffix, ClamAV's own databases do not.
    fn full_engine_name(&self, alert: &str) -> String {
        match alert.strip_suffix(UNOFFICIAL) {
            Some(name) if self.official && !self.is_custom(name) => name.to_owned(),
            _ => alert.to_owned(),
        }
    }

    /// Whether a loose file names a signature.
    fn is_custom(&self, name: &str) -> bool {
        let name = name.strip_prefix("YARA.").unwrap_or(name);
        // A file that cannot be read any more may have it.
        let has = |file: &String| {
            fs::read(self.directory.join(file)).map_or(true, |bytes| memmem::find(&bytes, name.as_bytes()).is_some())
        };
        self.custom.iter().any(has)
    }

    /// The directory that an engine loads.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn merge(names: &mut Vec<String>, more: Vec<String>) {
    names.extend(more);
    names.sort();
    names.dedup();
}

#[cfg(test)]
mod tests;
