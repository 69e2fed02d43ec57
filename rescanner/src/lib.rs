//! The rescanner: when a generation is published, requests a rescan of every recorded object that needs one.
//!
//! A pass over the table is started by an announcement, by a schedule or by hand. Its segments are worked on by messages that the
//! function sends to itself: none needs more than an invocation's time, and a killed one is resumed from its last message.

pub mod config;
mod division;
mod page;
mod ports;
pub mod request;
pub mod segment;
pub mod start;
pub mod task;
pub mod watch;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use lambda_runtime::Diagnostic;
use nacre_core::{
    generation::{follower::PublishedDefinitions, published::PublishedError},
    port::{DefinitionsStore, RecordPages},
    rescan::{
        pass::{Budget, PassStats},
        plan::size_limit,
        planner::RescanPlanner,
    },
    retry::RetryPolicy,
    telemetry::{Metric, error_chain},
};
pub use ports::{Ports, Services};
use request::Request;
use segment::Limits;
use serde_json::{Value, json};
use start::StartError;
use tokio::sync::Mutex;

/// The published generation, kept while the function is warm.
#[derive(Debug, Default)]
pub(crate) struct Published {
    definitions: PublishedDefinitions,
    planner: Option<RescanPlanner>,
}

impl Published {
    /// Plans rescans up to the generation that is published *now*; `None` before the first.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub(crate) async fn planner(
        &mut self,
        store: &impl DefinitionsStore,
        size_limit: u64,
    ) -> Result<Option<&mut RescanPlanner>, PublishedError> {
        let Some(manifest) = self.definitions.refresh(store).await? else { return Ok(None) };
        let current = self.planner.take().filter(|planner| Arc::ptr_eq(planner.manifest(), &manifest));
        let new = || RescanPlanner::new(manifest).with_size_limit(size_limit);
        Ok(Some(self.planner.insert(current.unwrap_or_else(new))))
    }
}

/// How passes are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassSettings {
    /// Region in rescan triggers.
    pub region: String,
    /// Parts that the table is worked in; `None` follows its size.
    pub segments: Option<u32>,
    /// Budget of all passes of a day together.
    pub daily_budget: Budget,
    /// Retries of throttled calls.
    pub retry: RetryPolicy,
}

/// Where a page of the table of records ended.
pub(crate) type Cursor<S> = <<S as Services>::Records as RecordPages>::Cursor;

/// The function, and its state while it is warm.
pub struct Rescanner<S: Services> {
    ports: Ports<S>,
    settings: PassSettings,
    /// Largest object that is scanned, in bytes.
    size_limit: u64,
    published: Mutex<Published>,
}

/// The result of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Handled {
    /// The function's response.
    pub response: Value,
    /// Statistics of its messages.
    pub stats: PassStats,
}

impl Handled {
    /// Metrics, with their values `now`.
    pub fn counts(&self, now: DateTime<Utc>) -> Vec<(Metric, u64)> {
        let stats = &self.stats;
        let published = stats.requested.total().objects;
        // A budget is spent in a second reading, which examines nothing anew.
        if stats.examined == 0 && published == 0 && stats.waiting_since.is_none() {
            return Vec::new();
        }
        let unneeded = stats.up_to_date + stats.unaffected.values().sum::<u64>();
        let waited = stats.waiting_since.map_or(0, |since| (now - since).num_hours());
        let waited = u64::try_from(waited).unwrap_or_default();
        vec![
            (Metric::RescansPublished, published),
            (Metric::RescansUnneeded, unneeded),
            (Metric::RescanWaitHours, waited),
        ]
    }
}

/// Why an invocation failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum RescanError {
    /// No pass was started.
    #[error("no pass could be started")]
    Start(#[from] StartError),
}

impl From<RescanError> for Diagnostic {
    fn from(error: RescanError) -> Self {
        Self { error_type: "RescanError".into(), error_message: error_chain(&error) }
    }
}

impl<S: Services> Rescanner<S> {
    /// Makes the function.
    pub fn new(ports: Ports<S>, settings: PassSettings) -> Self {
        Self { ports, settings, size_limit: size_limit(None), published: Mutex::default() }
    }

    /// Requests what was refused for its size and is at most this large; without it, what the engine's own limit allows.
    #[must_use]
    pub fn with_size_limit(self, size_limit: u64) -> Self {
        Self { size_limit, ..self }
    }

    /// The services.
    pub fn ports(&self) -> &Ports<S> {
        &self.ports
    }

    /// Handles one invocation. Messages that fail are named in the response, and SQS delivers them again.
    ///
    /// # Errors
    /// [`RescanError`].
    pub async fn handle(&self, payload: &Value, limits: Limits) -> Result<Handled, RescanError> {
        let messages = match Request::read(payload) {
            Request::Start(cause) => {
                let started = self.start(cause).await?;
                tracing::info!(
                    generation = started.id.generation.0,
                    attempt = started.id.attempt,
                    segments = started.segments,
                    outcome = ?started.outcome,
                    "pass requested"
                );
                return Ok(Handled { response: json!(started), stats: PassStats::default() });
            }
            Request::Work(messages) => messages,
        };
        let (mut failed, mut stats) = (Vec::new(), PassStats::default());
        for message in messages {
            match self.work(&message.body, limits).await {
                Ok((outcome, did)) => {
                    tracing::info!(
                        outcome = ?outcome,
                        pages = did.pages,
                        examined = did.examined,
                        requested = did.requested.total().objects,
                        advanced = did.advanced,
                        unreadable = did.unreadable,
                        "segment worked on"
                    );
                    stats.add(&did);
                }
                Err(error) => {
                    tracing::error!(cause = error_chain(&error), "a segment's message failed and will be retried");
                    failed.push(json!({ "itemIdentifier": message.id }));
                }
            }
        }
        Ok(Handled { response: json!({ "batchItemFailures": failed }), stats })
    }
}
