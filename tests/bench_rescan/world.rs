//! The scanner's function over objects, records and topics in memory, and a directory for the definitions bucket.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    path::PathBuf,
    time::{Duration, Instant},
};

use nacre_aws::SystemClock;
use nacre_core::{
    event::{RescanKind, RescanTarget, RescanTrigger},
    generation::Generation,
    object::ObjectId,
    port::{Clock, RecordStore},
    verdict::Verdict,
};
use nacre_scanner::{Function, Ports, Services, config::Config};
use nacre_testing::{
    failing::{Failing, Plan},
    memory_deliveries::MemoryDeliveries,
    memory_objects::MemoryObjects,
    memory_records::MemoryRecords,
    memory_topic::{MemoryBus, MemoryTopic},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Outcome,
    corpus::content,
    material::{DirectoryDefinitions, as_clamavs},
};

/// Most objects that a message names.
pub(crate) const OBJECTS_PER_MESSAGE: usize = 25;

/// Messages of one invocation.
const MESSAGES: usize = 10;

/// What a process works with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) bucket: PathBuf,
    pub(crate) engine: PathBuf,
    pub(crate) scratch: PathBuf,
    pub(crate) trust_anchors: String,
    /// How many objects there are.
    pub(crate) objects: usize,
    /// What the first generation's scans recorded.
    pub(crate) records: PathBuf,
}

impl Run {
    pub(crate) fn store(&self) -> DirectoryDefinitions {
        DirectoryDefinitions { root: self.bucket.clone() }
    }

    /// The function's settings; `full` where it scans with everything.
    pub(crate) fn config(&self, full: bool) -> Outcome<Config> {
        let settings: BTreeMap<&str, String> = [
            ("AV_DEFINITION_S3_BUCKET", "definitions".into()),
            ("AV_DEFINITION_PATH", self.scratch.join("definitions").display().to_string()),
            ("NACRE_SCRATCH_PATH", self.scratch.display().to_string()),
            ("NACRE_RECORDS_TABLE", "records".into()),
            ("NACRE_TRUST_ANCHORS", self.trust_anchors.clone()),
            ("NACRE_FULL_SCANS", if full { "True" } else { "False" }.into()),
        ]
        .into();
        let config = Config::from_vars(|name| settings.get(name).cloned())?;
        Ok(Config { trust_anchors: as_clamavs(&config.trust_anchors), ..config })
    }
}

/// What a function speaks to.
pub(crate) struct World {
    pub(crate) objects: MemoryObjects,
    pub(crate) records: MemoryRecords,
    results: MemoryTopic,
    plan: Plan,
}

/// The services of a world's function.
pub(crate) struct Fakes<'a>(PhantomData<&'a World>);

impl<'a> Services for Fakes<'a> {
    type Objects = Failing<'a, MemoryObjects>;
    type Records = Failing<'a, MemoryRecords>;
    type Topic = Failing<'a, MemoryTopic>;
    type Bus = MemoryBus;
    type Deliveries = MemoryDeliveries;
    type Definitions = DirectoryDefinitions;
    type Clock = SystemClock;
}

/// A function over a world.
pub(crate) type Scanner<'a> = Function<Fakes<'a>>;

impl World {
    /// A bucket of so many objects, and their names.
    pub(crate) fn new(objects: usize) -> (Self, Vec<ObjectId>) {
        let world = Self {
            objects: MemoryObjects::default(),
            records: MemoryRecords::default(),
            results: MemoryTopic::default(),
            plan: Plan::never(),
        };
        let put = |number| world.objects.put("versioned", &format!("object-{number}"), content(number));
        let named = (0..objects).map(put).collect();
        (world, named)
    }

    /// The function; `full` where it scans with everything.
    pub(crate) fn scanner(&self, run: &Run, full: bool) -> Outcome<Scanner<'_>> {
        let plan = &self.plan;
        let ports = Ports::<Fakes<'_>> {
            objects: Failing { port: &self.objects, plan },
            records: Failing { port: &self.records, plan },
            results: Some(Failing { port: &self.results, plan }),
            starts: None,
            rescans: None,
            bus: None,
            deliveries: None,
            definitions: run.store(),
            clock: SystemClock,
        };
        Ok(Function::new(run.config(full)?, run.engine.clone(), ports)?)
    }

    /// What is recorded of each object, by its key.
    pub(crate) fn verdicts(&self) -> BTreeMap<String, Verdict> {
        self.records.records().into_iter().map(|record| (record.object.key, record.verdict)).collect()
    }

    /// Forgets what was recorded.
    pub(crate) async fn forget(&self) -> Outcome<()> {
        for record in self.records.records() {
            self.records.remove(&record.object, None).await?;
        }
        Ok(())
    }
}

/// A message as S3 sends it.
pub(crate) fn uploads(objects: &[ObjectId]) -> Value {
    let records = objects.iter().map(|object| {
        json!({
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": object.bucket }, "object": { "key": object.key, "versionId": object.version_id } },
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// A message as the rescanner sends it.
pub(crate) fn rescans(objects: &[ObjectId], generation: Generation) -> Value {
    let trigger = RescanTrigger { generation, kind: RescanKind::Delta, region: "eu-west-1", at: SystemClock.now() };
    let recorded = objects.iter().map(|object| RescanTarget { object, etag: "", size: 1, sequencer: None });
    serde_json::from_str(&trigger.message(recorded).body).unwrap_or_default()
}

/// Brings messages as SQS does, as many in an invocation as there are, so that several objects are looked at at once.
pub(crate) async fn deliver(
    scanner: &Scanner<'_>,
    objects: &[ObjectId],
    message: impl Fn(&[ObjectId]) -> Value,
) -> Outcome<()> {
    let deadline = Instant::now() + Duration::from_mins(15);
    for batch in objects.chunks(MESSAGES * OBJECTS_PER_MESSAGE) {
        // At least two, where there is more than one object: messages are what is handled at once.
        let each = OBJECTS_PER_MESSAGE.min(batch.len().div_ceil(2));
        let records: Vec<Value> = batch
            .chunks(each)
            .enumerate()
            .map(|(number, some)| {
                json!({ "eventSource": "aws:sqs", "messageId": number.to_string(), "body": message(some).to_string() })
            })
            .collect();
        let handled = scanner.handle(&json!({ "Records": records }), deadline).await?;
        if handled.response.get("batchItemFailures") != Some(&json!([])) {
            return Err(format!("messages failed: {}", handled.response).into());
        }
    }
    Ok(())
}
