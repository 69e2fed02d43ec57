//! What a queue of our own messages must do.

use nacre_core::port::WorkQueue;

/// A queue takes any number of messages; returns the bodies that it was given.
///
/// # Panics
/// When a law is broken.
pub async fn queues_take_any_number(queue: &impl WorkQueue, number: usize) -> Vec<String> {
    let mut bodies: Vec<String> = (0..number).map(|n| format!("message {n}: ünï \"çødé\" €")).collect();
    bodies.push("x".repeat(64 << 10));
    queue.send(&[]).await.expect("nothing is sent");
    queue.send(&bodies).await.expect("they are sent");
    bodies
}
