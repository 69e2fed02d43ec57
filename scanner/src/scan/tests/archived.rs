//! What is in an archive tier.

use super::*;

fn rescan(object: &ObjectId, generation: u64) -> ScanRequest {
    ScanRequest { cause: Cause::Definitions(Generation(generation)), ..upload(object) }
}

#[tokio::test]
async fn an_archived_object_keeps_its_verdict_through_rescans_until_it_is_restored() {
    for (content, verdict, status) in [
        ("good", Verdict::Clean, "CLEAN"),
        ("evil", Verdict::Infected { signatures: vec!["Test.Evil".into()] }, "INFECTED"),
    ] {
        let world = World::default();
        let object = world.objects.put("versioned", "key", content);
        world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
        let before = world.records.records();
        world.objects.set_archived(&object, true);
        let marked: Vec<_> = before
            .iter()
            .map(|record| ScanRecord { archived_at: Some(FixedClock::default().now()), ..record.clone() })
            .collect();
        // As often as it is asked for: that it is archived is all that is written, and nothing fails.
        for _ in 0..2 {
            let mut reader = Reader::new(&world.objects, 2);
            let request = rescan(&object, 2);
            let outcome = world.scan_with(&world.objects, &Plan::never(), &request, &mut reader).await.unwrap();
            assert_eq!(outcome, Outcome::NotRescanned(verdict.clone()));
            assert_eq!(world.records.records(), marked, "the record stays one of the first generation");
            assert_eq!(world.status(&object).await.as_deref(), Some(status));
        }
        world.objects.set_archived(&object, false);
        let outcome = world.scan(&object, &mut Reader::new(&world.objects, 2)).await.unwrap();
        assert_eq!(outcome, Outcome::Scanned(verdict));
        let restored = &world.records.records()[0];
        assert_eq!((restored.generation, restored.archived_at), (Generation(2), None));
    }
}

#[tokio::test]
async fn an_upload_that_was_archived_before_its_scan_is_not_scanned() {
    let world = World::default();
    let object = world.objects.put("versioned", "key", "good");
    world.objects.set_archived(&object, true);
    let archived = Verdict::Unscannable { reason: Reason::Archived };
    let outcome = world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
    assert_eq!(outcome, Outcome::Scanned(archived.clone()));
    assert_eq!(world.status(&object).await.as_deref(), Some("UNSCANNABLE"));
    // Of this record there is no scan that could stand.
    let mut reader = Reader::new(&world.objects, 2);
    let outcome = world.scan_with(&world.objects, &Plan::never(), &rescan(&object, 2), &mut reader).await.unwrap();
    assert_eq!(outcome, Outcome::Scanned(archived));
}
