use std::{collections::BTreeSet, time::Duration};

use nacre_core::{
    builder::record,
    event::{Invocation, ObjectEvent},
    object::ObjectId,
    port::RecordStore,
    scan_record::ScanRecord,
};
use nacre_testing::{
    failing::{Failing, Plan, When},
    fixed_clock::FixedClock,
    memory_definitions::MemoryDefinitions,
    memory_records::MemoryRecords,
    memory_topic::MemoryTopic,
};
use proptest::prelude::*;

use super::*;
use crate::backfill::source::AtHand;

#[derive(Default)]
struct World {
    definitions: MemoryDefinitions,
    records: MemoryRecords,
    topic: MemoryTopic,
}

/// Object `n`, with the ETag that the records' builder writes or another.
fn candidate(n: usize, same: bool) -> Candidate {
    let etag = Some(if same { "etag" } else { "other" }.to_owned());
    Candidate {
        object: ObjectId::new("uploads", format!("key {n:03}"), Some("null".into())),
        etag,
        size: 10,
        class: None,
    }
}

impl World {
    async fn record(&self, n: usize) {
        let record = ScanRecord { object: candidate(n, true).object, reported: true, ..record("", "") };
        self.records.save(&record).await.unwrap();
    }

    /// Runs until the end or a failure.
    async fn run(&self, candidates: &[Candidate], plan: &Plan, dry_run: bool) -> Result<Progress, WorkError> {
        let definitions = Failing { port: &self.definitions, plan };
        let before = Progress::load(&definitions, "s3://uploads/".into()).await?;
        let backfill = Backfill {
            definitions: &definitions,
            records: &Failing { port: &self.records, plan },
            triggers: &Failing { port: &self.topic, plan },
            clock: FixedClock::default(),
            generation: Generation(3),
            region: "eu-west-1".into(),
            rate: 1_000_000,
            dry_run,
            retry: RetryPolicy { attempts: 1, first_wait: Duration::ZERO },
        };
        Box::pin(backfill.run(&mut AtHand(candidates.to_vec()), before, |_, _| {})).await
    }

    /// Keys of what was requested.
    fn requested(&self) -> BTreeSet<String> {
        let read = |body: &str| Invocation::read(&serde_json::from_str(body).unwrap()).messages;
        let events = self.topic.messages().into_iter().flat_map(|message| read(&message.body)).flat_map(|m| m.events);
        events
            .map(|event| match event {
                ObjectEvent::Scan(request) => request.object.key,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn keys(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    numbers.into_iter().map(|n| candidate(n, true).object.key).collect()
}

#[tokio::test]
async fn what_has_no_record_of_its_bytes_is_requested_for() {
    let world = World::default();
    for n in [1, 2, 7] {
        world.record(n).await;
    }
    let candidates: Vec<_> = (0..10).map(|n| candidate(n, n != 7)).collect();
    let progress = world.run(&candidates, &Plan::never(), true).await.unwrap();
    assert_eq!(progress.tally, Tally { objects: 10, recorded: 2, requested: 8, bytes: 80 });
    assert!(world.requested().is_empty() && world.definitions.keys().is_empty(), "a dry run does nothing");
    let progress = world.run(&candidates, &Plan::never(), false).await.unwrap();
    assert_eq!(progress.tally, Tally { objects: 10, recorded: 2, requested: 8, bytes: 80 });
    assert_eq!(world.requested(), keys([0, 3, 4, 5, 6, 7, 8, 9]));
    let plans: BTreeSet<_> = world.topic.messages().into_iter().flat_map(|message| message.attributes).collect();
    assert_eq!(
        plans,
        [("nacre-cause", "definitions"), ("nacre-plan", "full")].map(|(k, v)| (k.into(), v.into())).into()
    );
}

#[tokio::test]
async fn whatever_call_fails_the_next_run_goes_on_and_nothing_is_left_out() {
    let mut failed = 0;
    for when in [When::Before, When::After] {
        for call in 1.. {
            let world = World::default();
            world.record(4).await;
            let candidates: Vec<_> = (0..11).map(|n| candidate(n, true)).collect();
            let plan = Plan::new(call, when);
            failed += u32::from(world.run(&candidates, &plan, false).await.is_err());
            if !plan.was_reached() {
                break;
            }
            let progress = world.run(&candidates, &Plan::never(), false).await.unwrap();
            assert_eq!(world.requested(), keys((0..11).filter(|n| *n != 4)), "call {call}");
            assert_eq!(progress.tally, Tally { objects: 11, recorded: 1, requested: 10, bytes: 100 }, "call {call}");
        }
    }
    assert!(failed > 20, "{failed}");
}

#[tokio::test]
async fn a_backfill_that_came_to_its_end_begins_anew() {
    let world = World::default();
    world.run(&[candidate(0, true)], &Plan::never(), false).await.unwrap();
    world.record(0).await;
    let again = world.run(&[candidate(0, true), candidate(1, true)], &Plan::never(), false).await.unwrap();
    assert_eq!(again.tally, Tally { objects: 2, recorded: 1, requested: 1, bytes: 10 });
}

#[tokio::test]
async fn the_rate_holds_over_pages_and_within_them() {
    let world = World::default();
    let candidates: Vec<_> = (0..30).map(|n| candidate(n, true)).collect();
    let started = Instant::now();
    let backfill = Backfill {
        definitions: &world.definitions,
        records: &world.records,
        triggers: &world.topic,
        clock: FixedClock::default(),
        generation: Generation(3),
        region: "eu-west-1".into(),
        rate: 20,
        dry_run: false,
        retry: RetryPolicy::default(),
    };
    backfill.run(&mut AtHand(candidates), Progress::new("s".into()), |_, _| {}).await.unwrap();
    // Ten pages of three: the first at once.
    assert!(started.elapsed() >= Duration::from_millis(9 * 150), "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn every_object_is_recorded_or_requested_for(recorded in prop::collection::btree_set(0_usize..40, 0..40), number in 0_usize..40) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::default();
            for n in &recorded {
                world.record(*n).await;
            }
            let candidates: Vec<_> = (0..number).map(|n| candidate(n, true)).collect();
            let Tally { objects, recorded: known, requested, .. } = world.run(&candidates, &Plan::never(), false).await.unwrap().tally;
            prop_assert_eq!((objects, known + requested), (number as u64, number as u64));
            prop_assert_eq!(world.requested(), keys((0..number).filter(|n| !recorded.contains(n))));
            Ok(())
        })?;
    }
}
