//! The scanner's function over objects, records and topics in memory, and a directory for the definitions bucket.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::PathBuf,
    time::{Duration, Instant},
};

use nacre_core::{event::RescanTarget, generation::Generation, object::ObjectId, port::RecordStore, verdict::Verdict};
use nacre_scanner::config::Config;
use nacre_testing::memory_objects::MemoryObjects;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::corpus::content;
use nacre_test_support::bench::Outcome;
use nacre_test_support::{
    bench::{DirectoryDefinitions, as_clamavs},
    messages::{rescans, sqs_event},
    scanner_world::{self, ScannerWorld},
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
pub(crate) struct World(ScannerWorld<MemoryObjects>);

impl Deref for World {
    type Target = ScannerWorld<MemoryObjects>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A function over a world.
pub(crate) type Scanner<'a> = scanner_world::Scanner<'a, MemoryObjects, DirectoryDefinitions>;

impl World {
    /// A bucket of so many objects, and their names.
    pub(crate) fn new(objects: usize) -> (Self, Vec<ObjectId>) {
        let world = Self(ScannerWorld::new(MemoryObjects::default()));
        let put = |number| world.objects.put("versioned", &format!("object-{number}"), content(number));
        let named = (0..objects).map(put).collect();
        (world, named)
    }

    /// The function; `full` where it scans with everything.
    pub(crate) fn scanner(&self, run: &Run, full: bool) -> Outcome<Scanner<'_>> {
        Ok(self.0.scanner(run.config(full)?, run.engine.clone(), run.store())?)
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

/// The body of a message that asks for these objects once more.
pub(crate) fn rescans_of(objects: &[ObjectId], generation: Generation) -> String {
    rescans(generation, objects.iter().map(|object| RescanTarget { object, etag: "", size: 1, sequencer: None })).body
}

/// Delivers messages as SQS does, as many in an invocation as there are, so that several objects are scanned at once.
pub(crate) async fn deliver(
    scanner: &Scanner<'_>,
    objects: &[ObjectId],
    message: impl Fn(&[ObjectId]) -> String,
) -> Outcome<()> {
    let deadline = Instant::now() + Duration::from_mins(15);
    for batch in objects.chunks(MESSAGES * OBJECTS_PER_MESSAGE) {
        // At least two, where there is more than one object: messages are what is handled at once.
        let each = OBJECTS_PER_MESSAGE.min(batch.len().div_ceil(2));
        let handled = scanner.handle(&sqs_event(batch.chunks(each).map(&message)), deadline).await?;
        if handled.response.get("batchItemFailures") != Some(&json!([])) {
            return Err(format!("messages failed: {}", handled.response).into());
        }
    }
    Ok(())
}
