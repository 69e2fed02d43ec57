//! An EventBridge bus.

use aws_config::SdkConfig;
use aws_sdk_eventbridge::{Client, types::PutEventsRequestEntry};
use nacre_core::port::{BusEvent, Call, EventBus, StoreError};

use crate::store_error::failed;

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
        let call = Call::new("PutEvents", &self.name);
        let entries = events.iter().map(|event| {
            let entry = PutEventsRequestEntry::builder().event_bus_name(&self.name).source(event.source);
            let entry = entry.detail_type(event.detail_type).detail(&event.detail);
            entry.set_resources(Some(event.resources.clone())).build()
        });
        let request = self.client.put_events().set_entries(Some(entries.collect()));
        let response = request.send().await.map_err(failed(call.clone()))?;
        // The call succeeds when entries do not.
        let refused = response.entries().iter().find_map(|entry| entry.error_code().zip(entry.error_message()));
        match (response.failed_entry_count(), refused) {
            (0, None) => Ok(()),
            (count, refused) => {
                let (code, message) = refused.unwrap_or(("unknown", "no reason given"));
                Err(StoreError::Unavailable(call, format!("{count} events not accepted: {code}: {message}").into()))
            }
        }
    }
}
