//! A topic, in SNS.

use std::{collections::HashSet, ops::Range, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_sns::{
    Client,
    types::{BatchResultErrorEntry, MessageAttributeValue, PublishBatchRequestEntry},
};
use nacre_core::port::{Call, StoreError, Topic, TopicMessage};

use crate::store_error::failed;

/// Most messages of one `PublishBatch`.
const BATCH_MESSAGES: usize = 10;

/// Most bytes of one `PublishBatch`, with room left for what surrounds bodies and attributes.
const BATCH_BYTES: usize = 200 << 10;

/// Attempts to publish entries that SNS did not accept.
const ATTEMPTS: u32 = 4;

/// One topic.
#[derive(Clone, Debug)]
pub struct SnsTopic {
    client: Client,
    arn: String,
}

impl SnsTopic {
    /// Uses this topic.
    pub fn new(config: &SdkConfig, arn: &str) -> Self {
        Self { client: Client::new(config), arn: arn.to_owned() }
    }

    /// Publishes one batch; returns the refusal of each message that SNS did not accept.
    async fn publish_batch(&self, batch: &[(usize, &TopicMessage)]) -> Result<Vec<(usize, Refusal)>, StoreError> {
        let call = Call::new("PublishBatch", &self.arn);
        let entries = batch.iter().map(|(index, message)| {
            let entry = PublishBatchRequestEntry::builder().id(index.to_string()).message(&message.body);
            let attributes = attributes(message, &call)?.into_iter().collect();
            let entry = entry.set_subject(message.subject.clone()).set_message_attributes(Some(attributes));
            entry
                .set_message_structure(structure(message))
                .build()
                .map_err(|error| StoreError::Unexpected(call.clone(), error.into()))
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let request = self.client.publish_batch().topic_arn(&self.arn).set_publish_batch_request_entries(Some(entries));
        let response = request.send().await.map_err(failed(call.clone()))?;
        // A message that the response does not name as accepted was not.
        let taken: HashSet<&str> = response.successful().iter().filter_map(|taken| taken.id()).collect();
        let faults: HashSet<&str> =
            response.failed().iter().filter(|failed| failed.sender_fault()).map(BatchResultErrorEntry::id).collect();
        let left = batch.iter().map(|(index, _)| (*index, index.to_string()));
        let refusal = |id: &str| if faults.contains(id) { Refusal::Final } else { Refusal::Transient };
        Ok(left.filter(|(_, id)| !taken.contains(id.as_str())).map(|(index, id)| (index, refusal(&id))).collect())
    }
}

/// Whether a refused message may be published again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// An error of the service.
    Transient,
    /// An error of the message: it would be refused again.
    Final,
}

impl Topic for SnsTopic {
    async fn publish(&self, message: &TopicMessage) -> Result<(), StoreError> {
        let call = Call::new("Publish", &self.arn);
        let mut request = self.client.publish().topic_arn(&self.arn).message(&message.body);
        for (name, value) in attributes(message, &call)? {
            request = request.message_attributes(name, value);
        }
        let request = request.set_subject(message.subject.clone()).set_message_structure(structure(message));
        request.send().await.map(|_| ()).map_err(failed(call))
    }

    async fn publish_all(&self, messages: &[TopicMessage]) -> Result<Vec<usize>, StoreError> {
        let mut refused = Vec::new();
        for range in batches(messages) {
            let mut left: Vec<(usize, &TopicMessage)> =
                messages.iter().enumerate().take(range.end).skip(range.start).collect();
            // try / 100 ms / try / 200 ms / try / 400 ms / try
            for attempt in 0..ATTEMPTS {
                let outcome = self.publish_batch(&left).await?;
                let last = attempt + 1 == ATTEMPTS;
                let (given_up, again): (Vec<_>, Vec<_>) =
                    outcome.into_iter().partition(|(_, refusal)| last || *refusal == Refusal::Final);
                refused.extend(given_up.into_iter().map(|(index, _)| index));
                left.retain(|(index, _)| again.iter().any(|(again, _)| again == index));
                if left.is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            }
        }
        refused.sort_unstable();
        Ok(refused)
    }
}

fn attributes(message: &TopicMessage, call: &Call) -> Result<Vec<(String, MessageAttributeValue)>, StoreError> {
    let value = |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build();
    let attributes = message.attributes.iter().map(|(name, text)| Ok((name.clone(), value(text)?)));
    attributes
        .collect::<Result<_, aws_sdk_sns::error::BuildError>>()
        .map_err(|error| StoreError::Unexpected(call.clone(), error.into()))
}

fn structure(message: &TopicMessage) -> Option<String> {
    message.per_protocol.then(|| "json".to_owned())
}

/// Splits messages into batches within SNS's limits.
fn batches(messages: &[TopicMessage]) -> Vec<Range<usize>> {
    let mut batches: Vec<(Range<usize>, usize)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let attributes: usize = message.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        let size = message.body.len() + attributes;
        match batches.last_mut() {
            Some((batch, bytes)) if batch.len() < BATCH_MESSAGES && *bytes + size <= BATCH_BYTES => {
                batch.end = index + 1;
                *bytes += size;
            }
            _ => batches.push((index..index + 1, size)),
        }
    }
    batches.into_iter().map(|(batch, _)| batch).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_message_is_in_exactly_one_batch_that_sns_takes(sizes in prop::collection::vec(0_usize..(64 << 10), 0..60)) {
            let message = |size: &usize| TopicMessage { subject: None, body: "x".repeat(*size), attributes: vec![], per_protocol: false };
            let batches = batches(&sizes.iter().map(message).collect::<Vec<_>>());
            prop_assert_eq!(batches.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..sizes.len()).collect::<Vec<_>>());
            for batch in batches {
                prop_assert!(batch.len() <= BATCH_MESSAGES && sizes[batch].iter().sum::<usize>() <= BATCH_BYTES);
            }
        }
    }
}
