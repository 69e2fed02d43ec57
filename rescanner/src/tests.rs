//! A pass asks for exactly the records that need it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use nacre_shared::{
    definitions::manifest::{POINTER_KEY, Pointer},
    event::{Invocation, Notice},
    port::{RecordStore, WriteCondition},
    scan_record::ScanRecord,
    testing::{
        memory_definitions::MemoryDefinitions, memory_records::MemoryRecords, memory_topic::MemoryTopic,
        records::record,
    },
};

use super::*;

struct Midnight;

impl Clock for Midnight {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
}

type Rescanner = Ports<MemoryDefinitions, MemoryRecords, MemoryTopic, Midnight>;

/// A table with a record of each of these generations, and a published one.
async fn rescanner(generations: &[u64], published: u64) -> Rescanner {
    let ports = Rescanner {
        definitions: MemoryDefinitions::default(),
        records: MemoryRecords::default(),
        triggers: MemoryTopic::default(),
        clock: Midnight,
    };
    for (n, generation) in generations.iter().enumerate() {
        let record = ScanRecord { generation: Generation(*generation), ..record("uploads", &format!("a key/{n}")) };
        ports.records.save(&record).await.unwrap();
    }
    let pointer = Pointer::to(Generation(published), b"").to_bytes();
    ports.definitions.write(POINTER_KEY, pointer, &[], WriteCondition::Always).await.unwrap();
    ports
}

/// The keys that were asked for, each once.
fn asked(ports: &Rescanner) -> BTreeSet<String> {
    let messages = ports.triggers.messages();
    let keys: Vec<String> = messages
        .iter()
        .flat_map(|message| Invocation::read(&serde_json::from_str(&message.body).unwrap()).messages)
        .flat_map(|message| message.notices)
        .map(|notice| match notice {
            Notice::Scan(request) => request.object.key,
            other => panic!("{other:?}"),
        })
        .collect();
    let unique: BTreeSet<String> = keys.iter().cloned().collect();
    assert_eq!(unique.len(), keys.len(), "nothing is asked for twice");
    unique
}

#[tokio::test]
async fn exactly_the_records_of_older_generations_are_asked_for() {
    let generations: Vec<u64> = (0..50).map(|n| n % 5).collect();
    for segments in [1, 3, 8] {
        let ports = rescanner(&generations, 3).await;
        let handled = ports.handle(segments, "eu-west-1").await.unwrap();
        assert_eq!(handled.tally, Tally { examined: 50, published: 30, unreadable: 0 });
        let expected = (0..50).filter(|n| n % 5 < 3).map(|n| format!("a key/{n}")).collect();
        assert_eq!(asked(&ports), expected);
    }
}

#[tokio::test]
async fn a_pass_over_an_up_to_date_table_asks_for_nothing() {
    let ports = rescanner(&[7; 10], 7).await;
    let handled = ports.handle(4, "eu-west-1").await.unwrap();
    assert_eq!((handled.tally.published, asked(&ports).len()), (0, 0));
}

#[tokio::test]
async fn rescans_are_told_from_uploads_by_their_attribute() {
    let ports = rescanner(&[1], 2).await;
    ports.handle(1, "eu-west-1").await.unwrap();
    let attributes = ports.triggers.messages().remove(0).attributes;
    assert_eq!(attributes, [("nacre-cause".to_owned(), "definitions".to_owned())]);
}

#[tokio::test]
async fn without_a_published_generation_a_pass_fails_and_says_why() {
    let ports = Rescanner {
        definitions: MemoryDefinitions::default(),
        records: MemoryRecords::default(),
        triggers: MemoryTopic::default(),
        clock: Midnight,
    };
    let error = ports.handle(1, "eu-west-1").await.unwrap_err();
    assert_eq!(error_chain(&error), "no definitions are published yet: run the updater");
}
