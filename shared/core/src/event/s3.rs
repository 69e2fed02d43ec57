//! One record of an S3 notification, and S3's event on EventBridge.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Cause, EventError, Ignored, Notice, ScanRequest};
use crate::{
    generation::Generation,
    object::{ObjectId, Sequencer},
};

/// What an event name means to us.
#[derive(Clone, Copy)]
enum Happening {
    Written,
    Removed,
    Other,
}

/// Reads one record of a notification.
pub(super) fn read_record(record: &Value) -> Notice {
    // A record without a name is one of the predecessor's tools, which only ever ask for scans.
    let happening = match record.get("eventName").and_then(Value::as_str) {
        None => Happening::Written,
        Some(name) => happening(name.strip_prefix("s3:").unwrap_or(name)),
    };
    let part = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let (Some(bucket), Some(key)) = (part("/s3/bucket/name"), part("/s3/object/key")) else {
        let missing = if part("/s3/bucket/name").is_none() { "bucket" } else { "key" };
        return Notice::Malformed(EventError::Missing(missing));
    };
    let Some(key) = form_decoded(key) else { return Notice::Malformed(EventError::KeyEncoding) };
    let generation = record.pointer("/nacre/generation").and_then(Value::as_u64);
    Announcement {
        object: ObjectId::new(bucket, key, part("/s3/object/versionId").map(str::to_owned)),
        size: record.pointer("/s3/object/size").and_then(Value::as_u64),
        sequencer: part("/s3/object/sequencer"),
        cause: generation.map_or(Cause::Upload, |generation| Cause::Definitions(Generation(generation))),
    }
    .notice(happening)
}

/// Reads S3's event on EventBridge, whose keys are *not* encoded.
pub(super) fn read_event_bridge(event: &Value) -> Notice {
    if event.get("source").and_then(Value::as_str) != Some("aws.s3") {
        return Notice::Ignored(Ignored::ForeignEvent);
    }
    let part = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let happening = match (part("/detail-type"), part("/detail/deletion-type")) {
        (Some("Object Created" | "Object Restore Completed"), _) => Happening::Written,
        (Some("Object Deleted"), Some("Permanently Deleted") | None) => Happening::Removed,
        _ => Happening::Other,
    };
    let (Some(bucket), Some(key)) = (part("/detail/bucket/name"), part("/detail/object/key")) else {
        let missing = if part("/detail/bucket/name").is_none() { "bucket" } else { "key" };
        return Notice::Malformed(EventError::Missing(missing));
    };
    Announcement {
        object: ObjectId::new(bucket, key, part("/detail/object/version-id").map(str::to_owned)),
        size: event.pointer("/detail/object/size").and_then(Value::as_u64),
        sequencer: part("/detail/object/sequencer"),
        cause: Cause::Upload,
    }
    .notice(happening)
}

/// What every kind of event says of its object.
struct Announcement<'a> {
    object: ObjectId,
    size: Option<u64>,
    sequencer: Option<&'a str>,
    cause: Cause,
}

impl Announcement<'_> {
    fn notice(self, happening: Happening) -> Notice {
        // An odd order stamp is as good as none: it must not cost the object its scan.
        let sequencer = self.sequencer.and_then(|text| Sequencer::try_from(text.to_owned()).ok());
        let object = self.object;
        match happening {
            // Only an empty object is a mere marker: a key that ends in `/` may as well hold malware.
            Happening::Written if object.key.ends_with('/') && self.size == Some(0) => {
                Notice::Ignored(Ignored::FolderMarker)
            }
            Happening::Written => Notice::Scan(ScanRequest { object, sequencer, cause: self.cause }),
            Happening::Removed => Notice::Removed { object, sequencer },
            Happening::Other => Notice::Ignored(Ignored::OtherEvent),
        }
    }
}

fn happening(name: &str) -> Happening {
    match name.split_once(':').unwrap_or((name, "")) {
        ("ObjectCreated", _) | ("ObjectRestore", "Completed") => Happening::Written,
        // A delete marker hides the object but removes no version of it.
        ("ObjectRemoved" | "LifecycleExpiration", "Delete") => Happening::Removed,
        _ => Happening::Other,
    }
}

/// Decodes a key as S3's notifications encode it, exactly once: `+` is a space, `%2B` a plus.
fn form_decoded(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().filter(|key| !key.is_empty()).map(Into::into)
}
