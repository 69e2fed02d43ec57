//! What may be requested in a day, and what is left to the next.

use chrono::TimeDelta;
use nacre_core::{
    builder::record,
    generation::Generation,
    port::RecordStore,
    rescan::pass::{Budget, Cause, ObjectTotals, State},
    scan_record::ScanRecord,
    targets::Targets,
};

use crate::world::World;

/// Thirty affected records, the first fifteen written of late, under a daily budget.
async fn world(segments: u32, daily_budget: Budget) -> World {
    let mut world = World::new(segments);
    world.settings.daily_budget = daily_budget;
    for n in 0..30 {
        let written_at = Some(world.now - TimeDelta::days(if n < 15 { 10 } else { 100 }));
        let key = format!("{}/{n:02}", if n < 15 { "recent" } else { "old" });
        let record =
            ScanRecord { targets: Targets::of(1), size: 10, written_at, reported: true, ..record("uploads", &key) };
        world.records.save(&ScanRecord { generation: Generation(1), ..record }).await.unwrap();
    }
    world.publish(2, &[1]).await;
    world
}

#[tokio::test]
async fn what_is_left_of_a_day_is_asked_for_on_the_next_and_what_was_written_last_goes_first() {
    let mut world = world(3, Budget { objects: Some(12), bytes: None }).await;
    let mut asked = 0;
    for (day, (published, over_budget)) in [(12, 18), (12, 6), (6, 0), (0, 0)].into_iter().enumerate() {
        let cause = if day == 0 { Cause::Announced } else { Cause::Scheduled };
        let progress = world.pass(cause).await;
        assert_eq!(progress.state, State::Finished);
        let stats = progress.stats;
        assert_eq!(stats.examined, 30, "day {day}: read twice or once, all are counted once");
        assert_eq!((stats.requested.total().objects, stats.over_budget.objects), (published, over_budget), "day {day}");
        assert_eq!(stats.deferred, ObjectTotals::default());
        asked += usize::try_from(published).unwrap();
        assert_eq!(world.asked(2).len(), asked, "day {day}");
        if day == 0 {
            assert!(world.asked(2).iter().all(|key| key.starts_with("recent/")), "{:?}", world.asked(2));
        }
        world.scan().await;
        world.now += TimeDelta::days(1);
        world.definitions.written = world.now;
    }
}

#[tokio::test]
async fn the_passes_of_one_day_share_its_budget() {
    let mut world = world(2, Budget { objects: Some(10), bytes: None }).await;
    assert_eq!(world.pass(Cause::Announced).await.stats.requested.total().objects, 10);
    world.scan().await;
    let again = world.pass(Cause::Manual).await.stats;
    assert_eq!((again.requested.messages, again.over_budget.objects), (0, 20));
    // A newer generation has no other budget.
    world.publish(3, &[1, 1]).await;
    let newer = world.pass(Cause::Announced).await.stats;
    assert_eq!((newer.requested.messages, newer.over_budget.objects), (0, 30));
    world.now += TimeDelta::days(1);
    world.definitions.written = world.now;
    assert_eq!(world.pass(Cause::Scheduled).await.stats.requested.total().objects, 10);
}

#[tokio::test]
async fn the_last_object_may_go_beyond_the_bytes_so_that_large_ones_have_their_turn() {
    for (bytes, objects) in [(1, 1), (10, 1), (25, 3), (30, 3), (1000, 30)] {
        let world = world(1, Budget { objects: None, bytes: Some(bytes) }).await;
        let stats = world.pass(Cause::Announced).await.stats;
        assert_eq!(
            (stats.requested.total().objects, stats.over_budget.objects),
            (objects, 30 - objects),
            "{bytes} bytes"
        );
    }
}
