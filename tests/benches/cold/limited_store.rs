//! A definitions bucket that is read as fast as a network allows, and counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nacre_core::{
    port::{DefinitionsStore, Listed, StoreError, Stored, WriteCondition},
    tag_policy::Tag,
};
use tokio::sync::Mutex;

/// A bucket; all that read at the same time share its rate.
pub(crate) struct LimitedStore<Store> {
    pub(crate) store: Store,
    /// Bytes a second.
    pub(crate) rate: Option<u64>,
    /// Bytes that were read.
    pub(crate) bytes: Arc<AtomicU64>,
    free_at: Mutex<Instant>,
}

impl<Store> LimitedStore<Store> {
    pub(crate) fn new(store: Store, rate: Option<u64>, bytes: Arc<AtomicU64>) -> Self {
        Self { store, rate, bytes, free_at: Mutex::new(Instant::now()) }
    }

    async fn passed(&self, length: usize) {
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        let Some(rate) = self.rate else { return };
        let until = {
            let mut free_at = self.free_at.lock().await;
            let takes = Duration::from_nanos(length as u64 * 1_000_000_000 / rate);
            *free_at = Instant::now().max(*free_at) + takes;
            *free_at
        };
        tokio::time::sleep_until(until.into()).await;
    }
}

impl<Store: DefinitionsStore> DefinitionsStore for LimitedStore<Store> {
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        let stored = self.store.read(key, limit).await?;
        self.passed(stored.bytes.len()).await;
        Ok(stored)
    }

    async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        let stored = self.store.read_changed(key, etag, limit).await?;
        self.passed(stored.as_ref().map_or(0, |stored| stored.bytes.len())).await;
        Ok(stored)
    }

    async fn read_part(&self, key: &str, from: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        let part = self.store.read_part(key, from, length).await?;
        self.passed(part.len()).await;
        Ok(part)
    }

    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        self.store.write(key, bytes, tags, condition).await
    }

    async fn copy(&self, from: &str, etag: &str, to: &str, tags: &[Tag]) -> Result<String, StoreError> {
        self.store.copy(from, etag, to, tags).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.store.list(prefix, limit).await
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.store.remove(key).await
    }
}
