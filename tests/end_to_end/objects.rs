//! Objects under the conditions that they really meet: overwritten, deleted, oddly named, announced twice, refused a tag.

use std::{
    fs,
    io::{Cursor, Write},
    time::Duration,
};

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_sns::types::MessageAttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use nacre_clamav::builder::eicar;
use nacre_core::{object::ObjectId, scan_record::ScanRecord, verdict::Verdict};
use nacre_test_support::{
    ProcessInfo, Random, Stack,
    deployed::{DEADLINE, EVIL, World},
    get_status,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::queues::subscribed_queue;

/// An S3 event for a key that needs no encoding.
fn event(bucket: &str, key: &str, version_id: Option<&str>) -> Value {
    json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": "eu-west-1",
        "s3": { "bucket": { "name": bucket }, "object": { "key": key, "versionId": version_id, "size": 1 } } }] })
}

/// Messages in a queue, waiting or under way.
async fn depth(stack: &Stack, queue: &str) -> u32 {
    let waiting = QueueAttributeName::ApproximateNumberOfMessages;
    let under_way = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
    let request = stack.sqs().get_queue_attributes().queue_url(stack.output(queue));
    let answer = request.attribute_names(waiting.clone()).attribute_names(under_way.clone()).send().await.unwrap();
    let attributes = answer.attributes().unwrap();
    [waiting, under_way].iter().map(|name| attributes[name].parse::<u32>().unwrap()).sum()
}

/// Waits for a condition.
async fn await_true(expected: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not within {DEADLINE:?}: {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A zip that takes an engine seconds to scan, and has EICAR behind all that.
fn slow_zip() -> Vec<u8> {
    let mut random = Random::new(1);
    let noise: Vec<u8> = (0..6 << 20).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("noise", noise.as_slice()), ("eicar.com", eicar().as_slice())] {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(name, stored).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The processes of these engines.
fn workers(stack: &Stack, engines: &[i32]) -> Vec<i32> {
    let is_worker = |process: &ProcessInfo| process.name == "nacre-engine" && engines.contains(&process.parent);
    stack.processes().iter().filter(|process| is_worker(process)).map(|process| process.id).collect()
}

/// How often the scanner's log has these words.
fn logged(stack: &Stack, words: &str) -> usize {
    let log = stack.logs().join(format!("{}.log", stack.output("ScannerFunction")));
    fs::read_to_string(log).unwrap_or_default().matches(words).count()
}

/// Waits until everything that was announced is done with.
pub(crate) async fn await_quiet(stack: &Stack) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while depth(stack, "ScanQueue").await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the scan queue does not empty");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(depth(stack, "ScanDeadLetters").await, 0, "nothing ends as a dead letter");
}

#[tokio::test]
async fn every_version_is_judged_by_its_own_bytes() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    // The second version is there before the first one's event is handled, or soon after: both verdicts must hold.
    let older = stack.put("twice.txt", eicar()).await.unwrap();
    let latest = stack.put("twice.txt", "harmless\n").await.unwrap();
    assert_ne!(older.version_id, latest.version_id);
    assert!(matches!(stack.await_settled(&older, DEADLINE).await.unwrap().verdict, Verdict::Infected { .. }));
    assert_eq!(stack.await_settled(&latest, DEADLINE).await.unwrap().verdict, Verdict::Clean);
    let reader = stack.ordinary_user().await.unwrap();
    assert_eq!(get_status(&reader, &older).await.unwrap(), 403);
    assert_eq!(get_status(&reader, &latest).await.unwrap(), 200);
    world.end().await;
}

#[tokio::test]
async fn an_object_overwritten_between_event_and_scan_is_judged_by_what_is_there() {
    let world = World::ready(&[("ScannedBucketName", "given-without-versions")]).await;
    let stack = &world.stack;
    stack.create_bucket(stack.scanned_bucket()).await.unwrap();
    let announced = stack.put("overwritten.txt", "harmless\n").await.unwrap();
    stack.put("overwritten.txt", eicar()).await.unwrap();
    let outcome = world.invoke("ScannerFunction", event(stack.scanned_bucket(), "overwritten.txt", None)).await;
    assert_eq!(outcome.function_error, None, "{outcome:?}");
    assert_eq!(stack.tag(&announced, "av-status").await.unwrap().as_deref(), Some("INFECTED"));
    assert!(matches!(stack.record(&announced).await.unwrap().unwrap().verdict, Verdict::Infected { .. }));
    world.end().await;
}

#[tokio::test]
async fn an_object_from_before_its_bucket_kept_versions_is_rescanned_as_itself() {
    let world = World::ready(&[("ScannedBucketName", "versions-later")]).await;
    let stack = &world.stack;
    let bucket = stack.scanned_bucket();
    stack.create_bucket(stack.scanned_bucket()).await.unwrap();
    stack.put("old.txt", EVIL).await.unwrap();
    world.invoke("ScannerFunction", event(bucket, "old.txt", None)).await;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    stack.s3().put_bucket_versioning().bucket(bucket).versioning_configuration(enabled).send().await.unwrap();
    stack.put("old.txt", "harmless\n").await.unwrap();
    world.mirror.put("daily.cvd", nacre_test_support::deployed::daily(2, true));
    world.update().await;
    let old = ObjectId::new(bucket, "old.txt", Some("null".into()));
    let infected = |records: &[ScanRecord]| {
        let record = records.iter().find(|record| record.object == old);
        record.is_some_and(|record| record.reported && matches!(record.verdict, Verdict::Infected { .. }))
    };
    stack.await_records(DEADLINE, infected).await.unwrap();
    assert_eq!(stack.tag(&old, "av-status").await.unwrap().as_deref(), Some("INFECTED"));
    world.end().await;
}

#[tokio::test]
async fn what_is_gone_malformed_or_none_of_our_business_is_acknowledged() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let bucket = stack.scanned_bucket();
    let queue = stack.output("ScanQueue");
    let test_event = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": bucket });
    let mut tagging = event(bucket, "never-there.txt", None);
    tagging["Records"][0]["eventName"] = json!("ObjectTagging:Put");
    for body in [
        "not JSON at all".to_owned(),
        "{\"Records\":[{\"eventSource\":\"aws:s3\",\"s3\":{}}]}".to_owned(),
        test_event.to_string(),
        tagging.to_string(),
        event(bucket, "never-there.txt", None).to_string(),
        event(bucket, "never-there.txt", Some("no-such-version")).to_string(),
        event("no-such-bucket-anywhere", "x", None).to_string(),
    ] {
        stack.sqs().send_message().queue_url(queue).message_body(body).send().await.unwrap();
    }
    let deleted = stack.put("deleted.txt", "soon gone\n").await.unwrap();
    let delete =
        stack.s3().delete_object().bucket(bucket).key("deleted.txt").set_version_id(deleted.version_id.clone());
    delete.send().await.unwrap();
    await_quiet(stack).await;
    let records = stack.await_records(DEADLINE, <[_]>::is_empty).await.unwrap();
    assert!(records.is_empty(), "a removed object loses its record: {records:?}");

    let direct = world.invoke("ScannerFunction", json!({ "Records": [{ "eventSource": "aws:s3" }] })).await;
    assert_eq!((direct.function_error, &direct.payload), (None, &json!({ "batchItemFailures": [] })));
    assert!(direct.logs.contains("record malformed") && direct.logs.contains("\"Malformed\":1"), "{}", direct.logs);
    world.end().await;
}

#[tokio::test]
async fn a_tag_write_that_fails_is_made_good_without_a_second_scan() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let s3 = stack.s3();
    let bucket = stack.scanned_bucket();
    let policy = s3.get_bucket_policy().bucket(bucket).send().await.unwrap().policy().unwrap().to_owned();
    let mut denying: Value = serde_json::from_str(&policy).unwrap();
    denying["Statement"].as_array_mut().unwrap().push(json!({
        "Sid": "Test", "Effect": "Deny", "Principal": "*", "Resource": format!("arn:aws:s3:::{bucket}/*"),
        "Action": ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"],
    }));
    s3.put_bucket_policy().bucket(bucket).policy(denying.to_string()).send().await.unwrap();

    let object = stack.put("untaggable.txt", eicar()).await.unwrap();
    let records = stack.await_records(DEADLINE, |records| records.iter().any(|record| record.published)).await.unwrap();
    let recorded = records.into_iter().find(|record| record.published).unwrap();
    assert!(!recorded.reported, "passes ask for it while it has no tags");
    assert_eq!(
        stack.tag(&object, "av-status").await.unwrap(),
        None,
        "its result is out, for nobody may miss it, and it is still to be tagged"
    );
    s3.put_bucket_policy().bucket(bucket).policy(policy).send().await.unwrap();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while stack.tag(&object, "av-status").await.unwrap().as_deref() != Some("INFECTED") {
        assert!(tokio::time::Instant::now() < deadline, "its message was given up on");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let settled = stack.await_settled(&object, DEADLINE).await.unwrap();
    assert_eq!(settled.scanned_at, recorded.scanned_at, "the first scan's record stands");
    await_quiet(stack).await;
    world.end().await;
}

#[tokio::test]
async fn an_engine_killed_mid_scan_costs_no_object_its_verdict() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let first = stack.put("first.txt", "harmless\n").await.unwrap();
    stack.await_settled(&first, DEADLINE).await.unwrap();
    let warm = stack.engine_processes();
    assert!(!warm.is_empty());
    // Engines keep a process of their own that scans nothing.
    let idle = workers(stack, &warm);
    let second = stack.put("second.zip", slow_zip()).await.unwrap();
    let scans = || workers(stack, &warm).into_iter().any(|worker| !idle.contains(&worker));
    await_true("an engine is in the middle of a scan", scans).await;
    for engine in &warm {
        kill(Pid::from_raw(*engine), Signal::SIGKILL).unwrap();
    }
    await_true("the scanner has seen its engine die", || logged(stack, "engine died over a file") == 1).await;
    let settled = stack.await_settled(&second, DEADLINE).await.unwrap();
    assert!(matches!(settled.verdict, Verdict::Infected { .. }), "{settled:?}");
    world.end().await;
}

/// The functions run under the system call filter of AWS Lambda: the scanner says what its engine lacks there, and keeps its
/// credentials from it.
#[tokio::test]
async fn under_lambdas_filter_the_scanner_says_what_is_missing_and_hides_its_credentials() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let object = stack.put("first.txt", "harmless\n").await.unwrap();
    stack.await_settled(&object, DEADLINE).await.unwrap();
    await_true("the scanner names the layers", || {
        logged(stack, "the system refuses layers of the engine's sandbox") > 0
    })
    .await;
    let functions = stack.environments(stack.output("ScannerFunction"));
    assert!(!functions.is_empty());
    for function in functions {
        let environment = fs::read(format!("/proc/{}/environ", function.process)).unwrap();
        let value = |name: &str| -> Vec<u8> {
            let entries = environment.windows(name.len()).position(|window| window == name.as_bytes());
            let start = entries.unwrap_or_else(|| panic!("{name} is not in the environment")) + name.len();
            environment[start..].iter().copied().take_while(|byte| *byte != b'\n').take(4).collect()
        };
        assert!(value("AWS_LAMBDA_FUNCTION_NAME=").iter().all(|byte| *byte != 0));
        for secret in ["AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="] {
            assert_eq!(value(secret).first(), Some(&0), "{secret} is readable");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn twice_the_same_message_is_one_scans_effect() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let results = subscribed_queue(stack, stack.output("ScanResults"), "results").await;

    let object = stack.put("once.txt", eicar()).await.unwrap();
    let record = stack.await_settled(&object, DEADLINE).await.unwrap();
    let again = event(stack.scanned_bucket(), "once.txt", object.version_id.as_deref()).to_string();
    for _ in 0..3 {
        // An attribute of somebody's own must not keep a message from the queue.
        let attribute = MessageAttributeValue::builder().data_type("String").string_value("x").build().unwrap();
        let publish = stack.sns().publish().topic_arn(stack.output("ScannerTrigger")).message(&again);
        publish.message_attributes("somebody", attribute).send().await.unwrap();
    }
    await_true("each repetition was handled", || logged(stack, "object already scanned") == 3).await;
    await_quiet(stack).await;
    assert_eq!(stack.record(&object).await.unwrap(), Some(record), "the record is the first scan's");
    let receive = stack.sqs().receive_message().queue_url(&results).max_number_of_messages(10).wait_time_seconds(1);
    let received = receive.send().await.unwrap();
    let bodies: Vec<Value> =
        received.messages().iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!((&bodies[0]["key"], &bodies[0]["av-status"]), (&json!("once.txt"), &json!("INFECTED")));
    assert_eq!(bodies[0]["version"], json!(object.version_id));
    world.end().await;
}

#[tokio::test]
async fn awkward_keys_are_scanned_tagged_and_rescanned_under_their_own_names() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let keys =
        ["with space", "plus+and%2Bpercent%", "ünï/çødé €", "../../etc/passwd", "a//b/", "quote\"and'back\\slash"];
    let mut objects: Vec<ObjectId> = Vec::new();
    for key in keys {
        objects.push(stack.put(key, EVIL).await.unwrap());
    }
    for object in &objects {
        assert_eq!(stack.await_settled(object, DEADLINE).await.unwrap().verdict, Verdict::Clean, "{object}");
    }
    world.mirror.put("daily.cvd", nacre_test_support::deployed::daily(2, true));
    world.update().await;
    let rescanned = |records: &[ScanRecord]| {
        records.iter().filter(|record| record.reported && record.generation.0 == 2).count() == keys.len()
    };
    stack.await_records(DEADLINE, rescanned).await.unwrap();
    for object in &objects {
        assert_eq!(stack.tag(object, "av-status").await.unwrap().as_deref(), Some("INFECTED"), "{object}");
    }
    world.end().await;
}
