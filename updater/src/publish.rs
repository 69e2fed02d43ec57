//! Publishes a generation: bodies first, then the manifest, then the pointer, and only then what follows from it.
//!
//! Every step is idempotent and no step leaves readers with half a generation: a crash anywhere converges on the next run.

use nacre_shared::{
    definitions::manifest::{
        DatabaseEntry, Generation, Manifest, ManifestError, POINTER_KEY, Pointer, UPDATER_STATE_KEY,
    },
    port::{DefinitionsStore, StoreError, Topic, TopicMessage, WriteCondition},
    published::{PointerRead, PublishedError, read_body, read_manifest, read_pointer},
    tag_policy::Tag,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Largest pointer, manifest or state that is read.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// Why publishing stopped. What was published before stays, whole.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// What is published cannot be read.
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    /// The definitions bucket could not be read or written.
    #[error("{key} could not be read or written in the definitions bucket")]
    Store {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The manifest that an unfinished run left is not valid.
    #[error("{key} is not valid: remove it")]
    Invalid {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The generation could not be announced.
    #[error("the generation could not be announced")]
    Announce(#[source] StoreError),
}

/// The published generation, and the ETag by which the pointer may be moved on.
#[derive(Clone, Debug)]
pub struct Published {
    /// What is published; `None` before the first generation.
    pub manifest: Option<Manifest>,
    etag: Option<String>,
}

impl Published {
    /// The generation that comes next.
    pub fn next_generation(&self) -> Generation {
        Generation(self.manifest.as_ref().map_or(1, |manifest| manifest.generation.0 + 1))
    }

    /// The published entry of a database, provided that it was verified with these trust anchors: others' databases are as
    /// good as none, whatever their version.
    pub fn entry(&self, name: &str, trust_anchor: &str) -> Option<&DatabaseEntry> {
        let manifest = self.manifest.as_ref().filter(|manifest| manifest.trust_anchor == trust_anchor)?;
        manifest.databases.iter().find(|entry| entry.name.as_str() == name)
    }
}

/// What came of moving the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    /// The pointer names our manifest.
    Won,
    /// It names another one, which somebody else wrote: re-read, then decide again.
    Lost,
}

/// The updater's memory. It only ever saves work: losing it repeats what is harmless to repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The last generation whose flat prefix was written and which was announced.
    settled_generation: u64,
}

/// Publishes into a definitions bucket.
#[derive(Debug)]
pub struct Publisher<'a, Store, Announcements> {
    /// The definitions bucket.
    pub store: &'a Store,
    /// The topic that announces generations.
    pub announcements: &'a Announcements,
    /// The flat prefix, without slashes at its ends.
    pub flat_prefix: &'a str,
}

impl<Store: DefinitionsStore, Announcements: Topic> Publisher<'_, Store, Announcements> {
    /// Reads what is published.
    ///
    /// # Errors
    /// [`PublishError`]; a missing pointer is none.
    pub async fn published(&self) -> Result<Published, PublishError> {
        let PointerRead::Read { pointer, etag } = read_pointer(self.store, None).await? else {
            return Ok(Published { manifest: None, etag: None });
        };
        let manifest = read_manifest(self.store, &pointer).await?;
        Ok(Published { manifest: Some(manifest), etag: Some(etag) })
    }

    /// Reads a published body.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn body(&self, database: &DatabaseEntry) -> Result<Vec<u8>, PublishError> {
        Ok(read_body(self.store, database).await?)
    }

    /// Writes a body under its content's address; one that is there already is the same.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn put_body(&self, database: &DatabaseEntry, bytes: Vec<u8>) -> Result<(), PublishError> {
        match self.store.write(&database.object_key, bytes, &[], WriteCondition::Absent).await {
            Ok(_) | Err(StoreError::PreconditionFailed) => Ok(()),
            Err(source) => Err(failed(&database.object_key)(source)),
        }
    }

    /// Writes the manifest and moves the pointer from `before` to it. All bodies must be there.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn advance(&self, before: &Published, manifest: &Manifest) -> Result<Race, PublishError> {
        let key = Manifest::object_key(manifest.generation);
        let ours = manifest.to_bytes();
        let bytes = match self.store.write(&key, ours.clone(), &[], WriteCondition::Absent).await {
            Ok(_) => ours.clone(),
            // A run that raced us, or died before it moved the pointer, wrote this generation's manifest, proven and with
            // all its bodies in place. Manifests are immutable, so the only way on is through that one.
            Err(StoreError::PreconditionFailed) => {
                let theirs = self.store.read(&key, MAX_JSON_BYTES).await.map_err(failed(&key))?.bytes;
                Manifest::parse(&theirs).map_err(|source| PublishError::Invalid { key: key.clone(), source })?;
                theirs
            }
            Err(source) => return Err(failed(&key)(source)),
        };
        let pointer = Pointer::to(manifest.generation, &bytes);
        let condition = before.etag.as_deref().map_or(WriteCondition::Absent, WriteCondition::Etag);
        match self.store.write(POINTER_KEY, pointer.to_bytes(), &[], condition).await {
            Ok(_) if bytes == ours => Ok(Race::Won),
            Ok(_) | Err(StoreError::PreconditionFailed) => Ok(Race::Lost),
            Err(source) => Err(failed(POINTER_KEY)(source)),
        }
    }

    /// Does what follows from the published generation, unless it was done: the flat prefix, then the announcement.
    ///
    /// A slow run may write the flat prefix after a faster one's newer generation, so the pointer is read again afterwards
    /// and the work repeated for whatever it names by then.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn settle(&self) -> Result<(), PublishError> {
        let mut done = self.state().await?.settled_generation;
        while let Some(manifest) = self.published().await?.manifest.filter(|manifest| manifest.generation.0 != done) {
            for database in &manifest.databases {
                let bytes = self.body(database).await?;
                let key = format!("{}/{}", self.flat_prefix, database.file_name());
                let tags = [Tag::new("md5", &database.md5)];
                self.store.write(&key, bytes, &tags, WriteCondition::Always).await.map_err(failed(&key))?;
            }
            self.announce(&manifest).await?;
            done = manifest.generation.0;
            let state = json!(State { settled_generation: done }).to_string().into_bytes();
            let written = self.store.write(UPDATER_STATE_KEY, state, &[], WriteCondition::Always).await;
            written.map_err(failed(UPDATER_STATE_KEY))?;
        }
        Ok(())
    }

    async fn announce(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let body = json!({ "generation": manifest.generation, "published": manifest.published });
        let message = TopicMessage {
            subject: Some(format!("Definitions generation {} published", manifest.generation.0)),
            body: body.to_string(),
            attributes: Vec::new(),
            per_protocol: false,
        };
        self.announcements.publish(&message).await.map_err(PublishError::Announce)
    }

    async fn state(&self) -> Result<State, PublishError> {
        match self.store.read(UPDATER_STATE_KEY, MAX_JSON_BYTES).await {
            // A memory that cannot be read is as good as none.
            Ok(stored) => Ok(serde_json::from_slice(&stored.bytes).unwrap_or_default()),
            Err(StoreError::NotFound) => Ok(State::default()),
            Err(source) => Err(failed(UPDATER_STATE_KEY)(source)),
        }
    }
}

fn failed(key: &str) -> impl FnOnce(StoreError) -> PublishError {
    let key = key.to_owned();
    move |source| PublishError::Store { key, source }
}

#[cfg(test)]
mod tests;
