//! Messages about scans: that one starts, and its result.

use chrono::{DateTime, Utc};
use lambda_runtime::tracing;
use nacre_core::{
    alert::Alert,
    dialect::Dialect,
    finding::{Finding, State, asff, import::import},
    object::ObjectId,
    port::{Clock, EventBus, StoreError, Topic, TopicMessage},
    retry::RetryPolicy,
    scan_record::ScanRecord,
    self_test::is_test_file,
    tag_policy::{TagNames, timestamp_value},
    telemetry::error_chain,
};
use serde_json::{Map, json};

use crate::{
    bus_events::{bus_events, finding_event},
    config::{InfectedSettings, ResultSettings},
    ports::{Ports, Services},
    result_message::result_message,
};

/// Publishes messages about scans.
pub struct Reports<'a, S: Services> {
    /// The topics and the bus; a missing one gets no messages.
    pub ports: &'a Ports<S>,
    /// Tag keys and values, which messages use as well.
    pub tags: &'a TagNames,
    /// Which results are published.
    pub settings: &'a ResultSettings,
    /// What becomes of infected objects.
    pub infected: &'a InfectedSettings,
}

impl<S: Services> Reports<'_, S> {
    /// Publishes that the scan of an object starts.
    ///
    /// # Errors
    /// The topic's.
    pub async fn scan_started(&self, object: &ObjectId, at: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(topic) = &self.ports.starts else { return Ok(()) };
        topic.publish(&start_message(object, at, self.tags, self.settings)).await
    }

    /// Publishes the result that a record has.
    ///
    /// # Errors
    /// The topic's or the bus's; a retry publishes all again.
    pub async fn scan_ended(&self, record: &ScanRecord) -> Result<(), StoreError> {
        if let Some(topic) = &self.ports.results
            && let Some(message) = result_message(record, self.tags, self.settings)
        {
            topic.publish(&message).await?;
        }
        match &self.ports.bus {
            Some(bus) => {
                let events = bus_events(record, self.tags, &self.settings.region);
                if events.is_empty() { Ok(()) } else { bus.put(&events).await }
            }
            None => Ok(()),
        }
    }

    /// Whether somebody keeps findings.
    pub fn has_findings(&self) -> bool {
        self.finds_on_bus() || self.settings.security_hub.is_some()
    }

    fn finds_on_bus(&self) -> bool {
        self.ports.bus.is_some() && self.tags.dialects.contains(&Dialect::Ocsf)
    }

    /// Publishes what became of an infected object, for those who keep findings; self-tests are none.
    ///
    /// # Errors
    /// The bus's or Security Hub's; a retry publishes all again, under the same name.
    pub async fn finding(&self, record: &ScanRecord, state: State) -> Result<(), StoreError> {
        if is_test_file(record) || !self.has_findings() {
            return Ok(());
        }
        let finding = Finding { record, state, at: self.ports.clock.now(), region: &self.settings.region };
        if let Some(bus) = self.ports.bus.as_ref().filter(|_| self.finds_on_bus()) {
            bus.put(&[finding_event(&finding)]).await?;
        }
        if let (Some(hub), Some(product)) = (&self.ports.hub, &self.settings.security_hub) {
            import(hub, &[asff::finding(&finding, product)], RetryPolicy::default(), tokio::time::sleep).await?;
        }
        Ok(())
    }

    /// Publishes for people that an object is infected.
    ///
    /// # Errors
    /// The topic's.
    pub async fn infected(&self, record: &ScanRecord) -> Result<(), StoreError> {
        match &self.ports.alerts {
            Some(topic) if record.verdict.is_infected() && !is_test_file(record) => {
                topic.publish(&Alert::infected(record, self.infected.in_words()).message()).await
            }
            _ => Ok(()),
        }
    }

    /// Publishes for people that an object is clean that was infected. It is settled by then, and a retry would not know any more what it
    /// was: what goes wrong is logged.
    pub async fn cleared(&self, record: &ScanRecord) {
        if let Err(error) = self.finding(record, State::Cleared).await {
            tracing::error!(cause = error_chain(&error), "the finding of an object that is clean after all stays open");
        }
        let Some(topic) = &self.ports.alerts else { return };
        if let Err(error) = topic.publish(&Alert::cleared(record).message()).await {
            tracing::error!(cause = error_chain(&error), "nobody was notified that an object is clean after all");
        }
    }
}

/// The predecessor's message when a scan starts; it has no attributes and no subject.
fn start_message(object: &ObjectId, at: DateTime<Utc>, names: &TagNames, settings: &ResultSettings) -> TopicMessage {
    let mut body = Map::new();
    body.insert("bucket".into(), json!(object.bucket));
    body.insert("key".into(), json!(object.key));
    body.insert("version".into(), json!(object.version_id));
    body.insert(settings.start_field.clone(), json!(true));
    body.insert(names.timestamp.clone(), json!(timestamp_value(at)));
    let body = serde_json::Value::Object(body).to_string();
    TopicMessage {
        subject: None,
        body: json!({ "default": body }).to_string(),
        attributes: Vec::new(),
        per_protocol: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result_message::tests::everything;

    #[test]
    fn the_start_message_is_the_predecessors() {
        let object = ObjectId::new("uploads", "a b", None);
        let message = start_message(&object, DateTime::UNIX_EPOCH, &TagNames::default(), &everything());
        let envelope: serde_json::Value = serde_json::from_str(&message.body).unwrap();
        let body: serde_json::Value = serde_json::from_str(envelope["default"].as_str().unwrap()).unwrap();
        let expected = json!({
            "bucket": "uploads", "key": "a b", "version": null, "av-scan-start": true, "av-timestamp": "1970/01/01 00:00:00 UTC",
        });
        assert_eq!((body, message.attributes, message.subject), (expected, vec![], None));
    }
}
