//! One message that was given up on.

use std::collections::HashMap;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use chrono::{DateTime, SecondsFormat, Utc};
use nacre_core::{
    event::{Invocation, ObjectEvent},
    object::ObjectId,
};
use serde_json::{Value, json};

use crate::function_logs::Line;

/// Most characters of a message without objects that are shown.
const MAX_SHOWN: usize = 200;

/// Said where no function said anything.
pub(super) const NO_CAUSE: &str =
    "no failure is logged: the function was killed or timed out, or its log is older than it is kept";

/// A message, what it is about, and why it is here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Letter {
    pub(super) id: String,
    pub(super) receipt: String,
    pub(super) body: String,
    pub(super) attributes: HashMap<String, MessageAttributeValue>,
    pub(super) sent: Option<DateTime<Utc>>,
    pub(super) objects: Vec<ObjectId>,
    pub(super) cause: String,
}

impl Letter {
    /// Reads a message. `lines` are failures that were logged, oldest first. Pure.
    pub(super) fn read(message: &Message, lines: &[Line]) -> Self {
        let body = message.body().unwrap_or_default().to_owned();
        let objects = objects(&body);
        let sent = message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
        let sent = sent.and_then(|at| at.parse().ok()).and_then(DateTime::from_timestamp_millis);
        Self {
            id: message.message_id().unwrap_or_default().to_owned(),
            receipt: message.receipt_handle().unwrap_or_default().to_owned(),
            attributes: message.message_attributes().cloned().unwrap_or_default(),
            cause: cause(&objects, sent, lines),
            sent,
            objects,
            body,
        }
    }

    /// Whether it is the rescanner's hourly or daily watch, which no pass makes good.
    pub(super) fn is_of_a_schedule(&self) -> bool {
        serde_json::from_str::<Value>(&self.body).is_ok_and(|body| body.get("watch").is_some())
    }

    /// An attribute of text.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(MessageAttributeValue::string_value)
    }

    /// What it is about, one object a line.
    pub(super) fn lines(&self) -> Vec<String> {
        let time = self.sent.map(|sent| sent.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default();
        if self.objects.is_empty() {
            return vec![format!("{time}  {}", self.body.chars().take(MAX_SHOWN).collect::<String>())];
        }
        self.objects.iter().map(|object| format!("{time}  {object}")).collect()
    }

    pub(super) fn json(&self) -> Value {
        let objects: Vec<_> = self.objects.iter().map(ToString::to_string).collect();
        json!({ "id": self.id, "sent": self.sent, "objects": objects, "cause": self.cause, "body": self.body })
    }
}

/// The objects that a message names, once each.
fn objects(body: &str) -> Vec<ObjectId> {
    let payload: Value = serde_json::from_str(body).unwrap_or_default();
    let mut objects = Vec::new();
    for event in Invocation::read(&payload).messages.into_iter().flat_map(|message| message.events) {
        let object = match event {
            ObjectEvent::Scan(request) => request.object,
            ObjectEvent::Removed { object, .. } => object,
            ObjectEvent::Ignored(_) | ObjectEvent::Malformed(_) => continue,
        };
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    objects
}

/// The newest failure of one of the objects since the message was sent; without objects, of the function. The objects' names are taken
/// out, so that one cause is one text.
fn cause(objects: &[ObjectId], sent: Option<DateTime<Utc>>, lines: &[Line]) -> String {
    let is_later = |line: &&Line| sent.is_none_or(|sent| line.at >= sent);
    let is_about = |line: &&Line| objects.is_empty() || objects.iter().any(|object| line.is_about(object));
    let Some(line) = lines.iter().rev().find(|line| is_later(line) && is_about(line)) else { return NO_CAUSE.into() };
    let mut cause = line.text("cause").unwrap_or(&line.message).to_owned();
    for object in objects {
        let plain = ObjectId { version_id: None, ..object.clone() };
        if let Some(version) = line.text("s3.version_id").or(object.version_id.as_deref()) {
            cause = cause.replace(&plain.at_version(Some(version.to_owned())).to_string(), "the object");
        }
        cause = cause.replace(&plain.to_string(), "the object");
    }
    cause
}

/// Which messages a command is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selection<'a> {
    pub(super) cause: Option<&'a str>,
    pub(super) object: Option<&'a ObjectId>,
}

impl Selection<'_> {
    /// Whether a message is among them. Pure.
    pub(super) fn takes(&self, letter: &Letter) -> bool {
        let about = |wanted: &ObjectId| {
            letter.objects.iter().any(|object| {
                let versions = (&object.version_id, &wanted.version_id);
                let same_version = !matches!(versions, (Some(is), Some(wanted)) if is != wanted);
                (&object.bucket, &object.key) == (&wanted.bucket, &wanted.key) && same_version
            })
        };
        self.cause.is_none_or(|text| letter.cause.contains(text)) && self.object.is_none_or(about)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use nacre_core::event::{PLAN_ATTRIBUTE, RescanKind};
    use serde_json::Map;

    use super::*;
    use crate::deployment::Part;
    use crate::dlq::queue::DeadLetterQueue;

    fn body(key: &str) -> String {
        json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": key, "versionId": "1" } } }] })
        .to_string()
    }

    fn failure(key: &str, seconds: i64, cause: &str) -> Line {
        let fields: [(String, Value); 3] =
            [("s3.bucket".into(), "b".into()), ("s3.key".into(), key.into()), ("cause".into(), cause.into())];
        let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let (level, message) = ("ERROR".to_owned(), "record failed".to_owned());
        Line { at, function: "scanner", level, message, fields: Map::from_iter(fields) }
    }

    fn letter(key: &str, lines: &[Line]) -> Letter {
        let message = Message::builder().message_id("m").body(body(key));
        let message = message.attributes(MessageSystemAttributeName::SentTimestamp, "5000").build();
        Letter::read(&message, lines)
    }

    #[test]
    fn the_cause_is_the_last_failure_of_its_own_object() {
        let lines = [
            failure("a", 1, "before it was sent"),
            failure("a", 6, "an older one"),
            failure("a", 7, "PutObjectTagging of s3://b/a?versionId=1: access denied"),
            failure("other", 8, "no"),
        ];
        let letter_a = letter("a", &lines);
        assert_eq!(letter_a.cause, "PutObjectTagging of the object: access denied");
        assert_eq!(letter_a.objects, [ObjectId::new("b", "a", Some("1".into()))]);
        assert_eq!(letter("c", &lines).cause, NO_CAUSE);
        let (denied, slow) = (Some("access denied"), Some("slow"));
        let object = letter_a.objects.first();
        assert!(Selection { cause: denied, object }.takes(&letter_a));
        assert!(!Selection { cause: slow, object }.takes(&letter_a));
        let other = ObjectId::new("b", "a", Some("2".into()));
        assert!(!Selection { cause: None, object: Some(&other) }.takes(&letter_a));
    }

    #[test]
    fn what_is_no_event_is_shown_as_it_is() {
        let message = Message::builder().body("{\"segment\": 3}").build();
        let letter = Letter::read(&message, &[]);
        assert!(letter.objects.is_empty() && letter.lines()[0].contains("segment"));
    }

    #[test]
    fn a_rescan_goes_back_to_its_own_queue() {
        let value = |kind: RescanKind| {
            let value = MessageAttributeValue::builder().data_type("String").string_value(kind.name());
            value.build().unwrap()
        };
        let with = |kind| {
            let message = Message::builder().body(body("a")).message_attributes(PLAN_ATTRIBUTE, value(kind)).build();
            DeadLetterQueue::Rescan.source(&Letter::read(&message, &[]))
        };
        assert_eq!(with(RescanKind::Full), Some(Part::FullRescanQueue));
        assert_eq!(with(RescanKind::Delta), Some(Part::RescanQueue));
        let plain = letter("a", &[]);
        assert_eq!(DeadLetterQueue::Scan.source(&plain), Some(Part::ScanQueue));
        assert_eq!(DeadLetterQueue::Announcement.source(&plain), None);
    }
}
