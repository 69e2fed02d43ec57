//! A definitions bucket that is a directory: what it costs is disk, as a client's own database directory does, and no network.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use chrono::{DateTime, Utc};
use nacre_core::{
    port::{Call, DefinitionsStore, Listed, StoreError, Stored, WriteCondition},
    tag_policy::Tag,
};

/// A definitions bucket that is a directory. For one process at a time: conditions are checked, then acted upon.
pub struct DirectoryDefinitions {
    /// The directory.
    pub root: PathBuf,
}

impl DirectoryDefinitions {
    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn etag(&self, key: &str) -> Result<String, StoreError> {
        Ok(etag(&fs::metadata(self.path(key)).map_err(failed)?))
    }
}

impl DefinitionsStore for DirectoryDefinitions {
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        let metadata = fs::metadata(self.path(key)).map_err(failed)?;
        if metadata.len() > limit {
            return Err(StoreError::Unexpected(call(), format!("{key} has more than {limit} bytes").into()));
        }
        Ok(Stored { bytes: fs::read(self.path(key)).map_err(failed)?, etag: etag(&metadata) })
    }

    async fn read_changed(&self, key: &str, known: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        if known == Some(self.etag(key)?.as_str()) {
            return Ok(None);
        }
        self.read(key, limit).await.map(Some)
    }

    async fn read_part(&self, key: &str, from: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        let mut part = vec![0; length as usize];
        fs::File::open(self.path(key)).and_then(|file| file.read_exact_at(&mut part, from)).map_err(failed)?;
        Ok(part)
    }

    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        _tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        let there = match self.etag(key) {
            Ok(etag) => Some(etag),
            Err(StoreError::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        let holds = match condition {
            WriteCondition::Always => true,
            WriteCondition::Absent => there.is_none(),
            WriteCondition::Etag(etag) => there.as_deref() == Some(etag),
        };
        if !holds {
            return Err(StoreError::PreconditionFailed(call()));
        }
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).map_err(failed)?;
        fs::write(&path, bytes).map_err(failed)?;
        self.etag(key)
    }

    async fn copy(&self, from: &str, etag: &str, to: &str, tags: &[Tag]) -> Result<String, StoreError> {
        let stored = self.read(from, u64::MAX).await?;
        if stored.etag != etag {
            return Err(StoreError::PreconditionFailed(call()));
        }
        self.write(to, stored.bytes, tags, WriteCondition::Always).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let mut found = Vec::new();
        self.collect(&self.root, &mut found).map_err(failed)?;
        found.retain(|listed| listed.key.starts_with(prefix));
        found.sort_by(|a, b| a.key.cmp(&b.key));
        if found.len() <= limit { Ok(found) } else { Err(StoreError::Unexpected(call(), "too many keys".into())) }
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.path(key)).map_err(failed) {
            Ok(()) | Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl DirectoryDefinitions {
    fn collect(&self, directory: &Path, found: &mut Vec<Listed>) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let (path, metadata) = (entry.as_ref().map(fs::DirEntry::path), entry.as_ref().map(fs::DirEntry::metadata));
            let (Ok(path), Ok(metadata)) = (path, metadata) else { continue };
            let metadata = metadata?;
            if metadata.is_dir() {
                self.collect(&path, found)?;
                continue;
            }
            let key = path.strip_prefix(&self.root).unwrap_or(&path).display().to_string();
            let modified = DateTime::<Utc>::from(metadata.modified()?);
            found.push(Listed { key, size: metadata.len(), etag: etag(&metadata), modified });
        }
        Ok(())
    }
}

/// S3 keeps an ETag for free, so nothing may be hashed for it here.
fn etag(metadata: &fs::Metadata) -> String {
    let since = metadata.modified().ok().and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    format!("{:x}-{:x}", since.unwrap_or_default().as_nanos(), metadata.len())
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
