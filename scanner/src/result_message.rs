//! The result message, the predecessor's byte for byte where the predecessor had one.

use nacre_core::{
    port::TopicMessage,
    scan_record::ScanRecord,
    self_test::is_test_file,
    tag_policy::{TagNames, signature_value, timestamp_value},
    verdict::Verdict,
};
use serde_json::{Map, json};

use crate::config::ResultSettings;

/// Attribute of the result of a self-test's infected file.
const SELF_TEST_ATTRIBUTE: &str = "nacre-self-test";

/// The message that reports a record; `None` when its verdict is not to be published.
///
/// Skipped objects never are, as with the predecessor. Its body, attributes and subject are kept; `version` is the version
/// that was scanned (the predecessor's names the latest), and an unscannable object adds its reason.
pub fn result_message(record: &ScanRecord, names: &TagNames, settings: &ResultSettings) -> Option<TopicMessage> {
    let wanted = match record.verdict {
        Verdict::Clean => settings.publish_clean,
        Verdict::Infected { .. } => settings.publish_infected,
        Verdict::Unscannable { .. } => true,
        Verdict::Skipped { .. } => false,
    };
    wanted.then(|| {
        let status = names.status_of(&record.verdict);
        let signature = signature_value(&record.verdict);
        let mut result = Map::new();
        result.insert("bucket".into(), json!(record.object.bucket));
        result.insert("key".into(), json!(record.object.key));
        result.insert("version".into(), json!(record.object.version_id));
        result.insert(names.signature.clone(), json!(signature));
        result.insert(names.status.clone(), json!(status));
        result.insert(names.timestamp.clone(), json!(timestamp_value(record.scanned_at)));
        if let Some(reason) = record.verdict.reason() {
            result.insert(names.reason.clone(), json!(reason.name()));
        }
        if !record.unread.is_empty() {
            result.insert("unread".into(), json!(record.unread));
        }
        let body = serde_json::Value::Object(result).to_string();
        TopicMessage {
            subject: Some(format!("{status} File found in S3 Bucket!")),
            body: json!({ "default": body }).to_string(),
            attributes: [(names.status.clone(), status.to_owned()), (names.signature.clone(), signature)]
                .into_iter()
                // By it, a subscription's filter policy leaves self-tests out.
                .chain(is_test_file(record).then(|| (SELF_TEST_ATTRIBUTE.to_owned(), "true".to_owned())))
                .collect(),
            per_protocol: true,
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use nacre_core::{
        generation::Generation,
        object::ObjectId,
        scan_record::{EngineVersion, FunctionalityLevel},
        targets::Targets,
        verdict::Reason,
    };
    use serde_json::Value;

    use super::*;

    pub(crate) fn everything() -> ResultSettings {
        ResultSettings {
            topic_arn: None,
            publish_clean: true,
            publish_infected: true,
            region: "eu-west-1".into(),
            event_bus: None,
            security_hub: None,
            start_topic_arn: None,
            start_field: "av-scan-start".into(),
        }
    }

    pub(crate) fn record(verdict: Verdict) -> ScanRecord {
        ScanRecord {
            object: ObjectId::new("uploads", "a b.txt", Some("v1".into())),
            etag: "e".into(),
            size: 1,
            verdict,
            generation: Generation(1),
            engine: EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(216) },
            targets: Targets::of(0),
            layers: None,
            layer_count: 0,
            types: None,
            scanned_at: chrono::DateTime::UNIX_EPOCH,
            written_at: None,
            sequencer: None,
            reported: false,
            published: false,
            requested: None,
            archived_at: None,
            unread: Vec::new(),
            first_infected: None,
        }
    }

    fn published(verdict: Verdict) -> (TopicMessage, Value) {
        let message = result_message(&record(verdict), &TagNames::default(), &everything()).unwrap();
        let envelope: Value = serde_json::from_str(&message.body).unwrap();
        let body = serde_json::from_str(envelope["default"].as_str().unwrap()).unwrap();
        (message, body)
    }

    #[test]
    fn an_infected_result_is_the_predecessors() {
        let (message, body) = published(Verdict::Infected { signatures: vec!["Eicar-Test-Signature".into()] });
        let expected = json!({
            "bucket": "uploads", "key": "a b.txt", "version": "v1", "av-signature": "Eicar-Test-Signature FOUND",
            "av-status": "INFECTED", "av-timestamp": "1970/01/01 00:00:00 UTC",
        });
        assert_eq!(body, expected);
        assert_eq!(message.subject.as_deref(), Some("INFECTED File found in S3 Bucket!"));
        let attributes = [("av-status", "INFECTED"), ("av-signature", "Eicar-Test-Signature FOUND")];
        assert_eq!(message.attributes, attributes.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(message.per_protocol);
    }

    #[test]
    fn an_unscannable_result_says_why() {
        let (_, body) = published(Verdict::Unscannable { reason: Reason::Encrypted });
        assert_eq!((&body["av-status"], &body["nacre-reason"]), (&json!("UNSCANNABLE"), &json!("encrypted")));
    }

    #[test]
    fn what_is_not_wanted_is_not_published() {
        let quiet = ResultSettings { publish_clean: false, ..everything() };
        let names = TagNames::default();
        assert_eq!(result_message(&record(Verdict::Clean), &names, &quiet), None);
        let infected = ResultSettings { publish_infected: false, ..everything() };
        assert_eq!(
            result_message(&record(Verdict::Infected { signatures: vec!["x".into()] }), &names, &infected),
            None
        );
        assert_eq!(result_message(&record(Verdict::Skipped { reason: Reason::TooLarge }), &names, &everything()), None);
    }
}
