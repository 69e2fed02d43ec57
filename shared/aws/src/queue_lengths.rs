//! The lengths of queues, by SQS.

use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use nacre_core::port::{Call, QueueLengths, StoreError};

use crate::store_error::{failed, unexpected};

/// Whichever queues the caller's role may see.
#[derive(Clone, Debug)]
pub struct SqsLengths {
    client: Client,
}

impl SqsLengths {
    /// Uses SQS.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }
}

impl QueueLengths for SqsLengths {
    async fn length(&self, queue_url: &str) -> Result<u64, StoreError> {
        let (call, name) =
            (Call::new("GetQueueAttributes", queue_url), QueueAttributeName::ApproximateNumberOfMessages);
        let request = self.client.get_queue_attributes().queue_url(queue_url).attribute_names(name.clone());
        let attributes = request.send().await.map_err(failed(call.clone()))?.attributes.unwrap_or_default();
        let length = attributes.get(&name).and_then(|length| length.parse().ok());
        length.ok_or_else(|| unexpected(&call, "the response has no number of messages"))
    }
}
