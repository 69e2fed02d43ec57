//! What changed from elder generations to the published one, read and added up.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use nacre_clamav::delta::Delta;

use crate::{
    generation::{
        Generation,
        history::StepKind,
        manifest::{BodyEntry, Manifest},
        published::{PublishedError, read_entry},
    },
    port::{DefinitionsStore, StoreError},
    rescan::{
        delta_summary::DeltaSummary,
        plan::{Change, loaded_by},
    },
    scan_record::EngineVersion,
};

/// Most lines of a delta over several generations; beyond, a scan with everything is worth more.
const MAX_COMPOSED_LINES: usize = 250_000;

/// What changed from one generation to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Composed {
    /// These signatures.
    Delta(Delta),
    /// More than is worth a delta.
    TooLarge,
    /// Nobody knows any more.
    NotKept,
}

/// What changed up to one published generation. Deltas are read once.
#[derive(Debug)]
pub struct Changes {
    manifest: Arc<Manifest>,
    engine: EngineVersion,
    read: BTreeMap<String, Arc<Delta>>,
    since: HashMap<Generation, Arc<Change>>,
}

impl Changes {
    /// Tells what changed up to the manifest's generation, as far as it concerns this engine.
    pub fn new(manifest: Arc<Manifest>, engine: EngineVersion) -> Self {
        Self { manifest, engine, read: BTreeMap::new(), since: HashMap::new() }
    }

    /// The manifest up to which it tells.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The engine that it concerns.
    pub fn engine(&self) -> &EngineVersion {
        &self.engine
    }

    /// What changed since a generation, gathered for planning.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn since(
        &mut self,
        store: &impl DefinitionsStore,
        from: Generation,
    ) -> Result<Arc<Change>, PublishedError> {
        if let Some(known) = self.since.get(&from) {
            return Ok(Arc::clone(known));
        }
        let composed = self.delta_since(store, from).await?;
        let change = match composed {
            Composed::Delta(delta) => Change::Known(DeltaSummary::of(&delta, loaded_by(&self.engine))),
            Composed::TooLarge => Change::TooLarge,
            Composed::NotKept => Change::NotKept,
        };
        let change = Arc::new(change);
        self.since.insert(from, Arc::clone(&change));
        Ok(change)
    }

    /// What changed since a generation.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn delta_since(
        &mut self,
        store: &impl DefinitionsStore,
        from: Generation,
    ) -> Result<Composed, PublishedError> {
        let (mut sum, mut at) = (Delta::default(), self.manifest.generation);
        let manifest = Arc::clone(&self.manifest);
        // Bounded: each round goes back to an elder generation.
        while at > from {
            match manifest.history.step_to(at) {
                None => return Ok(Composed::NotKept),
                Some(StepKind::TooLarge) => return Ok(Composed::TooLarge),
                Some(StepKind::Delta { delta }) => {
                    let Some(step) = self.read(store, delta).await? else { return Ok(Composed::NotKept) };
                    sum = sum.then(&step);
                    at = Generation(at.0 - 1);
                }
                Some(StepKind::Restored { generation }) if *generation >= from => at = *generation,
                Some(StepKind::Restored { generation }) => {
                    // It is what an elder generation than the record's was: the way there, backwards.
                    return Ok(match self.forward(store, *generation, from).await? {
                        Composed::Delta(back) => bounded(sum.then(&back.reversed())),
                        other => other,
                    });
                }
            }
            if sum.lines().len() > MAX_COMPOSED_LINES {
                return Ok(Composed::TooLarge);
            }
        }
        Ok(bounded(sum))
    }

    /// The way between two elder generations, where none on it was a restoration.
    async fn forward(
        &mut self,
        store: &impl DefinitionsStore,
        from: Generation,
        to: Generation,
    ) -> Result<Composed, PublishedError> {
        let (mut sum, mut at) = (Delta::default(), to);
        let manifest = Arc::clone(&self.manifest);
        while at > from {
            match manifest.history.step_to(at) {
                Some(StepKind::Delta { delta }) => {
                    let Some(step) = self.read(store, delta).await? else { return Ok(Composed::NotKept) };
                    sum = sum.then(&step);
                    at = Generation(at.0 - 1);
                }
                Some(StepKind::TooLarge) => return Ok(Composed::TooLarge),
                None | Some(StepKind::Restored { .. }) => return Ok(Composed::NotKept),
            }
        }
        Ok(Composed::Delta(sum))
    }

    /// `None` for a delta that is gone, damaged or of a later version: asking again would never help, and a scan with everything needs
    /// none.
    async fn read(
        &mut self,
        store: &impl DefinitionsStore,
        entry: &BodyEntry,
    ) -> Result<Option<Arc<Delta>>, PublishedError> {
        if let Some(delta) = self.read.get(&entry.sha256) {
            return Ok(Some(Arc::clone(delta)));
        }
        let bytes = match read_entry(store, entry).await {
            Ok(bytes) => bytes,
            Err(PublishedError::Altered { .. } | PublishedError::Store { source: StoreError::NotFound, .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Ok(delta) = Delta::parse(&bytes) else { return Ok(None) };
        let delta = Arc::new(delta);
        self.read.insert(entry.sha256.clone(), Arc::clone(&delta));
        Ok(Some(delta))
    }
}

fn bounded(delta: Delta) -> Composed {
    if delta.lines().len() > MAX_COMPOSED_LINES { Composed::TooLarge } else { Composed::Delta(delta) }
}
