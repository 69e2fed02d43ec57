//! One run of the updater: look, fetch, verify, prove, publish.

use std::path::Path;

use chrono::{DateTime, Utc};
use nacre_shared::{
    definitions::{
        archive::ArchiveLimits,
        cvd::{Cvd, VerifyError},
        database::{DatabaseName, DatabaseVersion},
        manifest::{DatabaseEntry, Generation, Manifest},
        trust_anchor::TrustAnchors,
    },
    port::{DefinitionsStore, Topic},
};
use serde::Serialize;

use crate::{
    mirror::{Mirror, MirrorError},
    plan::{UpdatePlan, plan_update},
    prove::{ProveError, prove},
    publish::{PublishError, Published, Publisher, Race},
};

/// How often the pointer may be lost to another updater in one run.
const MAX_RACES: u32 = 5;

/// Why a run published nothing. What was published before stays.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The mirror did not give a database.
    #[error("{database} could not be fetched")]
    Mirror {
        /// The database.
        database: String,
        /// Why.
        #[source]
        source: MirrorError,
    },
    /// A database is not what its makers signed.
    #[error("{file} version {version} is not valid")]
    Verify {
        /// The file, such as `daily.cvd`.
        file: String,
        /// The version that its header claims, or `unknown`.
        version: String,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// The mirror's file is older than the header that it showed a moment before, and than what is published.
    #[error("{file} has version {fetched}, older than the published {published}")]
    Older {
        /// The file.
        file: String,
        /// What was fetched.
        fetched: u32,
        /// What is published.
        published: u32,
    },
    /// The new set does not pass its proof.
    #[error("the new set of databases ({set}) does not pass its proof")]
    Prove {
        /// The set, such as `daily 27780, main 62`.
        set: String,
        /// Why.
        #[source]
        source: ProveError,
    },
    /// The definitions bucket or the topic failed.
    #[error("the generation could not be published")]
    Publish(#[from] PublishError),
    /// Others moved the pointer each time that we were about to.
    #[error("the pointer was lost to other updaters {MAX_RACES} times")]
    Races,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Update {
    /// A new generation is published.
    Published {
        /// Which.
        generation: Generation,
        /// The databases that are new in it, such as `daily 27780`.
        databases: Vec<String>,
    },
    /// The published generation is the newest that the mirror has.
    UpToDate {
        /// Which.
        generation: Generation,
        /// Databases of which the mirror serves an older version than is published.
        held: Vec<String>,
    },
}

/// What a run works with.
#[derive(Debug)]
pub struct Updater<'a, Store, Announcements> {
    /// Where databases come from.
    pub mirror: &'a Mirror,
    /// Which databases.
    pub databases: &'a [DatabaseName],
    /// Whose signatures count.
    pub trust_anchors: &'a TrustAnchors,
    /// Where generations are published.
    pub publisher: Publisher<'a, Store, Announcements>,
    /// The engine program that proves them.
    pub engine: &'a Path,
    /// Where the proof may write.
    pub scratch: &'a Path,
    /// The time of the run.
    pub now: DateTime<Utc>,
}

/// A database of the generation to come.
struct Part {
    entry: DatabaseEntry,
    bytes: Vec<u8>,
}

impl<Store: DefinitionsStore, Announcements: Topic> Updater<'_, Store, Announcements> {
    /// Runs once.
    ///
    /// # Errors
    /// [`UpdateError`]; what was published before stays.
    pub async fn run(&self) -> Result<Update, UpdateError> {
        // First what a run before may have left undone: no mirror's trouble may keep a generation from being announced.
        self.publisher.settle().await?;
        for _ in 0..MAX_RACES {
            let published = self.publisher.published().await?;
            let (wanted, held) = self.look(&published).await?;
            if wanted.is_empty()
                && let Some(manifest) = &published.manifest
            {
                self.publisher.settle().await?;
                return Ok(Update::UpToDate { generation: manifest.generation, held });
            }
            let generation = published.next_generation();
            let databases = self.bring(&published, &wanted, generation).await?;
            if let Some(databases) = databases {
                self.publisher.settle().await?;
                return Ok(Update::Published { generation, databases });
            }
        }
        Err(UpdateError::Races)
    }

    /// Asks the mirror what it has: which databases to fetch, and which it has only in older versions.
    async fn look(&self, published: &Published) -> Result<(Vec<&DatabaseName>, Vec<String>), UpdateError> {
        let (mut wanted, mut held) = (Vec::new(), Vec::new());
        let anchor = self.trust_anchors.identity();
        for name in self.databases {
            let header = self.mirror.advertised(name).await.map_err(|source| no_answer(name, source))?;
            let current = published.entry(name.as_str(), &anchor).map(|entry| entry.version);
            match plan_update(current, header.version) {
                UpdatePlan::UpToDate => {}
                UpdatePlan::FetchCvd => wanted.push(name),
                UpdatePlan::Hold { advertised, .. } => held.push(labelled(name, advertised)),
            }
        }
        Ok((wanted, held))
    }

    /// Fetches, verifies, proves and publishes; `None` when another updater was faster.
    async fn bring(
        &self,
        published: &Published,
        wanted: &[&DatabaseName],
        generation: Generation,
    ) -> Result<Option<Vec<String>>, UpdateError> {
        let mut parts = Vec::new();
        let anchor = self.trust_anchors.identity();
        for name in self.databases {
            parts.push(match published.entry(name.as_str(), &anchor) {
                Some(entry) if !wanted.contains(&name) => {
                    Part { entry: entry.clone(), bytes: self.publisher.body(entry).await? }
                }
                current => self.fetch(name, current.map(|entry| entry.version)).await?,
            });
        }
        let proof = self.prove(&parts).await?;
        let databases = parts.iter().map(|part| part.entry.clone()).collect();
        let manifest = Manifest::new(generation, self.now, self.trust_anchors.identity(), databases, proof);
        for part in parts {
            self.publisher.put_body(&part.entry, part.bytes).await?;
        }
        match self.publisher.advance(published, &manifest).await? {
            Race::Won => Ok(Some(wanted.iter().filter_map(|name| label_in(&manifest, name)).collect())),
            Race::Lost => Ok(None),
        }
    }

    async fn fetch(&self, name: &DatabaseName, published: Option<DatabaseVersion>) -> Result<Part, UpdateError> {
        let bytes = self.mirror.fetch(name).await.map_err(|source| no_answer(name, source))?;
        let file = format!("{}.cvd", name.as_str());
        let invalid = |version: Option<DatabaseVersion>| {
            let version = version.map_or("unknown".to_owned(), |version| version.0.to_string());
            let file = file.clone();
            move |source| UpdateError::Verify { file, version, source }
        };
        let cvd = Cvd::parse(&bytes).map_err(|source| invalid(None)(source.into()))?;
        let version = cvd.header().version;
        if let Some(published) = published.filter(|published| version < *published) {
            return Err(UpdateError::Older { file, fetched: version.0, published: published.0 });
        }
        let verified =
            cvd.verify(name, self.trust_anchors, ArchiveLimits::default()).map_err(invalid(Some(version)))?;
        Ok(Part { entry: DatabaseEntry::of(&verified), bytes })
    }

    async fn prove(&self, parts: &[Part]) -> Result<nacre_shared::definitions::manifest::EngineProof, UpdateError> {
        let set = parts.iter().map(|part| (&part.entry, part.bytes.as_slice()));
        let proof = prove(self.engine, self.scratch, set, self.trust_anchors.is_clamav()).await;
        proof.map_err(|source| {
            let labels = parts.iter().map(|part| labelled(&part.entry.name, part.entry.version));
            UpdateError::Prove { set: labels.collect::<Vec<_>>().join(", "), source }
        })
    }
}

fn no_answer(name: &DatabaseName, source: MirrorError) -> UpdateError {
    UpdateError::Mirror { database: name.as_str().to_owned(), source }
}

fn labelled(name: &DatabaseName, version: DatabaseVersion) -> String {
    format!("{} {}", name.as_str(), version.0)
}

fn label_in(manifest: &Manifest, name: &DatabaseName) -> Option<String> {
    let entry = manifest.databases.iter().find(|entry| entry.name == *name)?;
    Some(labelled(name, entry.version))
}

#[cfg(test)]
mod tests {
    use nacre_shared::{
        definitions::manifest::EngineProof,
        testing::{
            definitions::{CvdBuilder, SigningKeys},
            memory_definitions::MemoryDefinitions,
            memory_topic::MemoryTopic,
        },
    };

    use super::*;

    #[tokio::test]
    async fn a_mirror_out_of_reach_keeps_no_generation_from_being_announced() {
        let (store, topic, keys) = (MemoryDefinitions::default(), MemoryTopic::default(), SigningKeys::fixed());
        let (name, anchors) = (DatabaseName::new("daily").unwrap(), keys.trust_anchors());
        let file = CvdBuilder::new("daily").member("daily.ndb", "A:0:*:6161616161\n").build(keys);
        let cvd = Cvd::parse(&file).unwrap().verify(&name, &anchors, ArchiveLimits::default()).unwrap();
        let proof =
            EngineProof { clamav_version: "1.4.6".into(), functionality_level: 216, signatures: 1, eicar: vec![], expected_signatures: 1, clean_files: 0 };
        let entries = vec![DatabaseEntry::of(&cvd)];
        let manifest = Manifest::new(Generation(1), DateTime::UNIX_EPOCH, anchors.identity(), entries, proof);
        // A run that died right after it moved the pointer.
        let publisher = Publisher { store: &store, announcements: &topic, flat_prefix: "clamav_defs" };
        publisher.put_body(&manifest.databases[0], file).await.unwrap();
        let before = publisher.published().await.unwrap();
        assert_eq!(publisher.advance(&before, &manifest).await.unwrap(), Race::Won);

        let updater = Updater {
            mirror: &Mirror::new("http://127.0.0.1:1").unwrap(),
            databases: &[name],
            trust_anchors: &anchors,
            publisher,
            engine: Path::new("/nonexistent"),
            scratch: Path::new("/nonexistent"),
            now: DateTime::UNIX_EPOCH,
        };
        assert!(matches!(updater.run().await, Err(UpdateError::Mirror { .. })));
        let subjects: Vec<_> = topic.messages().into_iter().filter_map(|message| message.subject).collect();
        assert_eq!(subjects, ["Definitions generation 1 published"]);
        assert!(store.keys().contains(&"clamav_defs/daily.cvd".to_owned()));
    }
}
