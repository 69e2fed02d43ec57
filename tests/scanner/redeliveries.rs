//! When a message that failed comes back.

use std::time::{Duration, Instant};

use nacre_core::{port::Delivery, redelivery::Backoff};
use nacre_testing::memory_deliveries::STALE_RECEIPT;
use serde_json::{Value, json};

use crate::world::World;

fn delivery(receipt: &str, receives: u32) -> Delivery {
    Delivery { queue_arn: "arn:aws:sqs:eu-west-1:1:scans".into(), receipt: receipt.into(), receives }
}

/// An upload's message as a queue delivers it.
fn message(id: &str, delivery: &Delivery) -> Value {
    let s3 = json!({ "bucket": { "name": "plain" }, "object": { "key": id } });
    let body = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3 }] });
    json!({
        "eventSource": "aws:sqs", "eventSourceARN": delivery.queue_arn, "messageId": id, "body": body.to_string(),
        "receiptHandle": delivery.receipt, "attributes": { "ApproximateReceiveCount": delivery.receives.to_string() },
    })
}

#[tokio::test]
async fn a_failed_message_comes_back_by_the_schedule_and_one_that_cannot_be_postponed_by_its_queue() {
    let world = World::new();
    let scanner = world.scanner();
    // Nothing is published, so every scan fails.
    let failing = [("first", delivery("a", 1)), ("fourth", delivery("b", 4)), ("stale", delivery(STALE_RECEIPT, 1))];
    for (key, _) in &failing {
        world.objects.put("plain", key, "harmless");
    }
    let mut messages: Vec<Value> = failing.iter().map(|(id, delivery)| message(id, delivery)).collect();
    messages.push(message("gone", &delivery("c", 1)));
    messages[3]["body"] = json!("not JSON: acknowledged");
    let deadline = Instant::now() + Duration::from_mins(30);
    let handled = scanner.handle(&json!({ "Records": messages }), deadline).await.unwrap();

    let mut returned: Vec<_> =
        handled.response["batchItemFailures"].as_array().unwrap().iter().map(|item| &item["itemIdentifier"]).collect();
    returned.sort_by_key(ToString::to_string);
    assert_eq!(returned, ["first", "fourth", "stale"]);
    let mut postponed = world.deliveries.take();
    postponed.sort_by_key(|(delivery, _)| delivery.receives);
    let backoff = Backoff { first: Backoff::FIRST, longest: 5400 };
    let expected = failing[..2].iter().map(|(id, delivery)| (delivery.clone(), backoff.wait(id, delivery.receives)));
    assert_eq!(postponed, expected.collect::<Vec<_>>());
}
