//! Alarms on queues: each sounds for its own queue, notifies the alarm topic, and ends when the queue is as it should be.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use nacre_test_support::Stack;
use serde_json::Value;

use crate::{
    idle::idle_stack,
    queues::{queue_arn, subscribed_queue},
};

const DEAD_LETTERS: [&str; 4] = ["AnnouncementDeadLetters", "PassDeadLetters", "RescanDeadLetters", "ScanDeadLetters"];
const TOPIC: &str = "arn:aws:sns:eu-west-1:210987654321:alarms";
/// Queues whose messages may not wait for longer than a limit, each with its alarm and the limit: the template's own defaults are hours,
/// but for that of passes, which nothing sets.
const DELAYS: [(&str, &str, Duration); 4] = [
    ("ScanQueue", "ScanDelayAlarm", Duration::from_mins(10)),
    ("RescanQueue", "RescanDelayAlarm", Duration::from_mins(20)),
    ("FullRescanQueue", "FullRescanDelayAlarm", Duration::from_mins(20)),
    ("PassQueue", "PassDelayAlarm", Duration::from_hours(6)),
];

/// A stack whose alarms notify a topic, with the queue that gets the events.
async fn alarmed_stack(parameters: &[(&str, &str)]) -> (Stack, String, tempfile::TempDir) {
    let parameters: Vec<_> = [("AlarmTopic", TOPIC)].into_iter().chain(parameters.iter().copied()).collect();
    let (stack, scratch) = idle_stack(&parameters).await;
    stack.sns().create_topic().name("alarms").send().await.unwrap();
    let events = subscribed_queue(&stack, TOPIC, "events").await;
    // S3's test event, which no function took.
    stack.sqs().purge_queue().queue_url(stack.output("ScanQueue")).send().await.unwrap();
    (stack, events, scratch)
}

#[expect(clippy::disallowed_methods, reason = "a test is its own composition root")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Judges all alarms on queues and insists that `sounding` is the one that sounds; none where it is empty.
async fn assert_sounding(stack: &Stack, now: SystemTime, sounding: &str) {
    let delays = DELAYS.map(|(_, alarm, _)| alarm.to_owned());
    let all = DEAD_LETTERS.map(|queue| format!("{queue}Alarm")).into_iter().chain(delays);
    let state = |name: &str| if name == sounding { "ALARM" } else { "OK" };
    let expected: BTreeMap<String, String> = all.map(|name| (name.clone(), state(&name).to_owned())).collect();
    assert_eq!(stack.judge_queue_alarms(now).await.unwrap(), expected);
}

/// Insists that there was one event, of this alarm's state.
async fn assert_notified(stack: &Stack, events: &str, alarm: &str, state: &str) {
    let received = stack.sqs().receive_message().queue_url(events).max_number_of_messages(10).wait_time_seconds(20);
    let received = received.send().await.unwrap();
    let [message] = received.messages() else { panic!("{:?} for {alarm}", received.messages()) };
    let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
    assert_eq!(event["NewStateValue"], state);
    assert!(event["AlarmDescription"].as_str().unwrap().contains("docs/runbook.md#"), "{event}");
    assert!(event["AlarmName"].as_str().unwrap().contains(alarm), "{event}");
    stack.sqs().purge_queue().queue_url(events).send().await.unwrap();
}

#[tokio::test]
async fn each_dead_letter_queue_sounds_its_alarm_until_it_is_empty() {
    let (stack, events, _scratch) = alarmed_stack(&[]).await;
    assert_sounding(&stack, now(), "").await;
    // Each is OK for the first time.
    stack.sqs().purge_queue().queue_url(&events).send().await.unwrap();
    for queue in DEAD_LETTERS {
        let (url, alarm) = (stack.output(queue), format!("{queue}Alarm"));
        stack.sqs().send_message().queue_url(url).message_body("given up on").send().await.unwrap();
        assert_sounding(&stack, now(), &alarm).await;
        assert_notified(&stack, &events, &alarm, "ALARM").await;
        stack.sqs().purge_queue().queue_url(url).send().await.unwrap();
        assert_sounding(&stack, now(), "").await;
        assert_notified(&stack, &events, &alarm, "OK").await;
    }
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_waits_too_long_sounds_the_alarm_of_its_queue() {
    // A message that the function is given before its event source is turned off is back after a second.
    let parameters =
        [("ScanDelayLimitSeconds", "600"), ("RescanDelayLimitSeconds", "1200"), ("LocalVisibilityTimeout", "1")];
    let (stack, events, _scratch) = alarmed_stack(&parameters).await;
    let lambda = stack.lambda();
    for (queue, _, _) in DELAYS {
        let sources =
            lambda.list_event_source_mappings().event_source_arn(queue_arn(&stack, stack.output(queue)).await);
        for source in sources.send().await.unwrap().event_source_mappings() {
            lambda.update_event_source_mapping().uuid(source.uuid().unwrap()).enabled(false).send().await.unwrap();
        }
    }
    assert_sounding(&stack, now(), "").await;
    stack.sqs().purge_queue().queue_url(&events).send().await.unwrap();
    for (queue, alarm, limit) in DELAYS {
        let url = stack.output(queue);
        let before = now();
        stack.sqs().send_message().queue_url(url).message_body("waits").send().await.unwrap();
        let after = now();
        // Times are kept in milliseconds.
        assert_sounding(&stack, before + limit - Duration::from_millis(1), "").await;
        assert_sounding(&stack, after + limit + Duration::from_millis(1), alarm).await;
        assert_notified(&stack, &events, alarm, "ALARM").await;
        stack.sqs().purge_queue().queue_url(url).send().await.unwrap();
        assert_sounding(&stack, after + limit + Duration::from_millis(1), "").await;
        assert_notified(&stack, &events, alarm, "OK").await;
    }
    stack.stop().await.unwrap();
}
