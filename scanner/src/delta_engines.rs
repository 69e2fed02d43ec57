//! Engines that have loaded what was added since a generation, and no more.

use std::{collections::VecDeque, fs, path::PathBuf, sync::Arc};

use nacre_core::{
    generation::{Generation, published::PublishedError},
    port::DefinitionsStore,
    rescan::{
        changes::{Changes, Composed},
        conclude::AddedNames,
    },
};
use nacre_engine_client::EnginePool;

use crate::local_definitions::{DefinitionsError, LocalDisk};

/// Most delta engines that are kept warm. Records that were not renewed for a while are of many generations, most of few.
const MAX_ENGINES: usize = 4;

/// What a delta engine loads.
#[derive(Debug)]
pub(crate) struct DeltaEngine {
    from: Generation,
    to: Generation,
    /// Where it is.
    pub(crate) directory: PathBuf,
    /// How its alerts are told.
    pub(crate) names: AddedNames,
}

/// Why there is no delta engine.
#[derive(Debug, thiserror::Error)]
pub enum DeltaEngineError {
    /// What was added cannot be told.
    #[error("what was added cannot be told")]
    Changes(#[from] PublishedError),
    /// What it loads cannot be laid out.
    #[error("what a delta engine loads cannot be laid out")]
    Definitions(#[from] DefinitionsError),
}

/// The delta engines of a process, the one that was used last at the front.
#[derive(Debug, Default)]
pub(crate) struct DeltaEngines(VecDeque<Arc<DeltaEngine>>);

impl DeltaEngines {
    /// The engine for records of the generation `from`; `None` when it would not be worth one.
    ///
    /// # Errors
    /// [`DeltaEngineError`].
    pub(crate) async fn engine(
        &mut self,
        from: Generation,
        changes: &mut Changes,
        store: &impl DefinitionsStore,
        (disk, pool, signed_by_clamav): (&LocalDisk, &EnginePool, bool),
    ) -> Result<Option<Arc<DeltaEngine>>, DeltaEngineError> {
        let to = changes.manifest().generation;
        if let Some(at) = self.0.iter().position(|engine| (engine.from, engine.to) == (from, to)) {
            let Some(engine) = self.0.remove(at) else { return Ok(None) };
            self.0.push_front(Arc::clone(&engine));
            return Ok(Some(engine));
        }
        let Composed::Delta(delta) = changes.delta_since(store, from).await? else { return Ok(None) };
        let manifest = Arc::clone(changes.manifest());
        let directory = disk.delta(store, &manifest, from, &delta).await?;
        let names = AddedNames::of(&delta, signed_by_clamav);
        let engine = Arc::new(DeltaEngine { from, to, directory, names });
        self.0.push_front(Arc::clone(&engine));
        // Of elder generations first: nobody asks for these any more.
        while let Some(at) =
            self.0.iter().rposition(|kept| kept.to != to).or((self.0.len() > MAX_ENGINES).then_some(MAX_ENGINES))
        {
            if let Some(dropped) = self.0.remove(at) {
                pool.dismiss(&dropped.directory);
                let _ = fs::remove_dir_all(&dropped.directory);
            }
        }
        Ok(Some(engine))
    }
}
