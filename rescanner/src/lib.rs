//! The rescanner: when a generation is published, asks for every recorded object that needs another look.
//!
//! A pass over the table is begun by an announcement, by a schedule or by hand, and worked in segments by messages that the function sends
//! to itself: none needs more than an invocation's time, and one that is killed is taken up where it was.

pub mod begin;
pub mod config;
pub mod known;
mod page;
pub mod request;
pub mod segment;
pub mod task;

use begin::BeginError;
use known::Known;
use lambda_runtime::Diagnostic;
use nacre_core::{
    port::{Clock, DefinitionsStore, RecordPages, Topic, WorkQueue},
    rescan::pass::{Budget, Tally},
    retry::RetryPolicy,
    telemetry::{Metric, error_chain},
};
use request::Request;
use segment::Limits;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// What the rescanner speaks to.
#[derive(Debug)]
pub struct Ports<Definitions, Records, Triggers, Queue, Time> {
    /// The definitions bucket.
    pub definitions: Definitions,
    /// The scan records.
    pub records: Records,
    /// The topic that objects are asked for on.
    pub triggers: Triggers,
    /// The queue of our own work.
    pub queue: Queue,
    /// The time of day.
    pub clock: Time,
}

/// How passes are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassSettings {
    /// Region that triggers name.
    pub region: String,
    /// Parts that the table is worked in; `None` follows its size.
    pub segments: Option<u32>,
    /// What all passes of a day may spend together.
    pub daily_budget: Budget,
    /// How long we wait for services that throttle us.
    pub retry: RetryPolicy,
}

/// The function, and what it keeps while it is warm.
#[derive(Debug)]
pub struct Rescanner<Definitions, Records, Triggers, Queue, Time> {
    ports: Ports<Definitions, Records, Triggers, Queue, Time>,
    settings: PassSettings,
    known: Mutex<Known>,
}

/// What an invocation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Handled {
    /// The function's answer.
    pub response: Value,
    /// What its messages found and did.
    pub tally: Tally,
}

impl Handled {
    /// What happened, counted.
    pub fn counts(&self) -> Vec<(Metric, u64)> {
        if self.tally.examined == 0 {
            return Vec::new();
        }
        let published = self.tally.published.total().objects;
        let unneeded = self.tally.examined.saturating_sub(published);
        vec![(Metric::RescansPublished, published), (Metric::RescansUnneeded, unneeded)]
    }
}

/// Why an invocation failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum RescanError {
    /// No pass was begun.
    #[error("no pass could be begun")]
    Begin(#[from] BeginError),
}

impl From<RescanError> for Diagnostic {
    fn from(error: RescanError) -> Self {
        Self { error_type: "RescanError".into(), error_message: error_chain(&error) }
    }
}

impl<Definitions, Records, Triggers, Queue, Time> Rescanner<Definitions, Records, Triggers, Queue, Time>
where
    Definitions: DefinitionsStore,
    Records: RecordPages,
    Triggers: Topic,
    Queue: WorkQueue,
    Time: Clock,
{
    /// Makes the function.
    pub fn new(ports: Ports<Definitions, Records, Triggers, Queue, Time>, settings: PassSettings) -> Self {
        Self { ports, settings, known: Mutex::default() }
    }

    /// What it speaks to.
    pub fn ports(&self) -> &Ports<Definitions, Records, Triggers, Queue, Time> {
        &self.ports
    }

    /// Does what an invocation asks for. Messages that fail are named in the answer, and come again.
    ///
    /// # Errors
    /// [`RescanError`].
    pub async fn handle(&self, payload: &Value, limits: Limits) -> Result<Handled, RescanError> {
        let messages = match Request::read(payload) {
            Request::Begin(cause) => {
                let begun = self.begin(cause).await?;
                tracing::info!(
                    generation = begun.id.generation.0,
                    attempt = begun.id.attempt,
                    segments = begun.segments,
                    outcome = ?begun.outcome,
                    "a pass was asked for"
                );
                return Ok(Handled { response: json!(begun), tally: Tally::default() });
            }
            Request::Work(messages) => messages,
        };
        let (mut failed, mut tally) = (Vec::new(), Tally::default());
        for message in messages {
            match self.work(&message.body, limits).await {
                Ok((outcome, did)) => {
                    tracing::info!(
                        outcome = ?outcome,
                        pages = did.pages,
                        examined = did.examined,
                        published = did.published.total().objects,
                        renewed = did.renewed,
                        unreadable = did.unreadable,
                        "a segment was worked on"
                    );
                    tally.add(&did);
                }
                Err(error) => {
                    tracing::error!(cause = error_chain(&error), "a segment's message failed and comes again");
                    failed.push(json!({ "itemIdentifier": message.id }));
                }
            }
        }
        Ok(Handled { response: json!({ "batchItemFailures": failed }), tally })
    }
}
