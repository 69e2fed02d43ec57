//! Passes of the rescanner over what the scanner recorded: whatever comes between, every object ends with the verdict of a full scan.

mod between;
mod refused;

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_aws::SystemClock;
use nacre_core::{
    object::ObjectId,
    port::{Clock, ObjectStore},
    rescan::{
        pass::{Budget, Cause},
        plan::size_limit,
    },
    retry::RetryPolicy,
    verdict::Verdict,
};
use nacre_rescanner::{PassSettings, Ports, Rescanner, Services, segment::Limits, start::Started};
use nacre_test_support::messages::sqs_event;
use nacre_testing::{
    failing::{Failing, Plan},
    fixed_clock::FixedClock,
    memory_definitions::MemoryDefinitions,
    memory_queue::MemoryQueue,
    memory_records::MemoryRecords,
    memory_topic::MemoryTopic,
};
use serde_json::json;

use crate::world::{Scanner, World, announce, signature};

/// The rescanner's services, over the definitions and the records of a scanner's world.
struct Fakes<'a>(PhantomData<&'a World>);

impl<'a> Services for Fakes<'a> {
    type Definitions = Failing<'a, MemoryDefinitions>;
    type Records = Failing<'a, MemoryRecords>;
    type Triggers = Failing<'a, MemoryTopic>;
    type Queue = Failing<'a, MemoryQueue>;
    type Clock = FixedClock;
}

/// A rescanner beside a scanner's world, and the queues between them.
struct Passes<'a> {
    world: &'a World,
    triggers: MemoryTopic,
    queue: MemoryQueue,
    plan: Plan,
    /// The rescanner's clock.
    now: DateTime<Utc>,
    skip_larger_than: Option<u64>,
    /// Messages to the scanner that were delivered.
    delivered: usize,
}

impl<'a> Passes<'a> {
    /// With the scanner's clock.
    fn over(world: &'a World) -> Self {
        let (triggers, queue, plan) = (MemoryTopic::default(), MemoryQueue::default(), Plan::never());
        Self { world, triggers, queue, plan, now: SystemClock.now(), skip_larger_than: None, delivered: 0 }
    }

    fn rescanner(&self) -> Rescanner<Fakes<'_>> {
        let plan = &self.plan;
        let ports = Ports::<Fakes<'_>> {
            definitions: Failing { port: &self.world.definitions.kept, plan },
            records: Failing { port: &self.world.records, plan },
            triggers: Failing { port: &self.triggers, plan },
            queue: Failing { port: &self.queue, plan },
            clock: FixedClock(self.now),
        };
        let retry = RetryPolicy { attempts: 2, first_wait: Duration::ZERO };
        let (region, daily_budget) = ("eu-west-1".into(), Budget::default());
        let settings = PassSettings { region, segments: Some(1), daily_budget, retry };
        Rescanner::new(ports, settings).with_size_limit(size_limit(self.skip_larger_than))
    }

    async fn start(&self, cause: Cause) -> Started {
        self.rescanner().start(cause).await.unwrap()
    }

    /// Works on one page by a message of the pass.
    async fn work(&self, body: &str) {
        let limits = Limits { pages: 1, until: Instant::now() + Duration::from_mins(30) };
        let payload = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body }] });
        let handled = Box::pin(self.rescanner().handle(&payload, limits)).await.unwrap();
        assert_eq!(handled.response["batchItemFailures"], json!([]));
    }

    /// Works until no message is left.
    async fn drain(&self) {
        loop {
            let messages = self.queue.take();
            if messages.is_empty() {
                return;
            }
            for message in messages {
                self.work(&message).await;
            }
        }
    }

    /// Starts a pass, and works it to its end.
    async fn pass(&self, cause: Cause) {
        self.start(cause).await;
        self.drain().await;
    }

    /// The messages to the scanner that were not delivered yet.
    fn requests(&mut self) -> Vec<String> {
        let messages = self.triggers.messages();
        let requests = messages[self.delivered..].iter().map(|message| message.body.clone()).collect();
        self.delivered = messages.len();
        requests
    }

    /// Delivers what was requested; returns the number of messages.
    async fn rescan(&mut self, scanner: &Scanner<'_>) -> usize {
        let requests = self.requests();
        for body in &requests {
            deliver(scanner, body).await;
        }
        requests.len()
    }

    /// A pass of the next day, and what it requests; returns the number of messages.
    async fn next_day(&mut self, scanner: &Scanner<'_>) -> usize {
        self.now += TimeDelta::days(1);
        self.pass(Cause::Scheduled).await;
        self.rescan(scanner).await
    }
}

/// Delivers a message to the scanner, which must take it.
async fn deliver(scanner: &Scanner<'_>, body: &str) {
    assert!(takes(scanner, body).await, "{body}");
}

/// Delivers a message to the scanner; returns whether it took it.
async fn takes(scanner: &Scanner<'_>, body: &str) -> bool {
    let event = sqs_event([body.to_owned()]);
    let handled = scanner.handle(&event, Instant::now() + Duration::from_mins(30)).await.unwrap();
    handled.response["batchItemFailures"] == json!([])
}

/// Publishes a set that finds each of these words.
async fn publish(world: &World, words: &[&str]) {
    let lines: String = words.iter().map(|word| signature(&format!("Test.{word}"), word)).collect();
    // Of no word at all: a set must have a signature.
    world.publish(&[("own.ndb", &format!("{lines}{}", signature("Test.None", "no object has this")))]).await;
}

/// Asserts that each of these objects has the verdict of a full scan with a set that finds each of these words, and its tag.
async fn assert_as_a_full_scan(world: &World, words: &[&str], objects: &[&ObjectId]) {
    let oracle = World::new();
    publish(&oracle, words).await;
    let mut same = BTreeMap::new();
    for object in objects {
        let head = world.objects.head(object).await.unwrap();
        let file = tempfile::tempdir().unwrap();
        let path = file.path().join("bytes");
        world.objects.download(object, &head, &path).await.unwrap();
        let copy = oracle.objects.put("plain", &object.to_string(), std::fs::read(&path).unwrap());
        same.insert(copy, *object);
    }
    announce(&oracle.scanner(), &same.keys().collect::<Vec<_>>()).await;
    for (copy, object) in same {
        let (expected, actual) = (oracle.record(&copy), world.record(object));
        assert_eq!(actual.verdict, expected.verdict, "{object}");
        assert!(actual.reported, "{object}");
        let status = if expected.verdict == Verdict::Clean { "CLEAN" } else { "INFECTED" };
        assert_eq!(world.status(object).await.as_deref(), Some(status), "{object}");
    }
}
