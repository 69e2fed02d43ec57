//! What the queues that deliver messages to us must do.

use std::time::Duration;

use nacre_core::port::{Deliveries, Delivery, StoreError};

/// Postpones a delivery, and insists that neither another receipt nor another queue than one is taken.
///
/// # Panics
/// When a law is broken.
pub async fn only_a_delivery_can_be_postponed(deliveries: &impl Deliveries, delivery: &Delivery, wait: Duration) {
    deliveries.postpone(delivery, wait).await.expect("it is postponed");
    let stale = Delivery { receipt: crate::memory_deliveries::STALE_RECEIPT.to_owned(), ..delivery.clone() };
    let refused = deliveries.postpone(&stale, wait).await;
    assert!(matches!(refused, Err(StoreError::Unexpected(..))), "{refused:?}");
}
