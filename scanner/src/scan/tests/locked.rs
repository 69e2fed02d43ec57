//! What nobody can remove.

use super::*;

fn quarantine() -> InfectedSettings {
    InfectedSettings { delete: false, quarantine_bucket: Some("quarantine".into()) }
}

#[tokio::test]
async fn a_locked_object_stays_tagged_and_reported_and_is_no_failure() {
    for (infected, copies) in [(quarantine(), 2), (InfectedSettings { delete: true, quarantine_bucket: None }, 0)] {
        let world = World { infected, ..World::default() };
        let object = world.objects.put("versioned", "key", "evil");
        world.objects.lock(&object);
        let mut reader = Reader::new(&world.objects, 1);
        for _ in 0..2 {
            world.scan(&object, &mut reader).await.unwrap();
            assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
            assert!(world.records.records()[0].reported);
            assert_eq!((world.objects.keys("quarantine").len(), world.results.messages().len()), (copies, 1));
        }
    }
}

/// Attack: foreign tags leave no room for ours, and the lock keeps the object where it can be read.
#[tokio::test]
async fn a_locked_object_that_cannot_be_tagged_is_not_taken_for_contained() {
    let world = World { infected: quarantine(), ..World::default() };
    let object = world.objects.put("versioned", "key", "evil");
    let full: Vec<Tag> = (0..10).map(|n| Tag::new(format!("theirs-{n}"), "x")).collect();
    world.objects.put_tags(&object, &full).await.unwrap();
    world.objects.lock(&object);
    let failed = world.scan(&object, &mut Reader::new(&world.objects, 1)).await;
    assert!(matches!(failed, Err(ScanError::NoRoomForStatus)), "{failed:?}");
    assert!(!world.records.records()[0].reported);
}
