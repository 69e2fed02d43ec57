//! The published generation. Reading trusts only the pointer: each step is checked by the digest in the one before. Publishing moves
//! the pointer, so that readers only ever see whole generations.

use chrono::{DateTime, Utc};
use nacre_clamav::digest::Sha256Digest;

use crate::{
    bucket_keys::{BODIES_PREFIX, POINTER_KEY, SCAN_SETS_PREFIX},
    generation::{
        Generation,
        manifest::{BodyEntry, CustomEntry, DatabaseEntry, Manifest, ManifestError, Pointer, ScanSetEntry},
    },
    port::{Call, DefinitionsStore, StoreError, Stored, WriteCondition},
    rescan::pass::{PassStoreError, highest_recorded},
};

/// Largest pointer or manifest that is read.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// Most bodies that are listed; retention keeps far fewer.
const MAX_BODIES: usize = 100_000;

/// Why published data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The definitions bucket could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What passes found could not be read.
    #[error("what passes noted cannot be read")]
    Passes(#[from] PassStoreError),
    /// The pointer or a manifest is not valid.
    #[error("{key} is not valid")]
    Invalid {
        /// The key.
        key: String,
        /// The cause.
        #[source]
        source: ManifestError,
    },
    /// A body is not the one that was published under its digest.
    #[error("{key} does not have the SHA-256 that it is published with")]
    Altered {
        /// The key.
        key: String,
    },
}

impl PublishedError {
    /// Whether the body is missing or damaged, so that a retry never helps.
    pub fn is_lost_body(&self) -> bool {
        matches!(self, Self::Altered { .. } | Self::Store(StoreError::NotFound(_)))
    }
}

/// The result of reading the pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointerRead {
    /// No generation was published yet.
    Missing,
    /// It still has the known ETag.
    Unchanged,
    /// The pointer.
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
        Err(StoreError::NotFound(_)) => Ok(PointerRead::Missing),
        Err(error) => Err(error.into()),
    }
}

/// Reads the manifest that a pointer names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_manifest(store: &impl DefinitionsStore, pointer: &Pointer) -> Result<Manifest, PublishedError> {
    let key = &pointer.manifest_key;
    let bytes = read_checked(store, key, MAX_JSON_BYTES, pointer.manifest_sha256).await?;
    Manifest::parse(&bytes).map_err(|source| PublishedError::Invalid { key: key.clone(), source })
}

/// Reads the body of a database that a manifest names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_body(store: &impl DefinitionsStore, database: &DatabaseEntry) -> Result<Vec<u8>, PublishedError> {
    read_checked(store, &database.object_key, database.size, database.sha256).await
}

/// Reads the body of a database and checks it; returns its ETag.
///
/// # Errors
/// [`PublishedError`].
pub async fn check_body(store: &impl DefinitionsStore, database: &DatabaseEntry) -> Result<String, PublishedError> {
    Ok(read_stored(store, &database.object_key, database.size, database.sha256).await?.etag)
}

/// Reads the body of a loose signature file that a manifest names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_custom(store: &impl DefinitionsStore, custom: &CustomEntry) -> Result<Vec<u8>, PublishedError> {
    read_checked(store, &custom.object_key, custom.size, custom.sha256).await
}

/// Reads a body that a manifest names by its digest alone.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_entry(store: &impl DefinitionsStore, entry: &BodyEntry) -> Result<Vec<u8>, PublishedError> {
    read_checked(store, &entry.object_key, entry.size, entry.sha256).await
}

/// The published generation, and the ETag by which the pointer may be moved on.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The published manifest; `None` before the first generation.
    pub manifest: Option<Manifest>,
    /// Whether an operator pinned it.
    pub pinned: bool,
    /// The highest generation that a record is known to be of, though the bucket does not know it.
    highest_recorded: Generation,
    etag: Option<String>,
}

impl Published {
    /// Reads what is published.
    ///
    /// # Errors
    /// [`PublishedError`]; a missing pointer is no error.
    pub async fn read(store: &impl DefinitionsStore) -> Result<Self, PublishedError> {
        let PointerRead::Read { pointer, etag } = read_pointer(store, None).await? else {
            return Ok(Self { highest_recorded: highest_recorded(store).await?, ..Self::default() });
        };
        let manifest = read_manifest(store, &pointer).await?;
        let highest_recorded = highest_recorded(store).await?;
        Ok(Self { manifest: Some(manifest), pinned: pointer.pinned, highest_recorded, etag: Some(etag) })
    }

    /// The generation that comes next: above the published one, and above all that a record is known to be of. In a bucket that was
    /// emptied or replaced, numbers would otherwise be given once more, and records of old would be taken to be up to date.
    pub fn next_generation(&self) -> Generation {
        let published = self.manifest.as_ref().map_or(0, |manifest| manifest.generation.0);
        Generation(published.max(self.highest_recorded.0) + 1)
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
        let ours = manifest.to_bytes();
        let bytes = match store.write(&key, ours.clone(), &[], WriteCondition::Absent).await {
            Ok(_) => ours.clone(),
            // A run that raced us, or died before it moved the pointer, wrote this generation's manifest, tested and with all its
            // bodies in place. Manifests are immutable, so the pointer has to move to that one.
            Err(StoreError::PreconditionFailed(_)) => {
                let theirs = store.read(&key, MAX_JSON_BYTES).await?.bytes;
                Manifest::parse(&theirs).map_err(|source| PublishedError::Invalid { key: key.clone(), source })?;
                theirs
            }
            Err(error) => return Err(error.into()),
        };
        let pointer = Pointer::to(manifest.generation, &bytes);
        let raced = self.point(store, &pointer.pinned(pinned && bytes == ours)).await?;
        Ok(if bytes == ours { raced } else { Race::Lost })
    }

    /// Publishes an older generation's databases again, pinned; returns the new manifest.
    ///
    /// They become a *new* generation: objects that were scanned since are rescanned, and the newer of two records still has the
    /// higher generation.
    ///
    /// # Errors
    /// [`PublishedError`]; the manifest of a generation that is not kept any more is not found.
    pub async fn restore(
        &self,
        store: &impl DefinitionsStore,
        older: Generation,
        now: DateTime<Utc>,
    ) -> Result<(Manifest, Race), PublishedError> {
        let key = Manifest::object_key(older);
        let bytes = store.read(&key, MAX_JSON_BYTES).await?.bytes;
        let manifest = Manifest::parse(&bytes).map_err(|source| PublishedError::Invalid { key, source })?;
        self.check_bodies(store, &manifest).await?;
        let before = self.manifest.as_ref().unwrap_or(&manifest).clone();
        let manifest = manifest.restored_after(&before, self.next_generation(), now);
        let race = self.advance(store, &manifest, true).await?;
        // Retention that ran at the same time may not have seen that they are needed again.
        self.check_bodies(store, &manifest).await?;
        Ok((manifest, race))
    }

    /// Retention may have removed bodies since the manifest was read.
    async fn check_bodies(&self, store: &impl DefinitionsStore, manifest: &Manifest) -> Result<(), PublishedError> {
        let mut listed = store.list(BODIES_PREFIX, MAX_BODIES).await?;
        listed.extend(store.list(SCAN_SETS_PREFIX, MAX_BODIES).await?);
        let there = |key: &str| listed.iter().any(|listed| listed.key == key);
        let databases = manifest.databases.iter().map(|entry| &entry.object_key);
        let contexts = manifest.contexts.iter().map(|entry| &entry.body.object_key);
        let custom = manifest.custom.iter().map(|entry| &entry.object_key);
        let scan_sets = manifest.scan_sets.iter().flat_map(ScanSetEntry::bodies).map(|body| &body.object_key);
        let missing = databases.chain(custom).chain(contexts).chain(scan_sets).find(|key| !there(key));
        missing.map_or(Ok(()), |key| Err(StoreError::NotFound(Call::new("ListObjectsV2", key)).into()))
    }

    /// Pins the published generation, or unpins it.
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
            Err(StoreError::PreconditionFailed(_)) => Ok(Race::Lost),
            Err(error) => Err(error.into()),
        }
    }
}

/// The result of moving the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    /// The pointer names what we wrote.
    Won,
    /// It names the manifest of another run: re-read, then decide again.
    Lost,
}

async fn read_checked(
    store: &impl DefinitionsStore,
    key: &str,
    limit: u64,
    sha256: Sha256Digest,
) -> Result<Vec<u8>, PublishedError> {
    Ok(read_stored(store, key, limit, sha256).await?.bytes)
}

async fn read_stored(
    store: &impl DefinitionsStore,
    key: &str,
    limit: u64,
    sha256: Sha256Digest,
) -> Result<Stored, PublishedError> {
    let stored = store.read(key, limit).await?;
    if Sha256Digest::of(&stored.bytes) == sha256 {
        Ok(stored)
    } else {
        Err(PublishedError::Altered { key: key.to_owned() })
    }
}
