//! A bad night: five faults at once, each named by `status` and `doctor` and by an alarm, and every object at its right verdict after
//! the repair.

use std::{collections::BTreeSet, fs, time::Duration};

use aws_sdk_sqs::types::QueueAttributeName;
use nacre_clamav::builder::eicar;
use nacre_core::{object::ObjectId, verdict::Verdict};
use nacre_test_support::{
    Stack,
    deployed::{DEADLINE, World},
    messages::uploads,
    programs_directory,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    deploy,
    operations::{nacre, until},
    watch,
};

const INTERVAL: Duration = Duration::from_millis(500);

/// Refuses tags to everybody in a bucket, or no longer.
async fn deny_tags(stack: &Stack, bucket: &str, denied: bool) {
    let (s3, resource) = (stack.s3(), format!("arn:aws:s3:::{bucket}/*"));
    let found = s3.get_bucket_policy().bucket(bucket).send().await.unwrap();
    let mut policy: Value = serde_json::from_str(found.policy().unwrap()).unwrap();
    let statements = policy["Statement"].as_array_mut().unwrap();
    statements.retain(|statement| statement["Sid"] != "Night");
    if denied {
        statements.push(json!({ "Sid": "Night", "Effect": "Deny", "Principal": "*", "Resource": resource,
            "Action": ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"] }));
    }
    s3.put_bucket_policy().bucket(bucket).policy(policy.to_string()).send().await.unwrap();
}

async fn dead_letters(stack: &Stack) -> u64 {
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let read = stack.sqs().get_queue_attributes().queue_url(stack.output("ScanDeadLetters"));
    let found = read.attribute_names(name.clone()).send().await.unwrap();
    found.attributes().unwrap()[&name].parse().unwrap()
}

async fn put(stack: &Stack, bucket: &str, key: &str, content: Vec<u8>) -> ObjectId {
    let put = stack.s3().put_object().bucket(bucket).key(key).body(content.into()).send().await.unwrap();
    ObjectId::new(bucket, key, put.version_id().map(str::to_owned).or(Some("null".into())))
}

/// Alarms, `status` and `doctor` name each fault of the night.
async fn each_fault_is_named(stack: &Stack) {
    let ringing = watch::sounding(stack, watch::now()).await;
    for alarm in ["UpdateFailedAlarm", "ScanDeadLettersAlarm"] {
        assert!(ringing.contains(alarm), "{ringing:?}");
    }
    let (code, printed) = nacre(stack, &["status", "--json"]).await;
    let status: Value = serde_json::from_str(&printed).unwrap();
    let wrong: Vec<&str> = status["wrong"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let named = |text: &str| wrong.iter().any(|finding| finding.contains(text));
    assert_eq!(code, Some(1), "{printed}");
    for text in [
        "5 messages are in the dead-letter queue scan",
        "UpdateFailedAlarm rings",
        "ScanDeadLettersAlarm rings",
        "updater logged",
        "scanner logged",
    ] {
        assert!(named(text), "{text}: {wrong:#?}");
    }
    let (code, printed) = nacre(stack, &["doctor", "--json"]).await;
    let faults: BTreeSet<String> = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
        .collect();
    let expected = ["access_denied", "dead_letters", "throttled"].map(str::to_owned);
    assert_eq!((code, faults), (Some(1), expected.into()), "{printed}");
    for call in ["PutObjectTagging", "PutItem"] {
        assert!(printed.contains(&format!("\"resource\":\"{call}\"")), "{call}: {printed}");
    }
}

#[tokio::test]
async fn a_bad_night_is_named_and_ends_with_every_object_at_its_right_verdict() {
    let world = World::ready(&[("StalenessLimitHours", "10000000"), ("LocalVisibilityTimeout", "1")]).await;
    let (stack, throttled) = (&world.stack, world.stack.logs().join("throttled"));
    stack.create_bucket("customers").await.unwrap();
    let (code, _, printed) =
        deploy::nacre(&world, &["attach", "s3://customers", "--self-test", "false", "--yes"]).await;
    assert_eq!(code, Some(0), "{printed}");
    let own = stack.scanned_bucket();
    let first = put(stack, own, "first.txt", b"nothing".to_vec()).await;
    stack.await_settled(&first, DEADLINE).await.unwrap();

    // The mirror is gone, one bucket lets nobody tag, an object is of a bucket that nobody may read, the table throttles for another,
    // and the function is killed at its work.
    world.mirror.remove("daily.cvd");
    world.mirror.remove("main.cvd");
    world.update().await;
    deny_tags(stack, "customers", true).await;
    stack.create_bucket("foreign").await.unwrap();
    let poison = put(stack, "foreign", "poison", b"harmless".to_vec()).await;
    let message = uploads(std::slice::from_ref(&poison));
    stack.sqs().send_message().queue_url(stack.output("ScanQueue")).message_body(message).send().await.unwrap();
    fs::write(&throttled, own).unwrap();
    let mut objects = Vec::new();
    for bucket in [own, "customers"] {
        objects.push((put(stack, bucket, "clean.txt", b"harmless".to_vec()).await, false));
        objects.push((put(stack, bucket, "eicar.com", eicar()).await, true));
    }
    let deadline = Instant::now() + DEADLINE;
    let mut killed = 0;
    while killed == 0 {
        for environment in stack.environments(stack.output("ScannerFunction")) {
            killed += usize::from(kill(Pid::from_raw(environment.process), Signal::SIGKILL).is_ok());
        }
        assert!(Instant::now() < deadline, "the scanner never ran");
        sleep(INTERVAL).await;
    }
    while dead_letters(stack).await < 5 {
        assert!(Instant::now() < deadline, "{} of 5 messages were given up on", dead_letters(stack).await);
        sleep(INTERVAL).await;
    }

    each_fault_is_named(stack).await;

    // The repair.
    fs::remove_file(&throttled).unwrap();
    deny_tags(stack, "customers", false).await;
    world.mirror.put("main.cvd", nacre_test_support::deployed::main_database());
    world.mirror.put("daily.cvd", nacre_test_support::deployed::daily(1, false));
    world.update().await;

    // A redrive that is killed loses nothing.
    let environment = stack.operator_environment();
    let mut redrive = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    redrive.args(["dlq", "redrive", "scan", "--rate", "1"]).env_clear().envs(environment).kill_on_drop(true);
    let mut redrive = redrive.spawn().unwrap();
    while dead_letters(stack).await > 0 {
        assert!(Instant::now() < deadline, "the redrive receives nothing");
        sleep(Duration::from_millis(50)).await;
    }
    redrive.kill().await.unwrap();
    // What it had received is visible again in time; the object that nobody may read comes back after each redrive.
    loop {
        let (code, printed) = nacre(stack, &["dlq", "redrive", "scan"]).await;
        assert_eq!(code, Some(0), "{printed}");
        let settled = async {
            for (object, _) in &objects {
                if !stack.record(object).await.unwrap().is_some_and(|record| record.reported) {
                    return false;
                }
            }
            true
        };
        if settled.await {
            break;
        }
        assert!(Instant::now() < deadline, "not every object has its verdict");
        sleep(INTERVAL).await;
    }
    for (object, infected) in &objects {
        let record = stack.await_settled(object, DEADLINE).await.unwrap();
        assert_eq!(record.verdict.is_infected(), *infected, "{object}");
        assert!(*infected || record.verdict == Verdict::Clean, "{object}: {:?}", record.verdict);
        let reader = stack.user_of(&object.bucket).await.unwrap();
        let read = reader.get_object().bucket(&object.bucket).key(&object.key).send().await;
        assert_eq!(read.is_err(), *infected, "{object}");
    }
    until(stack, &["dlq", "show", "scan"], |_, printed| printed.contains("foreign/poison")).await;
    let (code, printed) = nacre(stack, &["dlq", "drop", "scan", "--object", &poison.to_string(), "--yes"]).await;
    assert!(code == Some(0) && printed.starts_with("1 messages deleted"), "{printed}");
    let (code, printed) = nacre(stack, &["dlq", "list"]).await;
    assert_eq!(code, Some(0), "{printed}");
    world.end().await;
}
