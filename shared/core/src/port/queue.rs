//! Queues: what we send to ourselves, and what is delivered to us.

use std::time::Duration;

use super::StoreError;

/// A queue of our own messages, each delivered at least once.
pub trait WorkQueue: Sync {
    /// Sends any number of messages, each of at most 64 KiB.
    ///
    /// # Errors
    /// The queue's, when it did not take all; it may have taken some.
    fn send(&self, bodies: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// One delivery of a queue's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The queue.
    pub queue_arn: String,
    /// The receipt handle of this delivery; the next one has another.
    pub receipt: String,
    /// How often the message was received, this time among them.
    pub receives: u32,
}

/// The queues that deliver messages to us.
pub trait Deliveries: Sync {
    /// Lets a message that was not deleted be received again after a wait of whole seconds from now, instead of its queue's visibility
    /// timeout.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`] when the receipt is not valid any more or the queue's ARN is not one; the message then comes
    /// back by the queue's visibility timeout.
    fn postpone(&self, delivery: &Delivery, wait: Duration) -> impl Future<Output = Result<(), StoreError>> + Send;
}
