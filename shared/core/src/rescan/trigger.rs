//! Asks for objects, several in a message.

use std::time::Duration;

use crate::{
    event::{RescanTarget, RescanTrigger},
    port::{StoreError, Topic, TopicMessage},
    retry::RetryPolicy,
};

/// Most objects that one message names: when one of them fails, all of them come again.
const MAX_OBJECTS: usize = 25;

/// Most bytes of objects that one message names, unless it names one alone.
const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// Most bytes of a message. SNS charges for each 64 KB started.
const MAX_MESSAGE_BYTES: usize = 60_000;

/// What a record takes in a message besides its names.
const RECORD_BYTES: usize = 450;

/// Why objects were not asked for.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The topic refused whole batches.
    #[error("rescan triggers could not be published")]
    Topic(#[source] StoreError),
    /// The topic refused single messages, also when asked again.
    #[error("{messages} messages of rescan triggers were refused")]
    Refused {
        /// How many.
        messages: usize,
    },
}

/// The messages that ask for these objects.
pub fn messages(trigger: &RescanTrigger<'_>, objects: &[RescanTarget<'_>]) -> Vec<TopicMessage> {
    let mut messages = Vec::new();
    let mut rest = objects;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(fitting(rest));
        messages.push(trigger.message(now.iter().copied()));
        rest = later;
    }
    messages
}

/// How many of the first objects one message names.
fn fitting(objects: &[RescanTarget<'_>]) -> usize {
    let (mut object_bytes, mut message_bytes) = (0_u64, 0_usize);
    let fits = |recorded: &&RescanTarget<'_>| {
        object_bytes = object_bytes.saturating_add(recorded.size);
        message_bytes += most_bytes(recorded);
        object_bytes <= MAX_OBJECT_BYTES && message_bytes <= MAX_MESSAGE_BYTES
    };
    objects.iter().take(MAX_OBJECTS).take_while(fits).count().max(1)
}

/// No object takes more in a message: each byte of a key is three at most.
fn most_bytes(recorded: &RescanTarget<'_>) -> usize {
    let object = recorded.object;
    let version = object.version_id.as_ref().map_or(0, String::len);
    let sequencer = recorded.sequencer.map_or(0, |sequencer| sequencer.as_str().len());
    RECORD_BYTES + object.bucket.len() + 3 * object.key.len() + version + recorded.etag.len() + sequencer
}

/// Publishes messages; those that the topic refuses are offered again. `sleep` waits between two attempts.
///
/// # Errors
/// [`PublishError`]; some may have been published.
pub async fn publish<Sleep: Future<Output = ()>>(
    topic: &impl Topic,
    mut messages: Vec<TopicMessage>,
    retry: RetryPolicy,
    sleep: impl Fn(Duration) -> Sleep,
) -> Result<(), PublishError> {
    let mut waits = retry.waits();
    while !messages.is_empty() {
        let refused = retry.call(&sleep, || topic.publish_all(&messages)).await.map_err(PublishError::Topic)?;
        messages = refused.into_iter().filter_map(|index| messages.get(index).cloned()).collect();
        match waits.next() {
            _ if messages.is_empty() => break,
            Some(wait) => sleep(wait).await,
            None => return Err(PublishError::Refused { messages: messages.len() }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{
        builder::record,
        event::{Invocation, RescanKind},
        generation::Generation,
        object::ObjectId,
        scan_record::{RecordSummary, ScanRecord},
    };
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_record_is_in_exactly_one_message_of_bounded_size(
            objects in prop::collection::vec((0_u64..(200 << 20), "[ -~äß€]{1,300}"), 0..80),
        ) {
            let summaries: Vec<RecordSummary> = objects
                .iter()
                .map(|(size, key)| ScanRecord { size: *size, object: ObjectId::new("bucket", key, None), ..record("", "") })
                .map(|record| RecordSummary::from(&record))
                .collect();
            let (generation, kind) = (Generation(u64::MAX), RescanKind::Delta);
            let trigger = RescanTrigger { generation, kind, region: "ap-southeast-2", at: DateTime::UNIX_EPOCH };
            let messages = messages(&trigger, &summaries.iter().map(RescanTarget::from).collect::<Vec<_>>());
            let mut named = 0;
            for message in &messages {
                let read = Invocation::read(&serde_json::from_str(&message.body).unwrap());
                let events = read.messages[0].events.len();
                let bytes: u64 = summaries[named..named + events].iter().map(|summary| summary.size).sum();
                prop_assert!(events == 1 || bytes <= MAX_OBJECT_BYTES);
                prop_assert!(events <= MAX_OBJECTS && message.body.len() <= MAX_MESSAGE_BYTES, "{}", message.body.len());
                named += events;
            }
            prop_assert_eq!(named, summaries.len());
        }
    }
}
