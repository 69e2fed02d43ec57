//! What is published: read so that nothing on the way is trusted but the pointer, each step checked by the digest of the one
//! before; and moved on so that readers only ever see whole generations.

use chrono::{DateTime, Utc};
use nacre_clamav::digest::sha256_hex;

use crate::{
    generation::{
        Generation,
        manifest::{
            BODIES_PREFIX, BodyEntry, CustomEntry, DatabaseEntry, Manifest, ManifestError, POINTER_KEY, Pointer,
        },
    },
    port::{DefinitionsStore, StoreError, WriteCondition},
};

/// Largest pointer or manifest that is read.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// Most bodies that are listed; retention keeps far fewer.
const MAX_BODIES: usize = 100_000;

/// Why something published cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The definitions bucket could not be read.
    #[error("{key} could not be read from the definitions bucket")]
    Store {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The pointer or a manifest is not what it should be.
    #[error("{key} is not valid")]
    Invalid {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Not what was published under this digest.
    #[error("{key} does not have the SHA-256 that it is published with")]
    Altered {
        /// The key.
        key: String,
    },
}

/// What the pointer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointerRead {
    /// Nothing was ever published.
    Missing,
    /// The same as when it had the known ETag.
    Unchanged,
    /// This.
    Read {
        /// The pointer.
        pointer: Pointer,
        /// Its ETag, by which it may be moved on.
        etag: String,
    },
}

/// Reads the pointer, unless it still has the known ETag: one conditional GET.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_pointer(store: &impl DefinitionsStore, known: Option<&str>) -> Result<PointerRead, PublishedError> {
    match store.read_changed(POINTER_KEY, known, MAX_JSON_BYTES).await {
        Ok(Some(stored)) => {
            let pointer = Pointer::parse(&stored.bytes)
                .map_err(|source| PublishedError::Invalid { key: POINTER_KEY.into(), source })?;
            Ok(PointerRead::Read { pointer, etag: stored.etag })
        }
        Ok(None) => Ok(PointerRead::Unchanged),
        Err(StoreError::NotFound) => Ok(PointerRead::Missing),
        Err(source) => Err(PublishedError::Store { key: POINTER_KEY.into(), source }),
    }
}

/// Reads the manifest that a pointer names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_manifest(store: &impl DefinitionsStore, pointer: &Pointer) -> Result<Manifest, PublishedError> {
    let key = &pointer.manifest_key;
    let bytes = read_checked(store, key, MAX_JSON_BYTES, &pointer.manifest_sha256).await?;
    Manifest::parse(&bytes).map_err(|source| PublishedError::Invalid { key: key.clone(), source })
}

/// Reads the body of a database that a manifest names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_body(store: &impl DefinitionsStore, database: &DatabaseEntry) -> Result<Vec<u8>, PublishedError> {
    read_checked(store, &database.object_key, database.size, &database.sha256).await
}

/// Reads the body of a loose signature file that a manifest names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_custom(store: &impl DefinitionsStore, custom: &CustomEntry) -> Result<Vec<u8>, PublishedError> {
    read_checked(store, &custom.object_key, custom.size, &custom.sha256).await
}

/// Reads a body that a manifest names by its digest alone.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_entry(store: &impl DefinitionsStore, entry: &BodyEntry) -> Result<Vec<u8>, PublishedError> {
    read_checked(store, &entry.object_key, entry.size, &entry.sha256).await
}

/// The published generation, and the ETag by which the pointer may be moved on.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// What is published; `None` before the first generation.
    pub manifest: Option<Manifest>,
    /// Whether an operator pinned it.
    pub pinned: bool,
    etag: Option<String>,
}

impl Published {
    /// Reads what is published.
    ///
    /// # Errors
    /// [`PublishedError`]; a missing pointer is none.
    pub async fn read(store: &impl DefinitionsStore) -> Result<Self, PublishedError> {
        let PointerRead::Read { pointer, etag } = read_pointer(store, None).await? else {
            return Ok(Self::default());
        };
        let manifest = read_manifest(store, &pointer).await?;
        Ok(Self { manifest: Some(manifest), pinned: pointer.pinned, etag: Some(etag) })
    }

    /// The generation that comes next.
    pub fn next_generation(&self) -> Generation {
        Generation(self.manifest.as_ref().map_or(1, |manifest| manifest.generation.0 + 1))
    }

    /// The manifest, provided that its databases were verified with these trust anchors: others' are as good as none.
    pub fn verified_by(&self, trust_anchor: &str) -> Option<&Manifest> {
        self.manifest.as_ref().filter(|manifest| manifest.trust_anchor == trust_anchor)
    }

    /// The published entry of a database, provided that it was verified with these trust anchors.
    pub fn entry(&self, name: &str, trust_anchor: &str) -> Option<&DatabaseEntry> {
        self.verified_by(trust_anchor)?.databases.iter().find(|entry| entry.name.as_str() == name)
    }

    /// Writes a manifest and moves the pointer to it, pinned or not. All bodies must be there.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn advance(
        &self,
        store: &impl DefinitionsStore,
        manifest: &Manifest,
        pinned: bool,
    ) -> Result<Race, PublishedError> {
        let key = Manifest::object_key(manifest.generation);
        let failed = |source| PublishedError::Store { key: key.clone(), source };
        let ours = manifest.to_bytes();
        let bytes = match store.write(&key, ours.clone(), &[], WriteCondition::Absent).await {
            Ok(_) => ours.clone(),
            // A run that raced us, or died before it moved the pointer, wrote this generation's manifest, proven and with
            // all its bodies in place. Manifests are immutable, so the only way on is through that one.
            Err(StoreError::PreconditionFailed) => {
                let theirs = store.read(&key, MAX_JSON_BYTES).await.map_err(failed)?.bytes;
                Manifest::parse(&theirs).map_err(|source| PublishedError::Invalid { key: key.clone(), source })?;
                theirs
            }
            Err(source) => return Err(failed(source)),
        };
        let pointer = Pointer::to(manifest.generation, &bytes);
        let raced = self.point(store, &pointer.pinned(pinned && bytes == ours)).await?;
        Ok(if bytes == ours { raced } else { Race::Lost })
    }

    /// Brings an elder generation's databases back, pinned, and answers the manifest that does so.
    ///
    /// They come back as a *new* generation: what was scanned since is looked at again, and a record's generation keeps
    /// telling which of two scans knew more.
    ///
    /// # Errors
    /// [`PublishedError`]; of an elder generation that is not kept any more, its manifest is not found.
    pub async fn restore(
        &self,
        store: &impl DefinitionsStore,
        elder: Generation,
        now: DateTime<Utc>,
    ) -> Result<(Manifest, Race), PublishedError> {
        let key = Manifest::object_key(elder);
        let stored = store.read(&key, MAX_JSON_BYTES).await;
        let bytes = stored.map_err(|source| PublishedError::Store { key: key.clone(), source })?.bytes;
        let manifest = Manifest::parse(&bytes).map_err(|source| PublishedError::Invalid { key, source })?;
        self.check_bodies(store, &manifest).await?;
        let before = self.manifest.as_ref().unwrap_or(&manifest).clone();
        let manifest = manifest.restored_after(&before, self.next_generation(), now);
        let race = self.advance(store, &manifest, true).await?;
        // A run that tidied meanwhile may not have seen that they are needed again.
        self.check_bodies(store, &manifest).await?;
        Ok((manifest, race))
    }

    /// A run that removes an old generation may have been here between the manifest and its bodies.
    async fn check_bodies(&self, store: &impl DefinitionsStore, manifest: &Manifest) -> Result<(), PublishedError> {
        let listed = store.list(BODIES_PREFIX, MAX_BODIES).await;
        let listed = listed.map_err(|source| PublishedError::Store { key: BODIES_PREFIX.into(), source })?;
        let there = |key: &str| listed.iter().any(|listed| listed.key == key);
        let databases = manifest.databases.iter().map(|entry| &entry.object_key);
        let contexts = manifest.contexts.iter().map(|entry| &entry.body.object_key);
        let custom = manifest.custom.iter().map(|entry| &entry.object_key);
        let missing = databases.chain(custom).chain(contexts).find(|key| !there(key));
        missing.map_or(Ok(()), |key| Err(PublishedError::Store { key: key.clone(), source: StoreError::NotFound }))
    }

    /// Pins what is published, or takes that back.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn pin(&self, store: &impl DefinitionsStore, pinned: bool) -> Result<Race, PublishedError> {
        let PointerRead::Read { pointer, .. } = read_pointer(store, None).await? else { return Ok(Race::Lost) };
        self.point(store, &pointer.pinned(pinned)).await
    }

    async fn point(&self, store: &impl DefinitionsStore, pointer: &Pointer) -> Result<Race, PublishedError> {
        let condition = self.etag.as_deref().map_or(WriteCondition::Absent, WriteCondition::Etag);
        match store.write(POINTER_KEY, pointer.to_bytes(), &[], condition).await {
            Ok(_) => Ok(Race::Won),
            Err(StoreError::PreconditionFailed) => Ok(Race::Lost),
            Err(source) => Err(PublishedError::Store { key: POINTER_KEY.into(), source }),
        }
    }
}

/// What came of moving the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    /// The pointer names what we wrote.
    Won,
    /// It names something else, which somebody else wrote: re-read, then decide again.
    Lost,
}

async fn read_checked(
    store: &impl DefinitionsStore,
    key: &str,
    limit: u64,
    sha256: &str,
) -> Result<Vec<u8>, PublishedError> {
    let stored = store.read(key, limit).await;
    let bytes = stored.map_err(|source| PublishedError::Store { key: key.to_owned(), source })?.bytes;
    if sha256_hex(&bytes) == sha256 { Ok(bytes) } else { Err(PublishedError::Altered { key: key.to_owned() }) }
}
