//! What a topic must do.

use nacre_core::port::{Topic, TopicMessage};

/// A topic takes any number of messages; returns what it was given, each body once.
///
/// # Panics
/// When a law is broken.
pub async fn topics_take_any_number(topic: &impl Topic, number: usize) -> Vec<TopicMessage> {
    let message = |n: usize| TopicMessage {
        subject: Some(format!("subject {n}")),
        body: format!("message {n}: ünï \"çødé\" €"),
        attributes: vec![("nacre-cause".into(), "definitions".into()), ("n".into(), n.to_string())],
        per_protocol: false,
    };
    let mut messages: Vec<TopicMessage> = (0..number).map(message).collect();
    assert_eq!(topic.publish_all(&[]).await.expect("nothing is published"), Vec::<usize>::new());
    assert_eq!(topic.publish_all(&messages).await.expect("they are published"), Vec::<usize>::new());
    let bodies = r#"{"default":"for all","sqs":"for a queue"}"#;
    let single = [
        message(number),
        TopicMessage { body: bodies.into(), per_protocol: true, subject: None, ..message(number + 1) },
    ];
    for message in single {
        topic.publish(&message).await.expect("it is published");
        messages.push(message);
    }
    messages
}
