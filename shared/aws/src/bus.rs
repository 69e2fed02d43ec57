//! An EventBridge bus.

use aws_config::SdkConfig;
use aws_sdk_eventbridge::{Client, types::PutEventsRequestEntry};
use nacre_core::port::{BusEvent, EventBus, StoreError};

use crate::store_error::store_error;

/// One bus.
#[derive(Clone, Debug)]
pub struct EventBridgeBus {
    client: Client,
    name: String,
}

impl EventBridgeBus {
    /// Uses the bus of this name or ARN.
    pub fn new(config: &SdkConfig, name: &str) -> Self {
        Self { client: Client::new(config), name: name.to_owned() }
    }
}

impl EventBus for EventBridgeBus {
    async fn put(&self, events: &[BusEvent]) -> Result<(), StoreError> {
        let entries = events.iter().map(|event| {
            let entry = PutEventsRequestEntry::builder().event_bus_name(&self.name).source(event.source);
            let entry = entry.detail_type(event.detail_type).detail(&event.detail);
            entry.set_resources(Some(event.resources.clone())).build()
        });
        let request = self.client.put_events().set_entries(Some(entries.collect()));
        let answer = request.send().await.map_err(store_error)?;
        // The call succeeds when entries do not.
        let refused = answer.entries().iter().find_map(|entry| entry.error_code().zip(entry.error_message()));
        match (answer.failed_entry_count(), refused) {
            (0, None) => Ok(()),
            (count, refused) => {
                let (code, message) = refused.unwrap_or(("unknown", "no reason told"));
                Err(StoreError::Unavailable(format!("{count} events not taken: {code}: {message}").into()))
            }
        }
    }
}
