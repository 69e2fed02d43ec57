//! A definitions bucket in memory.

use std::{collections::BTreeMap, sync::Mutex};

use chrono::{DateTime, Utc};
use nacre_clamav::digest::Sha256Digest;
use nacre_core::{
    port::{Call, DefinitionsStore, Listed, StoreError, Stored, WriteCondition},
    tag_policy::Tag,
};

use crate::lock;

/// A definitions bucket in memory.
#[derive(Debug, Default)]
pub struct MemoryDefinitions {
    keys: Mutex<BTreeMap<String, (Stored, Vec<Tag>)>>,
    /// The time of every key in listings.
    pub written: DateTime<Utc>,
}

impl MemoryDefinitions {
    /// An empty bucket whose listings have this time for every key; the default is 1970.
    pub fn written_at(written: DateTime<Utc>) -> Self {
        Self { keys: Mutex::default(), written }
    }

    /// All keys.
    pub fn keys(&self) -> Vec<String> {
        lock(&self.keys).keys().cloned().collect()
    }

    /// The tags of a key.
    pub fn tags(&self, key: &str) -> Option<Vec<Tag>> {
        lock(&self.keys).get(key).map(|(_, tags)| tags.clone())
    }
}

fn call(key: &str) -> Call {
    Call::new("a call", key)
}

impl DefinitionsStore for MemoryDefinitions {
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        let keys = lock(&self.keys);
        let (stored, _) = keys.get(key).ok_or_else(|| StoreError::NotFound(call(key)))?;
        if stored.bytes.len() as u64 > limit {
            return Err(StoreError::Unexpected(call(key), format!("{key} has more than {limit} bytes").into()));
        }
        Ok(stored.clone())
    }

    async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        let stored = self.read(key, limit).await?;
        Ok((Some(stored.etag.as_str()) != etag).then_some(stored))
    }

    async fn read_part(&self, key: &str, from: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        let bytes = self.read(key, u64::MAX).await?.bytes;
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let part = bytes.get(start..start.saturating_add(length as usize));
        let part = part.filter(|part| !part.is_empty()).map(<[u8]>::to_vec);
        part.ok_or_else(|| {
            StoreError::Unexpected(call(key), format!("{key} does not have bytes from {from} on").into())
        })
    }

    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        let mut keys = lock(&self.keys);
        let current = keys.get(key).map(|(stored, _)| stored.etag.as_str());
        let holds = match condition {
            WriteCondition::Always => true,
            WriteCondition::Absent => current.is_none(),
            WriteCondition::Etag(etag) => current == Some(etag),
        };
        if !holds {
            return Err(StoreError::PreconditionFailed(call(key)));
        }
        let etag = Sha256Digest::of(&bytes).to_string();
        keys.insert(key.to_owned(), (Stored { bytes, etag: etag.clone() }, tags.to_vec()));
        Ok(etag)
    }

    async fn copy(&self, from: &str, etag: &str, to: &str, tags: &[Tag]) -> Result<String, StoreError> {
        let stored = self.read(from, u64::MAX).await?;
        if stored.etag != etag {
            return Err(StoreError::PreconditionFailed(call(from)));
        }
        self.write(to, stored.bytes, tags, WriteCondition::Always).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let keys = lock(&self.keys);
        let under = keys.iter().filter(|(key, _)| key.starts_with(prefix));
        let listed = |(key, (stored, _)): (&String, &(Stored, _))| Listed {
            key: key.clone(),
            size: stored.bytes.len() as u64,
            etag: stored.etag.clone(),
            modified: self.written,
        };
        let found: Vec<Listed> = under.map(listed).collect();
        if found.len() <= limit { Ok(found) } else { Err(StoreError::Unexpected(call(prefix), "too many keys".into())) }
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        lock(&self.keys).remove(key);
        Ok(())
    }
}
