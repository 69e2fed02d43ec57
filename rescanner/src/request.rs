//! The payload of an invocation.

use nacre_core::rescan::pass::Cause;
use serde_json::Value;

/// The request that an invocation makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Start a pass if one is needed.
    Start(Cause),
    /// Work on segments.
    Work(Vec<Queued>),
}

/// A message of our own queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The id by which SQS identifies it as failed.
    pub id: String,
    /// The body as it was sent.
    pub body: String,
}

impl Request {
    /// Reads an invocation's payload. An unknown envelope starts a pass by hand: an unneeded one does no harm.
    pub fn read(payload: &Value) -> Self {
        let records = payload.get("Records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let queued: Vec<Queued> = records.iter().filter_map(queued).collect();
        if !queued.is_empty() {
            return Self::Work(queued);
        }
        // SNS writes `EventSource`.
        let is_announced = records.iter().any(|record| record.get("EventSource").is_some());
        let is_scheduled = payload.get("detail-type").is_some();
        Self::Start(match (is_announced, is_scheduled) {
            (true, _) => Cause::Announced,
            (false, true) => Cause::Scheduled,
            (false, false) => Cause::Manual,
        })
    }
}

fn queued(record: &Value) -> Option<Queued> {
    let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
    (record.get("eventSource")? == "aws:sqs").then_some(())?;
    Some(Queued { id: text("messageId")?, body: text("body").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn envelopes_are_recognised_by_their_form() {
        let work = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": "{}" }] });
        assert_eq!(Request::read(&work), Request::Work(vec![Queued { id: "m".into(), body: "{}".into() }]));
        let announcement = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": "{}" } }] });
        let scheduled = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
        for (payload, cause) in [
            (announcement, Cause::Announced),
            (scheduled, Cause::Scheduled),
            (json!({ "rescan": "start" }), Cause::Manual),
            (json!({}), Cause::Manual),
            (json!(null), Cause::Manual),
        ] {
            assert_eq!(Request::read(&payload), Request::Start(cause), "{payload}");
        }
    }
}
