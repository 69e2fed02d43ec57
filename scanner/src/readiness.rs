//! What is warm: definitions on local disk, and the engines that have them loaded.

use std::{
    fs,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use nacre_clamav::trust_anchor::TrustAnchors;
use nacre_core::{
    generation::manifest::Manifest,
    port::DefinitionsStore,
    rescan::{
        changes::Changes,
        plan::{RescanPlan, plan_rescan},
    },
    scan_record::{EngineVersion, RecordSummary, ScanRecord},
    telemetry::Metric,
};
use nacre_engine_client::{
    EngineError, EnginePool,
    protocol::{Hello, Loaded},
};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    delta_engines::{DeltaEngine, DeltaEngineError, DeltaEngines},
    local_definitions::{DefinitionsError, FetchTimes, Follower, LocalDefinitions, LocalDisk},
};

/// What objects are scanned with.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) definitions: LocalDefinitions,
    pub(crate) engine: EngineVersion,
}

/// Why nothing can be scanned.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// The published definitions cannot be had.
    #[error("the published definitions cannot be had")]
    Definitions(#[from] DefinitionsError),
    /// No engine takes them.
    #[error("no engine has them loaded")]
    Engine(#[from] EngineError),
    /// What was added since an elder generation cannot be had.
    #[error("what was added cannot be had")]
    Delta(#[from] DeltaEngineError),
}

/// What a recorded object needs under the published definitions.
#[derive(Debug)]
pub(crate) enum Again {
    /// Nothing.
    Stands,
    /// A look with this engine.
    Delta(Arc<DeltaEngine>),
    /// A look with everything.
    Everything,
}

/// Follows the published definitions and keeps engines with them warm.
#[derive(Debug)]
pub(crate) struct Readiness {
    follower: Mutex<Follower>,
    disk: Mutex<LocalDisk>,
    pub(crate) pool: EnginePool,
    signed_by_clamav: bool,
    engine: OnceCell<EngineVersion>,
    /// What the last success came to.
    warm: StdMutex<Option<Ready>>,
    /// What the last cold start took, until it is told.
    times: StdMutex<Vec<(Metric, u64)>>,
    rescans: Mutex<Rescans>,
}

/// What rescans are planned and done with.
#[derive(Debug, Default)]
struct Rescans {
    changes: Option<Changes>,
    engines: DeltaEngines,
}

impl Readiness {
    pub(crate) fn new(disk: LocalDisk, trusted: TrustAnchors, pool: EnginePool) -> Self {
        Self {
            signed_by_clamav: trusted.is_clamav(),
            follower: Mutex::new(Follower::new(trusted)),
            disk: Mutex::new(disk),
            pool,
            engine: OnceCell::new(),
            warm: StdMutex::default(),
            times: StdMutex::default(),
            rescans: Mutex::default(),
        }
    }

    /// What is published, by one conditional GET when nothing new is.
    ///
    /// # Errors
    /// [`DefinitionsError`].
    pub(crate) async fn published(&self, store: &impl DefinitionsStore) -> Result<Arc<Manifest>, DefinitionsError> {
        self.follower.lock().await.follow(store).await
    }

    /// What is warm already, published still or not.
    pub(crate) fn warm(&self) -> Option<Ready> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The engine program's version, without definitions.
    ///
    /// # Errors
    /// [`EngineError`].
    pub(crate) async fn engine(&self) -> Result<&EngineVersion, EngineError> {
        self.engine.get_or_try_init(|| async { Ok(version(self.pool.hello().await?)) }).await
    }

    /// Whether memory has room for another engine beside this one.
    pub(crate) async fn has_room_beside(&self, warm: &Ready) -> bool {
        let (taken, free) = (self.pool.memory(&warm.definitions.directory).await, available_memory());
        taken.zip(free).is_some_and(|(taken, free)| taken.saturating_add(taken / 4) < free)
    }

    /// The definitions of a manifest, and an engine that has them loaded. The one before is kept until the new one is proven where
    /// memory has room for both, and dismissed first where not.
    ///
    /// # Errors
    /// [`ReadyError`].
    pub(crate) async fn ready(&self, store: &impl DefinitionsStore, manifest: &Manifest) -> Result<Ready, ReadyError> {
        let mut disk = self.disk.lock().await;
        let definitions = disk.definitions(store, manifest).await?;
        let elder = self.warm().filter(|warm| warm.definitions != definitions);
        if let Some(elder) = &elder
            && !self.has_room_beside(elder).await
        {
            self.pool.dismiss(&elder.definitions.directory);
        }
        let (hello, loaded) = self.pool.ready(&definitions.directory).await?;
        if let Some(elder) = elder {
            self.pool.dismiss(&elder.definitions.directory);
        }
        if let Some(times) = disk.take_times() {
            *self.times.lock().unwrap_or_else(PoisonError::into_inner) = cold_start(times, &loaded).into();
        }
        let ready = Ready { definitions, engine: version(hello) };
        *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready.clone());
        Ok(ready)
    }

    /// What the object of a record needs under a manifest, provided that its bytes are still the same.
    ///
    /// # Errors
    /// [`ReadyError`].
    pub(crate) async fn again(
        &self,
        record: &ScanRecord,
        store: &impl DefinitionsStore,
        manifest: &Arc<Manifest>,
    ) -> Result<Again, ReadyError> {
        let engine = self.engine().await?.clone();
        let mut rescans = self.rescans.lock().await;
        let Rescans { changes, engines } = &mut *rescans;
        let known = changes.take().filter(|changes| changes.manifest().generation == manifest.generation);
        let changes = changes.insert(known.unwrap_or_else(|| Changes::new(Arc::clone(manifest), engine)));
        let change = changes.since(store, record.generation).await.map_err(DeltaEngineError::from)?;
        let plan = plan_rescan(&RecordSummary::from(record), manifest.generation, changes.engine(), &change);
        Ok(match plan {
            RescanPlan::UpToDate | RescanPlan::Unaffected(_) | RescanPlan::Unreported => Again::Stands,
            RescanPlan::FullScan(_) => Again::Everything,
            RescanPlan::DeltaScan => {
                let disk = self.disk.lock().await;
                let with = (&*disk, &self.pool, self.signed_by_clamav);
                let engine = Box::pin(engines.engine(record.generation, changes, store, with)).await?;
                engine.map_or(Again::Everything, Again::Delta)
            }
        })
    }

    /// What the last cold start took; empty when it was told already.
    pub(crate) fn take_times(&self) -> Vec<(Metric, u64)> {
        std::mem::take(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn version(hello: Hello) -> EngineVersion {
    EngineVersion { version: hello.clamav_version, functionality_level: hello.functionality_level }
}

/// Memory that programs may still take, in bytes; `None` when the system does not tell.
fn available_memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.split_whitespace().next()?;
    Some(kibibytes.parse::<u64>().ok()? << 10)
}

/// What a cold start consists of.
fn cold_start(times: FetchTimes, loaded: &Loaded) -> [(Metric, u64); 5] {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    [
        (Metric::DefinitionsFetchTime, milliseconds(times.fetch)),
        (Metric::DefinitionsLayOutTime, milliseconds(times.lay_out)),
        (Metric::EngineLoadTime, loaded.load_ms),
        (Metric::EngineCompileTime, loaded.compile_ms),
        (Metric::EngineCanaryTime, loaded.canary_ms),
    ]
}
