//! Whom a scan is told to: that it begins, and what it came to.

use chrono::{DateTime, Utc};
use nacre_core::{
    object::ObjectId,
    port::{EventBus, StoreError, Topic, TopicMessage},
    scan_record::ScanRecord,
    tag_policy::{TagNames, timestamp_value},
};
use serde_json::{Map, json};

use crate::{bus_events::bus_events, config::ResultSettings, result_message::result_message};

/// The listeners of scans.
#[derive(Debug)]
pub struct Reports<'a, Topics, Bus> {
    /// The result topic; `None` publishes nothing.
    pub results: Option<&'a Topics>,
    /// The topic that is told when a scan begins; `None` tells nobody.
    pub starts: Option<&'a Topics>,
    /// The bus of results; `None` puts nothing.
    pub bus: Option<&'a Bus>,
    /// Tag keys and values, which messages use as well.
    pub names: &'a TagNames,
    /// Which results are published.
    pub settings: &'a ResultSettings,
}

impl<Topics: Topic, Bus: EventBus> Reports<'_, Topics, Bus> {
    /// Tells that an object's scan begins.
    ///
    /// # Errors
    /// The topic's.
    pub async fn begun(&self, object: &ObjectId, at: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(topic) = self.starts else { return Ok(()) };
        topic.publish(&start_message(object, at, self.names, self.settings)).await
    }

    /// Tells a record.
    ///
    /// # Errors
    /// The topic's or the bus's; all is told again then.
    pub async fn ended(&self, record: &ScanRecord) -> Result<(), StoreError> {
        if let Some(topic) = self.results
            && let Some(message) = result_message(record, self.names, self.settings)
        {
            topic.publish(&message).await?;
        }
        match self.bus {
            Some(bus) => bus.put(&bus_events(record, self.names)).await,
            None => Ok(()),
        }
    }
}

/// The predecessor's message when a scan begins; it has no attributes and no subject.
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
