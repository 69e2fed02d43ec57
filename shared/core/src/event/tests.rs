//! The ways in, each with the shape that really arrives, and the way out.

use chrono::DateTime;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{port::Delivery, scan_record::RecordSummary};

fn put(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": { "name": "uploads", "arn": "arn:aws:s3:::uploads" },
            "object": { "key": key, "size": 12, "eTag": "abc", "versionId": "v1", "sequencer": "0055AED6DCD90281E5" },
        },
    })
}

fn notification(records: &[Value]) -> Value {
    json!({ "Records": records })
}

fn sns_envelope(message: &Value) -> Value {
    json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:1:topic", "Message": message.to_string() })
}

fn sqs(id: &str, body: &str) -> Value {
    json!({
        "messageId": id, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:1:q", "body": body,
        "receiptHandle": "receipt", "attributes": { "ApproximateReceiveCount": "3" },
    })
}

/// The events of an invocation with one message.
fn events(payload: &Value) -> Vec<ObjectEvent> {
    let mut messages = Invocation::read(payload).messages;
    assert_eq!(messages.len(), 1, "{payload}");
    messages.remove(0).events
}

fn scan(key: &str) -> ObjectEvent {
    ObjectEvent::Scan(ScanRequest {
        object: ObjectId::new("uploads", key, Some("v1".into())),
        sequencer: Some(Sequencer::try_from("0055AED6DCD90281E5".to_owned()).unwrap()),
        cause: Cause::Upload,
        at: None,
    })
}

#[test]
fn the_time_of_an_upload_is_that_of_s3s_own_event() {
    let time = |event: &Value| match &events(event)[..] {
        [ObjectEvent::Scan(request)] => request.at.map(|at| at.to_rfc3339()),
        other => panic!("{other:?}"),
    };
    let mut record = put("a.txt");
    record["eventTime"] = json!("2026-11-28T15:00:00.250Z");
    assert_eq!(time(&notification(&[record.clone()])).as_deref(), Some("2026-11-28T15:00:00.250+00:00"));
    record["s3"]["object"].as_object_mut().unwrap().remove("sequencer");
    assert_eq!(time(&notification(&[record])), None, "somebody requested a scan");
    let event = json!({
        "source": "aws.s3", "detail-type": "Object Created", "time": "2026-11-28T15:00:00Z",
        "detail": { "bucket": { "name": "uploads" }, "object": { "key": "a.txt", "sequencer": "0055AED6DCD90281E5" } },
    });
    assert_eq!(time(&event).as_deref(), Some("2026-11-28T15:00:00+00:00"));
}

#[test]
fn every_envelope_leads_to_the_same_object() {
    let event = notification(&[put("a.txt")]);
    let sns_lambda = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": event.to_string() } }] });
    let sqs_of_sns = json!({ "Records": [sqs("1", &sns_envelope(&event).to_string())] });
    let sqs_raw = json!({ "Records": [sqs("1", &event.to_string())] });
    for payload in [event, sns_lambda, sqs_of_sns, sqs_raw] {
        assert_eq!(events(&payload), [scan("a.txt")], "{payload}");
    }
}

#[test]
fn every_record_of_every_message_is_read() {
    let body = notification(&[put("a"), put("b")]).to_string();
    let read = Invocation::read(&json!({ "Records": [sqs("1", &body), sqs("2", &body)] }));
    assert_eq!(read.messages.iter().map(|message| message.id.as_deref()).collect::<Vec<_>>(), [Some("1"), Some("2")]);
    assert!(read.messages.iter().all(|message| message.events == [scan("a"), scan("b")]));
}

#[test]
fn a_message_has_its_delivery_where_its_queue_says_all_of_it() {
    let delivery = |record: Value| Invocation::read(&json!({ "Records": [record] })).messages.remove(0).delivery;
    let expected = Delivery { queue_arn: "arn:aws:sqs:eu-west-1:1:q".into(), receipt: "receipt".into(), receives: 3 };
    assert_eq!(delivery(sqs("1", "{}")), Some(expected));
    for missing in ["eventSourceARN", "receiptHandle", "attributes"] {
        let mut record = sqs("1", "{}");
        record.as_object_mut().unwrap().remove(missing);
        assert_eq!(delivery(record), None, "{missing}");
    }
    let mut record = sqs("1", "{}");
    record["attributes"]["ApproximateReceiveCount"] = json!("many");
    assert_eq!(delivery(record), None);
    assert_eq!(Invocation::read(&put("a")).messages.remove(0).delivery, None);
}

#[test]
fn keys_are_form_decoded_once() {
    for (encoded, key) in [("a+b", "a b"), ("a%2Bb", "a+b"), ("a%252Bb", "a%2Bb"), ("%E2%82%AC/..%2F", "€/../")] {
        assert_eq!(events(&notification(&[put(encoded)])), [scan(key)]);
    }
    assert_eq!(events(&notification(&[put("%FF")])), [ObjectEvent::Malformed(EventError::KeyEncoding)]);
}

#[test]
fn keys_on_event_bridge_are_not_encoded() {
    let event = |detail_type: &str| {
        json!({
            "source": "aws.s3", "detail-type": detail_type,
            "detail": {
                "bucket": { "name": "uploads" },
                "object": { "key": "a+b%20c", "size": 1, "version-id": "v1", "sequencer": "0055AED6DCD90281E5" },
            },
        })
    };
    assert_eq!(events(&event("Object Created")), [scan("a+b%20c")]);
    assert!(matches!(events(&event("Object Deleted"))[..], [ObjectEvent::Removed { .. }]));
    assert_eq!(events(&event("Object Tags Added")), [ObjectEvent::Ignored(Ignored::OtherEvent)]);
}

#[test]
fn the_predecessors_stripped_sample_is_read_with_its_trailing_comma() {
    let sample = r#"{ "Records": [ { "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "uploads" }, "object": { "key": "say,}.com", } } } ] }"#;
    let payload = json!({ "Records": [sqs("1", sample)] });
    let expected = ScanRequest {
        object: ObjectId::new("uploads", "say,}.com", None),
        sequencer: None,
        cause: Cause::Upload,
        at: None,
    };
    assert_eq!(events(&payload), [ObjectEvent::Scan(expected)]);
}

#[test]
fn what_needs_no_scan_has_a_kind_of_its_own() {
    let named = |name: &str| {
        let mut record = put("a");
        record["eventName"] = json!(name);
        events(&notification(&[record])).remove(0)
    };
    for name in ["ObjectTagging:Put", "ObjectAcl:Put", "ObjectRemoved:DeleteMarkerCreated", "LifecycleTransition"] {
        assert_eq!(named(name), ObjectEvent::Ignored(Ignored::OtherEvent), "{name}");
    }
    assert!(matches!(named("ObjectRemoved:Delete"), ObjectEvent::Removed { .. }));
    assert!(matches!(named("LifecycleExpiration:Delete"), ObjectEvent::Removed { .. }));
    assert_eq!(named("ObjectCreated:CompleteMultipartUpload"), scan("a"));
    let test_event = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploads" });
    assert_eq!(events(&test_event), [ObjectEvent::Ignored(Ignored::TestEvent)]);
    assert_eq!(
        events(&json!({ "Records": [{ "eventSource": "aws:ses" }] })),
        [ObjectEvent::Ignored(Ignored::ForeignEvent)]
    );
}

#[test]
fn only_an_empty_folder_marker_is_no_object() {
    let mut marker = put("folder/");
    assert_eq!(events(&notification(&[marker.clone()])), [scan("folder/")]);
    marker["s3"]["object"]["size"] = json!(0);
    assert_eq!(events(&notification(&[marker])), [ObjectEvent::Ignored(Ignored::FolderMarker)]);
}

#[test]
fn a_malformed_record_costs_its_neighbours_nothing() {
    let mut keyless = put("a");
    keyless["s3"]["object"] = json!({});
    assert_eq!(
        events(&notification(&[keyless, put("b")])),
        [ObjectEvent::Malformed(EventError::Missing("key")), scan("b")]
    );
    let bodies = ["", "not json", "[]", "{}", "{\"Records\":[]}", "{\"Records\":7}", "null"];
    for body in bodies {
        assert!(matches!(events(&json!({ "Records": [sqs("1", body)] }))[..], [ObjectEvent::Malformed(_)]), "{body}");
    }
}

#[test]
fn endless_envelopes_are_refused() {
    let nested = (0..20).fold(notification(&[put("a")]), |inner, _| sns_envelope(&inner));
    assert!(matches!(events(&nested)[..], [ObjectEvent::Malformed(EventError::TooDeep(_))]));
}

proptest! {
    #[test]
    fn no_message_panics(text: String, id: String) {
        let _ = Invocation::read(&json!({ "Records": [sqs(&id, &text)] }));
    }

    #[test]
    fn a_published_trigger_names_its_object(
        key in "\\PC{1,40}", version in prop::option::of("[a-z0-9]{8}"), generation in 1_u64..1000, size: u64,
    ) {
        let record = RecordSummary {
            object: ObjectId::new("uploads", key, version),
            etag: "abc".into(),
            size,
            generation: Generation(0),
            sequencer: Sequencer::try_from("A1".to_owned()).ok(),
            written_at: None,
            scanned_at: None,
            reported: true,
            requested: None,
            archived_at: None,
            first_infected: None,
            view: None,
        };
        let trigger = RescanTrigger {
            generation: Generation(generation), kind: RescanKind::Delta, region: "eu-west-1", at: DateTime::UNIX_EPOCH,
        };
        let message = trigger.message([RescanTarget::from(&record), RescanTarget::from(&record)]);
        let payload = json!({ "Records": [sqs("1", &message.body)] });
        let cause = Cause::Definitions(Generation(generation));
        let expected = ScanRequest { object: record.object.clone(), sequencer: record.sequencer.clone(), cause, at: None };
        if record.object.key.ends_with('/') && size == 0 { return Ok(()) }
        prop_assert_eq!(events(&payload), [ObjectEvent::Scan(expected.clone()), ObjectEvent::Scan(expected)]);
    }
}
