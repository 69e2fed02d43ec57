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

use nacre_testing::failing::{Plan, When};

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

/// Only the last ten attempts of a generation keep their reports.
#[tokio::test]
async fn all_attempts_of_a_day_share_its_budget() {
    let mut world = world(2, Budget { objects: Some(5), bytes: None }).await;
    for day in 1..=2 {
        for attempt in 0..25 {
            world.pass(if attempt == 0 && day == 1 { Cause::Announced } else { Cause::Manual }).await;
            assert_eq!(world.asked(2).len(), 5 * day, "attempt {attempt} of day {day}");
        }
        world.scan().await;
        world.next_day();
    }
}

/// A pass requested something after the one that overtakes it was started, and before that divided what is left.
#[tokio::test]
async fn a_pass_that_overtakes_counts_what_the_other_requested_until_then() {
    for segments in [1, 3] {
        let world = world(segments, Budget { objects: Some(10), bytes: None }).await;
        world.start(Cause::Announced).await.unwrap();
        let first = world.queue.take();
        world.publish(3, &[1, 1]).await;
        world.start(Cause::Announced).await.unwrap();
        let second = world.queue.take();
        // The pointer that the older one's invocation has read is that of its own generation.
        world.publish(2, &[1]).await;
        for body in &first {
            assert!(world.deliver(body, &Plan::never()).await);
        }
        world.drain(&Plan::never()).await;
        assert_eq!(world.asked(2).len(), 10);
        world.publish(3, &[1, 1]).await;
        for body in &second {
            assert!(world.deliver(body, &Plan::never()).await);
        }
        world.drain(&Plan::never()).await;
        assert_eq!((world.asked(2).len(), world.asked(3).len()), (10, 0), "{segments} segments");
    }
}

/// The records of an outage of tagging are requested whatever the budget, and leave it to the others.
#[tokio::test]
async fn what_is_overdue_takes_no_part_of_a_days_budget() {
    let mut world = world(2, Budget { objects: Some(6), bytes: None }).await;
    for n in 0..8 {
        let record = ScanRecord { targets: Targets::of(1), size: 10, ..record("uploads", &format!("overdue/{n}")) };
        let scanned_at = world.now - TimeDelta::hours(3);
        world.records.save(&ScanRecord { generation: Generation(1), scanned_at, ..record }).await.unwrap();
    }
    let of_budget = |world: &World| world.asked(2).iter().filter(|key| !key.starts_with("overdue/")).count();
    world.settings.daily_budget = Budget { objects: Some(2), bytes: None };
    assert_eq!(world.pass(Cause::Announced).await.stats.requested.overdue.objects, 8);
    assert_eq!((world.asked(2).len(), of_budget(&world)), (10, 2));
    world.settings.daily_budget = Budget { objects: Some(6), bytes: None };
    world.pass(Cause::Manual).await;
    assert_eq!(of_budget(&world), 6, "the rest of the day's budget, by objects");
    world.settings.daily_budget = Budget { objects: None, bytes: Some(90) };
    world.pass(Cause::Manual).await;
    assert_eq!(of_budget(&world), 9, "and by bytes");
}

/// A division that is killed at any of its calls is made again, and says since when the ones wait that it leaves.
#[tokio::test]
async fn a_division_that_is_killed_loses_nobodys_waiting_time() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let mut world = World::new(1);
            world.settings.daily_budget = Budget { objects: Some(1), bytes: None };
            for n in 0..5 {
                world.record(&n.to_string(), 1, 1).await;
            }
            world.publish(2, &[1]).await;
            world.pass(Cause::Announced).await;
            let since = world.now;
            world.next_day();
            let plan = Plan::new(nth, when);
            if world.cold(&plan).start(Cause::Scheduled).await.is_err() {
                world.now += TimeDelta::minutes(1);
                world.start(Cause::Scheduled).await.unwrap();
            }
            world.drain(&plan).await;
            world.next_day();
            // All that is left is of the first generation, and has waited since the first pass.
            let stats = world.pass(Cause::Scheduled).await.stats;
            assert_eq!(stats.waiting_since, Some(since), "{when:?} {nth}");
            if !plan.was_reached() {
                break;
            }
        }
    }
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
