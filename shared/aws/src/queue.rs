//! A queue of our own messages, in SQS.

use std::{collections::HashSet, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    types::{SendMessageBatchRequestEntry, SendMessageBatchResultEntry},
};
use nacre_core::port::{StoreError, WorkQueue};

use crate::store_error::{store_error, unexpected};

/// Most messages of one `SendMessageBatch`. Of 64 KiB at most they stay within what one call takes, which is 1 MiB.
const BATCH_MESSAGES: usize = 10;

/// How often entries that SQS could not take are offered.
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

    /// Sends one batch, and answers what SQS did not take of it.
    async fn send_batch<'a>(&self, batch: &[&'a String]) -> Result<Vec<&'a String>, StoreError> {
        let entry = |(index, body): (usize, &&String)| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(*body).build();
            entry.map_err(|error| StoreError::Unexpected(error.into()))
        };
        let entries = batch.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let response = request.send().await.map_err(store_error)?;
        // What is not named as taken was not taken.
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
                return Err(unexpected(format!("SQS did not take {} messages", left.len())));
            }
        }
        Ok(())
    }
}
