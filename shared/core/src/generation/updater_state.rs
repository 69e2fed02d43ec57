//! The updater's memory between runs, which the operator's command line reads too.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use nacre_clamav::digest::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::bucket_keys::UPDATER_STATE_KEY;
use crate::port::{DefinitionsStore, StoreError};

/// Largest memory that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What the updater remembers. Losing it repeats what is harmless to repeat, but for the cool-downs, which start anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdaterState {
    /// Who we are to mirrors: a random UUID, the same for as long as the definitions bucket lives.
    pub installation: String,
    /// The last generation that was announced.
    pub settled_generation: u64,
    /// What we last wrote into the flat prefix, by file name.
    pub flat: BTreeMap<String, FlatFile>,
    /// Until when each mirror wants to be left alone.
    pub cool_downs: BTreeMap<String, DateTime<Utc>>,
    /// Since when each database waits for a CDIFF that is announced.
    pub awaited: BTreeMap<String, DateTime<Utc>>,
    /// freshclam's own data file, in base 64, by which it is the same client in each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshclam_data: Option<String>,
    /// When mirrors were last asked.
    pub last_check: Option<DateTime<Utc>>,
    /// When a run last ended well.
    pub last_success: Option<DateTime<Utc>>,
}

/// A file that we wrote into the flat prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlatFile {
    /// SHA-256 of its content.
    pub sha256: Sha256Digest,
    /// The ETag that it got: another one there means that another run wrote it since.
    pub etag: String,
    /// The database's version.
    pub version: u32,
}

impl UpdaterState {
    /// Reads the memory, and its ETag where there is one. A memory that cannot be understood is as good as none.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(store: &impl DefinitionsStore) -> Result<(Self, Option<String>), StoreError> {
        match store.read(UPDATER_STATE_KEY, MAX_BYTES).await {
            Ok(stored) => Ok((serde_json::from_slice(&stored.bytes).unwrap_or_default(), Some(stored.etag))),
            Err(StoreError::NotFound(_)) => Ok((Self::default(), None)),
            Err(error) => Err(error),
        }
    }

    /// Until when this mirror wants to be left alone; `None` when it does not.
    pub fn cooling(&self, mirror: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cool_downs.get(mirror).copied().filter(|until| *until > now)
    }
}
