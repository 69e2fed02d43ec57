//! Engines that have loaded the signatures that were added since a generation, and no others.

use std::{collections::VecDeque, fs, path::PathBuf, sync::Arc};

use nacre_core::{
    generation::{Generation, published::PublishedError},
    port::DefinitionsStore,
    rescan::{conclude::AddedNames, planner::RescanPlanner},
};
use nacre_engine_client::EnginePool;

use crate::local_definitions::{DefinitionsError, LocalDisk};

/// Most delta engines that are kept warm: one that begins early enough for all records so far, and the one that it replaced, with
/// which scans may be under way.
const MAX_ENGINES: usize = 2;

/// A delta engine. It has all that was added since any generation from `from` on, so records of each of these share it: what is more
/// than a record needs is of the newer set, too, and the record's own set had it or is to be matched with it.
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

/// The delta engines of a process, the newest at the front.
#[derive(Debug, Default)]
pub(crate) struct DeltaEngines(VecDeque<Arc<DeltaEngine>>);

impl DeltaEngines {
    /// Returns an engine for records of the generation `from`, which the planner knows the changes since; `None` when too much changed
    /// for a delta scan.
    ///
    /// # Errors
    /// [`DeltaEngineError`].
    pub(crate) async fn engine(
        &mut self,
        from: Generation,
        planner: &RescanPlanner,
        store: &impl DefinitionsStore,
        disk: &LocalDisk,
        pool: &EnginePool,
    ) -> Result<Option<Arc<DeltaEngine>>, DeltaEngineError> {
        let to = planner.manifest().generation;
        // What the plan compared with the record must be all that the engine has.
        let serves = |engine: &DeltaEngine| engine.to == to && engine.from <= from && planner.holds(engine.from);
        if let Some(engine) = self.0.iter().find(|engine| serves(engine)) {
            return Ok(Some(Arc::clone(engine)));
        }
        let Some((from, delta)) = planner.added_since(store, from).await? else { return Ok(None) };
        let manifest = Arc::clone(planner.manifest());
        let directory = disk.delta(store, &manifest, from, &delta).await?;
        let names = AddedNames::of(&delta, disk.is_signed_by_clamav());
        let engine = Arc::new(DeltaEngine { from, to, directory, names });
        self.0.push_front(Arc::clone(&engine));
        self.evict(to, pool);
        Ok(Some(engine))
    }

    /// Ends the engines that lead to another generation than the published one, then the oldest ones.
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
