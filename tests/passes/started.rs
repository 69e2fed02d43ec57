//! When a pass is started, and what an undisturbed one does.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use nacre_core::rescan::{
    pass::{Cause, ObjectTotals, State, segments_for},
    plan::{FullScan, Unaffected},
};
use nacre_rescanner::start::{Outcome, StartError};
use nacre_testing::failing::Plan;

use crate::world::{World, affected};

#[tokio::test]
async fn exactly_what_may_be_concerned_is_asked_for_whatever_the_number_of_segments() {
    for segments in [1, 3, 8, 40] {
        let world = World::changed(segments).await;
        let progress = world.pass(Cause::Announced).await;
        assert_eq!((progress.state, progress.done), (State::Finished, segments));
        let stats = &progress.stats;
        assert_eq!((stats.examined, stats.delta.objects, stats.unaffected[&Unaffected::NothingMatches]), (30, 10, 20));
        assert_eq!(stats.requested.delta, ObjectTotals { objects: 10, bytes: 10 });
        assert_eq!(world.asked(2), affected());

        // Planning right after execution plans nothing.
        world.scan().await;
        let again = world.pass(Cause::Manual).await.stats;
        assert_eq!((again.up_to_date, again.requested.total().objects), (10, 0));
    }
}

#[tokio::test]
async fn what_is_of_the_published_generation_is_not_asked_for() {
    let world = World::new(4);
    for n in 0..10 {
        world.record(&format!("key/{n}"), 7, 1).await;
    }
    world.publish(7, &[1; 6]).await;
    let stats = world.pass(Cause::Announced).await.stats;
    assert_eq!((stats.up_to_date, stats.requested.messages), (10, 0));
}

#[tokio::test]
async fn several_objects_share_a_message_whose_attributes_say_what_they_need() {
    let world = World::new(1);
    for n in 0..9 {
        world.record(&format!("key/{n}"), 1, 1).await;
    }
    world.publish(2, &[1]).await;
    world.pass(Cause::Announced).await;
    let messages = world.topic.messages();
    assert_eq!((messages.len(), world.asked(2).len()), (3, 9), "one for each page of three");
    for message in messages {
        let attributes: Vec<_> =
            message.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(attributes, [("nacre-cause", "definitions"), ("nacre-plan", "delta")]);
    }
}

#[tokio::test]
async fn without_a_published_generation_nothing_is_begun() {
    let world = World::new(1);
    let started = world.start(Cause::Announced).await;
    assert!(matches!(started, Err(StartError::NonePublished)), "{started:?}");
}

#[tokio::test]
async fn an_announcement_begins_one_pass_and_others_begin_another_once_that_is_done() {
    let mut world = World::changed(3).await;
    let begin = async |world: &World, cause| {
        let started = world.start(cause).await.unwrap();
        (started.id.attempt, started.outcome)
    };
    assert_eq!(begin(&world, Cause::Announced).await, (1, Outcome::Started));
    for cause in [Cause::Announced, Cause::Scheduled, Cause::Manual] {
        assert_eq!(begin(&world, cause).await, (1, Outcome::InProgress));
    }
    let messages = world.queue.take();
    assert_eq!(messages.len(), 3, "one for each segment, and none for repeated announcements");
    // They were given up on, and the next day's schedule takes them up.
    drop(messages);
    world.now += TimeDelta::days(1);
    assert_eq!(begin(&world, Cause::Scheduled).await, (1, Outcome::Resumed));
    world.drain(&Plan::never()).await;
    assert_eq!(begin(&world, Cause::Announced).await, (1, Outcome::Done));
    assert_eq!(begin(&world, Cause::Scheduled).await, (2, Outcome::Started));
    assert_eq!(world.asked(2), affected());
}

#[tokio::test]
async fn a_segment_that_was_given_up_on_midway_goes_on_where_it_was_handed_on() {
    let mut world = World::changed(1).await;
    let id = world.start(Cause::Announced).await.unwrap().id;
    let first = world.queue.take().remove(0);
    assert!(world.deliver(&first, &Plan::never()).await);
    world.queue.take();
    world.now += TimeDelta::hours(2);
    assert_eq!(world.start(Cause::Scheduled).await.unwrap().outcome, Outcome::Resumed);
    world.drain(&Plan::never()).await;
    let progress = world.progress(id).await;
    assert_eq!((progress.state, progress.stats.examined, progress.stats.pages), (State::Finished, 30, 10));
    let messages = world.topic.messages().len();
    assert_eq!(messages, 10, "each of its pages has one affected record, and none was requested twice");
}

#[tokio::test]
async fn segments_follow_the_size_of_the_table() {
    let mut world = World::changed(1).await;
    world.settings.segments = None;
    assert_eq!(world.start(Cause::Announced).await.unwrap().segments, segments_for(30));
}

#[tokio::test]
async fn reports_of_attempts_long_ago_are_removed() {
    let world = World::changed(2).await;
    for attempt in 1..=12 {
        let cause = if attempt == 1 { Cause::Announced } else { Cause::Manual };
        assert_eq!(world.start(cause).await.unwrap().id.attempt, attempt);
        world.drain(&Plan::never()).await;
    }
    let kept = world.definitions.keys().into_iter().filter_map(|key| {
        let attempt = key.strip_prefix("nacre/passes/2/")?.split_once('/')?.0.to_owned();
        attempt.parse::<u32>().ok()
    });
    assert_eq!(kept.collect::<BTreeSet<u32>>(), (3..=12).collect());
}

#[tokio::test]
async fn where_what_changed_is_lost_everything_is_scanned_and_nothing_fails() {
    use nacre_core::port::DefinitionsStore;

    let world = World::changed(2).await;
    for key in world.definitions.keys().into_iter().filter(|key| key.starts_with("nacre/deltas/")) {
        world.definitions.remove(&key).await.unwrap();
    }
    let stats = world.pass(Cause::Announced).await.stats;
    assert_eq!(stats.full[&FullScan::DeltaNotKept].objects, 30);
    assert_eq!(world.asked(2).len(), 30);
}
