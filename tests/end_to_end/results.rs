//! Results reach whoever wants them, in the words that they know.

use aws_sdk_sqs::types::QueueAttributeName;
use nacre_clamav::builder::eicar;
use nacre_core::scan_record::ScanRecord;
use nacre_test_support::deployed::{DEADLINE, EVIL, World, daily};
use serde_json::{Value, json};

use crate::queues::subscribed_queue;

/// What is published of an infected upload, of two clean ones, and of the rescan that finds one of those two infected.
async fn published_results(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    let world = World::ready(parameters).await;
    let (stack, sqs) = (&world.stack, world.stack.sqs());
    let results = subscribed_queue(stack, stack.output("ScanResults"), "results").await;
    for (key, content) in [("clean", b"harmless\n".to_vec()), ("latent", EVIL.into()), ("virus", eicar())] {
        let object = stack.put(key, content).await.unwrap();
        stack.await_settled(&object, DEADLINE).await.unwrap();
    }
    world.mirror.put("daily.cvd", daily(2, true));
    world.update().await;
    let rescanned = |record: &&ScanRecord| record.generation.0 == 2 && record.reported;
    stack.await_records(DEADLINE, |records| records.iter().filter(rescanned).count() == 2).await.unwrap();

    // A result is in the queue before its record is settled, so no more than these can come.
    let mut published = Vec::new();
    loop {
        let receive = sqs.receive_message().queue_url(&results).max_number_of_messages(10).wait_time_seconds(1);
        let received = receive.send().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            break;
        }
        for message in received {
            let result: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            let field = |name: &str| result[name].as_str().unwrap().to_owned();
            published.push((field("key"), field("av-status")));
            let receipt = message.receipt_handle().unwrap();
            sqs.delete_message().queue_url(&results).receipt_handle(receipt).send().await.unwrap();
        }
    }
    world.end().await;
    published.sort();
    published
}

fn results(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, status)| ((*key).into(), (*status).into())).collect()
}

#[tokio::test]
async fn no_clean_result_is_published_unless_it_is_asked_for() {
    assert_eq!(published_results(&[]).await, results(&[("latent", "INFECTED"), ("virus", "INFECTED")]));
}

#[tokio::test]
async fn clean_results_of_scans_and_rescans_are_published_on_request() {
    let clean = [("clean", "CLEAN"), ("clean", "CLEAN"), ("latent", "CLEAN")];
    let infected = [("latent", "INFECTED"), ("virus", "INFECTED")];
    assert_eq!(published_results(&[("PublishClean", "True")]).await, results(&[&clean[..], &infected].concat()));
}

#[tokio::test]
async fn results_and_scan_starts_are_published_where_configured() {
    let bus = "results-of-tests";
    let starts = "arn:aws:sns:eu-west-1:210987654321:starts";
    let dialects = ("ResultDialects", "predecessor,guardduty,cdk-serverless-clamscan,ocsf");
    let parameters = [("EventBus", bus), dialects, ("ScanStartTopic", starts)];
    let world = World::ready(&parameters).await;
    let (stack, sqs) = (&world.stack, world.stack.sqs());
    let events = aws_sdk_eventbridge::Client::new(stack.sdk_config());
    events.create_event_bus().name(bus).send().await.unwrap();
    let queue = sqs.create_queue().queue_name("results").send().await.unwrap().queue_url.unwrap();
    let target =
        aws_sdk_eventbridge::types::Target::builder().id("queue").arn("arn:aws:sqs:eu-west-1:210987654321:results");
    let pattern = json!({ "source": ["nacre.scanner", "nacre.guardduty", "nacre.ocsf", "lambda"] }).to_string();
    events.put_rule().name("all").event_bus_name(bus).event_pattern(pattern).send().await.unwrap();
    events.put_targets().rule("all").event_bus_name(bus).targets(target.build().unwrap()).send().await.unwrap();
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage",
        "Resource": "arn:aws:sqs:eu-west-1:210987654321:begun",
    }] });
    let begun = sqs.create_queue().queue_name("begun").attributes(QueueAttributeName::Policy, policy.to_string());
    let begun = begun.send().await.unwrap().queue_url.unwrap();
    stack.sns().create_topic().name("starts").send().await.unwrap();
    let subscription = stack.sns().subscribe().topic_arn(starts).protocol("sqs");
    subscription.endpoint("arn:aws:sqs:eu-west-1:210987654321:begun").send().await.unwrap();

    let object = stack.put("eicar.com", eicar()).await.unwrap();
    stack.await_settled(&object, DEADLINE).await.unwrap();
    for (key, value) in [("scan-status", "INFECTED"), ("GuardDutyMalwareScanStatus", "THREATS_FOUND")] {
        assert_eq!(stack.tag(&object, key).await.unwrap().as_deref(), Some(value));
    }
    let (mut details, deadline) = (std::collections::BTreeMap::new(), tokio::time::Instant::now() + DEADLINE);
    while details.len() < 4 {
        assert!(tokio::time::Instant::now() < deadline, "{details:?}");
        let received = sqs.receive_message().queue_url(&queue).max_number_of_messages(10).wait_time_seconds(1);
        for message in received.send().await.unwrap().messages.unwrap_or_default() {
            let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            details.insert(event["source"].as_str().unwrap().to_owned(), event["detail"].clone());
        }
    }
    assert_eq!(details["nacre.scanner"]["verdict"], "infected");
    assert_eq!(details["nacre.guardduty"]["scanResultDetails"]["scanResultStatus"], "THREATS_FOUND");
    assert_eq!(details["nacre.ocsf"]["type_uid"], 200_401);
    assert_eq!(details["lambda"]["responsePayload"]["status"], "INFECTED");
    let received = sqs.receive_message().queue_url(&begun).wait_time_seconds(20).send().await.unwrap();
    let envelope: Value = serde_json::from_str(received.messages()[0].body().unwrap()).unwrap();
    let printed: Value = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
    assert_eq!((&printed["key"], &printed["av-scan-start"]), (&json!("eicar.com"), &json!(true)));
    world.end().await;
}
