//! The rescanner: when a generation is published, asks for every recorded object that needs another look.
//!
//! A pass over the table is begun by an announcement, by a schedule or by hand, and worked in segments by messages that the function sends
//! to itself: none needs more than an invocation's time, and one that is killed is taken up where it was.

pub mod begin;
pub mod config;
mod page;
mod ports;
pub mod request;
pub mod segment;
pub mod task;

use std::sync::Arc;

use begin::BeginError;
use lambda_runtime::Diagnostic;
use nacre_core::{
    generation::{follower::PublishedDefinitions, published::PublishedError},
    port::{DefinitionsStore, RecordPages},
    rescan::{
        pass::{Budget, Tally},
        planner::RescanPlanner,
    },
    retry::RetryPolicy,
    telemetry::{Metric, error_chain},
};
pub use ports::{Ports, Services};
use request::Request;
use segment::Limits;
use serde_json::{Value, json};
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
    ) -> Result<Option<&mut RescanPlanner>, PublishedError> {
        let Some(manifest) = self.definitions.refresh(store).await? else { return Ok(None) };
        let current = self.planner.take().filter(|planner| Arc::ptr_eq(planner.manifest(), &manifest));
        Ok(Some(self.planner.insert(current.unwrap_or_else(|| RescanPlanner::new(manifest)))))
    }
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

/// Where a page of the table of records ended.
pub(crate) type Cursor<S> = <<S as Services>::Records as RecordPages>::Cursor;

/// The function, and what it keeps while it is warm.
pub struct Rescanner<S: Services> {
    ports: Ports<S>,
    settings: PassSettings,
    published: Mutex<Published>,
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

impl<S: Services> Rescanner<S> {
    /// Makes the function.
    pub fn new(ports: Ports<S>, settings: PassSettings) -> Self {
        Self { ports, settings, published: Mutex::default() }
    }

    /// What it speaks to.
    pub fn ports(&self) -> &Ports<S> {
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
