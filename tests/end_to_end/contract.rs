//! The adapters keep the contract that the fakes keep, on a real endpoint.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, StorageClass, VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use nacre_aws::{DynamoRecords, S3Definitions, S3Objects, SnsTopic, SqsDeliveries, SqsQueue};
use nacre_core::{
    builder::record,
    generation::Generation,
    object::ObjectId,
    port::{Delivery, ObjectHead, ObjectStore, RecordPages, RecordStore, Segment, StoreError, TopicMessage},
    scan_record::RECORD_FORMAT,
};
use nacre_test_support::Stack;
use nacre_testing::contract;
use serde_json::{Value, json};

use crate::{idle::idle_stack, queues::queue_arn};

async fn bucket(stack: &Stack, name: &str, versioned: bool) -> String {
    // Names are MiniStack-wide.
    let (s3, name) = (stack.s3(), format!("nacre-contract-{name}"));
    let place = BucketLocationConstraint::EuWest1;
    let place = CreateBucketConfiguration::builder().location_constraint(place).build();
    s3.create_bucket().bucket(&name).create_bucket_configuration(place).send().await.unwrap();
    if versioned {
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        s3.put_bucket_versioning().bucket(&name).versioning_configuration(enabled).send().await.unwrap();
    }
    name
}

async fn put(stack: &Stack, bucket: &str, key: &str, content: &str) -> ObjectId {
    let put = stack.s3().put_object().bucket(bucket).key(key).body(content.as_bytes().to_vec().into());
    let version = put.send().await.unwrap().version_id().map(str::to_owned);
    ObjectId::new(bucket, key, version)
}

async fn delete(stack: &Stack, object: &ObjectId) -> ObjectId {
    let delete = stack.s3().delete_object().bucket(&object.bucket).key(&object.key);
    let deleted = delete.set_version_id(object.version_id.clone()).send().await.unwrap();
    ObjectId { version_id: deleted.version_id().map(str::to_owned), ..object.clone() }
}

#[tokio::test]
async fn objects_in_s3_keep_the_contract() {
    let (stack, scratch) = idle_stack(&[]).await;
    let objects = S3Objects::new(stack.sdk_config());
    let versioned = bucket(&stack, "versioned", true).await;
    let removed = put(&stack, &versioned, "a key + %2B é", "removed").await;
    let older = put(&stack, &versioned, &removed.key, "older").await;
    let latest = put(&stack, &versioned, &removed.key, "latest").await;
    delete(&stack, &removed).await;
    put(&stack, &versioned, "hidden", "x").await;
    let marker = delete(&stack, &ObjectId::new(&versioned, "hidden", None)).await;
    let versions = contract::Versions { older, latest, removed, marker };
    contract::objects_are_exact(&objects, &versions, scratch.path()).await;

    let plain = bucket(&stack, "plain", false).await;
    let mut awkward = Vec::new();
    for key in contract::AWKWARD_KEYS {
        awkward.push(put(&stack, &plain, key, key).await);
    }
    contract::awkward_keys_are_found(&objects, &awkward, scratch.path()).await;
    contract::overwritten_objects_are_not_deleted(&objects, &plain).await;
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn archived_and_foreign_encrypted_objects_are_unreadable_and_a_store_out_of_reach_is_unavailable() {
    let (stack, scratch) = idle_stack(&[]).await;
    let objects = S3Objects::new(stack.sdk_config());
    let bucket = bucket(&stack, "unreadable", false).await;
    let put = || stack.s3().put_object().bucket(&bucket).body(b"content".to_vec().into());

    put().key("archived").storage_class(StorageClass::Glacier).send().await.unwrap();
    let archived = ObjectId::new(&bucket, "archived", None);
    let head = objects.head(&archived).await.unwrap();
    let read = objects.download(&archived, &head, &scratch.path().join("archived")).await;
    assert!(matches!(read, Err(StoreError::Unreadable(..))), "{read:?}");

    // A key of 32 times `k`, and its digest.
    let key = put().key("foreign").sse_customer_algorithm("AES256");
    let key = key.sse_customer_key("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=");
    key.sse_customer_key_md5("mT2HRsMGJ5IX5C+0rreZ8Q==").send().await.unwrap();
    let foreign = ObjectId::new(&bucket, "foreign", None);
    let head = objects.head(&foreign).await;
    assert!(matches!(head, Err(StoreError::Unreadable(..))), "{head:?}");
    let printed = ObjectHead { version_id: None, etag: "0".into(), size: 7, written_at: None };
    let read = objects.download(&foreign, &printed, &scratch.path().join("foreign")).await;
    assert!(matches!(read, Err(StoreError::Unreadable(..))), "{read:?}");

    let nowhere = stack.sdk_config().clone().into_builder().endpoint_url("http://127.0.0.1:9").build();
    let head = S3Objects::new(&nowhere).head(&archived).await;
    assert!(matches!(head, Err(StoreError::Unavailable(..))), "{head:?}");
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn records_in_dynamodb_keep_the_contract() {
    let (stack, _scratch) = idle_stack(&[]).await;
    let table = stack.output("ScanRecords");
    let records = DynamoRecords::new(stack.sdk_config(), table);
    contract::records_come_back_as_they_were(&records, "bucket").await;
    Box::pin(contract::records_follow_their_order(&records, "bucket")).await;
    contract::reports_are_of_the_stored_record(&records, "bucket").await;
    contract::removals_respect_the_order_of_events(&records, "bucket").await;
    contract::renewals_are_of_what_was_found(&records, "bucket").await;
    contract::notes_are_of_the_stored_record(&records, "bucket").await;
    // More than fit one page.
    contract::pages_hold_every_record_once(&records, "bucket", 1100).await;
    contract::many_are_looked_up_at_once(&records, "bucket").await;

    // A later version of the program was here, and something that is no record at all.
    let s = |text: &str| AttributeValue::S(text.to_owned());
    let put = || stack.dynamodb().put_item().table_name(table).item("version_id", s("null"));
    let newer =
        put().item("object", s("bucket/newer")).item("format", AttributeValue::N((RECORD_FORMAT + 1).to_string()));
    let newer = newer.item("generation", AttributeValue::N("7".into())).item("etag", s("e"));
    newer.item("size", AttributeValue::N("1".into())).send().await.unwrap();
    put().item("object", s("no record")).send().await.unwrap();
    let ours = record("bucket", "newer");
    assert_eq!(records.load(&ours.object).await.unwrap(), None);
    let saved = records.save(&ours).await;
    assert!(matches!(saved, Err(StoreError::PreconditionFailed(_))), "a newer format stays: {saved:?}");
    let (mut unreadable, mut generation, mut cursor) = (0, None, None);
    loop {
        let page = records.page(Segment { index: 0, total: 1 }, cursor).await.unwrap();
        unreadable += page.unreadable;
        generation =
            generation.or(page.records.iter().find(|found| found.object.key == ours.object.key).map(|r| r.generation));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((unreadable, generation), (1, Some(Generation(0))));
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn definitions_in_s3_keep_the_contract() {
    let (stack, _scratch) = idle_stack(&[]).await;
    let bucket = stack.output("DefinitionsBucket");
    let definitions = S3Definitions::new(stack.sdk_config(), bucket);
    Box::pin(contract::definitions_are_written_on_condition(&definitions)).await;
    Box::pin(contract::definitions_are_listed_and_removed(&definitions)).await;
    Box::pin(contract::definitions_are_copied(&definitions)).await;
    // The tags came with the body.
    let tags = stack.s3().get_object_tagging().bucket(bucket).key("contract/key").send().await.unwrap();
    let tags: Vec<_> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
    assert_eq!(tags, [("md5", "0a+/= b")]);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn topics_in_sns_keep_the_contract() {
    let (stack, _scratch) = idle_stack(&[]).await;
    let (sns, sqs) = (stack.sns(), stack.sqs());
    let topic = sns.create_topic().name("contract").send().await.unwrap().topic_arn().unwrap().to_owned();
    let queue = sqs.create_queue().queue_name("contract").send().await.unwrap().queue_url().unwrap().to_owned();
    let arn = sqs.get_queue_attributes().queue_url(&queue).attribute_names(QueueAttributeName::QueueArn);
    let arn = arn.send().await.unwrap().attributes().unwrap()[&QueueAttributeName::QueueArn].clone();
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": { "ArnEquals": { "aws:SourceArn": topic } },
    }] });
    let allow = sqs.set_queue_attributes().queue_url(&queue).attributes(QueueAttributeName::Policy, policy.to_string());
    allow.send().await.unwrap();
    sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(&arn).send().await.unwrap();

    let published = contract::topics_take_any_number(&SnsTopic::new(stack.sdk_config(), &topic), 25).await;
    let expected: BTreeMap<String, TopicMessage> =
        published.into_iter().map(|message| (text_of(&message), message)).collect();
    let mut received = BTreeMap::new();
    for _ in 0..30 {
        let messages = sqs.receive_message().queue_url(&queue).max_number_of_messages(10).wait_time_seconds(1);
        for message in messages.send().await.unwrap().messages() {
            let envelope: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            received.insert(envelope["Message"].as_str().unwrap().to_owned(), envelope);
        }
        if received.len() >= expected.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(received.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (text, message) in expected {
        let envelope = &received[&text];
        assert_eq!(envelope["Subject"].as_str(), message.subject.as_deref());
        for (name, value) in message.attributes {
            assert_eq!(envelope["MessageAttributes"][name]["Value"], json!(value));
        }
    }
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn queues_in_sqs_keep_the_contract() {
    let (stack, _scratch) = idle_stack(&[]).await;
    let sqs = stack.sqs();
    let queue = sqs.create_queue().queue_name("contract-work").send().await.unwrap().queue_url().unwrap().to_owned();
    let mut sent = contract::queues_take_any_number(&SqsQueue::new(stack.sdk_config(), &queue), 25).await;
    let mut received = Vec::new();
    for _ in 0..30 {
        let messages = sqs.receive_message().queue_url(&queue).max_number_of_messages(10).wait_time_seconds(1);
        let messages = messages.send().await.unwrap();
        received.extend(messages.messages().iter().map(|message| message.body().unwrap().to_owned()));
        if received.len() >= sent.len() {
            break;
        }
    }
    received.sort();
    sent.sort();
    assert_eq!(received, sent);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn deliveries_of_sqs_keep_the_contract() {
    let (stack, _scratch) = idle_stack(&[]).await;
    let sqs = stack.sqs();
    // Without our call the message would stay away longer than any test waits.
    let create = sqs.create_queue().queue_name("postponed").attributes(QueueAttributeName::VisibilityTimeout, "43200");
    let url = create.send().await.unwrap().queue_url().unwrap().to_owned();
    sqs.send_message().queue_url(&url).message_body("failed").send().await.unwrap();
    let receive = sqs.receive_message().queue_url(&url).wait_time_seconds(20);
    let first = receive.clone().send().await.unwrap().messages.unwrap().remove(0);
    let receipt = first.receipt_handle().unwrap().to_owned();
    let delivery = Delivery { queue_arn: queue_arn(&stack, &url).await, receipt, receives: 1 };
    let deliveries = SqsDeliveries::new(stack.sdk_config());
    contract::only_a_delivery_can_be_postponed(&deliveries, &delivery, Duration::from_secs(1)).await;
    let second = receive.send().await.unwrap().messages.unwrap().remove(0);
    assert_eq!(second.message_id(), first.message_id());
    assert_ne!(second.receipt_handle(), Some(&*delivery.receipt));
    stack.stop().await.unwrap();
}

/// What a queue gets of a message.
fn text_of(message: &TopicMessage) -> String {
    if !message.per_protocol {
        return message.body.clone();
    }
    let bodies: Value = serde_json::from_str(&message.body).unwrap();
    bodies.get("sqs").and_then(Value::as_str).unwrap().to_owned()
}

#[tokio::test]
async fn a_large_object_comes_in_parts_and_is_the_same_or_nothing() {
    let (stack, scratch) = idle_stack(&[]).await;
    let objects = S3Objects::new(stack.sdk_config());
    let bucket = bucket(&stack, "large", false).await;
    let put = async |bytes: Vec<u8>| {
        stack.s3().put_object().bucket(&bucket).key("large").body(bytes.into()).send().await.unwrap();
        let object = ObjectId::new(&bucket, "large", None);
        (objects.head(&object).await.unwrap(), object)
    };
    // Parts of 16 MiB: exactly two, and two with a byte more.
    for size in [32 << 20, (32 << 20) + 1] {
        let bytes: Vec<u8> = (0_u32..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (head, object) = put(bytes.clone()).await;
        let path = scratch.path().join(size.to_string());
        objects.download(&object, &head, &path).await.unwrap();
        assert!(std::fs::read(path).unwrap() == bytes, "{size}");

        put(vec![0; 40 << 20]).await;
        let changed = objects.download(&object, &head, &scratch.path().join(format!("{size}-changed"))).await;
        assert!(matches!(changed, Err(StoreError::PreconditionFailed(_))), "{changed:?}");
    }
    stack.stop().await.unwrap();
}
