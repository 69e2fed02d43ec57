//! The trigger message: S3's own shape, with one addition that older consumers ignore.

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::{
    generation::Generation,
    object::{ObjectId, Sequencer},
    port::TopicMessage,
    scan_record::RecordSummary,
};

/// Message attribute by which subscriptions separate rescans from uploads.
pub const CAUSE_ATTRIBUTE: &str = "nacre-cause";

/// Its value on what the rescanner publishes.
pub const CAUSE_DEFINITIONS: &str = "definitions";

/// What S3 leaves unencoded in the keys of its notifications.
const FORM_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// Message attribute with the kind of a rescan, by which subscriptions separate the two.
pub const PLAN_ATTRIBUTE: &str = "nacre-plan";

/// The kind of a rescan, which decides how much of the engine it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RescanKind {
    /// The added signatures and their context.
    Delta,
    /// All definitions.
    Full,
}

impl RescanKind {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Full => "full",
        }
    }
}

/// A request to scan recorded objects again, several in one message.
#[derive(Clone, Copy, Debug)]
pub struct RescanTrigger<'a> {
    /// The generation of the request.
    pub generation: Generation,
    /// The kind of scan that they need, as far as the sender knows.
    pub kind: RescanKind,
    /// Region of the buckets, as S3 would name it.
    pub region: &'a str,
    /// Time of the request.
    pub at: DateTime<Utc>,
}

/// One object in a rescan trigger.
#[derive(Clone, Copy, Debug)]
pub struct RescanTarget<'a> {
    /// The object.
    pub object: &'a ObjectId,
    /// ETag of its bytes.
    pub etag: &'a str,
    /// Bytes.
    pub size: u64,
    /// S3's order stamp, when known.
    pub sequencer: Option<&'a Sequencer>,
}

impl<'a> From<&'a RecordSummary> for RescanTarget<'a> {
    fn from(record: &'a RecordSummary) -> Self {
        Self { object: &record.object, etag: &record.etag, size: record.size, sequencer: record.sequencer.as_ref() }
    }
}

impl RescanTrigger<'_> {
    /// The message to publish.
    pub fn message<'r>(&self, records: impl IntoIterator<Item = RescanTarget<'r>>) -> TopicMessage {
        let records: Vec<Value> = records.into_iter().map(|record| self.s3_record(record)).collect();
        TopicMessage {
            subject: None,
            body: json!({ "Records": records }).to_string(),
            attributes: vec![
                (CAUSE_ATTRIBUTE.into(), CAUSE_DEFINITIONS.into()),
                (PLAN_ATTRIBUTE.into(), self.kind.name().into()),
            ],
            per_protocol: false,
        }
    }

    fn s3_record(&self, RescanTarget { object, etag, size, sequencer }: RescanTarget<'_>) -> Value {
        let key = utf8_percent_encode(&object.key, FORM_ENCODED).to_string().replace("%20", "+");
        let known = [
            ("key", Some(json!(key))),
            ("eTag", Some(json!(etag))),
            ("size", Some(json!(size))),
            ("versionId", object.version_id.as_ref().map(|version_id| json!(version_id))),
            ("sequencer", sequencer.map(|sequencer| json!(sequencer.as_str()))),
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
