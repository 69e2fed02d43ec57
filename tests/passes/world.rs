//! A bucket of definitions, a table, a topic and a queue, and the invocations of a rescanner between them.

use std::{
    collections::BTreeSet,
    marker::PhantomData,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::delta::{Delta, SignatureFile};
use nacre_core::{
    bucket_keys::POINTER_KEY,
    builder::{engine_proof, record},
    event::{Cause as ScanCause, Invocation, ObjectEvent, ScanRequest},
    generation::{
        Generation,
        history::{MAX_STEPS, Step, StepKind},
        manifest::{BodyEntry, Manifest, Pointer},
    },
    port::{DefinitionsStore, RecordStore, TopicMessage, WriteCondition},
    rescan::pass::{Budget, Cause, PassId, Progress, SegmentReport, is_cancelled, read_pass, reports},
    retry::RetryPolicy,
    scan_record::ScanRecord,
    targets::Targets,
};
use nacre_rescanner::{
    Handled, PassSettings, Ports, RescanError, Rescanner, Services,
    segment::Limits,
    start::{StartError, Started},
};
use nacre_testing::{
    failing::{Failing, Plan},
    fixed_clock::FixedClock,
    memory_definitions::MemoryDefinitions,
    memory_queue::MemoryQueue,
    memory_records::MemoryRecords,
    memory_topic::MemoryTopic,
};
use serde_json::json;

/// When the first pass is started.
pub(crate) const START: &str = "2026-11-23T03:00:00Z";

/// Pages of one message: three records each.
pub(crate) const PAGES: u64 = 2;

/// Most invocations of one pass.
const MAX_DELIVERIES: usize = 5_000;

/// An invocation's rescanner: nothing of it outlives the invocation.
pub(crate) type Cold<'a> = Rescanner<Fakes<'a>>;

/// The services of a world, of whose calls one may fail.
pub(crate) struct Fakes<'a>(PhantomData<&'a World>);

impl<'a> Services for Fakes<'a> {
    type Definitions = Failing<'a, MemoryDefinitions>;
    type Records = Failing<'a, MemoryRecords>;
    type Triggers = Failing<'a, MemoryTopic>;
    type Queue = Failing<'a, MemoryQueue>;
    type Clock = FixedClock;
}

pub(crate) struct World {
    pub(crate) definitions: MemoryDefinitions,
    pub(crate) records: MemoryRecords,
    pub(crate) topic: MemoryTopic,
    pub(crate) queue: MemoryQueue,
    pub(crate) now: DateTime<Utc>,
    pub(crate) settings: PassSettings,
}

impl World {
    /// Nothing published and nothing recorded; passes of this many segments.
    pub(crate) fn new(segments: u32) -> Self {
        let now: DateTime<Utc> = START.parse().unwrap();
        let retry = RetryPolicy { attempts: 2, first_wait: Duration::ZERO };
        let daily_budget = Budget::default();
        let settings = PassSettings { region: "eu-west-1".into(), segments: Some(segments), daily_budget, retry };
        let definitions = MemoryDefinitions::written_at(now);
        let (records, topic, queue) = <(MemoryRecords, MemoryTopic, MemoryQueue)>::default();
        Self { definitions, records, topic, queue, now, settings }
    }

    /// Generation 2 is published, and adds a signature for target 1; a third of 30 records of generation 1 are of that target.
    pub(crate) async fn changed(segments: u32) -> Self {
        let world = Self::new(segments);
        for n in 0..30 {
            world.record(&format!("key/{n:02}"), 1, if n % 3 == 0 { 1 } else { 6 }).await;
        }
        world.publish(2, &[1]).await;
        world
    }

    /// Records an object of this target, scanned with this generation.
    pub(crate) async fn record(&self, key: &str, generation: u64, target: u8) {
        let scanned_at = self.now - TimeDelta::days(1);
        let targets = Targets::of(target);
        let generation = Generation(generation);
        let record = ScanRecord { generation, targets, scanned_at, reported: true, ..record("uploads", key) };
        self.records.save(&record).await.unwrap();
    }

    /// Publishes a generation. The step to each generation adds a signature for the target of its place: the first is that to the second.
    pub(crate) async fn publish(&self, generation: u64, targets: &[u8]) {
        let mut manifest = Manifest::new(Generation(generation), self.now, "clamav".into(), Vec::new(), engine_proof());
        for (to, target) in (2..).zip(targets).skip(targets.len().saturating_sub(MAX_STEPS)) {
            let line = format!("Added.{to}:{target}:*:{to:08x}\n").into_bytes();
            let file = SignatureFile::member("daily.cvd", true, "daily.ndb", line);
            let bytes = Delta::between(&[], &[file]).to_bytes();
            let delta = BodyEntry::of_delta(Generation(to), &bytes);
            self.definitions.write(&delta.object_key, bytes, &[], WriteCondition::Always).await.unwrap();
            manifest.history = manifest.history.then(Step { to: Generation(to), kind: StepKind::Delta { delta } });
        }
        let bytes = manifest.to_bytes();
        let pointer = Pointer::to(manifest.generation, &bytes).to_bytes();
        let key = Manifest::object_key(manifest.generation);
        self.definitions.write(&key, bytes, &[], WriteCondition::Always).await.unwrap();
        self.definitions.write(POINTER_KEY, pointer, &[], WriteCondition::Always).await.unwrap();
    }

    /// A rescanner that was just started, of whose calls one may fail.
    pub(crate) fn cold<'a>(&'a self, plan: &'a Plan) -> Cold<'a> {
        let ports = Ports::<Fakes<'_>> {
            definitions: Failing { port: &self.definitions, plan },
            records: Failing { port: &self.records, plan },
            triggers: Failing { port: &self.topic, plan },
            queue: Failing { port: &self.queue, plan },
            clock: FixedClock(self.now),
        };
        Rescanner::new(ports, self.settings.clone())
    }

    /// Begins a pass, or finds that there is no reason to.
    pub(crate) async fn start(&self, cause: Cause) -> Result<Started, StartError> {
        self.cold(&Plan::never()).start(cause).await
    }

    /// Delivers one message of the queue; answers whether it is done with.
    pub(crate) async fn deliver(&self, body: &str, plan: &Plan) -> bool {
        is_done(&deliver(&self.cold(plan), body).await.unwrap())
    }

    /// Delivers messages in turn, those that fail once more, until none is left.
    pub(crate) async fn drain(&self, plan: &Plan) {
        let mut waiting = self.queue.take();
        for _ in 0..MAX_DELIVERIES {
            let Some(body) = waiting.pop() else { return };
            if !self.deliver(&body, plan).await {
                waiting.insert(0, body);
            }
            waiting.splice(0..0, self.queue.take());
        }
        panic!("the pass has no end");
    }

    /// A pass, started and worked.
    pub(crate) async fn pass(&self, cause: Cause) -> Progress {
        let id = self.start(cause).await.unwrap().id;
        self.drain(&Plan::never()).await;
        self.progress(id).await
    }

    pub(crate) async fn progress(&self, id: PassId) -> Progress {
        let kept = read_pass(&self.definitions, id.generation).await.unwrap().expect("it was begun");
        let cancelled = is_cancelled(&self.definitions, id).await.unwrap();
        kept.pass.progress(&self.reports(id).await, cancelled)
    }

    pub(crate) async fn reports(&self, id: PassId) -> Vec<SegmentReport> {
        reports(&self.definitions, id).await.unwrap()
    }

    /// The keys that a generation requested.
    pub(crate) fn asked(&self, generation: u64) -> BTreeSet<String> {
        asked(&self.topic).into_iter().filter(|(of, _)| *of == generation).map(|(_, key)| key).collect()
    }

    /// What was requested after so many messages, in order: generations and keys.
    pub(crate) fn requests_after(&self, messages: usize) -> Vec<(u64, String)> {
        read(&self.topic.messages()[messages..])
    }

    /// Scans what was requested, as the scanner would, and finds nothing.
    pub(crate) async fn scan(&self) {
        for (generation, key) in asked(&self.topic) {
            self.scan_one(generation, &key).await;
        }
    }

    /// Scans an object that was requested for a generation, unless its record is of that one.
    pub(crate) async fn scan_one(&self, generation: u64, key: &str) {
        let known = self.records.records().into_iter().find(|record| record.object.key == key).unwrap();
        if known.generation.0 < generation {
            let generation = Generation(generation);
            let scanned = ScanRecord { generation, scanned_at: self.now, requested: None, archived_at: None, ..known };
            self.records.save(&scanned).await.unwrap();
        }
    }

    /// The next day.
    pub(crate) fn next_day(&mut self) {
        self.now += TimeDelta::days(1);
        self.definitions.written = self.now;
    }
}

/// Every third key of 30: those of target 1.
pub(crate) fn affected() -> BTreeSet<String> {
    (0..30).step_by(3).map(|n| format!("key/{n:02}")).collect()
}

/// Invokes a rescanner with one message of its queue.
pub(crate) async fn deliver<S: Services>(rescanner: &Rescanner<S>, body: &str) -> Result<Handled, RescanError> {
    let limits = Limits { pages: PAGES, until: Instant::now() + Duration::from_mins(30) };
    let payload = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body }] });
    Box::pin(rescanner.handle(&payload, limits)).await
}

/// Whether SQS would delete the message.
pub(crate) fn is_done(handled: &Handled) -> bool {
    handled.response["batchItemFailures"].as_array().unwrap().is_empty()
}

/// What was requested: generations and keys.
fn asked(topic: &MemoryTopic) -> Vec<(u64, String)> {
    read(&topic.messages())
}

fn read(messages: &[TopicMessage]) -> Vec<(u64, String)> {
    let read =
        messages.iter().flat_map(|message| Invocation::read(&serde_json::from_str(&message.body).unwrap()).messages);
    let events = read.flat_map(|message| message.events);
    let asked = events.map(|event| match event {
        ObjectEvent::Scan(ScanRequest { object, cause: ScanCause::Definitions(generation), .. }) => {
            (generation.0, object.key)
        }
        other => panic!("{other:?}"),
    });
    asked.collect()
}
