//! Begins a pass, or takes up one whose work was lost on the way.

use nacre_core::{
    generation::{Generation, published::PublishedError},
    port::{Clock, RecordPages, StoreError, WorkQueue},
    rescan::pass::{
        self, Cause, FORMAT, Kept, Pass, PassId, PassStoreError, SegmentReport, read_pass, segments_for, spent_on,
        write_pass,
    },
};
use serde::Serialize;
use tokio::time::sleep;

use crate::{Cursor, Rescanner, Services, task::Task};

/// Attempts of one generation whose reports are kept.
const KEPT_ATTEMPTS: u32 = 10;

/// Segments that the first one of a pass is after the first one of the generation before; prime, so that each has its turn.
const STRIDE: u64 = 101;

/// Why no pass was begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// What is published cannot be told.
    #[error("the published generation cannot be told")]
    Published(#[from] PublishedError),
    /// Nothing was ever published.
    #[error("no definitions are published yet: run the updater")]
    NonePublished,
    /// The table does not say how large it is.
    #[error("the table of scan records cannot be described")]
    Table(#[source] StoreError),
    /// What is known of passes cannot be read or written.
    #[error("what is known of passes cannot be read or written")]
    Passes(#[from] PassStoreError),
    /// The queue did not take the work of all segments.
    #[error("the work of the pass for generation {} could not be handed out", generation.0)]
    Queue {
        /// The pass's generation.
        generation: Generation,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A pass was begun.
    Begun,
    /// Work was handed out again that had been lost.
    Resumed,
    /// The pass is under way.
    UnderWay,
    /// This generation had its pass, and an announcement asks for no other.
    Done,
}

/// The pass that the invocation found or began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Begun {
    /// Which.
    #[serde(flatten)]
    pub id: PassId,
    /// Parts that the table is worked in.
    pub segments: u32,
    /// What came of it.
    pub outcome: Outcome,
}

impl<S: Services> Rescanner<S> {
    /// Begins a pass for the generation that is published *now*: an announcement only says that it is time to look, so late, repeated
    /// and reordered ones do no harm.
    ///
    /// # Errors
    /// [`BeginError`]; beginning again makes it whole.
    pub async fn begin(&self, cause: Cause) -> Result<Begun, BeginError> {
        let definitions = &self.ports.definitions;
        let mut published = self.published.lock().await;
        let planner = published.planner(definitions).await?.ok_or(BeginError::NonePublished)?;
        let generation = planner.manifest().generation;
        drop(published);
        let kept = read_pass(definitions, generation).await?;
        let Some(Kept { pass, etag }) = kept else { return self.begin_attempt(generation, 1, None, cause).await };
        let reports = pass::reports(definitions, pass.id).await?;
        let cancelled = pass::is_cancelled(definitions, pass.id).await?;
        let is_done = pass.progress(&reports, cancelled).state.is_final();
        let lost = if is_done { Vec::new() } else { pass.lost(&reports, self.ports.clock.now()) };
        let outcome = match (is_done, cause) {
            (true, Cause::Announced) => Outcome::Done,
            (true, Cause::Scheduled | Cause::ByHand) => {
                return self.begin_attempt(generation, pass.id.attempt + 1, Some(&etag), cause).await;
            }
            (false, _) if lost.is_empty() => Outcome::UnderWay,
            (false, _) => {
                self.hand_out(&pass, &lost, &reports).await?;
                self.mark_handed_out(pass.clone(), &etag).await?;
                Outcome::Resumed
            }
        };
        Ok(Begun { id: pass.id, segments: pass.segments, outcome })
    }

    async fn begin_attempt(
        &self,
        generation: Generation,
        attempt: u32,
        before: Option<&str>,
        cause: Cause,
    ) -> Result<Begun, BeginError> {
        let definitions = &self.ports.definitions;
        let segments = match self.settings.segments {
            Some(segments) => segments,
            None => segments_for(self.ports.records.extent().await.map_err(BeginError::Table)?.items),
        };
        let (begun, mut budget) = (self.ports.clock.now(), self.settings.daily_budget);
        if !budget.is_unlimited() {
            budget = budget.minus(spent_on(definitions, begun).await?);
        }
        let id = PassId { generation, attempt };
        let pass = Pass { format: FORMAT, id, cause, begun, segments, budget, handed_out: false };
        let Some(etag) = write_pass(definitions, &pass, before).await? else {
            // Whoever was faster hands the work out, or its retry does.
            return Ok(Begun { id, segments, outcome: Outcome::UnderWay });
        };
        // Where every pass is overtaken before its end, no segment is always the last.
        let mut all: Vec<u32> = (0..segments).collect();
        all.rotate_left(usize::try_from(generation.0.wrapping_mul(STRIDE) % u64::from(segments.max(1))).unwrap_or(0));
        self.hand_out(&pass, &all, &[]).await?;
        self.mark_handed_out(pass, &etag).await?;
        if let Some(long_ago) = attempt.checked_sub(KEPT_ATTEMPTS).filter(|attempt| *attempt > 0) {
            pass::forget(definitions, PassId { generation, attempt: long_ago }).await?;
        }
        Ok(Begun { id, segments, outcome: Outcome::Begun })
    }

    /// Sends the work of segments, from where it was last handed on.
    async fn hand_out(&self, pass: &Pass, segments: &[u32], known: &[SegmentReport]) -> Result<(), BeginError> {
        let body = |segment: &u32| match known.iter().find(|report| report.segment == *segment) {
            Some(report) => Ok(report.left.clone()),
            None => serde_json::to_string(&Task::<Cursor<S>>::new(pass, *segment)),
        };
        let bodies: Result<Vec<String>, _> = segments.iter().map(body).collect();
        let failed = |source| BeginError::Queue { generation: pass.id.generation, source };
        let bodies = bodies.map_err(|error| failed(StoreError::Unexpected(error.into())))?;
        self.settings.retry.call(sleep, || self.ports.queue.send(&bodies)).await.map_err(failed)
    }

    async fn mark_handed_out(&self, pass: Pass, etag: &str) -> Result<(), BeginError> {
        let handed_out = Pass { handed_out: true, ..pass };
        // Somebody else who marked it did the same.
        write_pass(&self.ports.definitions, &handed_out, Some(etag)).await?;
        Ok(())
    }
}
