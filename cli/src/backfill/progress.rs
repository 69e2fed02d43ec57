//! The progress of a backfill, kept in the definitions bucket: the next run continues there.

use chrono::{DateTime, Utc};
use nacre_clamav::digest::Sha256Digest;
use nacre_core::bucket_keys::BACKFILLS_PREFIX;
use nacre_core::port::{DefinitionsStore, StoreError, WriteCondition};
use serde::{Deserialize, Serialize};

use super::source::Cursor;

/// Version of what is written here.
const FORMAT: u32 = 1;

/// Most bytes of it.
const MAX_BYTES: u64 = 1 << 20;

/// What was found and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Objects that the source has, up to here.
    pub(super) objects: u64,
    /// Of them, those whose bytes are recorded.
    pub(super) recorded: u64,
    /// Those whose scan was requested; in a dry run, would be.
    #[serde(rename = "asked")]
    pub(super) requested: u64,
    /// Bytes of these.
    pub(super) bytes: u64,
}

/// How far a backfill came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    format: u32,
    /// The source: two never share their progress.
    pub(super) source: String,
    /// Where to continue; absent at the beginning.
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
    #[error("{0} is not what this program keeps there: --restart starts anew")]
    Invalid(String),
}

impl Progress {
    /// Nothing was done yet.
    pub(super) fn new(source: String) -> Self {
        Self { format: FORMAT, source, cursor: None, finished: false, tally: Tally::default(), updated: None }
    }

    fn key(source: &str) -> String {
        let digest = Sha256Digest::of(source.as_bytes()).to_string();
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A later version continues where this one stopped.
    #[test]
    fn what_is_kept_in_the_bucket_has_these_names() {
        let kept = json!({
            "format": 1, "source": "s3://uploads/", "cursor": { "listing": { "key": "a", "version_id": null } },
            "finished": false, "tally": { "objects": 3, "recorded": 1, "asked": 2, "bytes": 20 },
            "updated": "2026-11-23T00:00:00Z",
        });
        let progress: Progress = serde_json::from_value(kept.clone()).unwrap();
        assert_eq!(progress.tally, Tally { objects: 3, recorded: 1, requested: 2, bytes: 20 });
        assert_eq!(serde_json::to_value(&progress).unwrap(), kept);
    }
}
