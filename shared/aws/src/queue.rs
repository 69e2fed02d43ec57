//! A queue of our own messages, in SQS.

use std::{collections::HashSet, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    types::{SendMessageBatchRequestEntry, SendMessageBatchResultEntry},
};
use nacre_core::port::{Call, StoreError, WorkQueue};

use crate::store_error::{failed, unexpected};

/// Most messages of one `SendMessageBatch`. Of 64 KiB at most they stay within the limit of a call, which is 1 MiB.
const BATCH_MESSAGES: usize = 10;

/// Attempts to send entries that SQS did not accept.
const ATTEMPTS: u32 = 4;

/// One queue.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// Uses this queue.
    pub fn new(config: &SdkConfig, url: &str) -> Self {
        Self { client: Client::new(config), url: url.to_owned() }
    }

    /// Sends one batch; returns the messages that SQS did not accept.
    async fn send_batch<'a>(&self, batch: &[&'a String]) -> Result<Vec<&'a String>, StoreError> {
        let call = Call::new("SendMessageBatch", &self.url);
        let entry = |(index, body): (usize, &&String)| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(*body).build();
            entry.map_err(|error| StoreError::Unexpected(call.clone(), error.into()))
        };
        let entries = batch.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let response = request.send().await.map_err(failed(call.clone()))?;
        // A message that the response does not name as accepted was not.
        let taken: HashSet<&str> = response.successful().iter().map(SendMessageBatchResultEntry::id).collect();
        let left = batch.iter().enumerate().filter(|(index, _)| !taken.contains(index.to_string().as_str()));
        Ok(left.map(|(_, body)| *body).collect())
    }
}

impl WorkQueue for SqsQueue {
    async fn send(&self, bodies: &[String]) -> Result<(), StoreError> {
        for batch in bodies.chunks(BATCH_MESSAGES) {
            let mut left: Vec<&String> = batch.iter().collect();
            // try / 100 ms / try / 200 ms / try / 400 ms / try
            for attempt in 0..ATTEMPTS {
                left = self.send_batch(&left).await?;
                if left.is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            }
            if !left.is_empty() {
                let call = Call::new("SendMessageBatch", &self.url);
                return Err(unexpected(&call, format!("SQS did not accept {} messages", left.len())));
            }
        }
        Ok(())
    }
}
