//! Messages in disorder: repeated, late, out of order, in other envelopes, or malformed.

use std::{sync::atomic::Ordering, time::Duration};

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName, SendMessageBatchRequestEntry};
use nacre_test_support::{Random, Stack};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    queues::Queues,
    upload::{BACKLOG, Progress},
};

/// Of a hundred written versions, about so many extra messages.
const SHARE: usize = 60;

/// Real messages that are kept to be sent again later.
const MEMORY: usize = 3000;

/// Batches of ten that are received between two counts of the backlog.
const HEARD_AT_ONCE: u32 = 5;

/// What was sent beyond S3's notifications.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// Sent again: as they were, late, or in other words.
    pub(crate) again: usize,
    /// Broken.
    pub(crate) malformed: usize,
}

/// Receives S3's notifications for the scanner, and sends them again.
pub(crate) struct Gossip<'a> {
    stack: &'a Stack,
    queues: &'a Queues<'a>,
    /// A queue of its own on the scanner's topic.
    overheard: String,
    memory: Vec<Value>,
    random: Random,
    sent: Sent,
}

impl<'a> Gossip<'a> {
    /// Begins to listen.
    pub(crate) async fn new(stack: &'a Stack, queues: &'a Queues<'a>, random: Random) -> Self {
        let (sqs, topic) = (stack.sqs(), stack.output("ScannerTrigger"));
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Resource": "*",
            "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage" }] });
        let create = sqs.create_queue().queue_name("overheard");
        let created = create.attributes(QueueAttributeName::Policy, policy.to_string()).send().await.unwrap();
        let overheard = created.queue_url().unwrap().to_owned();
        let attributes = sqs.get_queue_attributes().queue_url(&overheard);
        let attributes = attributes.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
        let arn = attributes.attributes().unwrap()[&QueueAttributeName::QueueArn].clone();
        stack.sns().subscribe().topic_arn(topic).protocol("sqs").endpoint(arn).send().await.unwrap();
        Self { stack, queues, overheard, memory: Vec::new(), random, sent: Sent::default() }
    }

    /// Sends until uploads are done and everything that is due is sent.
    pub(crate) async fn send_all(mut self, progress: &Progress, uploaded: watch::Receiver<bool>) -> Sent {
        loop {
            let ended = *uploaded.borrow();
            self.listen().await;
            progress.backlog.store(self.queues.depth().await, Ordering::Relaxed);
            let due = progress.written.load(Ordering::Relaxed) * SHARE / 100;
            let printed = self.sent.again + self.sent.malformed;
            let behind = progress.backlog.load(Ordering::Relaxed) > BACKLOG;
            if printed < due && !behind && !self.memory.is_empty() {
                self.send((due - printed).min(10)).await;
            } else if ended && (printed >= due || self.memory.is_empty()) {
                return self.sent;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Receives what was published since, or a part of it.
    async fn listen(&mut self) {
        let sqs = self.stack.sqs();
        for _ in 0..HEARD_AT_ONCE {
            let receive = sqs.receive_message().queue_url(&self.overheard).max_number_of_messages(10);
            let messages = receive.send().await.unwrap().messages.unwrap_or_default();
            let entries: Vec<_> = (0..).zip(&messages).map(deletion).collect();
            if entries.is_empty() {
                return;
            }
            let delete = sqs.delete_message_batch().queue_url(&self.overheard);
            delete.set_entries(Some(entries)).send().await.unwrap();
            for message in messages {
                let envelope: Value = serde_json::from_str(message.body().unwrap()).unwrap();
                // Our own broken ones come back, too.
                if !is_s3s(&envelope) {
                    continue;
                }
                if self.memory.len() < MEMORY {
                    self.memory.push(envelope);
                } else {
                    let place = self.random.below(MEMORY);
                    self.memory[place] = envelope;
                }
            }
        }
    }

    async fn send(&mut self, number: usize) {
        let bodies: Vec<String> = (0..number).map(|_| self.body()).collect();
        if self.random.percent(20) {
            for body in bodies {
                let publish = self.stack.sns().publish().topic_arn(self.stack.output("ScannerTrigger"));
                publish.message(body).send().await.unwrap();
            }
            return;
        }
        let entry = |(id, body): (usize, String)| {
            SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body(body).build().unwrap()
        };
        let entries = bodies.into_iter().enumerate().map(entry).collect();
        let send = self.stack.sqs().send_message_batch().queue_url(self.stack.output("ScanQueue"));
        let answer = send.set_entries(Some(entries)).send().await.unwrap();
        assert!(answer.failed().is_empty(), "{:?}", answer.failed());
    }

    fn body(&mut self) -> String {
        let envelope = self.random.pick(&self.memory).cloned().unwrap();
        let notification = envelope["Message"].as_str().unwrap().to_owned();
        if self.random.percent(30) {
            self.sent.malformed += 1;
            return malformed(&notification, &mut self.random);
        }
        self.sent.again += 1;
        match self.random.below(10) {
            0..6 => envelope.to_string(),
            6..8 => notification,
            8 => without_version(&notification),
            _ => in_company(&notification),
        }
    }
}

/// Whether an envelope has a notification with a record like S3's.
fn is_s3s(envelope: &Value) -> bool {
    let notification = envelope["Message"].as_str().and_then(|message| serde_json::from_str::<Value>(message).ok());
    notification.is_some_and(|notification| notification["Records"][0]["s3"]["object"]["versionId"].is_string())
}

fn deletion((id, message): (usize, &aws_sdk_sqs::types::Message)) -> DeleteMessageBatchRequestEntry {
    let receipt = message.receipt_handle().unwrap_or_default();
    DeleteMessageBatchRequestEntry::builder().id(id.to_string()).receipt_handle(receipt).build().unwrap()
}

/// The predecessor's sample: the latest version of the key, a trailing comma. A removal is left as it is: without its version it
/// would be another's.
fn without_version(notification: &str) -> String {
    let value: Value = serde_json::from_str(notification).unwrap();
    let record = &value["Records"][0];
    if !record["eventName"].as_str().is_some_and(|name| name.starts_with("ObjectCreated")) {
        return notification.to_owned();
    }
    let s3 = json!({ "bucket": { "name": record["s3"]["bucket"]["name"] }, "object": { "key": record["s3"]["object"]["key"] } });
    format!("{{\"Records\":[{{\"s3\":{s3}, }},],}}")
}

/// A record beside others that nobody can read and an older one of itself.
fn in_company(notification: &str) -> String {
    let value: Value = serde_json::from_str(notification).unwrap();
    let record = &value["Records"][0];
    let mut older = record.clone();
    older["s3"]["object"]["sequencer"] = json!("0000000000000001");
    json!({ "Records": [null, 7, { "eventSource": "aws:s3", "s3": {} }, record, { "eventSource": "aws:kinesis" }, older] })
        .to_string()
}

/// A message that says nothing to anybody.
fn malformed(notification: &str, random: &mut Random) -> String {
    let mut spoilt: Value = serde_json::from_str(notification).unwrap();
    let object = &mut spoilt["Records"][0]["s3"]["object"];
    match random.below(12) {
        0..3 => {
            let ends: Vec<usize> = notification.char_indices().map(|(at, _)| at).skip(1).collect();
            return notification[..*random.pick(&ends).unwrap()].to_owned();
        }
        3 => return notification.replacen("\"Records\"", "\"Recordings\"", 1),
        4 => return notification.replacen("\"size\":", "\"size\":1e999,\"size\":", 1),
        5 => return "[".repeat(1 + random.below(5000)),
        6 => return format!("{{\"Records\":{}}}", random.next()),
        7 => {
            return [
                "null",
                "[]",
                "\"\"",
                "-1e-999",
                "{}",
                "99999999999999999999999999",
                "{\"Records\":[]}",
                "\u{feff}{}",
            ][random.below(8)]
            .to_owned();
        }
        8 => object["key"] = json!("%FF%FE"),
        9 => object["key"] = json!(random.next()),
        10 => object["key"] = json!(""),
        _ => spoilt["Records"][0]["s3"]["bucket"] = json!(["name"]),
    }
    spoilt.to_string()
}
