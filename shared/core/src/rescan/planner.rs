//! Plans rescans: adds the published deltas up to what changed since a record's generation, and asks the pure plan.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use nacre_clamav::{delta::Delta, digest::Sha256Digest};

use crate::{
    generation::{
        Generation,
        history::StepKind,
        manifest::{BodyEntry, Manifest},
        published::{PublishedError, read_entry},
    },
    port::DefinitionsStore,
    rescan::{
        delta_summary::DeltaSummary,
        plan::{Change, RescanPlan, loaded_by, plan_in_pass, plan_rescan},
    },
    scan_record::{EngineVersion, RecordSummary},
};

/// Most lines of a delta over several generations; beyond that, a full scan is cheaper.
const MAX_COMPOSED_LINES: usize = 250_000;

/// What changed from one generation to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Composed {
    /// These signatures.
    Delta(Delta),
    /// Too many for a delta scan.
    TooLarge,
    /// A delta on the way is not kept any more.
    NotKept,
}

/// Plans rescans up to one published generation. Deltas are read once, and each summary of changes is made once.
#[derive(Debug)]
pub struct RescanPlanner {
    manifest: Arc<Manifest>,
    engine: EngineVersion,
    deltas: BTreeMap<Sha256Digest, Arc<Delta>>,
    changes: HashMap<Generation, Arc<Change>>,
}

/// A record's plan, and the change that it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The plan.
    pub plan: RescanPlan,
    /// What changed since the record's generation.
    pub change: Arc<Change>,
}

impl RescanPlanner {
    /// Plans up to the generation of a manifest, for the engine that it was tested with.
    pub fn new(manifest: Arc<Manifest>) -> Self {
        let engine = EngineVersion::from(&manifest.engine);
        Self::for_engine(manifest, engine)
    }

    /// Plans up to the generation of a manifest, for the engine that will scan.
    pub fn for_engine(manifest: Arc<Manifest>, engine: EngineVersion) -> Self {
        Self { manifest, engine, deltas: BTreeMap::new(), changes: HashMap::new() }
    }

    /// The manifest whose generation is planned for.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Plans the rescan of one record's object, as [`plan_rescan`].
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn plan(
        &mut self,
        store: &impl DefinitionsStore,
        record: &RecordSummary,
    ) -> Result<RescanPlan, PublishedError> {
        let change = self.change_since(store, record.generation).await?;
        Ok(plan_rescan(record, self.manifest.generation, &self.engine, &change))
    }

    /// Plans one record of a pass that reads it at `now`, as [`plan_in_pass`].
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn plan_in_pass(
        &mut self,
        store: &impl DefinitionsStore,
        record: &RecordSummary,
        now: DateTime<Utc>,
    ) -> Result<Planned, PublishedError> {
        let change = self.change_since(store, record.generation).await?;
        let plan = plan_in_pass(record, self.manifest.generation, &self.engine, &change, now);
        Ok(Planned { plan, change })
    }

    /// What changed since a generation, in the form that plans are made from.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn change_since(
        &mut self,
        store: &impl DefinitionsStore,
        from: Generation,
    ) -> Result<Arc<Change>, PublishedError> {
        if let Some(known) = self.changes.get(&from) {
            return Ok(Arc::clone(known));
        }
        let composed = self.delta_since(store, from).await?;
        let change = match composed {
            Composed::Delta(delta) => Change::Known(DeltaSummary::of(&delta, loaded_by(&self.engine))),
            Composed::TooLarge => Change::TooLarge,
            Composed::NotKept => Change::NotKept,
        };
        let change = Arc::new(change);
        self.changes.insert(from, Arc::clone(&change));
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
        // Bounded: each round goes back to an older generation.
        while at > from {
            match manifest.history.step_to(at) {
                None => return Ok(Composed::NotKept),
                Some(StepKind::TooLarge) => return Ok(Composed::TooLarge),
                Some(StepKind::Delta { delta }) => {
                    let Some(step) = self.read_delta(store, delta).await? else { return Ok(Composed::NotKept) };
                    sum = sum.then(&step);
                    at = Generation(at.0 - 1);
                }
                Some(StepKind::Restored { generation }) if *generation >= from => at = *generation,
                Some(StepKind::Restored { generation }) => {
                    // It restored a generation older than the record's: the way there, reversed.
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

    /// What changed between two older generations, where none between them was a restoration.
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
                    let Some(step) = self.read_delta(store, delta).await? else { return Ok(Composed::NotKept) };
                    sum = sum.then(&step);
                    at = Generation(at.0 - 1);
                }
                Some(StepKind::TooLarge) => return Ok(Composed::TooLarge),
                None | Some(StepKind::Restored { .. }) => return Ok(Composed::NotKept),
            }
        }
        Ok(Composed::Delta(sum))
    }

    /// `None` for a delta that is missing, damaged or of a later format: a retry would never help, and a full scan needs none.
    async fn read_delta(
        &mut self,
        store: &impl DefinitionsStore,
        entry: &BodyEntry,
    ) -> Result<Option<Arc<Delta>>, PublishedError> {
        if let Some(delta) = self.deltas.get(&entry.sha256) {
            return Ok(Some(Arc::clone(delta)));
        }
        let bytes = match read_entry(store, entry).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_lost_body() => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(delta) = Delta::parse(&bytes) else { return Ok(None) };
        let delta = Arc::new(delta);
        self.deltas.insert(entry.sha256, Arc::clone(&delta));
        Ok(Some(delta))
    }
}

fn bounded(delta: Delta) -> Composed {
    if delta.lines().len() > MAX_COMPOSED_LINES { Composed::TooLarge } else { Composed::Delta(delta) }
}
