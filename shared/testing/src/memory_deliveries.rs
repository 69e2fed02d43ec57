//! Queues in memory that note which message comes back when.

use std::{sync::Mutex, time::Duration};

use nacre_core::port::{Call, Deliveries, Delivery, StoreError};

use crate::lock;

/// What was postponed, in order. A receipt that a test calls stale is refused, as SQS refuses one of an earlier delivery.
#[derive(Debug, Default)]
pub struct MemoryDeliveries {
    postponed: Mutex<Vec<(Delivery, Duration)>>,
}

/// A receipt that is not valid any more.
pub const STALE_RECEIPT: &str = "stale";

impl MemoryDeliveries {
    /// Takes out what was postponed, with the waits.
    pub fn take(&self) -> Vec<(Delivery, Duration)> {
        std::mem::take(&mut *lock(&self.postponed))
    }
}

impl Deliveries for MemoryDeliveries {
    async fn postpone(&self, delivery: &Delivery, wait: Duration) -> Result<(), StoreError> {
        if delivery.receipt == STALE_RECEIPT {
            let call = Call::new("ChangeMessageVisibility", &delivery.queue_arn);
            return Err(StoreError::Unexpected(call, "the receipt handle is not valid".into()));
        }
        lock(&self.postponed).push((delivery.clone(), wait));
        Ok(())
    }
}
