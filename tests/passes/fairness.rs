//! Budgets decide when a record is examined, never whether.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::{
    builder::record,
    generation::Generation,
    port::RecordStore,
    rescan::{
        pass::{Budget, Cause},
        request_mark::{ARCHIVED_FOR, REQUEST_LIFETIME},
    },
    scan_record::ScanRecord,
    verdict::Verdict,
};
use nacre_test_support::Random;

use crate::world::World;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The object is scanned on the same day.
    Scanned,
    /// The message is given up on.
    Lost,
    /// The object is archived.
    Archived,
}

/// A stream of days, each with a pass, and perhaps with a generation that adds a signature for target 1 or 6.
struct Days {
    world: World,
    targets: Vec<u8>,
    fates: BTreeMap<String, Fate>,
    /// Since which day each record of target 1 has needed a scan and was not requested.
    waiting: BTreeMap<String, u64>,
    longest: u64,
    requests: BTreeMap<String, u64>,
}

impl Days {
    async fn new(segments: u32, budget: u64, records: usize) -> Self {
        let mut world = World::new(segments);
        world.settings.daily_budget = Budget { objects: Some(budget), bytes: None };
        for n in 0..records {
            world.record(&format!("{n:02}"), 1, 1).await;
            world.record(&format!("other/{n:02}"), 1, 9).await;
        }
        world.publish(1, &[]).await;
        let (fates, waiting, requests) = Default::default();
        Self { world, targets: Vec::new(), fates, waiting, longest: 0, requests }
    }

    async fn publish(&mut self, target: u8) {
        self.targets.push(target);
        self.world.publish(self.targets.len() as u64 + 1, &self.targets).await;
    }

    /// Records that a pass finds to need a scan, and whose request does not wait.
    fn needing(&self) -> BTreeSet<String> {
        let needs = |record: &ScanRecord| {
            let known = usize::try_from(record.generation.0).unwrap();
            let added = &self.targets[known - 1..];
            let is_queued = record.requested.is_some_and(|mark| self.world.now - mark.at < REQUEST_LIFETIME);
            let is_archived = record.archived_at.is_some_and(|at| self.world.now - at < ARCHIVED_FOR);
            record.object.key.len() == 2 && added.contains(&1) && !is_queued && !is_archived
        };
        let records = self.world.records.records();
        records.iter().filter(|record| needs(record)).map(|record| record.object.key.clone()).collect()
    }

    /// One pass, and what becomes of its requests.
    async fn pass(&mut self, day: u64, cause: Cause) {
        for key in self.needing() {
            self.waiting.entry(key).or_insert(day);
        }
        let before = self.world.topic.messages().len();
        self.world.pass(cause).await;
        for (generation, key) in self.world.requests_after(before) {
            let since = self.waiting.remove(&key).expect("nothing is requested that does not need it, or waits");
            self.longest = self.longest.max(day - since);
            *self.requests.entry(key.clone()).or_default() += 1;
            match self.fates.get(&key).copied().unwrap_or(Fate::Scanned) {
                Fate::Scanned => self.world.scan_one(generation, &key).await,
                Fate::Lost => {}
                Fate::Archived => {
                    let known = self.world.records.records().into_iter().find(|known| known.object.key == key);
                    self.world.records.mark_archived(&known.unwrap(), self.world.now).await.unwrap();
                }
            }
        }
        self.world.next_day();
    }
}

/// For any budget and any stream of generations, whatever becomes of the requests.
#[tokio::test]
async fn who_needs_a_scan_has_its_turn_within_the_days_that_all_who_need_one_take() {
    for seed in 0..15 {
        let mut random = Random::new(seed);
        let (segments, budget, records) =
            (1 + u32::try_from(random.below(8)).unwrap(), 1 + random.below(9) as u64, 1 + random.below(24));
        let mut days = Days::new(segments, budget, records).await;
        for n in 0..records {
            let fate = [Fate::Scanned, Fate::Scanned, Fate::Scanned, Fate::Lost, Fate::Archived][random.below(5)];
            days.fates.insert(format!("{n:02}"), fate);
        }
        for day in 0..40 {
            let publishes = random.below(3) > 0;
            if publishes {
                days.publish(if random.below(4) > 0 { 1 } else { 6 }).await;
            }
            days.pass(day, if publishes { Cause::Announced } else { Cause::Scheduled }).await;
            let bound = records as u64 / budget + 1;
            let oldest = days.waiting.values().map(|since| day - since).max().unwrap_or_default();
            assert!(days.longest <= bound, "seed {seed}, day {day}: one waited {} days of {bound}", days.longest);
            assert!(oldest <= bound, "seed {seed}, day {day}: one has been waiting for {oldest} days of {bound}");
        }
    }
}

/// A year of nights, each with a signature for all of them.
#[tokio::test]
async fn in_a_year_each_record_has_its_turn_time_and_again() {
    let mut days = Days::new(3, 4, 14).await;
    for day in 0..365 {
        days.publish(1).await;
        days.pass(day, Cause::Announced).await;
    }
    let (bound, total) = (14 / 4 + 1, days.requests.values().sum::<u64>());
    let least = days.requests.values().min().unwrap();
    assert_eq!((days.requests.len(), total), (14, 365 * 4), "the budget is used up, and not exceeded");
    assert!(*least >= 365 / (bound + 1) && days.longest <= bound, "{least} times, {} days", days.longest);
}

/// Attack: an uploader archives what it uploaded, as many objects as the budget has: each day they would take all of it.
#[tokio::test]
async fn archived_objects_take_no_part_of_the_budget_until_their_restoration_may_have_been_missed() {
    let mut days = Days::new(1, 5, 10).await;
    for n in 0..10 {
        days.fates.insert(format!("{n:02}"), if n < 5 { Fate::Archived } else { Fate::Scanned });
    }
    for day in 0..29 {
        days.publish(1).await;
        days.pass(day, Cause::Announced).await;
    }
    let of = |archived: bool| {
        let keys = days.requests.iter().filter(move |(key, _)| (key.as_str() < "05") == archived);
        keys.map(|(_, requests)| *requests).collect::<Vec<_>>()
    };
    assert_eq!(of(true), [1; 5]);
    assert!(of(false).iter().all(|requests| *requests >= 28), "{:?}", of(false));
}

/// What waits in a queue is not requested again, for any generation; what a queue no longer has is.
#[tokio::test]
async fn a_backlog_holds_each_object_once() {
    for segments in [1, 4] {
        let mut world = World::new(segments);
        for n in 0..9 {
            world.record(&format!("{n}"), 1, 1).await;
        }
        let mut targets = Vec::new();
        for day in 0..4 {
            targets.push(1);
            world.publish(day + 2, &targets).await;
            let stats = world.pass(Cause::Announced).await.stats;
            let (requested, queued) = if day == 0 { (9, 0) } else { (0, 9) };
            assert_eq!((stats.requested.total().objects, stats.queued.objects), (requested, queued), "day {day}");
            world.next_day();
        }
        let stats = world.pass(Cause::Scheduled).await.stats;
        assert_eq!((stats.requested.total().objects, stats.waiting_since), (9, None), "its messages have expired");
    }
}

/// The report says since when.
#[tokio::test]
async fn a_report_has_the_age_of_what_waits() {
    let mut world = World::new(2);
    world.settings.daily_budget = Budget { objects: Some(1), bytes: None };
    for n in 0..4 {
        world.record(&format!("{n}"), 1, 1).await;
    }
    world.publish(2, &[1]).await;
    let start = world.now;
    for (day, waits) in [true, true, true, false].into_iter().enumerate() {
        let cause = if day == 0 { Cause::Announced } else { Cause::Scheduled };
        let stats = world.pass(cause).await.stats;
        assert_eq!(stats.waiting_since, waits.then_some(start), "day {day}: {stats:?}");
        world.scan().await;
        world.next_day();
    }
}

/// A definitions bucket that was emptied, or replaced by an older state: its numbers say nothing about these records.
#[tokio::test]
async fn records_of_generations_that_the_bucket_does_not_know_are_scanned_and_their_numbers_kept() {
    use nacre_core::{generation::published::Published, rescan::plan::FullScan};

    let world = World::new(2);
    for (key, generation) in [("lost", 400), ("higher", 410), ("known", 3)] {
        let infected = Verdict::Infected { signatures: vec!["Test".into()] };
        let verdict = if key == "higher" { infected } else { Verdict::Clean };
        let record = ScanRecord { verdict, reported: true, ..record("uploads", key) };
        world.records.save(&ScanRecord { generation: Generation(generation), ..record }).await.unwrap();
    }
    world.publish(3, &[1, 1]).await;
    let stats = world.pass(Cause::Announced).await.stats;
    assert_eq!((stats.full[&FullScan::UnknownGeneration].objects, stats.up_to_date), (2, 1));
    assert_eq!(world.asked(3), ["higher", "lost"].map(str::to_owned).into());
    assert_eq!(Published::read(&world.definitions).await.unwrap().next_generation(), Generation(411));
}

/// A limit that is raised reaches what it refused, whatever was published since.
#[tokio::test]
async fn what_was_refused_for_its_size_is_requested_once_the_limit_allows_it() {
    use nacre_core::{rescan::plan::FullScan, verdict::Reason};
    use nacre_testing::failing::Plan;

    for (verdict, generation) in
        [(Verdict::Skipped { reason: Reason::TooLarge }, 2), (Verdict::Unscannable { reason: Reason::TooLarge }, 1)]
    {
        let world = World::new(1);
        for size in [10, 20, 30] {
            let refused = ScanRecord {
                size,
                verdict: verdict.clone(),
                generation: Generation(generation),
                reported: true,
                ..record("uploads", &size.to_string())
            };
            world.records.save(&refused).await.unwrap();
        }
        world.publish(2, &[6]).await;
        let id = world.start(Cause::Announced).await.unwrap().id;
        let plan = Plan::never();
        for body in world.queue.take() {
            let rescanner = world.cold(&plan).with_size_limit(20);
            assert!(crate::world::is_done(&crate::world::deliver(&rescanner, &body).await.unwrap()));
        }
        let stats = world.progress(id).await.stats;
        assert_eq!(stats.full[&FullScan::LimitRaised].objects, 2, "{stats:?}");
        assert_eq!(world.asked(2), ["10", "20"].map(str::to_owned).into());
    }
}
