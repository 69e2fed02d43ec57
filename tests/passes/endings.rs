//! Passes that end before their time.

use nacre_core::rescan::pass::{Cause, State, cancel};
use nacre_rescanner::start::Outcome;
use nacre_testing::failing::Plan;

use crate::world::{World, affected};

#[tokio::test]
async fn a_pass_that_is_cancelled_asks_for_nothing_more_and_another_may_be_begun() {
    let world = World::changed(3).await;
    let id = world.start(Cause::Announced).await.unwrap().id;
    let messages = world.queue.take();
    assert!(world.deliver(&messages[0], &Plan::never()).await);
    let asked = world.asked(2).len();
    cancel(&world.definitions, id, world.now).await.unwrap();
    for message in &messages[1..] {
        assert!(world.deliver(message, &Plan::never()).await);
    }
    world.drain(&Plan::never()).await;
    let progress = world.progress(id).await;
    assert_eq!((progress.state, progress.done, world.asked(2).len()), (State::Cancelled, 3, asked));

    assert_eq!(world.start(Cause::Announced).await.unwrap().outcome, Outcome::Done);
    let again = world.pass(Cause::Manual).await;
    assert_eq!((again.state, world.asked(2)), (State::Finished, affected()));
}

#[tokio::test]
async fn a_pass_that_was_overtaken_publishes_nothing_more() {
    let world = World::changed(2).await;
    let id = world.start(Cause::Announced).await.unwrap().id;
    world.publish(3, &[1, 5]).await;
    world.drain(&Plan::never()).await;
    let progress = world.progress(id).await;
    assert_eq!((progress.state, progress.stats.examined), (State::Overtaken, 0));
    assert!(world.topic.messages().is_empty());
}

#[tokio::test]
async fn a_foreign_message_goes_back_and_ends_in_the_dead_letter_queue() {
    let world = World::changed(1).await;
    assert!(!world.deliver("{}", &Plan::never()).await);
    assert!(!world.deliver("nonsense", &Plan::never()).await);
}
