//! A pass asks for exactly the records that need it, whatever fails and however its messages come.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use nacre_shared::{
    definitions::{
        delta::{Delta, SignatureFile},
        history::{Step, StepKind},
        manifest::{BodyEntry, EngineProof, Manifest, POINTER_KEY, Pointer},
    },
    event::{Invocation, Notice},
    port::RecordStore,
    rescan_pass::{PassStatus, read_status},
    scan_record::ScanRecord,
    testing::{
        failing::{Failing, Plan, When},
        memory_definitions::MemoryDefinitions,
        memory_records::MemoryRecords,
        memory_topic::MemoryTopic,
        records::record,
    },
    verdict::Verdict,
};

use super::*;
use crate::config::Budget;

/// A clock that goes on by a minute with each look at it.
#[derive(Debug, Default)]
struct Minutes(AtomicU64);

impl Clock for Minutes {
    fn now(&self) -> DateTime<Utc> {
        let minutes = i64::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap();
        DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes)
    }
}

#[derive(Debug, Default)]
struct World {
    definitions: MemoryDefinitions,
    records: MemoryRecords,
    triggers: MemoryTopic,
    work: MemoryTopic,
}

type Rescanner<'a> =
    Ports<Failing<'a, MemoryDefinitions>, Failing<'a, MemoryRecords>, Failing<'a, MemoryTopic>, Minutes>;

impl World {
    /// A table with a record of each of these generations.
    async fn with(generations: impl IntoIterator<Item = u64>) -> Self {
        let world = Self::default();
        for (n, generation) in generations.into_iter().enumerate() {
            let record = ScanRecord { generation: Generation(generation), ..record("uploads", &format!("a key/{n}")) };
            world.records.save(&record).await.unwrap();
        }
        world
    }

    fn rescanner<'a>(&'a self, plan: &'a Plan) -> Rescanner<'a> {
        Ports {
            definitions: Failing { port: &self.definitions, plan },
            records: Failing { port: &self.records, plan },
            triggers: Failing { port: &self.triggers, plan },
            work: Failing { port: &self.work, plan },
            clock: Minutes::default(),
        }
    }

    /// Publishes a generation of no databases whose every step is this one.
    async fn publish(&self, published: u64, step: impl Fn(u64) -> StepKind) {
        let proof = EngineProof {
            clamav_version: "1.4.6".into(),
            functionality_level: 216,
            signatures: 1,
            eicar: Vec::new(),
            expected_signatures: 0,
            clean_files: 0,
        };
        let at = DateTime::UNIX_EPOCH;
        let mut manifest = Manifest::new(Generation(published), at, "clamav".into(), Vec::new(), proof);
        for to in 2..=published {
            manifest.history = manifest.history.then(Step { to: Generation(to), kind: step(to) });
        }
        let bytes = manifest.to_bytes();
        let key = Manifest::object_key(manifest.generation);
        let pointer = Pointer::to(manifest.generation, &bytes).to_bytes();
        self.definitions.write(&key, bytes, &[], WriteCondition::Always).await.unwrap();
        self.definitions.write(POINTER_KEY, pointer, &[], WriteCondition::Always).await.unwrap();
    }

    /// Publishes a generation to which each step adds a body signature for this target.
    async fn publish_added(&self, published: u64, target: u8) {
        let mut steps = BTreeMap::new();
        for to in 2..=published {
            let line = format!("A.{to}:{target}:*:00ff\n").into_bytes();
            let file = SignatureFile { official: true, name: "daily.ndb".into(), bytes: line.into() };
            let bytes = Delta::between(&[], &[file]).to_bytes();
            let delta = BodyEntry::of_delta(Generation(to), &bytes);
            self.definitions.write(&delta.object_key, bytes, &[], WriteCondition::Always).await.unwrap();
            steps.insert(to, StepKind::Delta { delta });
        }
        self.publish(published, |to| steps[&to].clone()).await;
    }

    /// Begins a pass and brings its work until there is none; a message that fails comes again.
    async fn pass(&self, plan: &Plan, config: &Config) -> PassStatus {
        let rescanner = self.rescanner(plan);
        let mut done = self.work.messages().len();
        let mut begun = false;
        for _ in 0..1000 {
            if !begun {
                begun = rescanner.handle(&announcement(), config, Instant::now()).await.is_ok();
                continue;
            }
            let Some(message) = self.work.messages().get(done).cloned() else { break };
            let payload = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": message.body }] });
            // The deadline is past: each message is worked on for one page.
            let handled = rescanner.handle(&payload, config, Instant::now()).await;
            let failed = handled.is_ok_and(|handled| handled.response["batchItemFailures"] == json!([]));
            done += usize::from(failed);
        }
        let pointer = self.definitions.read(POINTER_KEY, 1 << 20).await.unwrap();
        let generation = Pointer::parse(&pointer.bytes).unwrap().generation;
        read_status(&self.definitions, generation).await.unwrap().expect("a pass was begun")
    }

    /// The keys that were asked for, with the plan of each.
    fn asked(&self) -> BTreeSet<(String, String)> {
        let of = |message: &TopicMessage| {
            let plan = message.attributes[1].1.clone();
            let invocation = Invocation::read(&serde_json::from_str(&message.body).unwrap());
            let notices = invocation.messages.into_iter().flat_map(|message| message.notices);
            let keys = notices.map(|notice| match notice {
                Notice::Scan(request) => request.object.key,
                other => panic!("{other:?}"),
            });
            keys.map(move |key| (key, plan.clone())).collect::<Vec<_>>()
        };
        self.triggers.messages().iter().flat_map(of).collect()
    }
}

fn announcement() -> Value {
    json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": "{}" } }] })
}

fn config(segments: u32) -> Config {
    let settings = [
        ("AV_DEFINITION_S3_BUCKET", "definitions"),
        ("NACRE_RECORDS_TABLE", "records"),
        ("NACRE_TRIGGER_TOPIC_ARN", "arn:triggers"),
        ("NACRE_PASS_TOPIC_ARN", "arn:passes"),
        ("AWS_REGION", "eu-west-1"),
    ];
    let variable = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Config { segments: Some(segments), ..Config::from_vars(variable).unwrap() }
}

/// The keys of the records whose number passes.
fn keys(numbers: impl IntoIterator<Item = usize>, plan: &str) -> BTreeSet<(String, String)> {
    numbers.into_iter().map(|n| (format!("a key/{n}"), plan.to_owned())).collect()
}

#[tokio::test]
async fn exactly_the_records_of_older_generations_are_asked_for() {
    for segments in [1, 3, 8] {
        let world = World::with((0..50).map(|n| n % 5)).await;
        world.publish(3, |_| StepKind::TooLarge).await;
        let status = world.pass(&Plan::never(), &config(segments)).await;
        assert!(status.is_over());
        assert_eq!((status.tally.examined, status.tally.published, status.tally.up_to_date), (50, 30, 20));
        assert_eq!(world.asked(), keys((0..50).filter(|n| n % 5 < 3), "full"));
        assert!(world.triggers.messages().len() < 30, "several in a message");
    }
}

#[tokio::test]
async fn what_was_added_is_asked_for_where_it_may_match_and_nowhere_else() {
    for (target, expected) in [(6, BTreeSet::new()), (0, keys(0..7, "delta"))] {
        let world = World::with([1; 7]).await;
        world.publish_added(2, target).await;
        let status = world.pass(&Plan::never(), &config(3)).await;
        assert_eq!(world.asked(), expected, "target {target}");
        assert_eq!(status.tally.delta, expected.len() as u64);
    }
}

#[tokio::test]
async fn a_pass_that_fails_at_any_call_comes_to_the_same() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let world = World::with((0..20).map(|n| n % 3)).await;
            world.publish(2, |_| StepKind::TooLarge).await;
            let plan = Plan::new(nth, when);
            let status = world.pass(&plan, &config(2)).await;
            assert!(status.is_over(), "call {nth} failed {when:?}");
            assert_eq!(world.asked(), keys((0..20).filter(|n| n % 3 < 2), "full"), "call {nth} failed {when:?}");
            assert_eq!(status.tally.examined, 20, "nothing is counted twice: call {nth} failed {when:?}");
            if !plan.was_reached() {
                assert!(nth > 10, "a pass has more calls");
                break;
            }
        }
    }
}

#[tokio::test]
async fn messages_that_come_twice_and_in_any_order_do_no_harm() {
    let world = World::with((0..30).map(|n| n % 3)).await;
    world.publish(2, |_| StepKind::TooLarge).await;
    let (plan, config) = (Plan::never(), config(3));
    let rescanner = world.rescanner(&plan);
    rescanner.handle(&announcement(), &config, Instant::now()).await.unwrap();
    rescanner.handle(&announcement(), &config, Instant::now()).await.unwrap();
    let mut done = 0;
    while done < world.work.messages().len() {
        // The newest first, then all that came before once more.
        let messages = world.work.messages();
        done = messages.len();
        for message in messages.iter().rev() {
            let payload = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": message.body }] });
            rescanner.handle(&payload, &config, Instant::now()).await.unwrap();
        }
        if world.work.messages().len() > 500 {
            break;
        }
    }
    assert_eq!(world.asked(), keys((0..30).filter(|n| n % 3 < 2), "full"));
    let status = read_status(&world.definitions, Generation(2)).await.unwrap().unwrap();
    assert_eq!(status.tally.examined, 30);
}

#[tokio::test]
async fn a_newer_generation_overtakes_a_pass_instead_of_doubling_it() {
    let world = World::with([1; 20]).await;
    world.publish(2, |_| StepKind::TooLarge).await;
    let (plan, config) = (Plan::never(), config(1));
    let rescanner = world.rescanner(&plan);
    rescanner.handle(&announcement(), &config, Instant::now()).await.unwrap();
    let first = world.work.messages().remove(0);
    let deliver = |body: String| json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body }] });
    rescanner.handle(&deliver(first.body), &config, Instant::now()).await.unwrap();
    let asked = world.asked().len();
    assert!(asked > 0 && asked < 20, "it is under way: {asked}");

    world.publish(3, |_| StepKind::TooLarge).await;
    let next = world.work.messages().remove(1);
    rescanner.handle(&deliver(next.body), &config, Instant::now()).await.unwrap();
    assert_eq!(world.asked().len(), asked, "it asks for no more");
    let old = read_status(&world.definitions, Generation(2)).await.unwrap().unwrap();
    assert_eq!(old.segments[0].progress, Progress::Overtaken);
    let status = world.pass(&Plan::never(), &config).await;
    assert_eq!((status.begun.generation, world.asked().len()), (Generation(3), 20));
}

#[tokio::test]
async fn a_cancelled_pass_asks_for_no_more() {
    let world = World::with([1; 20]).await;
    world.publish(2, |_| StepKind::TooLarge).await;
    let (plan, config) = (Plan::never(), config(2));
    let rescanner = world.rescanner(&plan);
    rescanner.handle(&announcement(), &config, Instant::now()).await.unwrap();
    let (begun, etag) = read_begun(&world.definitions, Generation(2)).await.unwrap().unwrap();
    let cancelled = Begun { cancelled: true, ..begun };
    let condition = WriteCondition::Etag(&etag);
    write_report(&world.definitions, &pass_key(Generation(2)), &cancelled, condition).await.unwrap();
    for message in world.work.messages() {
        let payload = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": message.body }] });
        rescanner.handle(&payload, &config, Instant::now()).await.unwrap();
    }
    assert!(world.asked().is_empty());
    let status = read_status(&world.definitions, Generation(2)).await.unwrap().unwrap();
    assert!(status.is_over() && status.segments.iter().all(|segment| segment.progress == Progress::Cancelled));
    // Somebody wants it after all.
    let handled = rescanner.handle(&json!({ "rescan": "start" }), &config, Instant::now()).await.unwrap();
    assert_eq!((&handled.response["attempt"], &handled.response["begun"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn what_a_budget_leaves_is_asked_for_by_the_next_pass() {
    let world = World::with([1; 20]).await;
    world.publish(2, |_| StepKind::TooLarge).await;
    let config = Config { budget: Budget { objects: Some(8), bytes: None }, ..config(2) };
    let status = world.pass(&Plan::never(), &config).await;
    assert_eq!((status.tally.published, status.tally.carried), (8, 12));
    assert_eq!(world.asked().len(), 8);
    let narrow = Config { budget: Budget { objects: None, bytes: Some(1) }, ..config };
    let rescanner = world.rescanner(&Plan::never()).begin(&narrow, true).await.map(|handled| handled.response);
    assert_eq!(rescanner.unwrap()["begun"], json!(true));
    assert!(Budget { objects: None, bytes: Some(1) }.of_one(2).allows(1, u64::MAX), "one object is never too large");
}

#[tokio::test]
async fn records_that_nothing_concerns_are_renewed_before_what_changed_is_forgotten() {
    let world = World::with([1, 59, 60, 1]).await;
    let infected = ScanRecord {
        generation: Generation(2),
        verdict: Verdict::Infected { signatures: vec!["Old".into()] },
        ..record("uploads", "infected")
    };
    world.records.save(&infected).await.unwrap();
    world.publish_added(60, 6).await;
    let status = world.pass(&Plan::never(), &config(2)).await;
    assert!(world.asked().is_empty());
    assert_eq!(status.tally.renewed, 2);
    let generations: Vec<u64> = world.records.records().iter().map(|record| record.generation.0).collect();
    assert_eq!(generations, [60, 59, 60, 60, 2], "one that is infected may lose what convicts it bit by bit");
}

#[tokio::test]
async fn without_a_published_generation_a_pass_fails_and_says_why() {
    let world = World::default();
    let plan = Plan::never();
    let error = world.rescanner(&plan).handle(&json!({}), &config(1), Instant::now()).await.unwrap_err();
    assert_eq!(error_chain(&error), "no definitions are published yet: run the updater");
}

#[tokio::test]
async fn a_message_that_is_no_work_is_acknowledged() {
    let world = World::default();
    let plan = Plan::never();
    let payload = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": "nonsense" }] });
    let handled = world.rescanner(&plan).handle(&payload, &config(1), Instant::now()).await.unwrap();
    assert_eq!(handled.response, json!({ "batchItemFailures": [] }));
}
