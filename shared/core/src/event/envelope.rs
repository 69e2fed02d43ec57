//! Unwraps what carries S3's events: Lambda's invocation payloads of SQS, SNS and EventBridge, and envelopes in bodies.

use serde_json::Value;

use super::{EventError, Ignored, ObjectEvent, s3};
use crate::port::Delivery;

/// Deepest nesting of envelopes that is followed: a Lambda payload of SQS messages of SNS notifications of S3 events is 3.
const MAX_DEPTH: usize = 4;

/// What a Lambda function is invoked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The messages, each to be done or failed as a whole.
    pub messages: Vec<Message>,
}

/// One message and what its records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The id by which the response names this message to SQS as failed; `None` when the invocation can only fail as a whole.
    pub id: Option<String>,
    /// How it came, where a queue says so.
    pub delivery: Option<Delivery>,
    /// What its records say, in their order; never empty.
    pub events: Vec<ObjectEvent>,
}

impl Invocation {
    /// Reads an invocation's payload. Never fails: what cannot be read is a [`ObjectEvent::Malformed`].
    pub fn read(payload: &Value) -> Self {
        let queued = records(payload).filter(|records| records.iter().all(|record| source(record) == Some("aws:sqs")));
        let messages = match queued {
            Some(records) => records.iter().map(Message::of_queue).collect(),
            None => vec![Message { id: None, delivery: None, events: read_value(payload, 1) }],
        };
        Self { messages }
    }
}

impl Message {
    fn of_queue(record: &Value) -> Self {
        let events = match record.get("body").and_then(Value::as_str) {
            Some(body) => read_text(body, 1),
            None => vec![ObjectEvent::Malformed(EventError::Missing("message body"))],
        };
        let id = record.get("messageId").and_then(Value::as_str).map(str::to_owned);
        Self { id, delivery: read_delivery(record), events }
    }
}

fn read_delivery(record: &Value) -> Option<Delivery> {
    let text = |at: &Value, name: &str| at.get(name).and_then(Value::as_str).map(str::to_owned);
    let receives = text(record.get("attributes")?, "ApproximateReceiveCount")?.parse().ok()?;
    Some(Delivery { queue_arn: text(record, "eventSourceARN")?, receipt: text(record, "receiptHandle")?, receives })
}

/// Reads a body or an envelope's content.
fn read_text(text: &str, depth: usize) -> Vec<ObjectEvent> {
    let parsed = serde_json::from_str(text).or_else(|_| serde_json::from_str(&without_trailing_commas(text)));
    match parsed {
        Ok(value) => read_value(&value, depth),
        Err(_) => vec![ObjectEvent::Malformed(EventError::NotJson)],
    }
}

fn read_value(value: &Value, depth: usize) -> Vec<ObjectEvent> {
    if depth > MAX_DEPTH {
        return vec![ObjectEvent::Malformed(EventError::TooDeep(MAX_DEPTH))];
    }
    if let Some(records) = records(value) {
        return records.iter().flat_map(|record| read_record(record, depth)).collect();
    }
    if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return vec![ObjectEvent::Ignored(Ignored::TestEvent)];
    }
    // An SNS envelope, as SQS and HTTP subscribers receive it.
    if let (Some(_), Some(message)) = (value.get("TopicArn"), value.get("Message").and_then(Value::as_str)) {
        return read_text(message, depth + 1);
    }
    if value.get("detail-type").is_some() {
        return vec![s3::read_event_bridge(value)];
    }
    vec![ObjectEvent::Malformed(EventError::NoRecords)]
}

fn read_record(record: &Value, depth: usize) -> Vec<ObjectEvent> {
    let text = |at: &Value, name: &str| at.get(name).and_then(Value::as_str).map(str::to_owned);
    match source(record) {
        Some("aws:sns") => match record.get("Sns").and_then(|sns| text(sns, "Message")) {
            Some(message) => read_text(&message, depth + 1),
            None => vec![ObjectEvent::Malformed(EventError::Missing("SNS message"))],
        },
        Some("aws:sqs") => match text(record, "body") {
            Some(body) => read_text(&body, depth + 1),
            None => vec![ObjectEvent::Malformed(EventError::Missing("message body"))],
        },
        // The predecessor's own tools leave the source out.
        Some("aws:s3") | None => vec![s3::read_record(record)],
        Some(_) => vec![ObjectEvent::Ignored(Ignored::ForeignEvent)],
    }
}

/// The records of a message; `None` when it has none, and an empty list is none.
fn records(value: &Value) -> Option<&Vec<Value>> {
    value.get("Records").and_then(Value::as_array).filter(|records| !records.is_empty())
}

/// SNS writes `EventSource`, everyone else `eventSource`.
fn source(record: &Value) -> Option<&str> {
    record.get("eventSource").or_else(|| record.get("EventSource")).and_then(Value::as_str)
}

/// Drops every comma that stands before a closing bracket outside strings: the predecessor's documented sample has one.
fn without_trailing_commas(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if matches!(c, '}' | ']') {
            let content = kept.trim_end();
            if content.ends_with(',') {
                kept.truncate(content.len() - 1);
            }
        } else {
            in_string = c == '"';
        }
        kept.push(c);
    }
    kept
}
