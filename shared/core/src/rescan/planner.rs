//! Plans rescans: adds the published deltas up to what changed since a record's generation, and asks the pure plan.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use nacre_clamav::delta::Delta;

use crate::{
    generation::{
        Generation,
        history::{MAX_STEPS, StepKind},
        manifest::{BodyEntry, Manifest},
        published::{PublishedError, read_entry},
    },
    port::DefinitionsStore,
    rescan::{
        delta_summary::DeltaSummary,
        plan::{Change, FullScan, RescanPlan, is_limit_raised, loaded_by, plan_in_pass, plan_rescan, unless_moot},
        window::Window,
    },
    scan_record::{EngineVersion, RecordSummary, RecordView},
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

/// Most bytes of the deltas that a planner holds, which bounds its memory: what changed before those is too much for a delta scan.
const MAX_WINDOW_BYTES: u64 = 32 << 20;

/// Plans rescans up to one published generation. What changed since the last generations is read as far back as records need it, and
/// held once for all of them.
#[derive(Debug)]
pub struct RescanPlanner {
    manifest: Arc<Manifest>,
    engine: EngineVersion,
    /// What changed since the generations from this one on, in order.
    changes: (Generation, Vec<Arc<Change>>),
    /// Largest object that is scanned, in bytes.
    size_limit: u64,
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
        let changes = (manifest.generation, Vec::new());
        Self { manifest, engine, changes, size_limit: 0 }
    }

    /// Plans scans of what was refused for its size and is at most this large. Without it, what was refused stays so.
    #[must_use]
    pub fn with_size_limit(self, size_limit: u64) -> Self {
        Self { size_limit, ..self }
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
        let refused = |view: &RecordView| is_limit_raised(&view.verdict, record.size, self.size_limit);
        let plan = if record.view.as_ref().is_some_and(refused) && !record.is_report_overdue(now) {
            unless_moot(record, RescanPlan::FullScan(FullScan::LimitRaised), now)
        } else {
            plan_in_pass(record, self.manifest.generation, &self.engine, &change, now)
        };
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
        let oldest = self.oldest_for(from);
        if oldest < self.changes.0 || self.changes.1.is_empty() {
            let window = self.window(store, oldest).await?;
            let (known, summaries) = (window.known(), DeltaSummary::of_window(&window, loaded_by(&self.engine)));
            let change = |(place, summary): (usize, DeltaSummary)| {
                let since = Generation(oldest.0 + place as u64);
                Arc::new(if known >> place & 1 == 1 { Change::Known(summary) } else { self.unknown(since) })
            };
            self.changes = (oldest, summaries.into_iter().enumerate().map(change).collect());
        }
        let place = from.min(self.manifest.generation).0.checked_sub(self.changes.0.0);
        let known = place.and_then(|place| self.changes.1.get(usize::try_from(place).ok()?));
        Ok(known.map_or_else(|| Arc::new(self.unknown(from)), Arc::clone))
    }

    /// Whether plans are made with what changed since a generation: what is added to one set twice is seen in all of that.
    pub fn holds(&self, from: Generation) -> bool {
        self.changes.0 <= from
    }

    /// The oldest generation of the window that says what changed since `from`, as far as one can.
    fn oldest_for(&self, from: Generation) -> Generation {
        let newest = self.manifest.generation.0;
        let (mut at, mut oldest) = (newest, newest);
        // Bounded: each round goes back to an older generation.
        while at > from.0 {
            at = match self.manifest.history.step_to(Generation(at)) {
                Some(StepKind::Restored { generation }) => generation.0,
                Some(StepKind::Delta { .. } | StepKind::TooLarge) => at - 1,
                None => break,
            };
            oldest = oldest.min(at);
        }
        // Doubled, so that records of ever older generations have few windows read.
        let steps = (newest - oldest).next_power_of_two().min(MAX_STEPS as u64);
        let oldest = if oldest == newest { newest } else { newest.saturating_sub(steps) };
        Generation(oldest.max(self.oldest_held()))
    }

    /// The oldest generation of the largest window that is held.
    fn oldest_held(&self) -> u64 {
        let (mut at, mut bytes) = (self.manifest.generation.0, 0_u64);
        while let Some(step) = self.manifest.history.step_to(Generation(at)) {
            if let StepKind::Delta { delta } = step {
                bytes = bytes.saturating_add(delta.size);
            }
            if bytes > MAX_WINDOW_BYTES {
                break;
            }
            at -= 1;
        }
        at
    }

    /// Why it is not known what changed since a generation.
    fn unknown(&self, from: Generation) -> Change {
        let mut at = self.manifest.generation;
        while at > from {
            match self.manifest.history.step_to(at) {
                None => return Change::NotKept,
                Some(StepKind::TooLarge) => return Change::TooLarge,
                Some(StepKind::Restored { generation }) => at = *generation,
                Some(StepKind::Delta { .. }) => at = Generation(at.0 - 1),
            }
        }
        if from.0 < self.oldest_held() { Change::TooLarge } else { Change::NotKept }
    }

    /// Reads what changed since a generation that is held.
    async fn window(&self, store: &impl DefinitionsStore, oldest: Generation) -> Result<Window, PublishedError> {
        let mut window = Window::from(oldest);
        for to in oldest.0 + 1..=self.manifest.generation.0 {
            match self.manifest.history.step_to(Generation(to)) {
                Some(StepKind::Delta { delta }) => match read_delta(store, delta).await? {
                    Some(delta) => window.push(&delta),
                    None => window.push_unknown(),
                },
                Some(StepKind::Restored { generation }) => window.push_restored(*generation),
                Some(StepKind::TooLarge) | None => window.push_unknown(),
            }
        }
        Ok(window)
    }

    /// What was added since any of the generations that a delta engine for records of `from` may as well serve, and the oldest of
    /// them; `None` when it is not known.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub async fn added_since(
        &self,
        store: &impl DefinitionsStore,
        from: Generation,
    ) -> Result<Option<(Generation, Delta)>, PublishedError> {
        let oldest = self.oldest_for(from);
        if from < oldest {
            return Ok(None);
        }
        let window = self.window(store, oldest).await?;
        let is_known = usize::try_from(from.0 - oldest.0).is_ok_and(|place| window.known() >> place & 1 == 1);
        let added = window.added_since_any();
        Ok((is_known && added.lines().len() <= MAX_COMPOSED_LINES).then_some((oldest, added)))
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
                    let Some(step) = read_delta(store, delta).await? else { return Ok(Composed::NotKept) };
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
                    let Some(step) = read_delta(store, delta).await? else { return Ok(Composed::NotKept) };
                    sum = sum.then(&step);
                    at = Generation(at.0 - 1);
                }
                Some(StepKind::TooLarge) => return Ok(Composed::TooLarge),
                None | Some(StepKind::Restored { .. }) => return Ok(Composed::NotKept),
            }
        }
        Ok(Composed::Delta(sum))
    }
}

/// `None` for a delta that is missing, damaged or of a later format: a retry would never help, and a full scan needs none.
async fn read_delta(store: &impl DefinitionsStore, entry: &BodyEntry) -> Result<Option<Delta>, PublishedError> {
    match read_entry(store, entry).await {
        Ok(bytes) => Ok(Delta::parse(&bytes).ok()),
        Err(error) if error.is_lost_body() => Ok(None),
        Err(error) => Err(error),
    }
}

fn bounded(delta: Delta) -> Composed {
    if delta.lines().len() > MAX_COMPOSED_LINES { Composed::TooLarge } else { Composed::Delta(delta) }
}
