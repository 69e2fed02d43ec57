//! The trigger message: S3's own shape, with one addition that older consumers ignore.

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::{definitions::manifest::Generation, port::TopicMessage, scan_record::RecordSummary};

/// Message attribute by which subscriptions tell rescans from uploads.
pub const CAUSE_ATTRIBUTE: &str = "nacre-cause";

/// Its value on what the rescanner publishes.
pub const CAUSE_DEFINITIONS: &str = "definitions";

/// What S3 leaves unencoded in the keys of its notifications.
const FORM_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// Asks for a recorded object to be looked at again.
#[derive(Clone, Copy, Debug)]
pub struct RescanTrigger<'a> {
    /// The record.
    pub record: &'a RecordSummary,
    /// The generation that asks.
    pub generation: Generation,
    /// Region of the bucket, as S3 would name it.
    pub region: &'a str,
    /// When.
    pub at: DateTime<Utc>,
}

impl RescanTrigger<'_> {
    /// The message to publish.
    pub fn message(&self) -> TopicMessage {
        TopicMessage {
            subject: None,
            body: json!({ "Records": [self.s3_record()] }).to_string(),
            attributes: vec![(CAUSE_ATTRIBUTE.into(), CAUSE_DEFINITIONS.into())],
            per_protocol: false,
        }
    }

    fn s3_record(&self) -> Value {
        let object = &self.record.object;
        let key = utf8_percent_encode(&object.key, FORM_ENCODED).to_string().replace("%20", "+");
        let known = [
            ("key", Some(json!(key))),
            ("eTag", Some(json!(self.record.etag))),
            ("size", Some(json!(self.record.size))),
            ("versionId", object.version_id.as_ref().map(|version_id| json!(version_id))),
            ("sequencer", self.record.sequencer.as_ref().map(|sequencer| json!(sequencer.as_str()))),
        ];
        let about: Map<String, Value> =
            known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": self.region,
            "eventTime": self.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "eventName": "ObjectCreated:Put",
            "s3": { "s3SchemaVersion": "1.0", "bucket": { "name": object.bucket }, "object": about },
            "nacre": { "cause": CAUSE_DEFINITIONS, "generation": self.generation },
        })
    }
}
