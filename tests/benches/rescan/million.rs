//! A million records through the rescanner itself, beside what the model says of them.

use std::{
    io::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use nacre_aws::SystemClock;
use nacre_core::{
    bucket_keys::POINTER_KEY,
    generation::{
        Generation,
        manifest::{Manifest, Pointer},
    },
    port::{
        Clock, DefinitionsStore, Page, RecordPages, Segment, StoreError, TableExtent, Topic, TopicMessage,
        WriteCondition,
    },
    rescan::{
        cost::PassWork,
        pass::{Budget, Cause, PassStats, segments_for},
        request_mark::RequestMark,
    },
    retry::RetryPolicy,
    scan_record::RecordSummary,
};
use nacre_rescanner::{PassSettings, Ports, Rescanner, Services, segment::Limits};
use nacre_testing::{memory_definitions::MemoryDefinitions, memory_queue::MemoryQueue};

use crate::made_up::{history, record};
use nacre_test_support::bench::Outcome;

const RECORDS: u64 = 1_000_000;

/// Generations that the records are of, of which some are so old that they are advanced.
const GENERATIONS: u64 = 60;

/// A table that makes its records when they are requested.
struct Table;

impl RecordPages for Table {
    type Cursor = u64;

    async fn extent(&self) -> Result<TableExtent, StoreError> {
        Ok(TableExtent { items: RECORDS, bytes: 0 })
    }

    async fn advance_generation(&self, _: &RecordSummary, _: Generation) -> Result<(), StoreError> {
        Ok(())
    }

    async fn mark_requested(&self, _: &RecordSummary, _: RequestMark) -> Result<(), StoreError> {
        Ok(())
    }

    async fn page(&self, segment: Segment, after: Option<u64>) -> Result<Page<u64>, StoreError> {
        let bound = |index: u32| RECORDS * u64::from(index) / u64::from(segment.total);
        let (first, end) = (after.unwrap_or(bound(segment.index)), bound(segment.index + 1));
        let next = (first + 1000).min(end);
        let records = (first..next).map(|number| record(number, GENERATIONS)).collect();
        Ok(Page { records, unreadable: 0, next: (next < end).then_some(next) })
    }
}

/// A topic that counts.
#[derive(Default)]
struct Counting {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Topic for Counting {
    async fn publish(&self, message: &TopicMessage) -> Result<(), StoreError> {
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(message.body.len() as u64, Relaxed);
        Ok(())
    }

    async fn publish_all(&self, messages: &[TopicMessage]) -> Result<Vec<usize>, StoreError> {
        for message in messages {
            self.publish(message).await?;
        }
        Ok(Vec::new())
    }
}

/// Works a pass over the million on one core, and prints it beside the model.
#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
pub(crate) fn beside_the_model(out: &mut impl Write) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stats, invocations, topic, took) = runtime.block_on(Box::pin(pass()))?;
    let asked = stats.requested.total().objects;
    let model = PassWork { delta_objects: asked, ..PassWork::of(RECORDS, 0) };
    let seconds = took.as_secs_f64();
    writeln!(
        out,
        "\nA pass over {RECORDS} records of {GENERATIONS} generations by the rescanner, on one core, over ports in memory"
    )?;
    writeln!(out, "                                 measured        model")?;
    writeln!(
        out,
        "records/s, reading not waited for {:>8.0} {:>12.0}",
        RECORDS as f64 / seconds,
        model.records_per_second
    )?;
    writeln!(out, "messages that ask for {asked:<10} {:>10} {:>12.0}", topic.messages.load(Relaxed), model.messages())?;
    let bytes = topic.bytes.load(Relaxed) / topic.messages.load(Relaxed).max(1);
    writeln!(out, "renewed                           {:>8}", stats.advanced)?;
    writeln!(
        out,
        "{} segments in {invocations} invocations, {bytes} bytes a message, {seconds:.2} s",
        segments_for(RECORDS)
    )?;
    if stats.examined != RECORDS {
        return Err(format!("{} of {RECORDS} records were examined", stats.examined).into());
    }
    Ok(out.flush()?)
}

/// The services of the pass.
struct Million;

impl Services for Million {
    type Definitions = MemoryDefinitions;
    type Records = Table;
    type Triggers = Counting;
    type Queue = MemoryQueue;
    type Clock = SystemClock;
}

async fn pass() -> Outcome<(PassStats, u64, Counting, Duration)> {
    let definitions = MemoryDefinitions::written_at(SystemClock.now());
    let manifest = history(&definitions, GENERATIONS + 1).await?;
    publish(&definitions, &manifest).await?;
    let (queue, settings) = (
        MemoryQueue::default(),
        PassSettings {
            region: "eu-west-1".into(),
            segments: None,
            daily_budget: Budget::default(),
            retry: RetryPolicy::default(),
        },
    );
    let ports =
        Ports::<Million> { definitions, records: Table, triggers: Counting::default(), queue, clock: SystemClock };
    let rescanner = Rescanner::new(ports, settings);
    let started = Instant::now();
    rescanner.start(Cause::Manual).await?;
    let (mut stats, mut invocations) = (PassStats::default(), 0);
    loop {
        let messages = rescanner.ports().queue.take();
        if messages.is_empty() {
            break;
        }
        for message in messages {
            let limits = Limits { pages: 1000, until: Instant::now() + Duration::from_mins(5) };
            let (_, did) = rescanner.work(&message, limits).await?;
            stats.add(&did);
            invocations += 1;
        }
    }
    let took = started.elapsed();
    let messages = rescanner.ports().triggers.messages.load(Relaxed);
    let bytes = rescanner.ports().triggers.bytes.load(Relaxed);
    Ok((stats, invocations, Counting { messages: messages.into(), bytes: bytes.into() }, took))
}

async fn publish(definitions: &MemoryDefinitions, manifest: &Manifest) -> Outcome<()> {
    let bytes = manifest.to_bytes();
    let pointer = Pointer::to(manifest.generation, &bytes);
    definitions.write(&Manifest::object_key(manifest.generation), bytes, &[], WriteCondition::Always).await?;
    definitions.write(POINTER_KEY, pointer.to_bytes(), &[], WriteCondition::Always).await?;
    Ok(())
}
