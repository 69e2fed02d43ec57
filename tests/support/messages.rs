//! Invocations as SQS makes them, of messages as S3 and the rescanner send them.

use nacre_aws::SystemClock;
use nacre_core::{
    event::{RescanKind, RescanTarget, RescanTrigger},
    generation::Generation,
    object::ObjectId,
    port::{Clock, TopicMessage},
};
use serde_json::{Value, json};

/// One invocation with these message bodies. Each message's id is its number, from 0.
pub fn sqs_event(bodies: impl IntoIterator<Item = String>) -> Value {
    let message = |(number, body): (usize, String)| json!({ "eventSource": "aws:sqs", "messageId": number.to_string(), "body": body });
    json!({ "Records": bodies.into_iter().enumerate().map(message).collect::<Vec<_>>() })
}

/// The body of a message that says that these objects were written.
pub fn uploads(objects: &[ObjectId]) -> String {
    let record = |object: &ObjectId| {
        json!({
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": object.bucket }, "object": { "key": object.key, "versionId": object.version_id } },
        })
    };
    json!({ "Records": objects.iter().map(record).collect::<Vec<_>>() }).to_string()
}

/// The message that asks for a delta scan of these objects.
pub fn rescans<'a>(generation: Generation, targets: impl IntoIterator<Item = RescanTarget<'a>>) -> TopicMessage {
    let trigger = RescanTrigger { generation, kind: RescanKind::Delta, region: "eu-west-1", at: SystemClock.now() };
    trigger.message(targets)
}
