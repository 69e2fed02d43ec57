//! What every implementation of a port must do, checked on the fakes here and on the adapters against a real endpoint.
//!
//! Each function panics with the law that was broken.
#![expect(clippy::expect_used, reason = "a broken law is to panic")]

use crate::{
    object::{ObjectId, Sequencer},
    port::{
        DefinitionsStore, ObjectStore, RecordPages, RecordStore, Segment, StoreError, Topic, TopicMessage,
        WriteCondition,
    },
    scan_record::ScanRecord,
    tag_policy::Tag,
    testing::records::record,
    verdict::{Reason, Verdict},
};

/// Keys that a careless implementation mangles.
pub const AWKWARD_KEYS: [&str; 5] = ["with space", "plus+and%percent", "ünï/çødé €", "../../etc/passwd", "a//b/"];

/// Two versions of one object, the elder one first; `hidden` is another key whose latest version is a delete marker.
#[derive(Clone, Debug)]
pub struct TwoVersions {
    /// The elder version, with the content `elder`.
    pub elder: ObjectId,
    /// The latest version, with the content `latest`.
    pub latest: ObjectId,
    /// A key that was deleted, without a version.
    pub hidden: ObjectId,
}

/// Objects are read and tagged at exactly the version that is named.
///
/// # Panics
/// When a law is broken.
pub async fn objects_are_exact(store: &impl ObjectStore, objects: &TwoVersions, scratch: &std::path::Path) {
    let TwoVersions { elder, latest, hidden } = objects;
    let head = store.head(elder).await.expect("the elder version is there");
    assert_eq!(
        (head.version_id.clone(), head.size),
        (elder.version_id.clone(), 5),
        "HEAD answers for the named version"
    );
    let unnamed = ObjectId { version_id: None, ..elder.clone() };
    let current = store.head(&unnamed).await.expect("the latest version is there");
    assert_eq!(current.version_id, latest.version_id, "without a version the latest is meant");

    let tag = [Tag::new("a key", "a+value=1")];
    store.put_tags(elder, &tag).await.expect("the elder version takes tags");
    assert_eq!(store.tags(elder).await.expect("it has tags"), tag, "tags come back as they were written");
    assert!(store.tags(latest).await.expect("it may have tags").is_empty(), "tags stay on the named version");

    let path = scratch.join("contract");
    store.download(elder, &head, &path).await.expect("the elder version can be read");
    assert_eq!(std::fs::read(&path).expect("it was written"), b"elder", "the named version's bytes arrive");
    let other = store.download(&unnamed, &head, &scratch.join("other")).await;
    assert!(
        matches!(other, Err(StoreError::PreconditionFailed)),
        "other bytes than HEAD told do not arrive: {other:?}"
    );

    let missing = ObjectId { key: "no such key".into(), ..unnamed };
    for gone in [hidden, &missing] {
        assert!(matches!(store.head(gone).await, Err(StoreError::NotFound)), "{gone} is not there");
        assert!(matches!(store.tags(gone).await, Err(StoreError::NotFound)), "{gone} has no tags");
        assert!(matches!(store.put_tags(gone, &tag).await, Err(StoreError::NotFound)), "{gone} takes no tags");
    }
}

/// Objects of every key can be read; `objects` have the content `content`.
///
/// # Panics
/// When a law is broken.
pub async fn awkward_keys_are_found(store: &impl ObjectStore, objects: &[ObjectId]) {
    for object in objects {
        let head = store.head(object).await;
        assert_eq!(head.map(|head| head.size).ok(), Some(7), "{object}");
        store.put_tags(object, &[Tag::new("k", "v")]).await.expect("it takes tags");
    }
}

/// A record is written exactly when [`ScanRecord::may_replace`] says so, and comes back as it was written.
///
/// # Panics
/// When a law is broken.
pub async fn records_follow_their_order(store: &impl RecordStore, bucket: &str) {
    let sequencer = |text: &str| Sequencer::try_from(text.to_owned()).ok();
    let variants = ["a", "b"].into_iter().flat_map(|etag| {
        [1, 2].into_iter().flat_map(move |generation| {
            [None, sequencer("1"), sequencer("2F")].into_iter().flat_map(move |sequencer| {
                let died = Verdict::Unscannable { reason: Reason::EngineDied };
                let verdicts = [Verdict::Clean, Verdict::Infected { signatures: vec!["A".into(), "B".into()] }, died];
                verdicts.into_iter().map(move |verdict| (etag, generation, sequencer.clone(), verdict))
            })
        })
    });
    let variants: Vec<ScanRecord> = variants
        .map(|(etag, generation, sequencer, verdict)| {
            let generation = crate::definitions::manifest::Generation(generation);
            ScanRecord { etag: etag.into(), generation, sequencer, verdict, ..record(bucket, "a key") }
        })
        .collect();
    for stored in &variants {
        for newcomer in &variants {
            store.remove(&stored.object, None).await.expect("it can be removed");
            store.save(stored).await.expect("the first record is always written");
            assert_eq!(store.load(&stored.object).await.expect("it can be read").as_ref(), Some(stored));
            let saved = store.save(newcomer).await;
            if newcomer.may_replace(stored) {
                assert!(saved.is_ok(), "{newcomer:?} replaces {stored:?}: {saved:?}");
            } else {
                assert!(matches!(saved, Err(StoreError::PreconditionFailed)), "{newcomer:?} gives way to {stored:?}");
            }
        }
    }
}

/// Only the record that is stored is marked as reported.
///
/// # Panics
/// When a law is broken.
pub async fn reports_are_of_the_stored_record(store: &impl RecordStore, bucket: &str) {
    let first = record(bucket, "reported");
    let second = ScanRecord { generation: crate::definitions::manifest::Generation(2), ..first.clone() };
    let marked = store.mark_reported(&first).await;
    assert!(matches!(marked, Err(StoreError::PreconditionFailed)), "a record that is not there is not marked");
    store.save(&first).await.expect("the first record is written");
    store.mark_reported(&first).await.expect("it is marked");
    let loaded = store.load(&first.object).await.expect("it can be read").expect("it is there");
    assert_eq!(loaded, ScanRecord { reported: true, ..first.clone() });
    store.save(&second).await.expect("a newer one is written");
    let late = store.mark_reported(&first).await;
    assert!(matches!(late, Err(StoreError::PreconditionFailed)), "the elder record is not marked any more");
    assert!(!store.load(&first.object).await.expect("it can be read").expect("it is there").reported);
}

/// A removal forgets what is elder than itself.
///
/// # Panics
/// When a law is broken.
pub async fn removals_respect_the_order_of_events(store: &impl RecordStore, bucket: &str) {
    let sequencer = |text: &str| Sequencer::try_from(text.to_owned()).ok();
    let stored = ScanRecord { sequencer: sequencer("B2"), ..record(bucket, "removed") };
    store.save(&stored).await.expect("it is written");
    store.remove(&stored.object, sequencer("B1").as_ref()).await.expect("a late removal is no error");
    assert!(store.load(&stored.object).await.expect("it can be read").is_some(), "a late removal removes nothing");
    store.remove(&stored.object, sequencer("B3").as_ref()).await.expect("it is removed");
    assert!(store.load(&stored.object).await.expect("it can be read").is_none());
    store.remove(&stored.object, None).await.expect("removing nothing is no error");
}

/// The pages of all segments hold every record exactly once.
///
/// # Panics
/// When a law is broken.
pub async fn pages_hold_every_record_once<Store: RecordStore + RecordPages>(store: &Store, bucket: &str) {
    let mut expected: Vec<String> = (0..25).map(|n| format!("page/{n}")).collect();
    for key in &expected {
        store.save(&record(bucket, key)).await.expect("it is written");
    }
    let mut found = Vec::new();
    for index in 0..3 {
        let mut cursor = None;
        loop {
            let page = store.page(Segment { index, total: 3 }, cursor).await.expect("it can be read");
            assert_eq!(page.unreadable, 0);
            let ours = page.records.into_iter().filter(|record| record.object.key.starts_with("page/"));
            found.extend(ours.map(|record| record.object.key));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

/// Conditional writes win or lose as a whole.
///
/// # Panics
/// When a law is broken.
pub async fn definitions_are_written_on_condition(store: &impl DefinitionsStore) {
    let write = async |bytes: &str, condition: WriteCondition<'_>| {
        store.write("contract/key", bytes.into(), &[Tag::new("md5", "0a")], condition).await
    };
    assert!(matches!(store.read("contract/key", 10).await, Err(StoreError::NotFound)));
    let lost = write("x", WriteCondition::Etag("0123456789abcdef")).await;
    assert!(matches!(lost, Err(StoreError::PreconditionFailed)), "nothing has no ETag: {lost:?}");
    let first = write("one", WriteCondition::Absent).await.expect("the first write wins");
    let second = write("two", WriteCondition::Absent).await;
    assert!(matches!(second, Err(StoreError::PreconditionFailed)), "the second first write loses");
    let moved = write("two", WriteCondition::Etag(&first)).await.expect("a write over the known one wins");
    let late = write("three", WriteCondition::Etag(&first)).await;
    assert!(matches!(late, Err(StoreError::PreconditionFailed)), "a write over an elder one loses");
    let stored = store.read("contract/key", 3).await.expect("it can be read");
    assert_eq!((stored.bytes.as_slice(), &stored.etag), (&b"two"[..], &moved));
    assert!(store.read("contract/key", 2).await.is_err(), "no more than the limit is read");
    assert_eq!(store.read_changed("contract/key", Some(&moved), 3).await.expect("it can be read"), None);
    let changed = store.read_changed("contract/key", Some(&first), 3).await.expect("it can be read");
    assert_eq!(changed, Some(stored));
    write("four", WriteCondition::Always).await.expect("an unconditional write always wins");
}

/// A topic takes any number of messages.
///
/// # Panics
/// When a law is broken.
pub async fn topics_take_any_number(topic: &impl Topic, number: usize) {
    let message = |n: usize| TopicMessage {
        subject: None,
        body: format!("message {n}"),
        attributes: vec![("nacre-cause".into(), "definitions".into())],
        per_protocol: false,
    };
    let messages: Vec<TopicMessage> = (0..number).map(message).collect();
    assert_eq!(topic.publish_all(&messages).await.expect("they are published"), Vec::<usize>::new());
    topic.publish(&message(number)).await.expect("it is published");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        memory_definitions::MemoryDefinitions, memory_objects::MemoryObjects, memory_records::MemoryRecords,
        memory_topic::MemoryTopic,
    };

    #[tokio::test]
    async fn the_fakes_keep_the_contract() {
        let objects = MemoryObjects::default();
        let elder = objects.put("versioned", "key", "elder");
        let latest = objects.put("versioned", "key", "latest");
        let hidden = ObjectId { version_id: None, ..objects.put("versioned", "hidden", "x") };
        objects.delete("versioned", "hidden");
        let scratch = tempfile::tempdir().unwrap();
        objects_are_exact(&objects, &TwoVersions { elder, latest, hidden }, scratch.path()).await;
        let awkward: Vec<ObjectId> = AWKWARD_KEYS.iter().map(|key| objects.put("plain", key, "content")).collect();
        awkward_keys_are_found(&objects, &awkward).await;

        let records = MemoryRecords::default();
        records_follow_their_order(&records, "bucket").await;
        reports_are_of_the_stored_record(&records, "bucket").await;
        removals_respect_the_order_of_events(&records, "bucket").await;
        pages_hold_every_record_once(&records, "bucket").await;

        definitions_are_written_on_condition(&MemoryDefinitions::default()).await;
        let topic = MemoryTopic::default();
        topics_take_any_number(&topic, 25).await;
        assert_eq!(topic.messages().len(), 26);
    }
}
