//! A definitions bucket in which something happens at the worst moment.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use nacre_core::{
    bucket_keys::{BODIES_PREFIX, POINTER_KEY, REJECTED_PREFIX},
    generation::{Generation, published::Published},
    port::{Call, DefinitionsStore, Listed, StoreError, Stored, WriteCondition},
    tag_policy::Tag,
};
use nacre_testing::memory_definitions::MemoryDefinitions;
use nacre_updater::state;

/// A bucket with its trouble.
pub(crate) struct Meddling<'a> {
    bucket: &'a MemoryDefinitions,
    trouble: Trouble,
    happened: AtomicBool,
}

/// What happens, once.
pub(crate) enum Trouble {
    /// Another run learns that this mirror wants to be left alone, while this one lists loose files.
    CoolDownElsewhere { mirror: String, until: DateTime<Utc> },
    /// Every conditional write of a body meets another one: S3 answers as if it were there already.
    ConflictingWrites,
    /// The pointer's write takes effect, its answer is lost, and its repetition loses to itself.
    LostAnswer,
    /// An operator rolls back to this generation after tidying has read the pointer.
    RollbackWhileTidying { to: Generation, now: DateTime<Utc> },
    /// The run is killed as soon as it writes a body: from then on nothing reaches the bucket.
    KilledAtABody,
}

impl<'a> Meddling<'a> {
    pub(crate) fn new(bucket: &'a MemoryDefinitions, trouble: Trouble) -> Self {
        Self { bucket, trouble, happened: AtomicBool::new(false) }
    }

    fn alive(&self) -> Result<(), StoreError> {
        let dead = matches!(self.trouble, Trouble::KilledAtABody) && self.happened.load(Ordering::SeqCst);
        if dead { Err(StoreError::Unavailable(Call::new("a call", "a killed run"), "killed".into())) } else { Ok(()) }
    }
}

impl DefinitionsStore for Meddling<'_> {
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        self.alive()?;
        self.bucket.read(key, limit).await
    }

    async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        self.alive()?;
        self.bucket.read_changed(key, etag, limit).await
    }

    async fn read_part(&self, key: &str, from: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.alive()?;
        self.bucket.read_part(key, from, length).await
    }

    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        on: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        if key.starts_with(BODIES_PREFIX) {
            match self.trouble {
                Trouble::ConflictingWrites => return Err(StoreError::PreconditionFailed(Call::new("PutObject", key))),
                Trouble::KilledAtABody => self.happened.store(true, Ordering::SeqCst),
                _ => {}
            }
        }
        self.alive()?;
        if key == POINTER_KEY && matches!(self.trouble, Trouble::LostAnswer) {
            self.bucket.write(key, bytes.clone(), tags, on).await?;
        }
        self.bucket.write(key, bytes, tags, on).await
    }

    async fn copy(&self, from: &str, etag: &str, to: &str, tags: &[Tag]) -> Result<String, StoreError> {
        self.alive()?;
        self.bucket.copy(from, etag, to, tags).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.alive()?;
        let listed = self.bucket.list(prefix, limit).await;
        match &self.trouble {
            Trouble::CoolDownElsewhere { mirror, until } if prefix == "nacre/custom/" => {
                let learn = |state: &mut state::UpdaterState| state.cool_downs.extend([(mirror.clone(), *until)]);
                state::change(self.bucket, learn).await.unwrap();
            }
            Trouble::RollbackWhileTidying { to, now }
                if prefix == REJECTED_PREFIX && !self.happened.swap(true, Ordering::SeqCst) =>
            {
                let published = Published::read(self.bucket).await.unwrap();
                published.restore(self.bucket, *to, *now).await.unwrap();
            }
            _ => {}
        }
        listed
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.alive()?;
        self.bucket.remove(key).await
    }
}
