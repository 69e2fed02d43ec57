//! Queues of subscribers.

use aws_sdk_sqs::types::QueueAttributeName;
use nacre_test_support::Stack;
use serde_json::json;

/// A new queue that gets the messages of a topic, as they were published: its URL.
pub(crate) async fn subscribed_queue(stack: &Stack, topic_arn: &str, name: &str) -> String {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Resource": "*",
        "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage" }] });
    let create = stack.sqs().create_queue().queue_name(name);
    let create = create.attributes(QueueAttributeName::Policy, policy.to_string());
    let queue = create.send().await.unwrap().queue_url().unwrap().to_owned();
    let arn = queue_arn(stack, &queue).await;
    let subscribe = stack.sns().subscribe().topic_arn(topic_arn).protocol("sqs").endpoint(arn);
    subscribe.attributes("RawMessageDelivery", "true").send().await.unwrap();
    queue
}

/// The ARN of a queue.
pub(crate) async fn queue_arn(stack: &Stack, queue_url: &str) -> String {
    let name = QueueAttributeName::QueueArn;
    let asked = stack.sqs().get_queue_attributes().queue_url(queue_url).attribute_names(name.clone());
    asked.send().await.unwrap().attributes().unwrap()[&name].clone()
}
