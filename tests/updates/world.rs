//! A mirror, a definitions bucket, and the runs of an updater between them.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::{
    builder::{CvdBuilder, eicar_signature},
    cvd::Cvd,
    database::ContainerKind,
    signing::SigningKeys,
};
use nacre_core::{
    generation::{
        manifest::Manifest,
        published::{Published, read_body},
    },
    port::{DefinitionsStore, Topic},
};
use nacre_test_support::{Behaviour, HostileMirror, programs_directory};
use nacre_testing::{memory_definitions::MemoryDefinitions, memory_topic::MemoryTopic};
use nacre_updater::{
    config::Config,
    dns::Dns,
    fetcher::Fetcher,
    freshclam::Freshclam,
    http::{HttpClient, HttpSettings, Proxies},
    state::{self, UpdaterState},
    update::{Update, UpdateError, Updater},
};

/// When the first run takes place.
pub(crate) const START: &str = "2026-11-23T03:00:00Z";

/// A version of the database `test`, which knows EICAR and a line for each version up to it.
pub(crate) fn version(number: u32) -> CvdBuilder {
    builder("test", number)
}

/// A version of a database of another name.
pub(crate) fn builder(name: &str, number: u32) -> CvdBuilder {
    let lines = (1..=number).map(|n| format!("Test.{name}.V{n}:0:*:{}\n", hex::encode(format!("{name}{n:08}"))));
    let lines = lines.collect::<Vec<_>>().concat();
    // Some days before the first run, and later for each version.
    let built = 1_795_200_000 + u64::from(number) * 3600;
    CvdBuilder::new(name).version(number).built(built).member(&format!("{name}.ndb"), eicar_signature() + &lines)
}

pub(crate) fn whole(number: u32) -> Vec<u8> {
    version(number).build(SigningKeys::fixed())
}

/// The CDIFF that leads to a version from the one before.
pub(crate) fn cdiff(number: u32) -> Vec<u8> {
    version(number).cdiff_from(&version(number - 1), SigningKeys::fixed())
}

/// A mirror, a definitions bucket, and what happens between them.
pub(crate) struct World {
    pub(crate) mirror: HostileMirror,
    pub(crate) store: MemoryDefinitions,
    pub(crate) topic: MemoryTopic,
    pub(crate) now: DateTime<Utc>,
    /// How long the mirror may keep silent. Minutes, unless it stalls for good: a busy machine may stall any other.
    pub(crate) stall_limit: Duration,
    /// Runs where `NACRE_FETCHER` says so.
    pub(crate) freshclam: Freshclam,
    settings: Vec<(String, String)>,
    scratch: tempfile::TempDir,
}

impl World {
    /// An empty mirror, nothing published, these settings besides the necessary ones.
    pub(crate) async fn new(settings: &[(&str, &str)]) -> Self {
        let mirror = HostileMirror::start().await.unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let necessary = [
            ("AV_DEFINITION_S3_BUCKET", "definitions"),
            ("NACRE_DEFINITIONS_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:t"),
            ("NACRE_DATABASES", "test"),
            ("NACRE_DEFINITIONS_MIRROR", mirror.url()),
            ("NACRE_TRUST_ANCHORS", &SigningKeys::fixed().trust_anchors().to_json()),
            ("NACRE_SCRATCH_PATH", scratch.path().to_str().unwrap()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        // The last of a name counts.
        let given = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = necessary.into_iter().chain(given).collect();
        Self {
            mirror,
            store: MemoryDefinitions::written_at(START.parse().unwrap()),
            topic: MemoryTopic::default(),
            now: START.parse().unwrap(),
            stall_limit: Duration::from_mins(5),
            freshclam: Freshclam {
                program: None,
                environment: Vec::new(),
                time_limit: Duration::from_mins(5),
                attempts: 1,
            },
            settings,
            scratch,
        }
    }

    /// Ends soon what the mirror never ends.
    pub(crate) fn impatient(mut self) -> Self {
        self.stall_limit = Duration::from_secs(1);
        self
    }

    /// A world in which this version is published as generation 1.
    pub(crate) async fn with(number: u32, settings: &[(&str, &str)]) -> Self {
        let world = Self::new(settings).await;
        world.serve(number);
        let update = world.run().await.unwrap();
        assert!(matches!(update, Update::Published { .. }), "{update:?}");
        world
    }

    /// Lets the mirror serve this version as a whole, and no other.
    pub(crate) fn serve(&self, number: u32) {
        self.put("test.cvd", Behaviour::Bytes(whole(number)));
    }

    /// Lets the mirror's first bytes announce one version and the whole be another.
    pub(crate) fn advertise(&self, number: u32, served: Behaviour) {
        let header = whole(number)[..512].to_vec();
        self.put("test.cvd", Behaviour::Advertised { header, served: Box::new(served) });
    }

    pub(crate) fn put(&self, file: &str, behaviour: Behaviour) {
        self.mirror.put(&format!("/{file}"), behaviour);
    }

    /// Lets the mirror serve the CDIFFs of these versions.
    pub(crate) fn serve_cdiffs(&self, versions: impl IntoIterator<Item = u32>) {
        for number in versions {
            self.put(&format!("test-{number}.cdiff"), Behaviour::Bytes(cdiff(number)));
        }
    }

    pub(crate) fn pass(&mut self, time: TimeDelta) {
        self.now += time;
    }

    pub(crate) fn config(&self) -> Config {
        let find = |name: &str| self.settings.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        Config::from_vars(find).unwrap()
    }

    /// Runs the updater once.
    pub(crate) async fn run(&self) -> Result<Update, UpdateError> {
        self.run_on(&self.store, &self.topic, None).await
    }

    /// Runs the updater once, on other ports than the world's own, and with this DNS.
    pub(crate) async fn run_on(
        &self,
        store: &impl DefinitionsStore,
        announcements: &impl Topic,
        dns: Option<&Dns>,
    ) -> Result<Update, UpdateError> {
        let config = &self.config();
        let http = &HttpClient::new(HttpSettings {
            connect_timeout: self.stall_limit,
            idle_timeout: self.stall_limit,
            grace: self.stall_limit,
            retry_delay: Duration::from_millis(10),
            proxies: Proxies::None,
            ..HttpSettings::new("nacre/test (world)")
        })
        .unwrap();
        let engine = &engine();
        let freshclam = (config.fetcher == Fetcher::Freshclam).then_some(&self.freshclam);
        let updater = Updater { config, store, announcements, http, dns, freshclam, engine, now: self.now };
        let update = updater.run().await;
        let left: Vec<_> = std::fs::read_dir(self.scratch.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "left in the scratch directory: {left:?}");
        update
    }

    /// The same world with one more setting.
    pub(crate) fn also(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where runs work.
    pub(crate) fn scratch_path(&self) -> &Path {
        self.scratch.path()
    }

    /// The published manifest, whose bodies are all there and verify.
    pub(crate) async fn manifest(&self) -> Option<Manifest> {
        let manifest = Published::read(&self.store).await.unwrap().manifest?;
        for database in &manifest.databases {
            let body = read_body(&self.store, database).await.unwrap();
            let cvd = Cvd::parse_as(database.kind, &body).unwrap();
            let anchors = SigningKeys::fixed().trust_anchors();
            cvd.verify(&database.name, &anchors, nacre_clamav::archive::ArchiveLimits::default()).unwrap();
        }
        for key in manifest.object_keys() {
            assert!(self.store.keys().contains(&key), "{key} is missing");
        }
        Some(manifest)
    }

    /// Generation, version and kind of what is published.
    pub(crate) async fn published(&self) -> (u64, u32, ContainerKind) {
        let manifest = self.manifest().await.unwrap();
        (manifest.generation.0, manifest.databases[0].version.0, manifest.databases[0].kind)
    }

    pub(crate) async fn state(&self) -> UpdaterState {
        state::load(&self.store).await.unwrap()
    }

    /// How often the mirror was requested a file.
    pub(crate) fn requests(&self, file: &str) -> usize {
        self.mirror.requests_for(&format!("/{file}"))
    }
}

/// The engine without its tables of lines, as packages have it: each test of a set scans it as a program that is clean.
fn engine() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    let stripped = STRIPPED.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("updates");
        std::fs::create_dir_all(&directory).unwrap();
        let to = directory.join("nacre-engine");
        let built = programs_directory().unwrap().join("nacre-engine");
        assert!(Command::new("strip").arg("-o").arg(&to).arg(built).status().unwrap().success());
        to
    });
    stripped.clone()
}

/// What a run that went well says of what it did not take.
pub(crate) fn held(update: &Update) -> &[String] {
    match update {
        Update::Published { held, .. } | Update::UpToDate { held, .. } => held,
        Update::CoolingDown { .. } | Update::Pinned { .. } => &[],
    }
}
