//! How far a backfill came, kept in the definitions bucket: whoever runs it again goes on there.

use chrono::{DateTime, Utc};
use nacre_clamav::digest::sha256_hex;
use nacre_core::port::{DefinitionsStore, StoreError, WriteCondition};
use serde::{Deserialize, Serialize};

use super::source::Cursor;

/// Under this is how far backfills came.
const BACKFILLS_PREFIX: &str = "nacre/backfills/";

/// Version of what is written here.
const FORMAT: u32 = 1;

/// Most bytes of it.
const MAX_BYTES: u64 = 1 << 20;

/// What was found and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Objects that were looked for.
    pub(super) objects: u64,
    /// Of them, those whose bytes are recorded.
    pub(super) recorded: u64,
    /// Those that were asked for; in a dry run, that would be.
    pub(super) asked: u64,
    /// Bytes of these.
    pub(super) bytes: u64,
}

/// How far a backfill came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    format: u32,
    /// What is gone through: two sources never share their progress.
    pub(super) source: String,
    /// Where to go on; absent at the beginning.
    pub(super) cursor: Option<Cursor>,
    /// Whether the end was reached.
    pub(super) finished: bool,
    /// What was found and done so far.
    pub(super) tally: Tally,
    /// When this was written.
    updated: Option<DateTime<Utc>>,
}

/// Why it cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgressError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0} is not what this program keeps there: --restart begins anew")]
    Invalid(String),
}

impl Progress {
    /// Nothing was done yet.
    pub(super) fn new(source: String) -> Self {
        Self { format: FORMAT, source, cursor: None, finished: false, tally: Tally::default(), updated: None }
    }

    fn key(source: &str) -> String {
        let digest = sha256_hex(source.as_bytes());
        format!("{BACKFILLS_PREFIX}{}.json", digest.get(..32).unwrap_or(&digest))
    }

    /// How far this source came; the beginning when it never began, or came to its end.
    pub(super) async fn load(store: &impl DefinitionsStore, source: String) -> Result<Self, ProgressError> {
        let key = Self::key(&source);
        match store.read(&key, MAX_BYTES).await {
            Ok(stored) => {
                let known: Option<Self> = serde_json::from_slice(&stored.bytes).ok();
                let known = known.filter(|known| known.format == FORMAT && known.source == source);
                let known = known.ok_or(ProgressError::Invalid(key))?;
                Ok(if known.finished { Self::new(source) } else { known })
            }
            Err(StoreError::NotFound(_)) => Ok(Self::new(source)),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps it.
    pub(super) async fn save(
        &mut self,
        store: &impl DefinitionsStore,
        now: DateTime<Utc>,
    ) -> Result<(), ProgressError> {
        self.updated = Some(now);
        let key = Self::key(&self.source);
        // Serialising strings and numbers to memory cannot fail.
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        store.write(&key, bytes, &[], WriteCondition::Always).await?;
        Ok(())
    }
}
