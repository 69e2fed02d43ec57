//! Works on one segment of the table for as long as one invocation may: reads a page, plans its records, requests rescans.

use std::time::{Duration, Instant};

use nacre_core::{
    generation::published::{PointerRead, PublishedError, read_pointer},
    port::{Call, Clock, StoreError, WorkQueue},
    rescan::{
        pass::{
            FORMAT, ObjectTotals, PassStats, PassStoreError, SegmentReport, State, Written, is_cancelled, keep_report,
            read_allotment, read_pass, read_report,
        },
        trigger::PublishError,
    },
};
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    Cursor, Rescanner, Services,
    page::PageOutcome,
    task::{Reading, Task},
};

/// How often the report is written during the work, for those who watch the pass.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Why a message failed. SQS delivers it again as it was: the records answer requests that were published twice, and nothing is
/// counted twice.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// It was not sent by a rescanner.
    #[error("the message is not the work of a segment")]
    Message(#[source] serde_json::Error),
    /// The published generation could not be read.
    #[error("the published generation could not be read")]
    Published(#[from] PublishedError),
    /// The scan records could not be read.
    #[error("the scan records could not be read")]
    Records(#[source] StoreError),
    /// The deltas since a record's generation could not be read.
    #[error("the changes since generation {from} could not be read")]
    Changes {
        /// The record's generation.
        from: u64,
        /// The cause.
        #[source]
        source: PublishedError,
    },
    /// Rescans were not requested.
    #[error("rescans could not be requested")]
    Publish(#[from] PublishError),
    /// The generation of an unaffected record was not advanced.
    #[error("an unaffected record's generation could not be advanced")]
    Advance(#[source] StoreError),
    /// It was not noted in a record that its rescan was requested.
    #[error("a request could not be noted in its record")]
    Mark(#[source] StoreError),
    /// The rest of the work was not sent to the queue.
    #[error("the rest of the segment's work could not be sent to the queue")]
    Continue(#[source] StoreError),
    /// The pass or a segment's report could not be read or written.
    #[error("the pass or its report could not be read or written")]
    Passes(#[from] PassStoreError),
}

/// The result of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// The segment ended in this state.
    Ended(State),
    /// Another message has the rest.
    Continued,
    /// It has counted what it needs. The segment that counts last divides the budget, and sends all of them on.
    Counted,
    /// The message was delivered again after its work was done, or another was sent in its place.
    Repeated,
}

/// How much one message may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pages, at least one.
    pub pages: u64,
    /// When the rest of the work is left to another message.
    pub until: Instant,
}

impl<S: Services> Rescanner<S> {
    /// Works on the segment of a message, holding one page at a time; returns the result and what this invocation did.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn work(&self, body: &str, limits: Limits) -> Result<(Worked, PassStats), WorkError> {
        let mut task: Task<Cursor<S>> = serde_json::from_str(body).map_err(WorkError::Message)?;
        let definitions = &self.ports.definitions;
        let mut continued =
            Continuation { pages: task.stats.pages, message: body.to_owned(), reserved: ObjectTotals::default() };
        let (pass, report) =
            futures::join!(read_pass(definitions, task.id.generation), read_report(definitions, task.id, task.segment));
        let (pass, report) = (pass?, report?);
        continued.reserved = report.as_ref().map_or(continued.reserved, |report| report.reserved);
        match report {
            // Of an attempt that ended long ago: its reports are not kept, nor that it was cancelled.
            _ if pass.is_some_and(|stored| stored.pass.id > task.id) => {
                return Ok((Worked::Repeated, PassStats::default()));
            }
            Some(report) if report.state.is_final() || report.turn > task.turn => {
                return Ok((Worked::Repeated, PassStats::default()));
            }
            // The invocation was killed before the budget was divided.
            Some(report) if report.demand.is_some() && task.reading == Reading::Count => {
                self.divide_budget(&task).await?;
                return Ok((Worked::Counted, PassStats::default()));
            }
            Some(report) if report.continued_after > continued.pages => {
                return Ok((Worked::Repeated, PassStats::default()));
            }
            _ => {}
        }
        if task.reading == Reading::Request && task.share.is_none() {
            let Some(allotment) = read_allotment(definitions, task.id).await? else {
                self.divide_budget(&task).await?;
                return Ok((Worked::Counted, PassStats::default()));
            };
            task.share = Some(allotment.share(task.segment));
        }
        let mut done = PassStats::default();
        let published = &mut *self.published.lock().await;
        let mut reported = Instant::now();
        loop {
            let (planner, cancelled) =
                futures::join!(published.planner(definitions, self.size_limit), is_cancelled(definitions, task.id));
            let planner = planner?.filter(|planner| planner.manifest().generation == task.id.generation);
            let ended = match planner {
                // Its own pass does the rest.
                None => Some(State::Overtaken),
                Some(_) if cancelled? => Some(State::Cancelled),
                Some(_) if task.requests_nothing() => {
                    task.leave_all();
                    done.wait(task.stats.waiting_since);
                    Some(State::Finished)
                }
                Some(planner) => {
                    if done.pages > 0 && (done.pages >= limits.pages || Instant::now() >= limits.until) {
                        continued = self.send_continuation(&task, continued.reserved).await?;
                        // After the message: what the report says was sent must not be lost.
                        self.report(&task, &continued, State::Working).await?;
                        return Ok((Worked::Continued, done));
                    }
                    match self.work_on_page(planner, &mut task, &continued).await? {
                        PageOutcome::Worked(did) => done.add(&did),
                        PageOutcome::Ended(state) => {
                            self.report(&task, &continued, state).await?;
                            return Ok((Worked::Ended(state), done));
                        }
                        PageOutcome::Superseded => return Ok((Worked::Repeated, done)),
                    }
                    match (&task.cursor, task.reading) {
                        (Some(_), _) => None,
                        (None, Reading::Count) => {
                            self.end_count(&mut task).await?;
                            return Ok((Worked::Counted, done));
                        }
                        (None, Reading::All | Reading::Request) => {
                            task.stats.deferred = ObjectTotals::default();
                            Some(State::Finished)
                        }
                    }
                }
            };
            if let Some(state) = ended {
                self.report(&task, &continued, state).await?;
                return Ok((Worked::Ended(state), done));
            }
            if reported.elapsed() >= REPORT_INTERVAL {
                if self.report(&task, &continued, State::Working).await? == Written::Theirs {
                    return Ok((Worked::Repeated, done));
                }
                reported = Instant::now();
            }
        }
    }

    /// Reports what was counted, with the message that is to request it.
    async fn end_count(&self, task: &mut Task<Cursor<S>>) -> Result<(), WorkError> {
        task.start_requesting();
        let message = body(task).map_err(WorkError::Continue)?;
        let counted = Continuation { pages: task.stats.pages, message, reserved: ObjectTotals::default() };
        let report =
            SegmentReport { demand: Some(task.demand.clone()), ..self.report_of(task, &counted, State::Working) };
        if keep_report(&self.ports.definitions, &report).await? == Written::Ours {
            self.divide_budget(task).await?;
        }
        Ok(())
    }

    /// Sends the work that is left to the queue, for another invocation.
    async fn send_continuation(
        &self,
        task: &Task<Cursor<S>>,
        reserved: ObjectTotals,
    ) -> Result<Continuation, WorkError> {
        let body = [body(task).map_err(WorkError::Continue)?];
        self.settings.retry.call(sleep, || self.ports.queue.send(&body)).await.map_err(WorkError::Continue)?;
        let [message] = body;
        Ok(Continuation { pages: task.stats.pages, message, reserved })
    }

    async fn report(
        &self,
        task: &Task<Cursor<S>>,
        continued: &Continuation,
        state: State,
    ) -> Result<Written, PassStoreError> {
        keep_report(&self.ports.definitions, &self.report_of(task, continued, state)).await
    }

    /// Takes what a page is about to request off the day's budget, and then looks whether the pass still may: whoever divides the
    /// budget after it was overtaken or cancelled counts that in. Returns why it may not.
    pub(crate) async fn reserve(
        &self,
        task: &Task<Cursor<S>>,
        continued: &Continuation,
        page: ObjectTotals,
    ) -> Result<Option<PageOutcome>, WorkError> {
        let report = self.report_of(task, continued, State::Working);
        let reserved = report.reserved.max(task.stats.requested.of_budget().plus(page));
        if keep_report(&self.ports.definitions, &SegmentReport { reserved, ..report }).await? == Written::Theirs {
            return Ok(Some(PageOutcome::Superseded));
        }
        let (pointer, cancelled) =
            futures::join!(read_pointer(&self.ports.definitions, None), is_cancelled(&self.ports.definitions, task.id));
        let is_published =
            matches!(pointer?, PointerRead::Read { pointer, .. } if pointer.generation == task.id.generation);
        Ok(match (is_published, cancelled?) {
            (false, _) => Some(PageOutcome::Ended(State::Overtaken)),
            (true, true) => Some(PageOutcome::Ended(State::Cancelled)),
            (true, false) => None,
        })
    }

    fn report_of(&self, task: &Task<Cursor<S>>, continued: &Continuation, state: State) -> SegmentReport {
        SegmentReport {
            format: FORMAT,
            id: task.id,
            segment: task.segment,
            started: task.started,
            state,
            continued_after: continued.pages,
            continuation: continued.message.clone(),
            turn: task.turn,
            demand: None,
            updated: self.ports.clock.now(),
            reserved: continued.reserved.max(task.stats.requested.of_budget()),
            stats: task.stats.clone(),
        }
    }
}

/// The message of a task.
pub(crate) fn body<Cursor: Serialize>(task: &Task<Cursor>) -> Result<String, StoreError> {
    let unwritable = |error: serde_json::Error| {
        StoreError::Unexpected(Call::new("SendMessageBatch", "the pass queue"), error.into())
    };
    serde_json::to_string(task).map_err(unwritable)
}

/// The last message with the rest of a segment's work.
pub(crate) struct Continuation {
    /// Pages that were read before it.
    pages: u64,
    message: String,
    /// What was taken of the day's budget when this invocation began, also by one that was killed.
    reserved: ObjectTotals,
}
