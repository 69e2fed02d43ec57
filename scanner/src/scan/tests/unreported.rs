//! An infected object whose tags or containment failed is never taken for reported.

use chrono::TimeDelta;
use nacre_core::{
    rescan::plan::{Change, RescanPlan, plan_in_pass},
    scan_record::RecordSummary,
};

use super::*;

/// A store of which a policy denies tagging.
struct NoTagging<'a>(&'a MemoryObjects);

impl ObjectStore for NoTagging<'_> {
    async fn head(&self, o: &ObjectId) -> Result<ObjectHead, StoreError> {
        self.0.head(o).await
    }
    async fn download(&self, o: &ObjectId, h: &ObjectHead, p: &std::path::Path) -> Result<(), StoreError> {
        self.0.download(o, h, p).await
    }
    async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StoreError> {
        self.0.tags(object).await
    }
    async fn put_tags(&self, _: &ObjectId, _: &[Tag]) -> Result<(), StoreError> {
        Err(StoreError::Denied(Call::new("PutObjectTagging", "an object"), "a policy".into()))
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

/// What a pass plans for the only record, days later.
fn planned_later(world: &World) -> RescanPlan {
    let record = world.records.records().pop().unwrap();
    let (summary, later) = (RecordSummary::from(&record), FixedClock::default().now() + TimeDelta::days(3));
    plan_in_pass(&summary, record.generation, &record.engine, &Change::NotKept, later)
}

/// Attack: a policy denies tagging, or foreign tags leave no room, until the message is given up on. The object still has the tag
/// `CLEAN` of its previous verdict, so passes must ask for it until its tags are written; its result is published once.
#[tokio::test]
async fn an_infected_object_without_tags_is_asked_for_again() {
    for full in [false, true] {
        let world = World::default();
        let object = world.objects.put("plain", "key", "evil");
        let mut tags = vec![Tag::new("av-status", "CLEAN")];
        if full {
            tags = (0..10).map(|n| Tag::new(format!("theirs-{n}"), "x")).collect();
        }
        world.objects.put_tags(&object, &tags).await.unwrap();
        let objects = &world.objects;
        for _ in 0..5 {
            let mut reader = Reader::new(objects, 1);
            let failed = if full {
                world.scan(&object, &mut reader).await
            } else {
                world.scan_with(&NoTagging(objects), &Plan::never(), &upload(&object), &mut reader).await
            };
            assert!(failed.is_err(), "{failed:?}");
        }
        assert_eq!((world.results.messages().len(), planned_later(&world)), (1, RescanPlan::Unreported));
        world.objects.put_tags(&object, &[]).await.unwrap();
        let mut reader = Reader::new(objects, 1);
        world.scan(&object, &mut reader).await.unwrap();
        assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
        assert_eq!((reader.scans, world.results.messages().len()), (0, 1), "settled by the record, published once");
        assert_eq!(planned_later(&world), RescanPlan::UpToDate);
    }
}

/// Attack: the quarantine bucket refuses the copy until the message is given up on.
#[tokio::test]
async fn what_was_not_contained_is_asked_for_again() {
    let infected = InfectedSettings { delete: false, quarantine_bucket: Some("quarantine".into()) };
    let world = World { infected, ..World::default() };
    let object = world.objects.put("versioned", "key", "evil");
    let mut left_over = 0;
    for nth in 1.. {
        let world = World { infected: world.infected.clone(), ..World::default() };
        let object = world.objects.put("versioned", "key", "evil");
        let plan = &Plan::new(nth, When::Before);
        // Only the calls to the objects fail.
        let (objects, never) = (Failing { port: &world.objects, plan }, Plan::never());
        let mut reader = Reader::new(&world.objects, 1);
        if world.scan_with(&objects, &never, &upload(&object), &mut reader).await.is_ok() {
            break;
        }
        if world.objects.head(&object).await.is_ok() && !world.records.records().is_empty() {
            assert_eq!(planned_later(&world), RescanPlan::Unreported, "call {nth}");
            left_over += 1;
        }
    }
    assert!(left_over > 2, "{left_over}");
    assert!(world.objects.head(&object).await.is_ok());
}

/// Attack: a key is disabled after an infected object was recorded. A pass asks for it; its bytes may be the same, so its conviction
/// must not become `UNSCANNABLE`, which readers may be allowed.
#[tokio::test]
async fn an_infected_object_that_cannot_be_read_stays_infected() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
    let record = ScanRecord { reported: false, published: false, ..world.records.records().pop().unwrap() };
    world.records.remove(&object, None).await.unwrap();
    world.records.save(&record).await.unwrap();
    let world = World { results: MemoryTopic::default(), ..world };
    let sealed = Sealed(&world.objects);
    for generation in [1, 2] {
        let cause = Cause::Definitions(Generation(generation));
        let request = ScanRequest { cause, ..upload(&object) };
        let mut reader = Reader::new(&world.objects, generation);
        let outcome = world.scan_with(&sealed, &Plan::never(), &request, &mut reader).await.unwrap();
        assert_eq!(outcome, Outcome::AlreadyScanned(record.verdict.clone()));
        assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
        assert_eq!(world.results.messages().len(), 1, "published once");
        assert!(world.records.records()[0].reported);
    }
}
