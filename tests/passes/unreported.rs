//! Records whose tags and result are missing are requested again, by every pass, until they are there.

use chrono::TimeDelta;
use nacre_core::{
    builder::record,
    generation::Generation,
    port::RecordStore,
    rescan::pass::{Budget, Cause},
    scan_record::ScanRecord,
    targets::Targets,
    verdict::{Reason, Verdict},
};

use crate::world::World;

/// Records an object of target 1 whose message was given up on between record and tags, scanned so many minutes ago.
async fn unreported(world: &World, key: &str, generation: u64, verdict: Verdict, minutes: i64) {
    let scanned_at = world.now - TimeDelta::minutes(minutes);
    let record = ScanRecord { targets: Targets::of(1), verdict, scanned_at, reported: false, ..record("uploads", key) };
    world.records.save(&ScanRecord { generation: Generation(generation), ..record }).await.unwrap();
}

fn infected() -> Verdict {
    Verdict::Infected { signatures: vec!["Found.Tonight".into()] }
}

/// Attack: a policy or an outage keeps the scanner from tagging until its message is in the dead-letter queue. The object would keep
/// the tag `CLEAN` of its previous verdict, and stay readable.
#[tokio::test]
async fn every_pass_asks_for_what_was_never_reported() {
    let mut world = World::new(1);
    unreported(&world, "infected", 2, infected(), 61).await;
    let mut targets = vec![1];
    for generation in 2..60 {
        world.publish(generation, &targets).await;
        let stats = world.pass(Cause::Announced).await.stats;
        assert_eq!((stats.unreported, world.asked(generation).len()), (1, 1), "generation {generation}");
        targets.push(1);
    }
    // The schedule's passes, too, without a new generation.
    world.now += TimeDelta::days(1);
    world.definitions.written = world.now;
    assert_eq!(world.pass(Cause::Scheduled).await.stats.unreported, 1);
    let reported = world.records.records().pop().unwrap();
    world.records.mark_reported(&reported).await.unwrap();
    world.publish(60, &targets).await;
    let stats = world.pass(Cause::Announced).await.stats;
    assert_eq!((stats.unreported, stats.requested.messages), (0, 0), "{stats:?}");
}

#[tokio::test]
async fn no_verdict_and_no_plan_leaves_a_record_unreported() {
    let world = World::new(2);
    let verdicts = [
        Verdict::Clean,
        infected(),
        Verdict::Unscannable { reason: Reason::Encrypted },
        Verdict::Skipped { reason: Reason::TooLarge },
    ];
    for (n, verdict) in verdicts.into_iter().enumerate() {
        // Current, and unaffected by what was added since.
        for generation in [2, 3] {
            unreported(&world, &format!("{n}/{generation}"), generation, verdict.clone(), 61).await;
        }
    }
    world.publish(3, &[1, 6]).await;
    let stats = world.pass(Cause::Announced).await.stats;
    assert_eq!((stats.examined, stats.unreported, world.asked(3).len()), (8, 8, 8), "{stats:?}");
}

#[tokio::test]
async fn a_scan_under_way_is_left_its_hour() {
    let world = World::new(1);
    unreported(&world, "under way", 2, infected(), 59).await;
    world.publish(2, &[1]).await;
    let stats = world.pass(Cause::Announced).await.stats;
    assert_eq!((stats.up_to_date, stats.unreported, stats.requested.messages), (1, 0, 0));
}

/// They cost no read of an object, so they do not wait for their turn, nor take another's; a second reading asks for none again.
#[tokio::test]
async fn no_budget_makes_what_is_unreported_wait() {
    let mut world = World::new(1);
    world.settings.daily_budget = Budget { objects: Some(3), bytes: None };
    for n in 0..10 {
        unreported(&world, &format!("unreported/{n}"), 2, infected(), 120).await;
        world.record(&format!("affected/{n}"), 1, 1).await;
    }
    world.publish(2, &[1]).await;
    let stats = world.pass(Cause::Announced).await.stats;
    assert_eq!((stats.unreported, stats.requested.total().objects, stats.over_budget.objects), (10, 3, 7));
    assert_eq!(world.asked(2).len(), 13);
}

/// Those that need a scan besides do not wait either, and are requested before others.
#[tokio::test]
async fn no_budget_makes_an_unreported_rescan_wait() {
    for (engine, full) in [("0.0.1", 1), ("1.4.6", 0)] {
        let mut world = World::new(1);
        world.settings.daily_budget = Budget { objects: Some(3), bytes: None };
        let (scanned_at, written_at) = (world.now - TimeDelta::days(2), Some(world.now - TimeDelta::days(400)));
        let mut older = ScanRecord {
            targets: Targets::of(1),
            scanned_at,
            written_at,
            reported: false,
            ..record("uploads", "older")
        };
        older.engine.version = engine.into();
        world.records.save(&older).await.unwrap();
        for n in 0..10 {
            world.record(&format!("affected/{n}"), 1, 1).await;
        }
        world.publish(2, &[1]).await;
        let stats = world.pass(Cause::Announced).await.stats;
        assert_eq!(
            (stats.requested.full.objects, stats.requested.total().objects, stats.over_budget.objects),
            (full, 4, 7),
            "three by the budget, from pages before its own, and it"
        );
        assert!(world.asked(2).contains("older"), "{:?}", world.asked(2));
    }
}
