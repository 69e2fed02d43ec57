//! Buckets, a table and topics in memory, and a scanner over them.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::Path,
    time::{Duration, Instant},
};

use nacre_aws::SystemClock;
use nacre_clamav::trust_anchor::TrustAnchors;
use nacre_core::{
    builder::engine_proof,
    event::RescanTarget,
    generation::{
        Generation,
        manifest::{CustomEntry, Manifest},
        published::{Published, Race},
    },
    object::ObjectId,
    port::{Clock, DefinitionsStore, Listed, ObjectStore, StoreError, Stored, TopicMessage, WriteCondition},
    scan_record::{RecordSummary, ScanRecord},
    tag_policy::Tag,
};
use nacre_scanner::{Handled, config::Config};
use nacre_test_support::{
    messages::{rescans, sqs_event, uploads},
    programs_directory,
    scanner_world::{self, ScannerWorld},
};
use nacre_testing::{failing::Failing, memory_definitions::MemoryDefinitions, memory_objects::MemoryObjects};
use nacre_updater::{custom::CustomPart, signatures::diff_signatures};
use tempfile::TempDir;
use tokio::sync::watch;

/// A scanner's world, with a definitions bucket and a directory for its files.
pub(crate) struct World {
    pub(crate) services: ScannerWorld<MemoryObjects>,
    pub(crate) definitions: GatedDefinitions,
    scratch: TempDir,
}

impl Deref for World {
    type Target = ScannerWorld<MemoryObjects>;

    fn deref(&self) -> &Self::Target {
        &self.services
    }
}

/// A scanner over a world.
pub(crate) type Scanner<'a> = scanner_world::Scanner<'a, MemoryObjects, Failing<'a, GatedDefinitions>>;

impl World {
    pub(crate) fn new() -> Self {
        Self {
            services: ScannerWorld::new(MemoryObjects::default()),
            definitions: GatedDefinitions::new(),
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    /// A scanner with everything.
    pub(crate) fn scanner(&self) -> Scanner<'_> {
        self.scanner_with(&[])
    }

    /// A scanner that has only what was added loaded, and asks others for more.
    pub(crate) fn rescanner(&self) -> Scanner<'_> {
        self.scanner_with(&[("NACRE_FULL_SCANS", "False")])
    }

    /// As [`World::rescanner`], and no definitions are young enough for it.
    pub(crate) fn stale_rescanner(&self) -> Scanner<'_> {
        self.scanner_with(&[("NACRE_FULL_SCANS", "False"), ("NACRE_SCAN_STALENESS_LIMIT_HOURS", "1")])
    }

    pub(crate) fn scanner_with(&self, more: &[(&'static str, &str)]) -> Scanner<'_> {
        let programs = programs_directory().unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let mut settings: BTreeMap<&str, String> = [
            ("AV_DEFINITION_S3_BUCKET", "definitions".into()),
            ("AV_DEFINITION_PATH", path(&self.scratch.path().join("definitions"))),
            ("NACRE_SCRATCH_PATH", path(self.scratch.path())),
            ("NACRE_RECORDS_TABLE", "records".into()),
            ("NACRE_SCAN_STALENESS_LIMIT_HOURS", "10000000".into()),
        ]
        .into();
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let config = Config::from_vars(|name| settings.get(name).cloned()).unwrap();
        let definitions = Failing { port: &self.definitions, plan: &self.plan };
        self.services.scanner(config, programs.join("nacre-engine"), definitions).unwrap()
    }

    /// Publishes loose signature files as the next generation.
    pub(crate) async fn publish(&self, files: &[(&str, &str)]) -> Generation {
        let store = &self.definitions.kept;
        let mut custom = Vec::new();
        for (name, text) in files {
            let entry = CustomEntry::of((*name).to_owned(), "file:".into(), None, text.as_bytes());
            store.write(&entry.object_key, text.as_bytes().to_vec(), &[], WriteCondition::Always).await.unwrap();
            custom.push(CustomPart { entry, bytes: text.as_bytes().to_vec() });
        }
        let before = Published::read(store).await.unwrap();
        let generation = before.next_generation();
        let anchor = TrustAnchors::clamav().identity();
        let printed = diff_signatures(store, before.manifest.as_ref(), generation, &[], &custom).await.unwrap();
        for (entry, bytes) in printed.bodies {
            store.write(&entry.object_key, bytes, &[], WriteCondition::Always).await.unwrap();
        }
        let custom = custom.into_iter().map(|part| part.entry).collect();
        let mut manifest =
            Manifest::new(generation, SystemClock.now(), anchor, Vec::new(), engine_proof()).with_custom(custom);
        (manifest.history, manifest.contexts) = (printed.history, printed.contexts);
        assert!(matches!(before.advance(store, &manifest, false).await.unwrap(), Race::Won));
        generation
    }

    /// The record of an object.
    pub(crate) fn record(&self, object: &ObjectId) -> ScanRecord {
        // A rescan names the version "null" where none is kept.
        let id = |object: &ObjectId| (object.partition_key(), object.sort_key().to_owned());
        self.records.records().into_iter().find(|record| id(&record.object) == id(object)).unwrap()
    }

    pub(crate) async fn status(&self, object: &ObjectId) -> Option<String> {
        let tags = self.objects.tags(object).await.unwrap();
        tags.into_iter().find(|tag| tag.key == "av-status").map(|tag| tag.value)
    }
}

/// A body signature for content that contains `text`.
pub(crate) fn signature(name: &str, text: &str) -> String {
    format!("{name}:0:*:{}\n", hex::encode(text))
}

/// Delivers a message for each object, as S3 sends them.
pub(crate) async fn announce(scanner: &Scanner<'_>, objects: &[&ObjectId]) -> Handled {
    let bodies = objects.iter().map(|object| uploads(std::slice::from_ref(*object)));
    scanner.handle(&sqs_event(bodies), deadline()).await.unwrap()
}

/// Requests a rescan of recorded objects, as the rescanner does.
pub(crate) async fn rescan(scanner: &Scanner<'_>, generation: Generation, records: &[&ScanRecord]) -> Handled {
    let summaries: Vec<RecordSummary> = records.iter().map(|record| RecordSummary::from(*record)).collect();
    deliver(scanner, &rescans(generation, summaries.iter().map(RescanTarget::from))).await
}

/// Delivers a message as SQS does.
pub(crate) async fn deliver(scanner: &Scanner<'_>, message: &TopicMessage) -> Handled {
    let handled = scanner.handle(&sqs_event([message.body.clone()]), deadline()).await.unwrap();
    assert_eq!(handled.response["batchItemFailures"].as_array().map(Vec::len), Some(0));
    handled
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_mins(30)
}

/// A definitions bucket whose bodies may be held back.
pub(crate) struct GatedDefinitions {
    pub(crate) kept: MemoryDefinitions,
    open: watch::Sender<bool>,
}

impl GatedDefinitions {
    fn new() -> Self {
        Self { kept: MemoryDefinitions::default(), open: watch::Sender::new(true) }
    }

    /// Holds bodies back, or hands them out.
    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Whether somebody waits for a body.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.open.receiver_count() > 0
    }
}

impl DefinitionsStore for GatedDefinitions {
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        if key.starts_with("nacre/databases/") {
            self.open.subscribe().wait_for(|open| *open).await.unwrap();
        }
        self.kept.read(key, limit).await
    }

    async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        self.kept.read_changed(key, etag, limit).await
    }

    async fn read_part(&self, key: &str, from: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.kept.read_part(key, from, length).await
    }

    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        when: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        self.kept.write(key, bytes, tags, when).await
    }

    async fn copy(&self, from: &str, etag: &str, to: &str, tags: &[Tag]) -> Result<String, StoreError> {
        self.kept.copy(from, etag, to, tags).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.kept.list(prefix, limit).await
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.kept.remove(key).await
    }
}
