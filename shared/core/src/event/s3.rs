//! One record of an S3 notification, and S3's event on EventBridge.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Cause, EventError, Ignored, ObjectEvent, ScanRequest};
use crate::{
    generation::Generation,
    object::{ObjectId, Sequencer, form_decoded},
};

/// The kind of an event, by its name.
#[derive(Clone, Copy)]
enum EventKind {
    Written,
    Removed,
    Other,
}

/// Reads one record of a notification.
pub(super) fn read_record(record: &Value) -> ObjectEvent {
    // A record without a name is one of the predecessor's tools, which only ever request scans.
    let kind_of_event = match record.get("eventName").and_then(Value::as_str) {
        None => EventKind::Written,
        Some(name) => kind_of_event(name.strip_prefix("s3:").unwrap_or(name)),
    };
    let part = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let (Some(bucket), Some(key)) = (part("/s3/bucket/name"), part("/s3/object/key")) else {
        let missing = if part("/s3/bucket/name").is_none() { "bucket" } else { "key" };
        return ObjectEvent::Malformed(EventError::Missing(missing));
    };
    let Some(key) = form_decoded(key) else { return ObjectEvent::Malformed(EventError::KeyEncoding) };
    let generation = record.pointer("/nacre/generation").and_then(Value::as_u64);
    S3Event {
        object: ObjectId::new(bucket, key, part("/s3/object/versionId").map(str::to_owned)),
        size: record.pointer("/s3/object/size").and_then(Value::as_u64),
        sequencer: part("/s3/object/sequencer"),
        cause: generation.map_or(Cause::Upload, |generation| Cause::Definitions(Generation(generation))),
        // Our own triggers have a time, too: that of the request.
        at: record.get("eventTime").and_then(Value::as_str).filter(|_| generation.is_none()),
    }
    .event(kind_of_event)
}

/// Reads S3's event on EventBridge, whose keys are *not* encoded.
pub(super) fn read_event_bridge(event: &Value) -> ObjectEvent {
    if event.get("source").and_then(Value::as_str) != Some("aws.s3") {
        return ObjectEvent::Ignored(Ignored::ForeignEvent);
    }
    let part = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let kind_of_event = match (part("/detail-type"), part("/detail/deletion-type")) {
        (Some("Object Created" | "Object Restore Completed"), _) => EventKind::Written,
        (Some("Object Deleted"), Some("Permanently Deleted") | None) => EventKind::Removed,
        _ => EventKind::Other,
    };
    let (Some(bucket), Some(key)) = (part("/detail/bucket/name"), part("/detail/object/key")) else {
        let missing = if part("/detail/bucket/name").is_none() { "bucket" } else { "key" };
        return ObjectEvent::Malformed(EventError::Missing(missing));
    };
    S3Event {
        object: ObjectId::new(bucket, key, part("/detail/object/version-id").map(str::to_owned)),
        size: event.pointer("/detail/object/size").and_then(Value::as_u64),
        sequencer: part("/detail/object/sequencer"),
        cause: Cause::Upload,
        at: part("/time"),
    }
    .event(kind_of_event)
}

/// What every kind of event says of its object.
struct S3Event<'a> {
    object: ObjectId,
    size: Option<u64>,
    sequencer: Option<&'a str>,
    cause: Cause,
    at: Option<&'a str>,
}

impl S3Event<'_> {
    fn event(self, kind_of_event: EventKind) -> ObjectEvent {
        // An odd order stamp is as good as none: it must not cost the object its scan.
        let sequencer = self.sequencer.and_then(|text| Sequencer::try_from(text.to_owned()).ok());
        // Only S3's own events have an order stamp, and only they say when an object was written.
        let at = self.at.filter(|_| sequencer.is_some()).and_then(|at| at.parse::<DateTime<Utc>>().ok());
        let object = self.object;
        match kind_of_event {
            // Only an empty object is a mere marker: a key that ends in `/` may as well hold malware.
            EventKind::Written if object.key.ends_with('/') && self.size == Some(0) => {
                ObjectEvent::Ignored(Ignored::FolderMarker)
            }
            EventKind::Written => ObjectEvent::Scan(ScanRequest { object, sequencer, cause: self.cause, at }),
            EventKind::Removed => ObjectEvent::Removed { object, sequencer },
            EventKind::Other => ObjectEvent::Ignored(Ignored::OtherEvent),
        }
    }
}

fn kind_of_event(name: &str) -> EventKind {
    match name.split_once(':').unwrap_or((name, "")) {
        ("ObjectCreated", _) | ("ObjectRestore", "Completed") => EventKind::Written,
        // A delete marker hides the object but removes no version of it.
        ("ObjectRemoved" | "LifecycleExpiration", "Delete") => EventKind::Removed,
        _ => EventKind::Other,
    }
}
