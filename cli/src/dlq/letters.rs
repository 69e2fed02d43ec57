//! The messages of a dead-letter queue, read batch by batch.

use std::{collections::HashSet, error::Error, io};

use aws_sdk_sqs::{Client, types::MessageSystemAttributeName};
use chrono::TimeDelta;
use nacre_aws::SystemClock;
use nacre_core::port::Clock;

use super::{letter::Letter, queue::DeadLetterQueue};
use crate::{
    deployment::{Deployment, DeploymentError, Part},
    function_logs::{FunctionLogs, Line, Lines, LogsError},
};

/// How long messages that were read are hidden from other readers, in seconds. A run that is killed leaves them hidden so long.
const HIDDEN: i32 = 120;

/// Most messages of one `ReceiveMessage`.
const BATCH: i32 = 10;

/// Longest wait of one `ReceiveMessage`, in seconds: with a wait, SQS reads all of its servers.
const WAIT: i32 = 1;

/// As long as a dead letter can be old.
const RETENTION: TimeDelta = TimeDelta::days(14);

/// Why a command on dead letters was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DlqError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error("the queue {url} cannot be used: check that the credentials may call sqs:{call}")]
    Queue {
        url: String,
        call: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("{0} could not start a pass, which does what the announcements requested; none of them is deleted")]
    Pass(String, #[source] Box<dyn Error + Send + Sync>),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// The messages of one queue.
pub(super) struct Letters<'a> {
    deployment: &'a Deployment,
    client: Client,
    url: String,
    failures: Vec<Line>,
    /// Whether more was logged than was read.
    pub(super) logs_cut: bool,
    seen: HashSet<String>,
    /// Receipts of what was read and is still there.
    held: Vec<(String, String)>,
}

impl<'a> Letters<'a> {
    /// Reads the logs; no message yet.
    pub(super) async fn open(deployment: &'a Deployment, queue: DeadLetterQueue) -> Result<Self, DlqError> {
        let url = deployment.name(queue.part(), None).await?;
        let (logs, since) = (FunctionLogs::open(deployment).await?, SystemClock.now() - RETENTION);
        let Lines { lines, cut } = match queue {
            DeadLetterQueue::Scan | DeadLetterQueue::Rescan => logs.failures(queue.functions(), since).await?,
            DeadLetterQueue::Pass | DeadLetterQueue::Announcement => logs.errors(queue.functions(), since).await?,
        };
        let client = Client::new(&deployment.sdk);
        Ok(Self { deployment, client, url, failures: lines, logs_cut: cut, seen: HashSet::new(), held: Vec::new() })
    }

    /// The next messages; `None` when there is none that was not read before. In a long run those that were are visible again: they are
    /// passed over as often as all of them may come.
    pub(super) async fn batch(&mut self) -> Result<Option<Vec<Letter>>, DlqError> {
        for _ in 0..=self.seen.len() {
            match self.receive().await? {
                (0, _) => break,
                (_, letters) if letters.is_empty() => {}
                (_, letters) => return Ok(Some(letters)),
            }
        }
        Ok(None)
    }

    /// Receives messages: how many, and those that were not read before.
    async fn receive(&mut self) -> Result<(usize, Vec<Letter>), DlqError> {
        let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(BATCH);
        let request = request.visibility_timeout(HIDDEN).wait_time_seconds(WAIT).message_attribute_names("All");
        let request = request.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let received = request.send().await.map_err(|error| self.failed("ReceiveMessage", error))?;
        let mut letters = Vec::new();
        for message in received.messages() {
            let letter = Letter::read(message, &self.failures);
            self.held.retain(|(id, _)| *id != letter.id);
            self.held.push((letter.id.clone(), letter.receipt.clone()));
            if self.seen.insert(letter.id.clone()) {
                letters.push(letter);
            }
        }
        Ok((received.messages().len(), letters))
    }

    /// All messages.
    pub(super) async fn all(&mut self) -> Result<Vec<Letter>, DlqError> {
        let mut all = Vec::new();
        while let Some(letters) = self.batch().await? {
            all.extend(letters);
        }
        Ok(all)
    }

    /// Sends a copy to a queue.
    pub(super) async fn send(&self, to: Part, letter: &Letter) -> Result<(), DlqError> {
        let url = self.deployment.name(to, None).await?;
        let request = self.client.send_message().queue_url(&url).message_body(&letter.body);
        let attributes = Some(letter.attributes.clone()).filter(|attributes| !attributes.is_empty());
        let sent = request.set_message_attributes(attributes).send().await;
        sent.map(drop).map_err(|error| DlqError::Queue { url, call: "SendMessage", source: error.into() })
    }

    /// Deletes a message.
    pub(super) async fn delete(&mut self, letter: &Letter) -> Result<(), DlqError> {
        let request = self.client.delete_message().queue_url(&self.url).receipt_handle(&letter.receipt);
        request.send().await.map_err(|error| self.failed("DeleteMessage", error))?;
        self.held.retain(|(id, _)| *id != letter.id);
        Ok(())
    }

    /// Lets others read at once what is still there. What goes wrong here is harmless: it comes back by itself.
    pub(super) async fn release(&mut self) {
        for (_, receipt) in std::mem::take(&mut self.held) {
            let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
            let _ = request.visibility_timeout(0).send().await;
        }
    }

    fn failed(&self, call: &'static str, error: impl Error + Send + Sync + 'static) -> DlqError {
        DlqError::Queue { url: self.url.clone(), call, source: error.into() }
    }
}
