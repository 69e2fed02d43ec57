//! In which order the messages of a batch are handled. Pure.
//!
//! Attack: an object over which the function itself is killed, by memory that it takes. SQS then delivers the whole batch again, and
//! nobody knows which message it was. So a message that came back is handled alone, after those that are new: what is done by then has
//! its record, and is answered by it at the next delivery. The order among those that came back differs each time, so that each is
//! before the killing one at some delivery.

use std::hash::{DefaultHasher, Hash, Hasher};

use nacre_core::event::Message;

/// The messages that are handled together, and then those that are handled one by one.
pub(crate) fn order(messages: Vec<Message>) -> (Vec<Message>, Vec<Message>) {
    let receives = |message: &Message| message.delivery.as_ref().map_or(1, |delivery| delivery.receives);
    let (mut alone, together): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| receives(message) > 1);
    alone.sort_by_cached_key(|message| {
        let mut hasher = DefaultHasher::new();
        (&message.id, receives(message)).hash(&mut hasher);
        hasher.finish()
    });
    (together, alone)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nacre_core::port::Delivery;

    use super::*;

    fn message(id: &str, receives: u32) -> Message {
        let delivery = Delivery { queue_arn: "arn".into(), receipt: id.into(), receives };
        Message { id: Some(id.into()), delivery: Some(delivery), events: Vec::new() }
    }

    fn ids(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.id.as_deref().unwrap()).collect()
    }

    #[test]
    fn what_came_back_is_handled_alone_and_after_what_is_new() {
        let direct = Message { id: None, delivery: None, events: Vec::new() };
        let (together, alone) = order(vec![message("a", 2), message("b", 1), direct.clone(), message("c", 7)]);
        assert_eq!(together, [message("b", 1), direct]);
        assert_eq!(ids(&alone).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["a", "c"]));
    }

    /// Twelve deliveries are all that a message has.
    #[test]
    fn every_harmless_message_is_before_the_killing_one_at_some_delivery() {
        for batch in 0..200 {
            let id = |number: u32| format!("{batch}-{number}");
            let mut before = BTreeSet::new();
            for receives in 2..=12 {
                let (_, alone) = order((0..5).map(|number| message(&id(number), receives)).collect());
                let done = ids(&alone).into_iter().take_while(|found| *found != id(0)).map(str::to_owned);
                before.extend(done.collect::<Vec<_>>());
            }
            // One in 2^11 is never before it; these are not among them.
            assert!(before.len() >= 3, "{batch}: {before:?}");
        }
    }
}
