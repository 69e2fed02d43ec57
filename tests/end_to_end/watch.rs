//! The watch over a deployment: nothing rings while all is well, each fault rings its own alarm and ends it, and people are notified.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use aws_sdk_sqs::types::QueueAttributeName;
use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::{builder::eicar, signing::SigningKeys};
use nacre_core::{
    generation::Generation,
    rescan::pass::{Budget, Cause, FORMAT, ObjectTotals, Pass, PassId, pass_key},
    self_test::PREFIX,
};
use nacre_test_support::{
    Stack,
    deployed::{DEADLINE, World, daily, daily_builder, main_database},
};
use serde_json::{Value, json};

use crate::queues::subscribed_queue;

/// The tests' databases were built long ago.
const OLD: (&str, &str) = ("StalenessLimitHours", "10000000");

#[expect(clippy::disallowed_methods, reason = "a test is its own composition root")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// The alarms that sound when they are judged by what is known at this time.
pub(crate) async fn sounding(stack: &Stack, now: SystemTime) -> BTreeSet<String> {
    let states = stack.judge_alarms(now).await.unwrap();
    states.into_iter().filter(|(_, state)| state == "ALARM").map(|(name, _)| name).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Waits until this alarm sounds, and insists that no other does but those that are expected besides.
async fn await_sounding(stack: &Stack, alarm: &str, besides: &[&str]) {
    let expected: BTreeSet<_> = set(besides).into_iter().chain([alarm.to_owned()]).collect();
    let started = tokio::time::Instant::now();
    loop {
        let sounding = sounding(stack, now()).await;
        if sounding.contains(alarm) {
            assert!(sounding.is_subset(&expected), "{sounding:?} instead of {alarm}");
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{alarm} does not sound: {sounding:?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn watch(world: &World, task: &str) {
    let outcome = world.invoke("RescannerFunction", json!({ "watch": task })).await;
    assert_eq!(outcome.payload, Value::Null, "{outcome:?}");
}

/// The titles of all messages in a queue of what `Alerts` publishes; alarms are none of ours.
async fn titles(stack: &Stack, queue: &str) -> Vec<String> {
    let mut titles = Vec::new();
    loop {
        let receive = stack.sqs().receive_message().queue_url(queue).max_number_of_messages(10).wait_time_seconds(1);
        let received = receive.send().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            return titles;
        }
        for message in received {
            let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            if body.get("AlarmName").is_none() {
                assert_eq!((&body["version"], &body["source"]), (&json!("1.0"), &json!("custom")), "{body}");
                titles.push(body["content"]["title"].as_str().unwrap().to_owned());
            }
            let receipt = message.receipt_handle().unwrap();
            stack.sqs().delete_message().queue_url(queue).receipt_handle(receipt).send().await.unwrap();
        }
    }
}

async fn objects_of_tests(stack: &Stack) -> usize {
    let listed = stack.s3().list_object_versions().bucket(stack.scanned_bucket()).prefix(PREFIX).send().await.unwrap();
    listed.versions().len() + listed.delete_markers().len()
}

#[tokio::test]
async fn nothing_rings_while_all_is_well_and_people_hear_of_infections_alone() {
    let mail = ("AlertEmail", "security@example.org");
    let world = World::empty(&[OLD, mail, ("InfectedObjects", "quarantine")]).await;
    let stack = &world.stack;
    assert_eq!(sounding(stack, now()).await, set(&[]), "a new stack");
    let subscribed = stack.sns().list_subscriptions_by_topic().topic_arn(stack.output("Alerts")).send().await.unwrap();
    let [subscription] = subscribed.subscriptions() else { panic!("{subscribed:?}") };
    assert_eq!((subscription.protocol(), subscription.endpoint()), (Some("email"), Some(mail.1)));
    let alerts = subscribed_queue(stack, stack.output("Alerts"), "alerts").await;
    let results = subscribed_queue(stack, stack.output("ScanResults"), "results").await;

    world.mirror.put("main.cvd", main_database());
    world.mirror.put("daily.cvd", daily(1, false));
    world.update().await;
    for n in 0..3 {
        let object = stack.put(&format!("clean {n}"), format!("harmless {n}\n")).await.unwrap();
        stack.await_settled(&object, DEADLINE).await.unwrap();
    }
    watch(&world, "hourly").await;
    assert_eq!(sounding(stack, now()).await, set(&[]), "{}", std::fs::read_to_string(log(&world)).unwrap());
    assert_eq!(objects_of_tests(stack).await, 0, "nothing stays of a self-test");
    let quarantine = stack.s3().list_objects_v2().bucket(stack.output("QuarantineBucket")).send().await.unwrap();
    assert_eq!(quarantine.contents().len(), 0, "nor in quarantine");
    assert_eq!(titles(stack, &alerts).await, [""; 0]);
    let received = stack.sqs().receive_message().queue_url(&results).message_attribute_names("All");
    let received = received.max_number_of_messages(10).send().await.unwrap();
    let [result] = received.messages() else { panic!("{received:?}") };
    let marked = result.message_attributes().unwrap().get("nacre-self-test").and_then(|value| value.string_value());
    assert_eq!(marked, Some("true"), "programs may leave it out");

    let scanner = stack.logs().join(format!("{}.log", stack.output("ScannerFunction")));
    let scanner = std::fs::read_to_string(scanner).unwrap();
    assert!(scanner.contains("\"UploadToVerdictTime\":"), "{scanner}");
    let dashboard = stack.dashboard().await.unwrap();
    assert!(dashboard["widgets"].as_array().unwrap().len() >= 10, "{dashboard}");
    assert!(!dashboard.to_string().contains("${"), "every name is filled in: {dashboard}");

    let object = stack.put("eicar.com", eicar()).await.unwrap();
    stack
        .await_records(DEADLINE, |records| records.iter().all(|record| record.object.key != "eicar.com"))
        .await
        .unwrap();
    await_sounding(stack, "InfectedAlarm", &[]).await;
    assert_eq!(titles(stack, &alerts).await, [format!("INFECTED: s3://{}/{}", object.bucket, object.key)]);
    assert_eq!(sounding(stack, now() + Duration::from_mins(10)).await, set(&[]), "it is over");

    watch(&world, "daily").await;
    let digest = titles(stack, &alerts).await;
    assert!(
        matches!(&digest[..], [title] if title.starts_with("nacre: ") && title.ends_with("0 dead letters")),
        "{digest:?}"
    );
    world.end().await;
}

/// The rescanner's log.
fn log(world: &World) -> std::path::PathBuf {
    world.stack.logs().join(format!("{}.log", world.stack.output("RescannerFunction")))
}

#[tokio::test]
async fn silence_sounds_an_alarm_a_day_after_the_stack_was_made() {
    let world = World::ready(&[OLD]).await;
    let stack = &world.stack;
    watch(&world, "hourly").await;
    let hour = Duration::from_hours(1);
    assert_eq!(sounding(stack, now() + 5 * hour).await, set(&[]));
    assert_eq!(sounding(stack, now() + 25 * hour).await, set(&["DefinitionsAgeAlarm"]));
    world.end().await;
}

/// The text of the scanned bucket's policy.
async fn policy(stack: &Stack) -> String {
    let policy = stack.s3().get_bucket_policy().bucket(stack.scanned_bucket()).send().await.unwrap();
    policy.policy().unwrap().to_owned()
}

async fn set_policy(stack: &Stack, policy: &str) {
    stack.s3().put_bucket_policy().bucket(stack.scanned_bucket()).policy(policy).send().await.unwrap();
}

#[tokio::test]
async fn a_policy_that_lets_infected_objects_be_read_fails_the_self_test() {
    let world = World::ready(&[OLD]).await;
    let stack = &world.stack;
    let kept = policy(stack).await;
    let mut open: Value = serde_json::from_str(&kept).unwrap();
    open["Statement"].as_array_mut().unwrap().retain(|statement| statement["Sid"] != "DenyReading");
    set_policy(stack, &open.to_string()).await;
    watch(&world, "hourly").await;
    await_sounding(stack, "SelfTestFailedAlarm", &[]).await;
    let log = std::fs::read_to_string(log(&world)).unwrap();
    assert!(log.contains("EICAR is readable (200), not refused (403)"), "{log}");
    assert_eq!(objects_of_tests(stack).await, 0, "a test that failed leaves nothing either");

    set_policy(stack, &kept).await;
    let later = now() + Duration::from_mins(61);
    assert_eq!(sounding(stack, later).await, set(&[]));
    watch(&world, "hourly").await;
    // A pass that was started a day and more ago, and of which nothing was heard.
    let (id, started) =
        (PassId { generation: Generation(1), attempt: 99 }, DateTime::<Utc>::from(now()) - TimeDelta::hours(30));
    let pass = Pass {
        format: FORMAT,
        id,
        cause: Cause::Manual,
        started,
        segments: 1,
        budget: Budget::default(),
        forgotten: ObjectTotals::default(),
        dispatched: true,
    };
    let put = stack.s3().put_object().bucket(stack.output("DefinitionsBucket")).key(pass_key(Generation(1)));
    put.body(serde_json::to_vec(&pass).unwrap().into()).send().await.unwrap();
    watch(&world, "hourly").await;
    await_sounding(stack, "PassUnfinishedAlarm", &["SelfTestFailedAlarm"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_set_that_is_rejected_sounds_two_alarms_until_its_time_is_over() {
    let world = World::ready(&[OLD]).await;
    let stack = &world.stack;
    let spoilt = daily_builder(2, false).member("daily.ldb", "not a signature\n");
    world.mirror.put("daily.cvd", spoilt.build(SigningKeys::fixed()));
    let update = world.update().await;
    assert_eq!(sounding(stack, now()).await, set(&["SetRejectedAlarm", "UpdateFailedAlarm"]), "{update:?}");
    assert_eq!(sounding(stack, now() + Duration::from_hours(2)).await, set(&["SetRejectedAlarm"]));
    // Of the day before; nobody watches here, which sounds an alarm of its own by then.
    assert!(!sounding(stack, now() + Duration::from_hours(24)).await.contains("SetRejectedAlarm"));
    world.end().await;
}

#[tokio::test]
async fn scans_that_fail_and_objects_that_cannot_be_scanned_sound_alarms() {
    let world = World::ready(&[OLD, ("LocalVisibilityTimeout", "60")]).await;
    let stack = &world.stack;
    for n in 0..21 {
        // `openssl enc`.
        let content = format!("Salted__{n:08}{}", "\u{1}\u{2}\u{3}\u{4}".repeat(64));
        stack.put(&format!("locked {n}"), content).await.unwrap();
    }
    let unscannable = |records: &[nacre_core::scan_record::ScanRecord]| {
        records.iter().filter(|record| record.verdict.reason().is_some() && record.reported).count() >= 21
    };
    stack.await_records(DEADLINE, unscannable).await.unwrap();
    await_sounding(stack, "UnscannableShareAlarm", &[]).await;
    assert_eq!(sounding(stack, now() + Duration::from_mins(61)).await, set(&[]));

    let kept = policy(stack).await;
    let mut denying: Value = serde_json::from_str(&kept).unwrap();
    denying["Statement"].as_array_mut().unwrap().push(json!({
        "Sid": "Test", "Effect": "Deny", "Principal": "*", "Resource": format!("arn:aws:s3:::{}/*", stack.scanned_bucket()),
        "Action": ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"],
    }));
    set_policy(stack, &denying.to_string()).await;
    for n in 0..12 {
        stack.put(&format!("untaggable {n}"), format!("harmless {n}\n")).await.unwrap();
    }
    await_sounding(stack, "ScanErrorsAlarm", &["UnscannableShareAlarm"]).await;
    set_policy(stack, &kept).await;
    world.end().await;
}

#[tokio::test]
async fn a_function_that_cannot_start_sounds_its_alarm() {
    let world = World::ready(&[OLD]).await;
    let (stack, lambda) = (&world.stack, world.stack.lambda());
    for (function, alarm) in [
        ("RescanFunction", "RescanCrashAlarm"),
        ("ScannerFunction", "ScannerCrashAlarm"),
        ("RescannerFunction", "RescannerCrashAlarm"),
    ] {
        let name = stack.output(function);
        let kept = lambda.get_function_configuration().function_name(name).send().await.unwrap();
        let kept = kept.environment.unwrap().variables.unwrap();
        let mut broken = kept.clone();
        broken.insert("NACRE_RECORDS_TABLE".into(), String::new());
        let environment =
            |variables| aws_sdk_lambda::types::Environment::builder().set_variables(Some(variables)).build();
        let update = lambda.update_function_configuration().function_name(name);
        update.clone().environment(environment(broken)).send().await.unwrap();
        stack.invoke(name, json!({ "Records": [] })).await.unwrap();
        await_sounding(stack, alarm, &["ScannerCrashAlarm", "RescanCrashAlarm"]).await;
        update.environment(environment(kept)).send().await.unwrap();
        assert!(!sounding(stack, now() + Duration::from_mins(61)).await.contains(alarm));
    }
    world.end().await;
}

#[tokio::test]
async fn notifications_that_reach_nobody_sound_alarms() {
    let world = World::ready(&[OLD]).await;
    let (stack, sqs) = (&world.stack, world.stack.sqs());
    // Queues that let nobody send.
    for (topic, name) in [("ScanResults", "deaf"), ("Alerts", "deafer")] {
        sqs.create_queue().queue_name(name).send().await.unwrap();
        let arn = format!("arn:aws:sqs:eu-west-1:210987654321:{name}");
        stack.sns().subscribe().topic_arn(stack.output(topic)).protocol("sqs").endpoint(arn).send().await.unwrap();
    }
    let object = stack.put("eicar.com", eicar()).await.unwrap();
    stack.await_settled(&object, DEADLINE).await.unwrap();
    let expected = ["AlertsUndeliveredAlarm", "InfectedAlarm", "ResultsUndeliveredAlarm"];
    await_sounding(stack, "InfectedAlarm", &expected).await;
    assert_eq!(sounding(stack, now()).await, set(&expected));

    for queue in ["ScanQueue", "ScanDeadLetters"] {
        let set = sqs.set_queue_attributes().queue_url(stack.output(queue));
        set.attributes(QueueAttributeName::Policy, "").send().await.unwrap();
    }
    stack.put("lost", "nobody scans it\n").await.unwrap();
    await_sounding(stack, "UploadsUndeliveredAlarm", &expected).await;
    // Its own notifications are undelivered, too.
    assert_eq!(sounding(stack, now() + Duration::from_mins(10)).await, set(&[]));
    world.end().await;
}
