//! The functions' queues, watched and redriven as an operator does.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use nacre_test_support::Stack;
use tokio::time::{Instant, sleep};

/// Each queue, and where its messages go that were given up on.
const QUEUES: [(&str, &str); 4] = [
    ("ScanQueue", "ScanDeadLetters"),
    ("FullRescanQueue", "RescanDeadLetters"),
    ("RescanQueue", "RescanDeadLetters"),
    ("PassQueue", "PassDeadLetters"),
];

/// Looks in a row that must find nothing: an event may be on its way from one part to the next.
const EMPTY_READS: u32 = 4;

/// The queues of a stack.
pub(crate) struct Queues<'a> {
    pub(crate) stack: &'a Stack,
}

impl Queues<'_> {
    /// Messages that wait or are under way.
    pub(crate) async fn depth(&self) -> usize {
        let mut depth = 0;
        for (queue, _) in QUEUES {
            depth += self.depth_of(queue).await;
        }
        depth
    }

    /// Messages of one queue, waiting or under way.
    pub(crate) async fn depth_of(&self, queue: &str) -> usize {
        let waiting = QueueAttributeName::ApproximateNumberOfMessages;
        let under_way = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let request = self.stack.sqs().get_queue_attributes().queue_url(self.stack.output(queue));
        let answer = request.attribute_names(waiting.clone()).attribute_names(under_way.clone()).send().await.unwrap();
        let attributes = answer.attributes().unwrap();
        [waiting, under_way].iter().map(|name| attributes[name].parse::<usize>().unwrap()).sum()
    }

    /// Waits until everything that was announced is done with; returns how many messages were given up on meanwhile, because a
    /// function was killed over them again and again, and were sent once more.
    pub(crate) async fn quiet(&self, limit: Duration) -> usize {
        let (deadline, mut redriven, mut empty_reads) = (Instant::now() + limit, 0, 0);
        while empty_reads < EMPTY_READS {
            let (depth, letters) = (self.depth().await, self.redrive().await);
            assert!(Instant::now() < deadline, "{depth} messages still wait after {} s", limit.as_secs());
            empty_reads = if depth + letters == 0 { empty_reads + 1 } else { 0 };
            redriven += letters;
            sleep(Duration::from_millis(250)).await;
        }
        redriven
    }

    /// Sends dead letters back to where they came from, and counts them.
    async fn redrive(&self) -> usize {
        let (sqs, mut redriven) = (self.stack.sqs(), 0);
        for (queue, letters) in QUEUES {
            let (queue, letters) = (self.stack.output(queue), self.stack.output(letters));
            loop {
                let receive = sqs.receive_message().queue_url(letters).max_number_of_messages(10);
                let messages = receive.send().await.unwrap().messages.unwrap_or_default();
                if messages.is_empty() {
                    break;
                }
                for message in &messages {
                    let body = message.body().unwrap_or_default();
                    sqs.send_message().queue_url(queue).message_body(body).send().await.unwrap();
                    let delete = sqs.delete_message().queue_url(letters);
                    delete.set_receipt_handle(message.receipt_handle.clone()).send().await.unwrap();
                }
                redriven += messages.len();
            }
        }
        redriven
    }
}
