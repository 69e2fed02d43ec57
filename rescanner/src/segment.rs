//! Works on one segment of the table for as long as one invocation may: reads a page, plans its records, requests rescans.

use std::time::{Duration, Instant};

use nacre_core::{
    generation::published::PublishedError,
    port::{Call, Clock, StoreError, WorkQueue},
    rescan::{
        pass::{
            FORMAT, PassStats, PassStoreError, SegmentReport, State, Written, is_cancelled, keep_report, read_report,
        },
        trigger::PublishError,
    },
};
use tokio::time::sleep;

use crate::{Cursor, Rescanner, Services, task::Task};

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
    /// The message was delivered again after its work was done.
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
        let mut continued = Continuation { pages: task.stats.pages, message: body.to_owned() };
        let known_report = read_report(definitions, task.id, task.segment).await?;
        if known_report.is_some_and(|report| report.state.is_final() || report.continued_after > continued.pages) {
            return Ok((Worked::Repeated, PassStats::default()));
        }
        let mut done = PassStats::default();
        let published = &mut *self.published.lock().await;
        let mut reported = Instant::now();
        loop {
            let (planner, cancelled) =
                futures::join!(published.planner(definitions), is_cancelled(definitions, task.id));
            let planner = planner?.filter(|planner| planner.manifest().generation == task.id.generation);
            let ended = match planner {
                // Its own pass does the rest.
                None => Some(State::Overtaken),
                Some(_) if cancelled? => Some(State::Cancelled),
                Some(planner) => {
                    if done.pages > 0 && (done.pages >= limits.pages || Instant::now() >= limits.until) {
                        continued = self.send_continuation(&task).await?;
                        // After the message: what the report says was sent must not be lost.
                        self.report(&task, &continued, State::Working).await?;
                        return Ok((Worked::Continued, done));
                    }
                    done.add(&self.work_on_page(planner, &mut task).await?);
                    (task.cursor.is_none() && !task.start_next_reading()).then_some(State::Finished)
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

    /// Sends the work that is left to the queue, for another invocation.
    async fn send_continuation(&self, task: &Task<Cursor<S>>) -> Result<Continuation, WorkError> {
        let unwritable = |error: serde_json::Error| {
            let call = Call::new("SendMessageBatch", "the pass queue");
            WorkError::Continue(StoreError::Unexpected(call, error.into()))
        };
        let body = [serde_json::to_string(task).map_err(unwritable)?];
        self.settings.retry.call(sleep, || self.ports.queue.send(&body)).await.map_err(WorkError::Continue)?;
        let [message] = body;
        Ok(Continuation { pages: task.stats.pages, message })
    }

    async fn report(
        &self,
        task: &Task<Cursor<S>>,
        continued: &Continuation,
        state: State,
    ) -> Result<Written, PassStoreError> {
        let report = SegmentReport {
            format: FORMAT,
            id: task.id,
            segment: task.segment,
            started: task.started,
            state,
            continued_after: continued.pages,
            continuation: continued.message.clone(),
            updated: self.ports.clock.now(),
            stats: task.stats.clone(),
        };
        keep_report(&self.ports.definitions, &report).await
    }
}

/// The last message with the rest of a segment's work.
struct Continuation {
    /// Pages that were read before it.
    pages: u64,
    message: String,
}
