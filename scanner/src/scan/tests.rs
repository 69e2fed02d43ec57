//! The laws of bringing an object to a settled record, under failures and races.

use nacre_core::{
    generation::Generation,
    port::{Call, Clock},
    scan_record::EngineVersion,
    tag_policy::Tag,
};
use nacre_testing::{
    failing::{Failing, Plan, When},
    fixed_clock::FixedClock,
    memory_definitions::MemoryDefinitions,
    memory_deliveries::MemoryDeliveries,
    memory_objects::MemoryObjects,
    memory_records::MemoryRecords,
    memory_topic::{MemoryBus, MemoryHub, MemoryTopic},
};

use super::*;
use crate::result_message::tests::everything;

mod alerts;
mod archived;
mod findings;
mod locked;
mod unreported;
mod world;

use world::{Reader, World, upload};

#[tokio::test]
async fn a_failure_anywhere_converges_at_the_next_delivery() {
    for bucket in ["plain", "versioned"] {
        for when in [When::Before, When::After] {
            for nth in 1.. {
                let world = World::default();
                let object = world.objects.put(bucket, "key", "evil");
                let plan = &Plan::new(nth, when);
                let mut reader = Reader::new(&world.objects, 1);
                let first = world.scan_with(&world.objects, plan, &upload(&object), &mut reader).await;
                let reached = plan.was_reached();
                assert_eq!(first.is_err(), reached, "{bucket} {when:?} {nth}");
                world.scan(&object, &mut reader).await.unwrap();

                assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"), "{bucket} {when:?} {nth}");
                let records = world.records.records();
                assert!(matches!(&records[..], [record] if record.reported), "{bucket} {when:?} {nth}");
                let published = world.results.messages().len();
                assert!((1..=2).contains(&published), "{published} results after {bucket} {when:?} {nth}");
                if !reached {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn twice_the_same_message_is_one_scans_effect() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    let mut reader = Reader::new(&world.objects, 1);
    let evil = Verdict::Infected { signatures: vec!["Test.Evil".into()] };
    assert_eq!(world.scan(&object, &mut reader).await.unwrap(), Outcome::Scanned(evil.clone()));
    assert_eq!(world.scan(&object, &mut reader).await.unwrap(), Outcome::AlreadyScanned(evil));
    assert_eq!((reader.scans, world.results.messages().len()), (1, 1));
}

#[tokio::test]
async fn a_duplicate_puts_back_tags_that_were_lost() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    let mut reader = Reader::new(&world.objects, 1);
    world.scan(&object, &mut reader).await.unwrap();
    world.objects.put_tags(&object, &[Tag::new("av-status", "CLEAN")]).await.unwrap();
    world.scan(&object, &mut reader).await.unwrap();
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
    assert_eq!((reader.scans, world.results.messages().len()), (1, 1));
}

#[tokio::test]
async fn an_object_overwritten_before_its_scan_is_judged_by_what_is_there() {
    let world = World::default();
    let announced = world.objects.put("plain", "key", "good");
    world.objects.put("plain", "key", "evil");
    world.scan(&announced, &mut Reader::new(&world.objects, 1)).await.unwrap();
    assert_eq!(world.status(&announced).await.as_deref(), Some("INFECTED"));
}

#[tokio::test]
async fn an_object_overwritten_while_it_is_scanned_never_keeps_the_old_verdict() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "good");
    let mut reader = Reader::meddling(&world.objects, || drop(world.objects.put("plain", "key", "evil")));
    world.scan(&object, &mut reader).await.unwrap();
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
    assert!(matches!(&world.records.records()[..], [record] if record.reported && record.verdict.name() == "infected"));
}

#[tokio::test]
async fn a_named_version_is_scanned_and_tagged_whatever_came_after_it() {
    let world = World::default();
    let older = world.objects.put("versioned", "key", "evil");
    let latest = world.objects.put("versioned", "key", "good");
    world.scan(&older, &mut Reader::new(&world.objects, 1)).await.unwrap();
    assert_eq!(world.status(&older).await.as_deref(), Some("INFECTED"));
    assert_eq!(world.status(&latest).await, None);
}

#[tokio::test]
async fn an_object_that_is_gone_is_no_error_and_leaves_no_record() {
    let world = World::default();
    let object = world.objects.put("versioned", "key", "good");
    world.objects.hide("versioned", "key");
    let latest = ObjectId { version_id: None, ..object };
    let gone = world.scan(&latest, &mut Reader::new(&world.objects, 1)).await.unwrap();
    assert_eq!(gone, Outcome::Gone);

    let object = world.objects.put("plain", "key", "good");
    let mut reader = Reader::meddling(&world.objects, || drop(world.objects.hide("plain", "key")));
    assert_eq!(world.scan(&object, &mut reader).await.unwrap(), Outcome::Gone);
    assert_eq!(world.records.records(), []);
    assert_eq!(world.results.messages(), []);
}

#[tokio::test]
async fn newer_definitions_scan_again_and_older_ones_never_undo_them() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    world.scan(&object, &mut Reader::new(&world.objects, 2)).await.unwrap();
    let mut late = Reader::new(&world.objects, 1);
    assert!(matches!(world.scan(&object, &mut late).await.unwrap(), Outcome::AlreadyScanned(_)));
    let mut newer = Reader::new(&world.objects, 3);
    assert!(matches!(world.scan(&object, &mut newer).await.unwrap(), Outcome::Scanned(_)));
    assert_eq!((late.scans, newer.scans), (0, 1));
}

#[tokio::test]
async fn foreign_tags_survive_and_an_infected_object_without_room_is_not_let_pass() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    let foreign: Vec<Tag> = (0..9).map(|n| Tag::new(format!("k{n}"), "v")).collect();
    world.objects.put_tags(&object, &foreign).await.unwrap();
    world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
    let tags = world.objects.tags(&object).await.unwrap();
    assert!(tags.len() == 10 && foreign.iter().all(|tag| tags.contains(tag)), "{tags:?}");

    let full: Vec<Tag> = (0..10).map(|n| Tag::new(format!("k{n}"), "v")).collect();
    world.objects.put_tags(&object, &full).await.unwrap();
    let stuck = world.scan(&object, &mut Reader::new(&world.objects, 2)).await;
    assert!(matches!(stuck, Err(ScanError::NoRoomForStatus)), "{stuck:?}");
    assert_eq!(world.results.messages().len(), 2, "the infection is reported all the same");
    let again = world.scan(&object, &mut Reader::new(&world.objects, 2)).await;
    assert!(matches!(again, Err(ScanError::NoRoomForStatus)), "{again:?}");
    assert_eq!(world.results.messages().len(), 2, "once");
}

/// The same request at another place in S3's order.
async fn scan_event(world: &World, object: &ObjectId, sequencer: &str, reader: &mut Reader<'_>) -> Outcome {
    let sequencer = nacre_core::object::Sequencer::try_from(sequencer.to_owned()).ok();
    let request = ScanRequest { sequencer, ..upload(object) };
    world.scan_with(&world.objects, &Plan::never(), &request, reader).await.unwrap()
}

#[tokio::test]
async fn a_later_upload_of_the_same_etag_is_scanned_for_itself() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "good");
    let mut reader = Reader::new(&world.objects, 1);
    assert!(matches!(scan_event(&world, &object, "1", &mut reader).await, Outcome::Scanned(_)));
    assert!(matches!(scan_event(&world, &object, "1", &mut reader).await, Outcome::AlreadyScanned(_)));
    assert!(matches!(scan_event(&world, &object, "2", &mut reader).await, Outcome::Scanned(_)));
    assert!(matches!(scan_event(&world, &object, "1", &mut reader).await, Outcome::AlreadyScanned(_)));
    assert_eq!(reader.scans, 2);
}

/// A store that refuses every read of its objects but that of their tags.
struct Sealed<'a>(&'a MemoryObjects);

impl ObjectStore for Sealed<'_> {
    async fn head(&self, _: &ObjectId) -> Result<ObjectHead, StoreError> {
        Err(StoreError::Unreadable(
            Obstacle::CustomerKey,
            Call::new("HeadObject", "an object"),
            "encrypted with a key of the customer's".into(),
        ))
    }

    async fn download(&self, _: &ObjectId, _: &ObjectHead, _: &std::path::Path) -> Result<(), StoreError> {
        Err(StoreError::Unreadable(
            Obstacle::CustomerKey,
            Call::new("HeadObject", "an object"),
            "encrypted with a key of the customer's".into(),
        ))
    }

    async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StoreError> {
        self.0.tags(object).await
    }

    async fn put_tags(&self, object: &ObjectId, tags: &[Tag]) -> Result<(), StoreError> {
        self.0.put_tags(object, tags).await
    }

    async fn copy(&self, object: &ObjectId, etag: &str, to: &ObjectId) -> Result<(), StoreError> {
        self.0.copy(object, etag, to).await
    }

    async fn write(&self, object: &ObjectId, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.0.write(object, bytes).await
    }

    async fn delete(&self, object: &ObjectId, etag: &str) -> Result<(), StoreError> {
        self.0.delete(object, etag).await
    }
}

#[tokio::test]
async fn an_object_without_a_verdict_never_keeps_its_uploaders() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    world.objects.put_tags(&object, &[Tag::new("av-status", "CLEAN")]).await.unwrap();
    let mut reader = Reader::new(&world.objects, 1);
    let sealed = Sealed(&world.objects);
    let outcome = world.scan_with(&sealed, &Plan::never(), &upload(&object), &mut reader).await.unwrap();
    assert_eq!(outcome, Outcome::Scanned(Verdict::Unscannable { reason: Reason::CustomerKey }));
    assert_eq!(world.status(&object).await.as_deref(), Some("UNSCANNABLE"));
}

#[tokio::test]
async fn a_scan_that_starts_is_published_and_one_answered_by_a_record_is_not() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "good");
    let mut reader = Reader::new(&world.objects, 1);
    for _ in 0..2 {
        world.scan(&object, &mut reader).await.unwrap();
    }
    assert_eq!((world.starts.messages().len(), world.results.messages().len(), world.bus.events().len()), (1, 1, 1));
}

/// A rescan of which the record turns out to be valid scans nothing, and reports no start.
#[tokio::test]
async fn a_rescan_that_its_record_answers_reports_no_start() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "good");
    world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
    let request = ScanRequest { cause: Cause::Definitions(Generation(2)), ..upload(&object) };
    let mut newer = Reader { unaffected: true, ..Reader::new(&world.objects, 2) };
    let outcome = world.scan_with(&world.objects, &Plan::never(), &request, &mut newer).await.unwrap();
    assert_eq!(outcome, Outcome::AlreadyScanned(Verdict::Clean));
    assert_eq!((newer.scans, world.starts.messages().len()), (0, 1));
    newer.unaffected = false;
    world.scan_with(&world.objects, &Plan::never(), &request, &mut newer).await.unwrap();
    assert_eq!((newer.scans, world.starts.messages().len()), (1, 2));
}

#[tokio::test]
async fn an_infected_object_is_moved_to_quarantine_after_it_was_reported() {
    let quarantine = || InfectedSettings { delete: false, quarantine_bucket: Some("quarantine".into()) };
    for bucket in ["plain", "versioned"] {
        let world = World { infected: quarantine(), ..World::default() };
        let object = world.objects.put(bucket, "key", "evil");
        let mut reader = Reader::new(&world.objects, 1);
        let outcome = world.scan(&object, &mut reader).await.unwrap();
        assert!(matches!(outcome, Outcome::Scanned(Verdict::Infected { .. })), "{outcome:?}");
        assert_eq!(world.results.messages().len(), 1);
        assert!(matches!(world.objects.head(&object).await, Err(StoreError::NotFound(_))));
        assert_eq!(world.objects.keys("quarantine").len(), 2);
        // The same message again, and one about the copy.
        assert_eq!(world.scan(&object, &mut reader).await.unwrap(), Outcome::Gone);
        let clean = world.objects.put(bucket, "key", "good");
        world.scan(&clean, &mut reader).await.unwrap();
        assert!(world.objects.head(&clean).await.is_ok(), "only what is infected is moved");
    }
}

#[tokio::test]
async fn what_cannot_be_tagged_goes_to_quarantine_instead() {
    let infected = InfectedSettings { delete: false, quarantine_bucket: Some("quarantine".into()) };
    let world = World { infected, ..World::default() };
    let object = world.objects.put("versioned", "key", "evil");
    let full: Vec<Tag> = (0..10).map(|n| Tag::new(format!("theirs-{n}"), "x")).collect();
    world.objects.put_tags(&object, &full).await.unwrap();
    let mut reader = Reader::new(&world.objects, 1);
    let outcome = world.scan(&object, &mut reader).await.unwrap();
    assert!(matches!(outcome, Outcome::Scanned(Verdict::Infected { .. })), "{outcome:?}");
    assert_eq!(world.results.messages().len(), 1, "and it is reported");
    assert!(world.objects.head(&object).await.is_err());
    assert_eq!(world.objects.keys("quarantine").len(), 2);
}
