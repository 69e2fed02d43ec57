//! Tries a sample of the lines behind filters, the way that a scan takes to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use nacre_core::{generation::manifest::ScanSetEntry, port::DefinitionsStore};
use nacre_engine_protocol::{Hello, Proposal, Proposed, Report};
use nacre_scan_set::{
    filter::{Filter, ShardPlace},
    key::Candidate,
    line::{Class, Kind},
    shard::{Hit, ShardError, for_each_line},
};

use super::{DecideError, ScanSets, disk, filter_file};
use crate::{EngineError, EnginePool};

/// Shards of each set that are tried, at equal distances: some 2,000 lines where there are that many.
const SHARDS: usize = 4;

/// Why the sample is not decided as it must be.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A line cannot be reached.
    #[error("a sample of the scan sets cannot be compared")]
    Decide(#[from] DecideError),
    /// An engine of the lines cannot be used.
    #[error("an engine of a sample of the scan sets does not load")]
    Engine(#[from] EngineError),
    /// A filter rules out a line that is behind it, or the line is not in the shard of its digest.
    #[error("the scan set of {database} does not find its own line `{line}`")]
    NotFound {
        /// The database.
        database: String,
        /// The line.
        line: String,
    },
    /// The engine loads less than the lines.
    #[error("an engine loaded {loaded} signatures of a sample of {expected} from the scan sets")]
    Count {
        /// Loaded.
        loaded: u64,
        /// Lines for engines of this functionality level.
        expected: u64,
    },
}

/// What is tried.
#[derive(Debug, Default)]
struct Sample {
    candidates: Vec<Candidate>,
    lines: BTreeSet<Hit>,
    /// Lines that an engine of the level loads.
    expected: u64,
}

impl Sample {
    /// The lines of shards.
    fn of(shards: &[Vec<u8>], level: u32) -> Result<Self, ShardError> {
        let mut sample = Self::default();
        for shard in shards {
            for_each_line(shard, |class, line, read| {
                let is_new = sample.lines.insert(Hit { class, line: line.to_vec() });
                let is_loaded = matches!(class, Class::File | Class::Section) && read.levels.contains(&level);
                sample.expected += u64::from(is_new && is_loaded);
                sample.candidates.push(read.candidate);
            })?;
        }
        Ok(sample)
    }
}

impl ScanSets {
    /// Takes some shards of each set, proposes all of their digests as an engine would, has them compared, and loads the engine of the
    /// lines that match. Returns how many lines were tried.
    ///
    /// # Errors
    /// [`SampleError`].
    pub async fn try_sample(
        &self,
        store: &impl DefinitionsStore,
        pool: &EnginePool,
        engine: &Hello,
    ) -> Result<u64, SampleError> {
        let (mut hits, mut expected) = (BTreeMap::new(), 0);
        for set in &self.sets {
            let sample = self.sample(store, set, engine.functionality_level).await?;
            expected += sample.expected;
            hits.extend((!sample.lines.is_empty()).then(|| (set.database.to_string(), sample.lines)));
        }
        if hits.is_empty() {
            return Ok(0);
        }
        let mini = self.mini(&hits, pool).await?;
        let (_, loaded) = pool.ready(&mini.directory).await?;
        // An ignore list of the sets may keep some of them out.
        if loaded.signatures + (expected / 10).max(10) < expected {
            return Err(SampleError::Count { loaded: loaded.signatures, expected });
        }
        Ok(hits.values().map(|lines| lines.len() as u64).sum())
    }

    /// Lines of one set, each found by its digest.
    async fn sample(
        &self,
        store: &impl DefinitionsStore,
        set: &ScanSetEntry,
        level: u32,
    ) -> Result<Sample, SampleError> {
        let path = self.directory.join(filter_file(set));
        let bytes = fs::read(&path).map_err(disk::failed(&path))?;
        let filter = Filter::parse(&bytes).map_err(|source| DecideError::Filter { path, source })?;
        let places: Vec<ShardPlace> = filter.shards().collect();
        let mut shards = Vec::new();
        for place in places.iter().step_by(places.len().div_ceil(SHARDS).max(1)) {
            shards.push(self.shards.shard(store, set, *place).await?);
        }
        let sample = Sample::of(&shards, level);
        let sample = sample.map_err(|source| DecideError::Damaged { database: set.database.to_string(), source })?;
        let proposals = sample.candidates.iter().filter(|candidate| filter.may_match(candidate));
        let proposals = proposals.map(|candidate| Proposal {
            filter: set.database.to_string(),
            of: match candidate.kind {
                Kind::File => Proposed::File,
                Kind::Section => Proposed::Section,
            },
            digest: hex::encode(candidate.digest.bytes()),
            size: candidate.size,
        });
        let report = Report { proposals: proposals.collect(), ..Report::default() };
        let mut hits = self.hits(store, &report).await?;
        let found = hits.remove(set.database.as_str()).unwrap_or_default();
        match sample.lines.difference(&found).next() {
            None => Ok(sample),
            Some(Hit { line, .. }) => Err(SampleError::NotFound {
                database: set.database.to_string(),
                line: String::from_utf8_lossy(line).into_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use nacre_clamav::{database::DatabaseName, digest::Sha256Digest};
    use nacre_core::{generation::manifest::BodyEntry, port::WriteCondition};
    use nacre_scan_set::builder::{Built, SetBuilder};
    use nacre_testing::memory_definitions::MemoryDefinitions;

    use super::*;

    const LEVEL: u32 = 216;

    /// Shards and filter of so many lines, one in ten of them for engines to come.
    fn built(lines: u32) -> (Vec<u8>, Vec<u8>) {
        let mut builder = SetBuilder::new(|| Ok(Cursor::new(Vec::new())), Vec::new()).unwrap();
        let level = |n| if n % 10 == 0 { ":9000" } else { "" };
        let lines = (0..lines).map(|n| format!("{n:032x}:{}:Hash.{n}{}\n", n + 1, level(n)));
        builder.add("test.hdb", lines.collect::<String>().as_bytes()).unwrap();
        let mut shards = Vec::new();
        let Built { filter, .. } = builder.finish(&mut shards).unwrap();
        (shards, filter)
    }

    async fn sample(shards: Vec<u8>, filter: &[u8]) -> Result<Sample, SampleError> {
        let (place, store) = (tempfile::tempdir().unwrap(), MemoryDefinitions::default());
        let set = ScanSetEntry {
            database: DatabaseName::new("test").unwrap(),
            of: Sha256Digest::of(b""),
            body: BodyEntry::of_scan_set(b""),
            filter: BodyEntry::of_scan_set(filter),
            shards: BodyEntry::of_scan_set(&shards),
            lines: 0,
        };
        store.write(&set.shards.object_key, shards, &[], WriteCondition::Always).await.unwrap();
        let directory = place.path().join("1");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(filter_file(&set)), filter).unwrap();
        let sets = ScanSets::new(directory, vec![set.clone()], Vec::new(), false);
        sets.sample(&store, &set, LEVEL).await
    }

    #[tokio::test]
    async fn every_line_of_a_sample_is_found_by_its_digest() {
        for lines in [0, 1, 500, 40_000] {
            let (shards, filter) = built(lines);
            let sample = sample(shards, &filter).await.unwrap();
            let found = u32::try_from(sample.lines.len()).unwrap();
            assert!(found == lines || (lines == 40_000 && (500..4000).contains(&found)), "{found} of {lines}");
            let to_come = sample.lines.iter().filter(|hit| hit.line.ends_with(b":9000")).count() as u64;
            assert_eq!(sample.expected + to_come, u64::from(found));
        }
    }

    #[tokio::test]
    async fn a_filter_that_forgot_its_lines_is_seen() {
        let (shards, filter) = built(500);
        let mut forgetful = filter.clone();
        // The fingerprints come behind the header; the places of the shards, at the end, stay.
        let end = forgetful.len() - 36;
        forgetful.get_mut(64..end).unwrap().fill(0xff);
        let forgotten = sample(shards.clone(), &forgetful).await;
        assert!(matches!(forgotten, Err(SampleError::NotFound { .. })), "{forgotten:?}");
        let (others, _) = built(499);
        let other = sample(others, &filter).await;
        assert!(
            matches!(other, Err(SampleError::Decide(DecideError::Digest { .. } | DecideError::Shard { .. }))),
            "{other:?}"
        );
    }
}
