//! Results reach whoever wants them, in the words that they know.

use aws_sdk_sqs::types::QueueAttributeName;
use nacre_clamav::builder::eicar;
use serde_json::{Value, json};

use crate::support::{PATIENCE, World};

#[tokio::test]
async fn results_and_beginnings_are_told_to_whom_they_are_wanted_by() {
    let bus = "results-of-tests";
    let starts = "arn:aws:sns:eu-west-1:210987654321:starts";
    let dialects = ("ResultDialects", "predecessor,guardduty,cdk-serverless-clamscan");
    let parameters = [("EventBus", bus), dialects, ("ScanStartTopic", starts)];
    let world = World::ready(&parameters).await;
    let (stack, sqs) = (&world.stack, world.stack.sqs());
    let events = aws_sdk_eventbridge::Client::new(stack.sdk_config());
    events.create_event_bus().name(bus).send().await.unwrap();
    let queue = sqs.create_queue().queue_name("results").send().await.unwrap().queue_url.unwrap();
    let target =
        aws_sdk_eventbridge::types::Target::builder().id("queue").arn("arn:aws:sqs:eu-west-1:210987654321:results");
    let pattern = json!({ "source": ["nacre.scanner", "nacre.guardduty", "lambda"] }).to_string();
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
    stack.await_settled(&object, PATIENCE).await.unwrap();
    for (key, value) in [("scan-status", "INFECTED"), ("GuardDutyMalwareScanStatus", "THREATS_FOUND")] {
        assert_eq!(stack.tag(&object, key).await.unwrap().as_deref(), Some(value));
    }
    let (mut details, patience) = (std::collections::BTreeMap::new(), tokio::time::Instant::now() + PATIENCE);
    while details.len() < 3 {
        assert!(tokio::time::Instant::now() < patience, "{details:?}");
        let received = sqs.receive_message().queue_url(&queue).max_number_of_messages(10).wait_time_seconds(1);
        for message in received.send().await.unwrap().messages.unwrap_or_default() {
            let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            details.insert(event["source"].as_str().unwrap().to_owned(), event["detail"].clone());
        }
    }
    assert_eq!(details["nacre.scanner"]["verdict"], "infected");
    assert_eq!(details["nacre.guardduty"]["scanResultDetails"]["scanResultStatus"], "THREATS_FOUND");
    assert_eq!(details["lambda"]["responsePayload"]["status"], "INFECTED");
    let received = sqs.receive_message().queue_url(&begun).wait_time_seconds(20).send().await.unwrap();
    let envelope: Value = serde_json::from_str(received.messages()[0].body().unwrap()).unwrap();
    let told: Value = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
    assert_eq!((&told["key"], &told["av-scan-start"]), (&json!("eicar.com"), &json!(true)));
    world.end().await;
}
