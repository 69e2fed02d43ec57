//! Scanned objects in memory, in buckets that keep versions or not.

use std::{collections::BTreeMap, fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path, sync::Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::digest::Sha256Digest;
use nacre_core::{
    object::{NULL_VERSION, ObjectId},
    port::{Call, ObjectHead, ObjectStore, Obstacle, StoreError},
    tag_policy::Tag,
};

use crate::lock;

/// Objects in memory. A bucket whose name begins with `versioned` keeps versions.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    versions: BTreeMap<(String, String), Vec<Version>>,
    written: u64,
    downloads: u64,
    downloaded_bytes: u64,
    tagging_denied: bool,
}

#[derive(Clone, Debug)]
struct Version {
    id: Option<String>,
    /// `None` for a delete marker.
    bytes: Option<Vec<u8>>,
    tags: Vec<Tag>,
    written_at: DateTime<Utc>,
    archived: bool,
    locked: bool,
}

impl Version {
    fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(NULL_VERSION)
    }
}

impl MemoryObjects {
    /// Writes an object; returns its id.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Vec<u8>>) -> ObjectId {
        self.add(bucket, key, Some(bytes.into()))
    }

    /// The bytes of what an object is now.
    pub fn bytes(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.with(&ObjectId::new(bucket, key, None), |_, bytes| Ok(bytes)).ok()
    }

    /// Every key of a bucket that holds something.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let state = lock(&self.state);
        let there = state.versions.iter().filter(|((of, _), versions)| of == bucket && !versions.is_empty());
        there.map(|((_, key), _)| key.clone()).collect()
    }

    /// Deletes the latest: hides it behind a delete marker where versions are kept, and returns its id.
    pub fn hide(&self, bucket: &str, key: &str) -> ObjectId {
        self.add(bucket, key, None)
    }

    /// Deletes one version for good.
    pub fn delete_version(&self, object: &ObjectId) {
        let mut state = lock(&self.state);
        if let Some(versions) = state.versions.get_mut(&(object.bucket.clone(), object.key.clone())) {
            versions.retain(|version| version.name() != object.sort_key());
        }
    }

    /// Moves a version to an archive tier, where its bytes cannot be read, or restores it.
    ///
    /// # Panics
    /// When there is no such version.
    #[expect(clippy::expect_used, reason = "a test names a version that it has written")]
    pub fn set_archived(&self, object: &ObjectId, archived: bool) {
        let archive = |version: &mut Version, _| {
            version.archived = archived;
            Ok(())
        };
        self.with(object, archive).expect("the version is there");
    }

    /// Refuses to write tags, as a policy does, or allows it again.
    pub fn deny_tagging(&self, denied: bool) {
        lock(&self.state).tagging_denied = denied;
    }

    /// Locks a version, as S3 Object Lock does: it cannot be deleted.
    ///
    /// # Panics
    /// When there is no such version.
    #[expect(clippy::expect_used, reason = "a test names a version that it has written")]
    pub fn lock(&self, object: &ObjectId) {
        let lock = |version: &mut Version, _| {
            version.locked = true;
            Ok(())
        };
        self.with(object, lock).expect("the version is there");
    }

    /// How many versions of a key there are, delete markers included.
    pub fn versions(&self, bucket: &str, key: &str) -> usize {
        lock(&self.state).versions.get(&(bucket.to_owned(), key.to_owned())).map_or(0, Vec::len)
    }

    /// How often an object's bytes were read.
    pub fn downloads(&self) -> u64 {
        lock(&self.state).downloads
    }

    /// How many bytes were read in these.
    pub fn downloaded_bytes(&self) -> u64 {
        lock(&self.state).downloaded_bytes
    }

    fn add(&self, bucket: &str, key: &str, bytes: Option<Vec<u8>>) -> ObjectId {
        let mut state = lock(&self.state);
        state.written += 1;
        let id = bucket.starts_with("versioned").then(|| format!("v{}", state.written));
        let written_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(state.written).unwrap_or_default());
        let versions = state.versions.entry((bucket.to_owned(), key.to_owned())).or_default();
        if id.is_none() {
            versions.clear();
        }
        versions.push(Version { id: id.clone(), bytes, tags: Vec::new(), written_at, archived: false, locked: false });
        ObjectId::new(bucket, key, id)
    }

    fn with<T>(
        &self,
        object: &ObjectId,
        then: impl FnOnce(&mut Version, Vec<u8>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let missing = || StoreError::NotFound(call(object));
        let mut state = lock(&self.state);
        let versions = state.versions.get_mut(&(object.bucket.clone(), object.key.clone())).ok_or_else(missing)?;
        let version = match &object.version_id {
            Some(id) => versions.iter_mut().find(|version| version.name() == id),
            None => versions.last_mut(),
        };
        let version = version.ok_or_else(missing)?;
        let bytes = version.bytes.clone().ok_or_else(missing)?;
        then(version, bytes)
    }
}

fn call(object: &ObjectId) -> Call {
    Call::new("a call", object.to_string())
}

impl ObjectStore for MemoryObjects {
    async fn head(&self, object: &ObjectId) -> Result<ObjectHead, StoreError> {
        self.with(object, |version, bytes| {
            Ok(ObjectHead {
                version_id: version.id.clone(),
                etag: Sha256Digest::of(&bytes).to_string(),
                size: bytes.len() as u64,
                written_at: Some(version.written_at),
            })
        })
    }

    async fn download(&self, object: &ObjectId, head: &ObjectHead, path: &Path) -> Result<(), StoreError> {
        lock(&self.state).downloads += 1;
        let bytes = self.with(object, |version, bytes| match Sha256Digest::of(&bytes).to_string() == head.etag {
            true if version.archived => {
                Err(StoreError::Unreadable(Obstacle::Archived, call(object), "in an archive tier".into()))
            }
            true => Ok(bytes),
            false => Err(StoreError::PreconditionFailed(call(object))),
        })?;
        if bytes.len() as u64 != head.size {
            let message = format!("the body has {} of {} bytes", bytes.len(), head.size);
            return Err(StoreError::Unexpected(call(object), message.into()));
        }
        lock(&self.state).downloaded_bytes += head.size;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(&bytes))
            .map_err(|error| StoreError::Unexpected(call(object), error.into()))
    }

    async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StoreError> {
        self.with(object, |version, _| Ok(version.tags.clone()))
    }

    async fn put_tags(&self, object: &ObjectId, tags: &[Tag]) -> Result<(), StoreError> {
        if lock(&self.state).tagging_denied {
            return Err(StoreError::Denied(call(object), "a policy denies it".into()));
        }
        self.with(object, |version, _| {
            version.tags = tags.to_vec();
            Ok(())
        })
    }

    async fn copy(&self, object: &ObjectId, etag: &str, to: &ObjectId) -> Result<(), StoreError> {
        let bytes = self.with(object, |_, bytes| {
            if Sha256Digest::of(&bytes).to_string() == etag {
                Ok(bytes)
            } else {
                Err(StoreError::PreconditionFailed(call(object)))
            }
        })?;
        self.add(&to.bucket, &to.key, Some(bytes));
        Ok(())
    }

    async fn write(&self, object: &ObjectId, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.add(&object.bucket, &object.key, Some(bytes));
        Ok(())
    }

    async fn delete(&self, object: &ObjectId, etag: &str) -> Result<(), StoreError> {
        match self.head(object).await {
            Ok(head) if head.etag == etag => {
                if self.with(object, |version, _| Ok(version.locked))? {
                    return Err(StoreError::Locked(call(object), "protected by object lock".into()));
                }
                let version_id = object.version_id.clone().or(head.version_id);
                self.delete_version(&ObjectId { version_id, ..object.clone() });
                Ok(())
            }
            Ok(_) => Err(StoreError::PreconditionFailed(call(object))),
            Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
