//! Shards, read in parts of the published objects and kept on local disk.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt, TryStreamExt, stream};
use nacre_core::{generation::manifest::ScanSetEntry, port::DefinitionsStore};
use nacre_scan_set::{
    filter::ShardPlace,
    key::Candidate,
    shard::{Hit, hits},
};

use super::DecideError;

/// Most shards that are kept, about 16 KB each.
const MAX_KEPT: usize = 1000;
/// Shards that are read at once.
const AT_ONCE: usize = 16;

#[derive(Debug)]
pub(super) struct Shards {
    directory: PathBuf,
    kept: AtomicUsize,
}

impl Shards {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, kept: AtomicUsize::new(0) }
    }

    /// The lines that match candidates exactly.
    pub(super) async fn hits(
        &self,
        store: &impl DefinitionsStore,
        set: &ScanSetEntry,
        places: Vec<(ShardPlace, Vec<Candidate>)>,
    ) -> Result<Vec<Hit>, DecideError> {
        let found = stream::iter(places).map(async |(place, candidates)| {
            let shard = self.shard(store, set, place).await?;
            let database = || set.database.to_string();
            hits(&shard, &candidates).map_err(|source| DecideError::Damaged { database: database(), source })
        });
        let found: Vec<Vec<Hit>> = found.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(found.concat())
    }

    pub(super) async fn shard(
        &self,
        store: &impl DefinitionsStore,
        set: &ScanSetEntry,
        place: ShardPlace,
    ) -> Result<Vec<u8>, DecideError> {
        let path = self.directory.join(format!("{}-{}", set.shards.sha256, place.number));
        if let Some(kept) = fs::read(&path).ok().filter(|bytes| place.is(bytes)) {
            return Ok(kept);
        }
        let database = || set.database.to_string();
        let read = store.read_part(&set.shards.object_key, place.offset, place.length).await;
        let shard = read.map_err(|source| DecideError::Shard { database: database(), source })?;
        if !place.is(&shard) {
            return Err(DecideError::Digest { database: database(), number: place.number });
        }
        if self.kept.fetch_add(1, Ordering::Relaxed) < MAX_KEPT {
            // Without the copy it is read again.
            let _ = fs::create_dir_all(&self.directory).and_then(|()| fs::write(&path, &shard));
        }
        Ok(shard)
    }
}
