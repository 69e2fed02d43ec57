//! Engines that have loaded the signatures that were added since a generation, and no others.

use std::{collections::VecDeque, fs, path::PathBuf, sync::Arc};

use nacre_core::{
    generation::{Generation, published::PublishedError},
    port::DefinitionsStore,
    rescan::{
        conclude::AddedNames,
        planner::{Composed, RescanPlanner},
    },
};
use nacre_engine_client::EnginePool;

use crate::local_definitions::{DefinitionsError, LocalDisk};

/// Most delta engines that are kept warm. Records whose generation was not advanced for a while are of many generations, most of few.
const MAX_ENGINES: usize = 4;

/// A delta engine.
#[derive(Debug)]
pub(crate) struct DeltaEngine {
    from: Generation,
    to: Generation,
    /// The directory that it loads.
    pub(crate) directory: PathBuf,
    /// The names of its alerts in a full engine.
    pub(crate) names: AddedNames,
}

/// Why there is no delta engine.
#[derive(Debug, thiserror::Error)]
pub enum DeltaEngineError {
    /// The deltas could not be read.
    #[error("the changes since the record's generation could not be read")]
    Changes(#[from] PublishedError),
    /// The added signatures could not be written to disk.
    #[error("the added signatures could not be written to disk")]
    Definitions(#[from] DefinitionsError),
}

/// The delta engines of a process, the most recently used one at the front.
#[derive(Debug, Default)]
pub(crate) struct DeltaEngines(VecDeque<Arc<DeltaEngine>>);

impl DeltaEngines {
    /// Returns the engine for records of the generation `from`; `None` when too much changed for a delta scan.
    ///
    /// # Errors
    /// [`DeltaEngineError`].
    pub(crate) async fn engine(
        &mut self,
        from: Generation,
        planner: &mut RescanPlanner,
        store: &impl DefinitionsStore,
        disk: &LocalDisk,
        pool: &EnginePool,
    ) -> Result<Option<Arc<DeltaEngine>>, DeltaEngineError> {
        let to = planner.manifest().generation;
        let existing = self.0.iter().position(|engine| (engine.from, engine.to) == (from, to));
        if let Some(engine) = existing.and_then(|at| self.0.remove(at)) {
            self.0.push_front(Arc::clone(&engine));
            return Ok(Some(engine));
        }
        let Composed::Delta(delta) = planner.delta_since(store, from).await? else { return Ok(None) };
        let manifest = Arc::clone(planner.manifest());
        let directory = disk.delta(store, &manifest, from, &delta).await?;
        let names = AddedNames::of(&delta, disk.is_signed_by_clamav());
        let engine = Arc::new(DeltaEngine { from, to, directory, names });
        self.0.push_front(Arc::clone(&engine));
        self.evict(to, pool);
        Ok(Some(engine))
    }

    /// Ends the engines that lead to another generation than the published one, then the least recently used ones.
    fn evict(&mut self, published: Generation, pool: &EnginePool) {
        let (current, outdated): (VecDeque<_>, VecDeque<_>) =
            self.0.drain(..).partition(|engine| engine.to == published);
        self.0 = current;
        let surplus = self.0.split_off(self.0.len().min(MAX_ENGINES));
        for engine in outdated.into_iter().chain(surplus) {
            pool.dismiss(&engine.directory);
            // Best effort: the directory is in /tmp of this sandbox alone.
            let _ = fs::remove_dir_all(&engine.directory);
        }
    }
}
