//! Messages sent twice and out of order, a throttled table, a topic that refuses, and a newer generation in the middle of it all.

use std::marker::PhantomData;

use nacre_core::rescan::pass::{Cause, State};
use nacre_rescanner::{Ports, Rescanner, Services};
use nacre_testing::{
    failing::{Failing, Plan, When},
    fixed_clock::FixedClock,
    memory_definitions::MemoryDefinitions,
    memory_queue::MemoryQueue,
    memory_records::MemoryRecords,
    memory_topic::MemoryTopic,
};

use crate::{
    unreliable::{Dice, Unreliable},
    world::{World, affected, deliver, is_done},
};

/// The services of a world of which a table and a topic throttle.
struct Disordered<'a>(PhantomData<&'a World>);

impl<'a> Services for Disordered<'a> {
    type Definitions = Failing<'a, MemoryDefinitions>;
    type Records = Unreliable<'a, MemoryRecords>;
    type Triggers = Unreliable<'a, MemoryTopic>;
    type Queue = Failing<'a, MemoryQueue>;
    type Clock = FixedClock;
}

/// Delivers what is in the queue in any order, some of it twice, until nothing is left; `between` happens before each delivery.
async fn worked(world: &World, dice: &Dice, mut between: impl AsyncFnMut(usize)) {
    let mut waiting = world.queue.take();
    for delivery in 0..5_000 {
        between(delivery).await;
        waiting.extend(world.queue.take());
        if waiting.is_empty() {
            return;
        }
        let body = waiting.swap_remove(dice.roll(waiting.len()));
        if dice.roll(5) == 0 {
            waiting.push(body.clone());
        }
        // One call in some invocations is their last.
        let plan = Plan::new(dice.roll(60) as u64, When::After);
        let ports = Ports::<Disordered<'_>> {
            definitions: Failing { port: &world.definitions, plan: &plan },
            records: Unreliable { port: &world.records, dice },
            triggers: Unreliable { port: &world.topic, dice },
            queue: Failing { port: &world.queue, plan: &plan },
            clock: FixedClock(world.now),
        };
        let rescanner = Rescanner::new(ports, world.settings.clone());
        if !is_done(&deliver(&rescanner, &body).await.unwrap()) {
            waiting.push(body);
        }
    }
    panic!("the pass has no end");
}

#[tokio::test]
async fn whatever_befalls_it_a_pass_asks_for_all_that_is_affected_and_for_nothing_else() {
    for seed in 0..100 {
        let (world, dice) = (World::changed(4).await, Dice::new(seed));
        let id = world.start(Cause::Announced).await.unwrap().id;
        worked(&world, &dice, async |_| ()).await;
        let progress = world.progress(id).await;
        assert_eq!(world.asked(2), affected(), "seed {seed}");
        let stats = progress.stats;
        assert_eq!(progress.state, State::Finished, "seed {seed}");
        assert_eq!((stats.examined, stats.requested.delta.objects), (30, 10), "seed {seed}: nothing is counted twice");
    }
}

#[tokio::test]
async fn a_newer_generation_midway_takes_over() {
    for seed in 0..100 {
        let (world, dice) = (World::changed(4).await, Dice::new(seed));
        world.record("of the third", 1, 5).await;
        let older = world.start(Cause::Announced).await.unwrap().id;
        let midway = dice.roll(12);
        worked(&world, &dice, async |delivery| {
            if delivery == midway {
                world.publish(3, &[1, 5]).await;
                world.start(Cause::Announced).await.unwrap();
            }
        })
        .await;
        let newer = world.start(Cause::Announced).await.unwrap().id;
        assert_eq!(newer.generation.0, 3);
        assert_eq!(world.progress(newer).await.state, State::Finished, "seed {seed}");
        let mut expected = affected();
        assert!(world.asked(2).is_subset(&expected), "seed {seed}");
        expected.insert("of the third".into());
        let asked = &world.asked(2) | &world.asked(3);
        assert_eq!(asked, expected, "seed {seed}: what the older pass requested waits, and is scanned with the newest");
        assert!(world.asked(3).contains("of the third"), "seed {seed}");
        assert!(world.progress(older).await.state.is_final(), "seed {seed}");
    }
}
