//! Works on one segment of the table for as long as one invocation may: page by page, look, plan, publish.

use std::time::{Duration, Instant};

use nacre_core::{
    generation::published::PublishedError,
    port::{Clock, DefinitionsStore, RecordPages, StoreError, Topic, WorkQueue},
    rescan::{
        pass::{FORMAT, PassStoreError, SegmentReport, State, Tally, Written, is_cancelled, keep_report, read_report},
        trigger::PublishError,
    },
};
use tokio::time::sleep;

use crate::{Rescanner, known::Known, task::Task};

/// How often the report is written while the work goes on, for people who watch it.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Why a message failed. It comes again with what it said, so what is published twice is answered by the records, and nothing is
/// counted twice.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// It is none of ours.
    #[error("the message is not the work of a segment")]
    Message(#[source] serde_json::Error),
    /// What is published cannot be told.
    #[error("the published generation cannot be told")]
    Published(#[from] PublishedError),
    /// The scan records could not be read.
    #[error("the scan records could not be read")]
    Records(#[source] StoreError),
    /// What changed since a record's generation could not be told.
    #[error("what changed since generation {from} could not be told")]
    Changes {
        /// The record's generation.
        from: u64,
        /// Why.
        #[source]
        source: PublishedError,
    },
    /// Objects were not asked for.
    #[error("objects could not be asked for")]
    Publish(#[from] PublishError),
    /// Unaffected records were not renewed.
    #[error("an unaffected record could not be renewed")]
    Renew(#[source] StoreError),
    /// What is left was not handed on.
    #[error("the work that is left could not be handed on")]
    HandOn(#[source] StoreError),
    /// What is known of passes cannot be read or written.
    #[error("what is known of the pass cannot be read or written")]
    Passes(#[from] PassStoreError),
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// The segment is done with, in this way.
    Ended(State),
    /// The rest was handed on.
    HandedOn,
    /// The message came again, and its work was done meanwhile.
    Repeated,
}

/// How much one message may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pages, at least one.
    pub pages: u64,
    /// When to hand on what is left.
    pub until: Instant,
}

impl<Definitions, Records, Triggers, Queue, Time> Rescanner<Definitions, Records, Triggers, Queue, Time>
where
    Definitions: DefinitionsStore,
    Records: RecordPages,
    Triggers: Topic,
    Queue: WorkQueue,
    Time: Clock,
{
    /// Works on the segment of a message, holding one page at a time; answers what came of it and what it found and did.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn work(&self, body: &str, limits: Limits) -> Result<(Worked, Tally), WorkError> {
        let mut task: Task<Records::Cursor> = serde_json::from_str(body).map_err(WorkError::Message)?;
        let definitions = &self.ports.definitions;
        let before = task.tally.clone();
        let mut handed = Handed { on: task.tally.pages, left: body.to_owned() };
        let known_report = read_report(definitions, task.id, task.segment).await?;
        if known_report.is_some_and(|report| report.state.is_final() || report.handed_on > handed.on) {
            return Ok((Worked::Repeated, Tally::default()));
        }
        let known = &mut *self.known.lock().await;
        let (mut pages, mut told) = (0, Instant::now());
        loop {
            if let Some(state) = self.ended(known, &task).await? {
                return self.end(task, &handed, state, before).await;
            }
            if pages > 0 && (pages >= limits.pages || Instant::now() >= limits.until) {
                handed = Handed { on: task.tally.pages, left: self.hand_on(&task).await? };
                // After the message: what the report says was handed on must not be lost.
                self.report(&task, &handed, State::Working).await?;
                return Ok((Worked::HandedOn, since(&task.tally, &before)));
            }
            let (part, cursor) = (task.part(), task.cursor.take());
            let records = &self.ports.records;
            let page = self.settings.retry.call(sleep, || records.page(part, cursor.clone())).await;
            let page = page.map_err(WorkError::Records)?;
            self.look(known, &mut task, &page.records).await?;
            task.tally.pages += 1;
            pages += 1;
            if task.is_first_reading() {
                task.tally.unreadable += page.unreadable;
            }
            task.cursor = page.next;
            if task.cursor.is_none() && !task.begin_next_reading() {
                return self.end(task, &handed, State::Finished, before).await;
            }
            if told.elapsed() >= REPORT_INTERVAL {
                if self.report(&task, &handed, State::Working).await? == Written::Theirs {
                    return Ok((Worked::Repeated, since(&task.tally, &before)));
                }
                told = Instant::now();
            }
        }
    }

    /// Whether somebody ended the pass: a newer generation, or an operator.
    async fn ended(&self, known: &mut Known, task: &Task<Records::Cursor>) -> Result<Option<State>, WorkError> {
        let definitions = &self.ports.definitions;
        let (published, cancelled) = futures::join!(known.look(definitions), is_cancelled(definitions, task.id));
        if published? != Some(task.id.generation) {
            return Ok(Some(State::Overtaken));
        }
        Ok(cancelled?.then_some(State::Cancelled))
    }

    async fn end(
        &self,
        task: Task<Records::Cursor>,
        handed: &Handed,
        state: State,
        before: Tally,
    ) -> Result<(Worked, Tally), WorkError> {
        self.report(&task, handed, state).await?;
        Ok((Worked::Ended(state), since(&task.tally, &before)))
    }

    /// Sends what is left to ourselves; answers what was sent.
    async fn hand_on(&self, task: &Task<Records::Cursor>) -> Result<String, WorkError> {
        let unwritable = |error: serde_json::Error| WorkError::HandOn(StoreError::Unexpected(error.into()));
        let body = [serde_json::to_string(task).map_err(unwritable)?];
        self.settings.retry.call(sleep, || self.ports.queue.send(&body)).await.map_err(WorkError::HandOn)?;
        let [body] = body;
        Ok(body)
    }

    async fn report(
        &self,
        task: &Task<Records::Cursor>,
        handed: &Handed,
        state: State,
    ) -> Result<Written, PassStoreError> {
        let report = SegmentReport {
            format: FORMAT,
            id: task.id,
            segment: task.segment,
            begun: task.begun,
            state,
            handed_on: handed.on,
            left: handed.left.clone(),
            updated: self.ports.clock.now(),
            tally: task.tally.clone(),
        };
        keep_report(&self.ports.definitions, &report).await
    }
}

/// The message by which the work was last handed on, and the pages that it knows of.
struct Handed {
    on: u64,
    left: String,
}

/// What an invocation did of what a segment did, as far as it is told in metrics.
fn since(now: &Tally, before: &Tally) -> Tally {
    let mut did = Tally { examined: now.examined - before.examined, ..Tally::default() };
    did.pages = now.pages - before.pages;
    did.renewed = now.renewed - before.renewed;
    did.unreadable = now.unreadable - before.unreadable;
    did.published.delta.objects = now.published.delta.objects - before.published.delta.objects;
    did.published.full.objects = now.published.full.objects - before.published.full.objects;
    did
}
