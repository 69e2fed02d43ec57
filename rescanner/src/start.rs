//! Starts a pass, or dispatches the work of one again whose messages were lost.

use nacre_core::{
    generation::{Generation, published::PublishedError},
    port::{Call, Clock, RecordPages, StoreError, WorkQueue},
    rescan::pass::{
        self, Cause, FORMAT, ObjectTotals, Pass, PassId, PassStoreError, SegmentReport, State, StoredPass, Written,
        keep_report, read_pass, segments_for, write_pass,
    },
};
use serde::Serialize;
use tokio::time::sleep;

use crate::{Cursor, Rescanner, Services, segment::body, task::Task};

/// Attempts of one generation whose reports are kept.
const KEPT_ATTEMPTS: u32 = 10;

/// Distance between the first segments of the passes of two consecutive generations; prime, so that each segment is first at times.
const STRIDE: u64 = 101;

/// Why no pass was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The published generation could not be read.
    #[error("the published generation could not be read")]
    Published(#[from] PublishedError),
    /// No generation is published yet.
    #[error("no definitions are published yet: run the updater")]
    NonePublished,
    /// The table's size could not be read.
    #[error("the table of scan records cannot be described")]
    Table(#[source] StoreError),
    /// A pass or its reports could not be read or written.
    #[error("a pass or its reports could not be read or written")]
    Passes(#[from] PassStoreError),
    /// The queue did not accept the work of all segments.
    #[error("the work of the pass for generation {} could not be sent to the queue", generation.0)]
    Queue {
        /// The pass's generation.
        generation: Generation,
        /// The cause.
        #[source]
        source: StoreError,
    },
}

/// The result of starting a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A pass was started.
    #[serde(rename = "begun")]
    Started,
    /// Lost work of the pass was sent to the queue again.
    Resumed,
    /// The pass is in progress.
    #[serde(rename = "under_way")]
    InProgress,
    /// This generation had its pass, and an announcement starts no other.
    Done,
}

/// The pass that the invocation found or started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Started {
    /// Its id.
    #[serde(flatten)]
    pub id: PassId,
    /// Parts that the table is worked in.
    pub segments: u32,
    /// The result of starting a pass.
    pub outcome: Outcome,
}

impl<S: Services> Rescanner<S> {
    /// Starts a pass for the generation that is published *now*: an announcement only says that it is time to read the pointer, so late,
    /// repeated and reordered ones do no harm.
    ///
    /// # Errors
    /// [`StartError`]; the next start resumes what failed.
    pub async fn start(&self, cause: Cause) -> Result<Started, StartError> {
        let definitions = &self.ports.definitions;
        let mut published = self.published.lock().await;
        let planner = published.planner(definitions, self.size_limit).await?.ok_or(StartError::NonePublished)?;
        let generation = planner.manifest().generation;
        drop(published);
        let kept = read_pass(definitions, generation).await?;
        let Some(StoredPass { pass, etag }) = kept else { return self.start_attempt(generation, None, cause).await };
        let reports = pass::reports(definitions, pass.id).await?;
        let cancelled = pass::is_cancelled(definitions, pass.id).await?;
        let is_done = pass.progress(&reports, cancelled).state.is_final();
        let lost = if is_done { Vec::new() } else { pass.stalled_segments(&reports, self.ports.clock.now()) };
        let outcome = match (is_done, cause) {
            (true, Cause::Announced) => Outcome::Done,
            (true, Cause::Scheduled | Cause::Manual) => {
                return self.start_attempt(generation, Some((&pass, &etag)), cause).await;
            }
            (false, _) if lost.is_empty() => Outcome::InProgress,
            (false, _) => {
                // A segment that cannot be read must not keep the others from their shares.
                let have_counted = |report: &SegmentReport| report.demand.is_some() && lost.contains(&report.segment);
                if reports.iter().any(have_counted) {
                    self.allot(pass.id, (pass.started, pass.budget), None, &reports).await?;
                }
                self.resume(&pass, &lost, &reports).await?;
                self.mark_dispatched(pass.clone(), &etag).await?;
                Outcome::Resumed
            }
        };
        Ok(Started { id: pass.id, segments: pass.segments, outcome })
    }

    async fn start_attempt(
        &self,
        generation: Generation,
        before: Option<(&Pass, &str)>,
        cause: Cause,
    ) -> Result<Started, StartError> {
        let definitions = &self.ports.definitions;
        let segments = match self.settings.segments {
            Some(segments) => segments,
            None => segments_for(self.ports.records.extent().await.map_err(StartError::Table)?.items),
        };
        let (started, budget) = (self.ports.clock.now(), self.settings.daily_budget);
        let attempt = before.map_or(1, |(pass, _)| pass.id.attempt + 1);
        let id = PassId { generation, attempt };
        let long_ago = attempt.checked_sub(KEPT_ATTEMPTS).filter(|attempt| *attempt > 0);
        let long_ago = long_ago.map(|attempt| PassId { generation, attempt });
        let same_day = before.filter(|(pass, _)| pass.started.date_naive() == started.date_naive());
        let mut forgotten = same_day.map_or(ObjectTotals::default(), |(pass, _)| pass.forgotten);
        if let Some(long_ago) = long_ago {
            pass::reports(definitions, long_ago)
                .await?
                .iter()
                .for_each(|report| forgotten.add(report.spent_on(started)));
        }
        let pass = Pass { format: FORMAT, id, cause, started, segments, budget, forgotten, dispatched: false };
        let Some(etag) = write_pass(definitions, &pass, before.map(|(_, etag)| etag)).await? else {
            // The invocation that was faster dispatches the work, or its retry does.
            return Ok(Started { id, segments, outcome: Outcome::InProgress });
        };
        // If every pass is overtaken before its end, no segment is always the last.
        let mut all: Vec<u32> = (0..segments).collect();
        all.rotate_left(usize::try_from(generation.0.wrapping_mul(STRIDE) % u64::from(segments.max(1))).unwrap_or(0));
        let bodies: Result<Vec<_>, _> =
            all.iter().map(|segment| body(&Task::<Cursor<S>>::new(&pass, *segment))).collect();
        let unwritable = |source| StartError::Queue { generation, source };
        self.send(&pass, &bodies.map_err(unwritable)?).await?;
        self.mark_dispatched(pass, &etag).await?;
        if let Some(long_ago) = long_ago {
            pass::forget(definitions, long_ago).await?;
        }
        Ok(Started { id, segments, outcome: Outcome::Started })
    }

    /// Sends the work of segments to the queue once more, each from its last message. What was sent before and waits still is of an
    /// earlier turn by then, and is not worked.
    async fn resume(&self, pass: &Pass, segments: &[u32], known: &[SegmentReport]) -> Result<(), StartError> {
        let failed = |source| StartError::Queue { generation: pass.id.generation, source };
        let unreadable = |error: serde_json::Error| {
            failed(StoreError::Unexpected(Call::new("SendMessageBatch", "the pass queue"), error.into()))
        };
        let mut bodies = Vec::new();
        for segment in segments {
            let report = known.iter().find(|report| report.segment == *segment);
            let mut task = match report {
                Some(report) => serde_json::from_str(&report.continuation).map_err(unreadable)?,
                None => Task::<Cursor<S>>::new(pass, *segment),
            };
            task.turn = report.map_or(task.turn, |report| report.turn.max(task.turn)) + 1;
            let body = body(&task).map_err(failed)?;
            let turned = SegmentReport {
                format: FORMAT,
                id: pass.id,
                segment: *segment,
                started: pass.started,
                state: State::Working,
                continued_after: task.stats.pages,
                continuation: body.clone(),
                turn: task.turn,
                demand: None,
                updated: self.ports.clock.now(),
                reserved: report.map_or(ObjectTotals::default(), |report| report.reserved),
                stats: task.stats,
            };
            if keep_report(&self.ports.definitions, &turned).await? == Written::Ours {
                bodies.push(body);
            }
        }
        self.send(pass, &bodies).await
    }

    async fn send(&self, pass: &Pass, bodies: &[String]) -> Result<(), StartError> {
        let sent = self.settings.retry.call(sleep, || self.ports.queue.send(bodies)).await;
        sent.map_err(|source| StartError::Queue { generation: pass.id.generation, source })
    }

    async fn mark_dispatched(&self, pass: Pass, etag: &str) -> Result<(), StartError> {
        let dispatched = Pass { dispatched: true, ..pass };
        // Another invocation that marked it did the same.
        write_pass(&self.ports.definitions, &dispatched, Some(etag)).await?;
        Ok(())
    }
}
