//! Scanned objects that are files of a directory: what a download costs is a copy on one disk, and no network.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use nacre_core::{
    object::ObjectId,
    port::{Call, ObjectHead, ObjectStore, StoreError},
    tag_policy::Tag,
};

/// Objects that are files. A key is `round/name`: each round has the same files, as objects of their own.
#[derive(Debug)]
pub(crate) struct DirectoryObjects {
    root: PathBuf,
    tags: Mutex<HashMap<String, Vec<Tag>>>,
}

impl DirectoryObjects {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, tags: Mutex::default() }
    }

    fn path(&self, object: &ObjectId) -> PathBuf {
        self.root.join(object.key.rsplit('/').next().unwrap_or_default())
    }

    fn size(&self, object: &ObjectId) -> Result<u64, StoreError> {
        Ok(fs::metadata(self.path(object)).map_err(failed)?.len())
    }
}

impl ObjectStore for DirectoryObjects {
    async fn head(&self, object: &ObjectId) -> Result<ObjectHead, StoreError> {
        // S3 keeps an ETag for free, so nothing may be hashed for it here.
        Ok(ObjectHead { version_id: None, etag: "unchanged".into(), size: self.size(object)?, written_at: None })
    }

    async fn download(&self, object: &ObjectId, _head: &ObjectHead, path: &Path) -> Result<(), StoreError> {
        fs::copy(self.path(object), path).map(|_| ()).map_err(failed)
    }

    async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StoreError> {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tags.get(&object.key).cloned().unwrap_or_default())
    }

    async fn put_tags(&self, object: &ObjectId, tags: &[Tag]) -> Result<(), StoreError> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner).insert(object.key.clone(), tags.to_vec());
        Ok(())
    }

    async fn copy(&self, _object: &ObjectId, _etag: &str, _to: &ObjectId) -> Result<(), StoreError> {
        Err(never())
    }

    async fn write(&self, _object: &ObjectId, _bytes: Vec<u8>) -> Result<(), StoreError> {
        Err(never())
    }

    async fn delete(&self, _object: &ObjectId, _etag: &str) -> Result<(), StoreError> {
        Err(never())
    }
}

/// Infected objects stay where they are here.
fn never() -> StoreError {
    StoreError::Unexpected(call(), "nothing is quarantined or deleted here".into())
}

fn call() -> Call {
    Call::new("a call", "a directory")
}

fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound(call()),
        _ => StoreError::Unexpected(call(), Box::new(error)),
    }
}
