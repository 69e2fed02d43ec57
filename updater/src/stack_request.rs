//! `CloudFormation`'s request for an update when a stack is created or changed, and the answer that it waits for.
//!
//! The answer is `SUCCESS` whatever the update came to: a mirror that is away today is no reason to take a stack back. What
//! happened is in the answer's data, which the template puts into an output. "Custom resource request and response reference" of the
//! `CloudFormation` User Guide has the fields.

use std::time::Duration;

use nacre_core::telemetry::error_chain;
use reqwest::{Client, Url, redirect};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;

use crate::update::{Update, UpdateError};

/// Of what an update came to, in bytes. The whole answer may have 4,096, and JSON may write each of these as two.
const MAX_OUTCOME_BYTES: usize = 1_000;

/// For one attempt to answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

// try / 1 s / try / 2 s / try / 4 s / try
const WAITS: [u64; 3] = [1, 2, 4];

/// What all attempts to answer take at most, which the update has to leave.
pub const ANSWERING_TIME: Duration = Duration::from_secs(45);

/// What becomes of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum RequestType {
    Create,
    Update,
    Delete,
}

/// A request of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StackRequest {
    request_type: RequestType,
    request_id: String,
    stack_id: String,
    logical_resource_id: String,
    physical_resource_id: Option<String>,
    #[serde(rename = "ResponseURL")]
    response_url: String,
}

/// Why a stack was not answered; it fails when its own time is over.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Whoever may invoke the function could otherwise have it send requests inside the network that it is in.
    #[error("the stack's ResponseURL is neither https nor that of a local AWS: the request is not CloudFormation's")]
    Address,
    /// The client could not be made, or no attempt succeeded.
    #[error("CloudFormation did not take the answer")]
    Http(#[source] reqwest::Error),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    data: Data,
}

/// The attributes of the resource: both are always there, since the template's outputs name them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    /// The published generation, or `none`.
    generation: String,
    outcome: String,
}

impl StackRequest {
    /// The request that an event is; `None` for any other event.
    pub fn parse(event: &Value) -> Option<Self> {
        Self::deserialize(event).ok()
    }

    /// Whether the resource goes away, and nothing is to be updated.
    pub fn is_deletion(&self) -> bool {
        self.request_type == RequestType::Delete
    }

    /// The answer after an update, or for a deletion without one.
    pub fn answer(&self, update: Option<&Result<Update, UpdateError>>) -> Vec<u8> {
        let (generation, outcome) = match update {
            None => (None, "nothing to do".to_owned()),
            Some(Ok(update)) => (Some(update.generation()), in_words(update)),
            Some(Err(error)) => (None, format!("failed, and is tried again on schedule: {}", error_chain(error))),
        };
        let answer = Answer {
            status: "SUCCESS",
            // The same for ever: another one would have CloudFormation replace the resource.
            physical_resource_id: self.physical_resource_id.as_deref().unwrap_or("nacre-first-update"),
            stack_id: &self.stack_id,
            request_id: &self.request_id,
            logical_resource_id: &self.logical_resource_id,
            data: Data {
                generation: generation.map_or_else(|| "none".to_owned(), |generation| generation.0.to_string()),
                outcome: bounded(&outcome),
            },
        };
        // Serialising strings to memory cannot fail.
        serde_json::to_vec(&answer).unwrap_or_default()
    }

    /// Sends the answer, by PUT and without a content type: the URL is signed for a request that has none.
    ///
    /// `endpoint` is that of AWS, where another than AWS's own is set.
    ///
    /// # Errors
    /// [`AnswerError`], of the last attempt.
    pub async fn send(&self, answer: Vec<u8>, endpoint: Option<&str>) -> Result<(), AnswerError> {
        let url = Url::parse(&self.response_url).ok().filter(|url| is_allowed(url, endpoint));
        let url = url.ok_or(AnswerError::Address)?;
        let client = Client::builder().timeout(ATTEMPT_TIMEOUT).redirect(redirect::Policy::none()).build();
        let client = client.map_err(AnswerError::Http)?;
        let attempt = || async {
            let sent = client.put(url.clone()).body(answer.clone()).send().await;
            // The URL is a permission to write, and no log's business.
            sent.and_then(reqwest::Response::error_for_status).map_err(reqwest::Error::without_url)
        };
        for wait in WAITS {
            match attempt().await {
                Ok(_) => return Ok(()),
                Err(_) => sleep(Duration::from_secs(wait)).await,
            }
        }
        attempt().await.map(drop).map_err(AnswerError::Http)
    }
}

/// Only https leaves this machine. A local AWS is one whose endpoint is on loopback, too.
fn is_allowed(url: &Url, endpoint: Option<&str>) -> bool {
    let is_local = |url: &Url| matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    let endpoint = || endpoint.and_then(|endpoint| Url::parse(endpoint).ok());
    match url.scheme() {
        "https" => true,
        "http" => is_local(url) && endpoint().is_some_and(|endpoint| is_local(&endpoint)),
        _ => false,
    }
}

fn in_words(update: &Update) -> String {
    match update {
        Update::Published { generation, databases, .. } => {
            format!("published generation {}: {}", generation.0, databases.join(", "))
        }
        Update::UpToDate { generation, .. } => format!("generation {} is up to date", generation.0),
        Update::CoolingDown { generation, until } => {
            format!("generation {} stays; the mirrors want no request until {until}", generation.0)
        }
        Update::Pinned { generation } => format!("generation {} is pinned", generation.0),
    }
}

/// On one line, and no longer than the answer can take.
fn bounded(text: &str) -> String {
    let mut bounded: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if bounded.len() > MAX_OUTCOME_BYTES {
        bounded.truncate(bounded.floor_char_boundary(MAX_OUTCOME_BYTES));
        bounded.push_str("… (the updater's log has the rest)");
    }
    bounded
}

#[cfg(test)]
mod tests;
