//! Follows the published generation of a definitions bucket.

use std::sync::Arc;

use super::{
    manifest::{Manifest, Pointer},
    published::{PointerRead, PublishedError, read_manifest, read_pointer},
};
use crate::port::DefinitionsStore;

/// The published generation, kept between reads.
#[derive(Debug, Default)]
pub struct PublishedDefinitions {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    etag: String,
    pointer: Pointer,
    manifest: Arc<Manifest>,
}

impl PublishedDefinitions {
    /// Returns the manifest that is published *now*, or `None` before the first: one conditional GET while it is the one of the
    /// last call.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn refresh(&mut self, store: &impl DefinitionsStore) -> Result<Option<Arc<Manifest>>, PublishedError> {
        let known = self.current.as_ref().map(|current| current.etag.as_str());
        match (read_pointer(store, known).await?, &mut self.current) {
            (PointerRead::Unchanged, _) => {}
            (PointerRead::Missing, current) => *current = None,
            // Pinned or unpinned: the manifest is the same.
            (PointerRead::Read { pointer, etag }, Some(current))
                if pointer.manifest_key == current.pointer.manifest_key
                    && pointer.manifest_sha256 == current.pointer.manifest_sha256 =>
            {
                current.etag = etag;
            }
            (PointerRead::Read { pointer, etag }, current) => {
                let manifest = Arc::new(read_manifest(store, &pointer).await?);
                *current = Some(Current { etag, pointer, manifest });
            }
        }
        Ok(self.current.as_ref().map(|current| Arc::clone(&current.manifest)))
    }
}
