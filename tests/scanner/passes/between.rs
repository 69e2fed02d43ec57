//! What may happen while a pass reads records and its requests wait.

use std::time::Duration;

use chrono::TimeDelta;
use nacre_aws::SystemClock;
use nacre_core::{
    generation::{
        Generation,
        published::{Published, Race},
    },
    object::ObjectId,
    port::Clock,
    rescan::pass::Cause,
};
use nacre_rescanner::start::Outcome;

use super::{Passes, assert_as_a_full_scan, deliver, publish};
use crate::world::{World, announce};

/// Three records are a page: of the six, one of each page has what the second generation finds.
const CONTENTS: [&str; 6] = ["harmless a", "a newer one", "harmless b", "harmless c", "also newer", "an older one"];

/// A world in which these objects were scanned with a set that finds `older`.
async fn recorded(bucket: &str) -> (World, Vec<ObjectId>) {
    let world = World::new();
    publish(&world, &["older"]).await;
    let put = |(n, content): (usize, &&str)| world.objects.put(bucket, &format!("object/{n}"), *content);
    let objects: Vec<_> = CONTENTS.iter().enumerate().map(put).collect();
    (world, objects)
}

/// The scan reads its definitions, then the next generation is published and its pass reads the table; the record comes after both.
#[tokio::test]
async fn a_scan_under_way_while_its_records_segment_is_read_is_made_good() {
    let (world, objects) = recorded("versioned").await;
    let (scanner, disk) = (world.scanner(), tempfile::tempdir().unwrap());
    let slow = world.scanner_with(&[("AV_DEFINITION_PATH", disk.path().to_str().unwrap())]);
    announce(&scanner, &objects[2..].iter().collect::<Vec<_>>()).await;
    let mut passes = Passes::over(&world);
    world.definitions.set_open(false);
    let under_way = [&objects[0], &objects[1]];
    tokio::join!(announce(&slow, &under_way), async {
        while !world.definitions.is_waited_for() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        publish(&world, &["older", "newer"]).await;
        passes.pass(Cause::Announced).await;
        world.definitions.set_open(true);
    });
    assert_eq!(world.record(&objects[1]).generation, Generation(1), "the pass saw no record of it");
    passes.rescan(&scanner).await;
    passes.next_day(&scanner).await;
    assert_as_a_full_scan(&world, &["older", "newer"], &objects.iter().collect::<Vec<_>>()).await;
}

/// In a bucket without versions the bytes of a record may be gone: the request names what was recorded, and what is there is scanned.
#[tokio::test]
async fn overwritten_objects_have_the_verdict_of_their_last_bytes() {
    for event_is_lost in [false, true] {
        let (world, objects) = recorded("plain").await;
        let scanner = world.scanner();
        announce(&scanner, &objects.iter().collect::<Vec<_>>()).await;
        publish(&world, &["older", "newer"]).await;
        let mut passes = Passes::over(&world);
        // Before the table is read, after its first page, and before the request is delivered.
        world.objects.put("plain", "object/1", "an older one now");
        passes.start(Cause::Announced).await;
        passes.work(&passes.queue.take()[0]).await;
        world.objects.put("plain", "object/4", "harmless now");
        passes.drain().await;
        world.objects.put("plain", "object/5", "newer now");
        world.objects.put("plain", "object/0", "newer by now");
        let requests = passes.requests();
        if !event_is_lost {
            announce(&scanner, &[&objects[0], &objects[4]]).await;
        }
        for body in requests {
            deliver(&scanner, &body).await;
        }
        // Only an event, or `nacre backfill`, says that what no rescan concerned was overwritten.
        announce(&scanner, &[&objects[5], &objects[1]]).await;
        passes.next_day(&scanner).await;
        let known = if event_is_lost { &objects[1..] } else { &objects[..] };
        assert_as_a_full_scan(&world, &["older", "newer"], &known.iter().collect::<Vec<_>>()).await;
    }
}

#[tokio::test]
async fn of_deleted_versions_no_record_stays_and_hidden_ones_are_rescanned() {
    let (world, objects) = recorded("versioned").await;
    let scanner = world.scanner();
    announce(&scanner, &objects.iter().collect::<Vec<_>>()).await;
    let newest = world.objects.put("versioned", "object/1", "harmless again");
    announce(&scanner, &[&newest]).await;
    publish(&world, &["older", "newer"]).await;
    let mut passes = Passes::over(&world);
    passes.start(Cause::Announced).await;
    passes.work(&passes.queue.take()[0]).await;
    // Its request is under way; the other has still to be read, and is behind a delete marker.
    world.objects.delete_version(&objects[1]);
    world.objects.hide("versioned", "object/4");
    passes.drain().await;
    assert!(passes.rescan(&scanner).await > 0);
    assert!(world.records.records().iter().all(|record| record.object != objects[1]), "its version is gone");
    assert_eq!(passes.next_day(&scanner).await, 0, "nothing is requested for what is gone");
    let rest: Vec<_> = objects.iter().filter(|object| **object != objects[1]).chain([&newest]).collect();
    assert_as_a_full_scan(&world, &["older", "newer"], &rest).await;
}

/// The rescanner's clock is wrong: its marks are of times before the scans that they follow, or long after.
#[tokio::test]
async fn clocks_that_disagree_cost_no_verdict() {
    for hours in [-24 * 400, -30, 1, 24 * 400] {
        let (world, objects) = recorded("versioned").await;
        let scanner = world.scanner();
        announce(&scanner, &objects.iter().collect::<Vec<_>>()).await;
        publish(&world, &["older", "newer"]).await;
        let mut passes = Passes::over(&world);
        passes.now += TimeDelta::hours(hours);
        passes.pass(Cause::Announced).await;
        // The messages are lost. While the mark holds nothing is requested, and afterwards everything.
        assert_eq!(passes.requests().len(), 2, "{hours} hours");
        let mut requested = 0;
        for _ in 0..5 {
            requested += passes.next_day(&scanner).await;
        }
        assert!(requested >= 2, "{hours} hours");
        assert_eq!(passes.next_day(&scanner).await, 0, "{hours} hours");
        if hours.abs() == 24 * 400 {
            assert_as_a_full_scan(&world, &["older", "newer"], &objects.iter().collect::<Vec<_>>()).await;
        }
        let found = |n: usize| world.record(&objects[n]).verdict.is_infected();
        assert!(found(1) && found(4) && found(5) && !found(0), "{hours} hours");
    }
}

/// An operator takes a generation back in the middle of its pass, and lets updates go on in the middle of the next.
#[tokio::test]
async fn a_rollback_and_its_end_in_the_middle_of_passes_leave_the_verdicts_of_the_last_set() {
    // When the first pass's requests are delivered: before the rollback, after it, or at the end.
    for delivered in 0..3 {
        let (world, objects) = recorded("versioned").await;
        let scanner = world.scanner();
        announce(&scanner, &objects.iter().collect::<Vec<_>>()).await;
        publish(&world, &["newer"]).await;
        let mut passes = Passes::over(&world);
        passes.start(Cause::Announced).await;
        passes.work(&passes.queue.take()[0]).await;
        let mut requests = passes.requests();
        let mut deliver_at = async |step: usize| {
            if step == delivered {
                for body in requests.drain(..) {
                    deliver(&scanner, &body).await;
                }
            }
        };
        deliver_at(0).await;
        let store = &world.definitions.kept;
        let published = Published::read(store).await.unwrap();
        let (_, race) = published.restore(store, Generation(1), SystemClock.now()).await.unwrap();
        assert_eq!(race, Race::Won);
        passes.start(Cause::Announced).await;
        // The overtaken pass's message is among these.
        for message in passes.queue.take() {
            passes.work(&message).await;
        }
        deliver_at(1).await;
        let published = Published::read(store).await.unwrap();
        assert!(published.pinned);
        published.pin(store, false).await.unwrap();
        if delivered == 0 {
            // Nothing newer: the same generation stays, and its pass goes on.
            passes.drain().await;
            passes.rescan(&scanner).await;
            assert_as_a_full_scan(&world, &["older"], &objects.iter().collect::<Vec<_>>()).await;
        }
        publish(&world, &["newer"]).await;
        passes.drain().await;
        passes.pass(Cause::Announced).await;
        passes.rescan(&scanner).await;
        deliver_at(2).await;
        passes.next_day(&scanner).await;
        assert_as_a_full_scan(&world, &["newer"], &objects.iter().collect::<Vec<_>>()).await;
    }
}

/// A message that was taken for lost is delivered after its segment was dispatched again, or in between.
#[tokio::test]
async fn a_superseded_turn_requests_nothing_and_keeps_nothing_from_its_rescan() {
    for old_first in [false, true] {
        let (world, objects) = recorded("versioned").await;
        let scanner = world.scanner();
        announce(&scanner, &objects.iter().collect::<Vec<_>>()).await;
        publish(&world, &["older", "newer"]).await;
        let mut passes = Passes::over(&world);
        passes.start(Cause::Announced).await;
        let old = passes.queue.take();
        passes.now += TimeDelta::hours(2);
        assert_eq!(passes.start(Cause::Scheduled).await.outcome, Outcome::Resumed);
        let new = passes.queue.take();
        let (first, second) = if old_first { (&old, &new) } else { (&new, &old) };
        passes.work(&first[0]).await;
        passes.work(&second[0]).await;
        passes.drain().await;
        passes.work(&old[0]).await;
        assert_eq!(passes.rescan(&scanner).await, 2, "one for each page, of the turn that counts");
        assert_eq!(passes.next_day(&scanner).await, 0);
        assert_as_a_full_scan(&world, &["older", "newer"], &objects.iter().collect::<Vec<_>>()).await;
    }
}
