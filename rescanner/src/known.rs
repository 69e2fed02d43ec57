//! What is published, and what changed up to it: read once, and kept while the function is warm.

use std::sync::Arc;

use nacre_core::{
    generation::{
        Generation,
        manifest::EngineProof,
        published::{PointerRead, PublishedError, read_manifest, read_pointer},
    },
    port::DefinitionsStore,
    rescan::{changes::Changes, plan::Change},
    scan_record::EngineVersion,
};

/// What is published.
#[derive(Debug, Default)]
pub struct Known(Option<Published>);

#[derive(Debug)]
struct Published {
    etag: String,
    changes: Changes,
}

impl Known {
    /// Looks at the pointer: one conditional GET. Answers the generation that is published *now*; `None` before the first.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn look(&mut self, definitions: &impl DefinitionsStore) -> Result<Option<Generation>, PublishedError> {
        let etag = self.0.as_ref().map(|published| published.etag.as_str());
        match read_pointer(definitions, etag).await? {
            PointerRead::Missing => self.0 = None,
            PointerRead::Unchanged => {}
            PointerRead::Read { pointer, etag } => match &mut self.0 {
                // Pinned, or taken back: the same definitions.
                Some(known) if known.changes.manifest().generation == pointer.generation => known.etag = etag,
                _ => {
                    let manifest = Arc::new(read_manifest(definitions, &pointer).await?);
                    let EngineProof { clamav_version: version, functionality_level, .. } = manifest.engine.clone();
                    let changes = Changes::new(manifest, EngineVersion { version, functionality_level });
                    self.0 = Some(Published { etag, changes });
                }
            },
        }
        Ok(self.0.as_ref().map(|published| published.changes.manifest().generation))
    }

    /// What changed since a generation, and the engine that it concerns.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn since(
        &mut self,
        definitions: &impl DefinitionsStore,
        from: Generation,
    ) -> Result<(Arc<Change>, &EngineVersion), PublishedError> {
        let Some(Published { changes, .. }) = &mut self.0 else { return Ok((Arc::new(Change::NotKept), &NOBODY)) };
        let change = changes.since(definitions, from).await?;
        Ok((change, changes.engine()))
    }
}

/// The engine of nothing that is published.
static NOBODY: EngineVersion = EngineVersion { version: String::new(), functionality_level: 0 };
