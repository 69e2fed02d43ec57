//! A pass asks for exactly the records that need it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use nacre_shared::{
    definitions::{
        delta::{Delta, SignatureFile},
        history::{Step, StepKind},
        manifest::{BodyEntry, EngineProof, Manifest, POINTER_KEY, Pointer},
    },
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
    publish(&ports.definitions, published, |_| StepKind::TooLarge).await;
    ports
}

/// Publishes a generation of no databases whose every step is this one.
async fn publish(store: &MemoryDefinitions, published: u64, step: impl Fn(u64) -> StepKind) {
    let proof = EngineProof {
        clamav_version: "1.4.6".into(),
        functionality_level: 216,
        signatures: 1,
        eicar: Vec::new(),
        expected_signatures: 0,
        clean_files: 0,
    };
    let at = DateTime::UNIX_EPOCH;
    let mut manifest = Manifest::new(Generation(published), at, "clamav".into(), Vec::new(), proof);
    for to in 2..=published {
        manifest.history = manifest.history.then(Step { to: Generation(to), kind: step(to) });
    }
    let bytes = manifest.to_bytes();
    let key = Manifest::object_key(manifest.generation);
    let pointer = Pointer::to(manifest.generation, &bytes).to_bytes();
    store.write(&key, bytes, &[], WriteCondition::Always).await.unwrap();
    store.write(POINTER_KEY, pointer, &[], WriteCondition::Always).await.unwrap();
}

/// Writes the delta that adds a body signature for this target, and answers the step to `to`.
async fn added(store: &MemoryDefinitions, to: u64, target: u8) -> StepKind {
    let line = format!("A:{target}:*:00ff\n").into_bytes();
    let file = SignatureFile { official: true, name: "daily.ndb".into(), bytes: line.into() };
    let bytes = Delta::between(&[], &[file]).to_bytes();
    let delta = BodyEntry::of_delta(Generation(to), &bytes);
    store.write(&delta.object_key, bytes, &[], WriteCondition::Always).await.unwrap();
    StepKind::Delta { delta }
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
        assert_eq!(handled.tally, Tally { examined: 50, published: 30, bytes: 30, ..Tally::default() });
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
    let expected = [("nacre-cause", "definitions"), ("nacre-plan", "full")];
    assert_eq!(attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn what_was_added_is_asked_for_where_it_may_match_and_nowhere_else() {
    let ports = rescanner(&[1; 7], 1).await;
    for (target, published, kind) in [(6, 0, None), (0, 7, Some("delta"))] {
        let step = added(&ports.definitions, 2, target).await;
        publish(&ports.definitions, 2, |_| step.clone()).await;
        let handled = ports.handle(3, "eu-west-1").await.unwrap();
        assert_eq!((handled.tally.published, handled.tally.delta), (published, published), "target {target}");
        let told = ports.triggers.messages().first().map(|message| message.attributes[1].1.clone());
        assert_eq!(told.as_deref(), kind);
    }
    assert_eq!(asked(&ports).len(), 7);
    assert!(ports.triggers.messages().len() < 7, "several in a message");
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
