//! Definitions buckets in which something happens at the worst moment.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use nacre_shared::{
    definitions::manifest::{BODIES_PREFIX, Generation, REJECTED_PREFIX},
    port::{DefinitionsStore, Listed, StoreError, Stored, WriteCondition},
    published::Published,
    tag_policy::Tag,
    testing::memory_definitions::MemoryDefinitions,
};
use nacre_updater::state;

macro_rules! pass_on {
    () => {
        async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
            self.inner.read_changed(key, etag, limit).await
        }
        async fn remove(&self, key: &str) -> Result<(), StoreError> {
            self.inner.remove(key).await
        }
    };
}

/// Another run learns a cool-down while this one lists custom files.
pub(crate) struct Meanwhile<'a> {
    pub(crate) inner: &'a MemoryDefinitions,
    pub(crate) name: String,
    pub(crate) until: DateTime<Utc>,
}
impl DefinitionsStore for Meanwhile<'_> {
    pass_on!();
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        self.inner.read(key, limit).await
    }
    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        self.inner.write(key, bytes, tags, condition).await
    }
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        if prefix == "nacre/custom/" {
            state::change(self.inner, |state| state.cool_downs.extend([(self.name.clone(), self.until)]))
                .await
                .unwrap();
        }
        self.inner.list(prefix, limit).await
    }
}

/// A conditional write of a body meets another one at the same moment: S3 answers as if it were there already.
pub(crate) struct Conflict<'a> {
    pub(crate) inner: &'a MemoryDefinitions,
}
impl DefinitionsStore for Conflict<'_> {
    pass_on!();
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        self.inner.read(key, limit).await
    }
    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        if key.starts_with(BODIES_PREFIX) {
            return Err(StoreError::PreconditionFailed);
        }
        self.inner.write(key, bytes, tags, condition).await
    }
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(prefix, limit).await
    }
}

/// An operator rolls back to generation 2 after tidy has read the pointer.
pub(crate) struct Rollback<'a> {
    pub(crate) inner: &'a MemoryDefinitions,
    pub(crate) now: DateTime<Utc>,
    pub(crate) done: AtomicBool,
}
impl DefinitionsStore for Rollback<'_> {
    pass_on!();
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        self.inner.read(key, limit).await
    }
    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        self.inner.write(key, bytes, tags, condition).await
    }
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let listed = self.inner.list(prefix, limit).await;
        if prefix == REJECTED_PREFIX && !self.done.swap(true, Ordering::SeqCst) {
            let published = Published::read(self.inner).await.unwrap();
            published.restore(self.inner, Generation(2), self.now).await.unwrap();
        }
        listed
    }
}
/// A run that is killed as soon as it writes a body: from then on nothing reaches the bucket.
pub(crate) struct Killed<'a> {
    pub(crate) inner: &'a MemoryDefinitions,
    pub(crate) dead: AtomicBool,
}
impl Killed<'_> {
    fn alive(&self) -> Result<(), StoreError> {
        if self.dead.load(Ordering::SeqCst) { Err(StoreError::Unavailable("killed".into())) } else { Ok(()) }
    }
}
impl DefinitionsStore for Killed<'_> {
    async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        self.alive()?;
        self.inner.read_changed(key, etag, limit).await
    }
    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.alive()?;
        self.inner.remove(key).await
    }
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        self.alive()?;
        self.inner.read(key, limit).await
    }
    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        if key.starts_with(BODIES_PREFIX) {
            self.dead.store(true, Ordering::SeqCst);
        }
        self.alive()?;
        self.inner.write(key, bytes, tags, condition).await
    }
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.alive()?;
        self.inner.list(prefix, limit).await
    }
}
