//! Records of what does not change are advanced before what changed since theirs is forgotten.

use std::collections::BTreeMap;

use nacre_core::{
    generation::history::MAX_STEPS,
    rescan::{
        pass::Cause,
        plan::{FullScan, Unaffected},
    },
};

use crate::world::World;

#[tokio::test]
async fn an_unaffected_record_is_renewed_halfway_to_being_forgotten_and_no_other_is() {
    let world = World::new(3);
    let half = (MAX_STEPS / 2) as u64;
    for (key, generation, target) in
        [("old", 1, 6), ("halfway", 15, 6), ("younger", 16, 6), ("newest", 60, 6), ("affected", 1, 1)]
    {
        world.record(key, generation, target).await;
    }
    world.publish(15 + half, &[1; 14 + MAX_STEPS / 2]).await;
    let stats = world.pass(Cause::Announced).await.stats;
    assert_eq!((stats.advanced, stats.unaffected[&Unaffected::NothingMatches]), (2, 3));
    let generations: BTreeMap<String, u64> =
        world.records.records().into_iter().map(|record| (record.object.key, record.generation.0)).collect();
    let expected = [("affected", 1), ("halfway", 60), ("newest", 60), ("old", 60), ("younger", 16)];
    assert_eq!(generations, expected.map(|(key, generation)| (key.to_owned(), generation)).into());
    assert_eq!(world.pass(Cause::Manual).await.stats.advanced, 0);
}

#[tokio::test]
async fn records_that_are_renewed_in_time_never_need_a_full_scan_for_their_age() {
    let world = World::new(2);
    for n in 0..9 {
        world.record(&format!("key/{n}"), 1, 6).await;
    }
    let mut targets = Vec::new();
    for generation in 2..=250 {
        targets.push(1);
        world.publish(generation, &targets).await;
        // Not every generation has its pass.
        if generation % 7 == 0 {
            let stats = world.pass(Cause::Announced).await.stats;
            assert!(!stats.full.contains_key(&FullScan::DeltaNotKept), "generation {generation}: {stats:?}");
        }
    }
    assert!(world.topic.messages().is_empty());
}
