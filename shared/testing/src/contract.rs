//! What every implementation of a port must do, checked on the fakes here and on the adapters against a real endpoint.
//!
//! Each function panics with the law that was broken.
#![expect(clippy::expect_used, reason = "a broken law is to panic")]

mod definitions;
mod deliveries;
mod objects;
mod queue;
mod records;
mod topic;

pub use definitions::{
    definitions_are_copied, definitions_are_listed_and_removed, definitions_are_written_on_condition,
};
pub use deliveries::only_a_delivery_can_be_postponed;
pub use objects::{
    AWKWARD_KEYS, Versions, awkward_keys_are_found, objects_are_exact, overwritten_objects_are_not_deleted,
};
pub use queue::queues_take_any_number;
pub use records::{
    many_are_looked_up_at_once, notes_are_of_the_stored_record, pages_hold_every_record_once,
    records_come_back_as_they_were, records_follow_their_order, removals_respect_the_order_of_events,
    renewals_are_of_what_was_found, reports_are_of_the_stored_record,
};
pub use topic::topics_take_any_number;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory_definitions::MemoryDefinitions, memory_deliveries::MemoryDeliveries, memory_objects::MemoryObjects,
        memory_queue::MemoryQueue, memory_records::MemoryRecords, memory_topic::MemoryTopic,
    };
    use nacre_core::{object::ObjectId, port::Delivery};

    #[tokio::test]
    async fn objects_in_memory_keep_the_contract() {
        let objects = MemoryObjects::default();
        let removed = objects.put("versioned", "key", "removed");
        let older = objects.put("versioned", "key", "older");
        let latest = objects.put("versioned", "key", "latest");
        objects.delete_version(&removed);
        objects.put("versioned", "hidden", "x");
        let marker = objects.hide("versioned", "hidden");
        let scratch = tempfile::tempdir().unwrap();
        objects_are_exact(&objects, &Versions { older, latest, removed, marker }, scratch.path()).await;
        let awkward: Vec<ObjectId> = AWKWARD_KEYS.iter().map(|key| objects.put("plain", key, *key)).collect();
        awkward_keys_are_found(&objects, &awkward, scratch.path()).await;
        overwritten_objects_are_not_deleted(&objects, "plain").await;
    }

    #[tokio::test]
    async fn records_in_memory_keep_the_contract() {
        let records = MemoryRecords::default();
        records_come_back_as_they_were(&records, "bucket").await;
        records_follow_their_order(&records, "bucket").await;
        reports_are_of_the_stored_record(&records, "bucket").await;
        removals_respect_the_order_of_events(&records, "bucket").await;
        renewals_are_of_what_was_found(&records, "bucket").await;
        notes_are_of_the_stored_record(&records, "bucket").await;
        pages_hold_every_record_once(&records, "bucket", 25).await;
        many_are_looked_up_at_once(&records, "bucket").await;
    }

    #[tokio::test]
    async fn definitions_and_topics_in_memory_keep_the_contract() {
        definitions_are_written_on_condition(&MemoryDefinitions::default()).await;
        definitions_are_listed_and_removed(&MemoryDefinitions::default()).await;
        definitions_are_copied(&MemoryDefinitions::default()).await;
        let topic = MemoryTopic::default();
        let published = topics_take_any_number(&topic, 25).await;
        assert_eq!(topic.messages(), published);
        let queue = MemoryQueue::default();
        let sent = queues_take_any_number(&queue, 25).await;
        assert_eq!(queue.take(), sent);
        let deliveries = MemoryDeliveries::default();
        let delivery = Delivery { queue_arn: "arn".into(), receipt: "receipt".into(), receives: 1 };
        let wait = std::time::Duration::from_secs(7);
        only_a_delivery_can_be_postponed(&deliveries, &delivery, wait).await;
        assert_eq!(deliveries.take(), [(delivery, wait)]);
    }
}
