//! The warm engines, and the definitions on local disk that they have loaded.

use std::{
    fs,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nacre_clamav::trust_anchor::TrustAnchors;
use nacre_core::{
    generation::{follower::PublishedDefinitions, manifest::Manifest},
    port::DefinitionsStore,
    rescan::{plan::RescanPlan, planner::RescanPlanner},
    scan_record::{EngineVersion, FunctionalityLevel, RecordSummary, ScanRecord},
    telemetry::Metric,
};
use nacre_engine_client::{
    EngineError, EnginePool,
    protocol::{Hello, Loaded},
};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    delta_engines::{DeltaEngine, DeltaEngineError, DeltaEngines},
    local_definitions::{DefinitionsError, FetchTimes, LocalDefinitions, LocalDisk},
};

/// A warm engine and its definitions.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) definitions: LocalDefinitions,
    pub(crate) engine: EngineVersion,
}

/// Why no engine is ready.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// The published definitions are not available.
    #[error("the published definitions are not available")]
    Definitions(#[from] DefinitionsError),
    /// The engine did not load them.
    #[error("the engine could not load the definitions")]
    Engine(#[from] EngineError),
    /// The signatures that were added since an older generation are not available.
    #[error("the signatures that were added are not available")]
    Delta(#[from] DeltaEngineError),
}

/// The scan that a recorded object needs under the published definitions.
#[derive(Debug)]
pub(crate) enum RescanNeed {
    /// None: the record is valid.
    None,
    /// A delta scan with this engine.
    Delta(Arc<DeltaEngine>),
    /// A full scan.
    Full,
}

/// Follows the published definitions and keeps engines warm that have loaded them.
#[derive(Debug)]
pub(crate) struct EngineCache {
    trusted: TrustAnchors,
    published: Mutex<PublishedDefinitions>,
    disk: Mutex<LocalDisk>,
    pub(crate) pool: EnginePool,
    engine: OnceCell<EngineVersion>,
    /// The engine that was made ready last.
    warm: StdMutex<Option<Ready>>,
    /// Times of the last cold start, until they are reported.
    times: StdMutex<Vec<(Metric, u64)>>,
    rescans: Mutex<Rescans>,
    /// Bytes that an engine will take which is loading beside the warm one; 0 while none is.
    loading: AtomicU64,
}

/// An engine that is loading beside another: its memory counts until this is dropped, whatever ends the loading.
struct Loading<'a>(&'a AtomicU64);

impl<'a> Loading<'a> {
    fn begin(loading: &'a AtomicU64, bytes: u64) -> Self {
        loading.store(bytes, Ordering::Relaxed);
        Self(loading)
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Planner and engines of delta scans.
#[derive(Debug, Default)]
struct Rescans {
    planner: Option<RescanPlanner>,
    engines: DeltaEngines,
}

impl EngineCache {
    pub(crate) fn new(disk: LocalDisk, trusted: TrustAnchors, pool: EnginePool) -> Self {
        Self {
            trusted,
            published: Mutex::default(),
            disk: Mutex::new(disk),
            pool,
            engine: OnceCell::new(),
            warm: StdMutex::default(),
            times: StdMutex::default(),
            rescans: Mutex::default(),
            loading: AtomicU64::default(),
        }
    }

    /// Returns the published manifest: one conditional GET while it is the one of the last call.
    ///
    /// # Errors
    /// [`DefinitionsError`]; definitions that were verified with other trust anchors than ours are refused.
    pub(crate) async fn published(&self, store: &impl DefinitionsStore) -> Result<Arc<Manifest>, DefinitionsError> {
        let manifest = self.published.lock().await.refresh(store).await?.ok_or(DefinitionsError::NonePublished)?;
        let trusted = self.trusted.identity();
        if manifest.trust_anchor != trusted {
            return Err(DefinitionsError::Untrusted { found: manifest.trust_anchor.clone(), trusted });
        }
        Ok(manifest)
    }

    /// The engine that is warm, whether its definitions are still the published ones or not.
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

    /// Bytes that all engines take, with what one that is loading will take.
    pub(crate) fn memory(&self) -> u64 {
        self.pool.memory_of_all().saturating_add(self.loading.load(Ordering::Relaxed))
    }

    /// Whether memory has room for another engine beside this one.
    pub(crate) async fn has_room_beside(&self, warm: &Ready) -> bool {
        self.room_beside(warm).await.is_some()
    }

    /// What another engine beside this one will take, in bytes; `None` where memory has no room for it.
    async fn room_beside(&self, warm: &Ready) -> Option<u64> {
        let taken = self.pool.memory(&warm.definitions.directory).await?;
        let wanted = taken.saturating_add(taken / 4);
        (wanted < available_memory()?).then_some(wanted)
    }

    /// Makes an engine ready that has loaded the definitions of a manifest. The previous engine is kept until then where memory has
    /// room for both, and ended first where it has not.
    ///
    /// # Errors
    /// [`ReadyError`].
    pub(crate) async fn ready(&self, store: &impl DefinitionsStore, manifest: &Manifest) -> Result<Ready, ReadyError> {
        let mut disk = self.disk.lock().await;
        let definitions = disk.definitions(store, manifest).await?;
        let previous = self.warm().filter(|warm| warm.definitions != definitions);
        let mut beside = None;
        if let Some(previous) = &previous {
            match self.room_beside(previous).await {
                Some(bytes) => beside = Some(Loading::begin(&self.loading, bytes)),
                None => self.pool.dismiss(&previous.definitions.directory),
            }
        }
        let ready = self.pool.ready(&definitions.directory).await;
        drop(beside);
        if matches!(ready, Err(EngineError::Changed { .. })) {
            // They are laid out anew by the next attempt.
            disk.forget();
            self.pool.dismiss(&definitions.directory);
        }
        let (hello, loaded) = ready?;
        let layers = hello.sandbox.layers().iter().filter(|(_, on)| *on).count() as u64;
        if let Some(previous) = previous {
            self.pool.dismiss(&previous.definitions.directory);
        }
        if let Some(times) = disk.take_times() {
            *self.times.lock().unwrap_or_else(PoisonError::into_inner) =
                [&cold_start(times, &loaded)[..], &[(Metric::SandboxLayers, layers)]].concat();
        }
        let ready = Ready { definitions, engine: version(hello) };
        *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready.clone());
        Ok(ready)
    }

    /// Returns the scan that the object of a record needs under a manifest, provided that its bytes are the same.
    ///
    /// # Errors
    /// [`ReadyError`].
    pub(crate) async fn plan_rescan_of(
        &self,
        record: &ScanRecord,
        store: &impl DefinitionsStore,
        manifest: &Arc<Manifest>,
    ) -> Result<RescanNeed, ReadyError> {
        let engine = self.engine().await?.clone();
        let mut rescans = self.rescans.lock().await;
        let Rescans { planner, engines } = &mut *rescans;
        let current = planner.take().filter(|planner| planner.manifest().generation == manifest.generation);
        let new = || RescanPlanner::for_engine(Arc::clone(manifest), engine);
        let planner = planner.insert(current.unwrap_or_else(new));
        let plan = planner.plan(store, &RecordSummary::from(record)).await.map_err(DeltaEngineError::from)?;
        Ok(match plan {
            RescanPlan::UpToDate | RescanPlan::Unaffected(_) | RescanPlan::Unreported => RescanNeed::None,
            RescanPlan::FullScan(_) => RescanNeed::Full,
            RescanPlan::DeltaScan => {
                let disk = self.disk.lock().await;
                let engine = Box::pin(engines.engine(record.generation, planner, store, &disk, &self.pool)).await?;
                engine.map_or(RescanNeed::Full, RescanNeed::Delta)
            }
        })
    }

    /// Returns the times of the last cold start, once.
    pub(crate) fn take_times(&self) -> Vec<(Metric, u64)> {
        std::mem::take(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn version(hello: Hello) -> EngineVersion {
    EngineVersion { version: hello.clamav_version, functionality_level: FunctionalityLevel(hello.functionality_level) }
}

/// Memory that programs may still take, in bytes; `None` when the system does not say.
fn available_memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.split_whitespace().next()?;
    Some(kibibytes.parse::<u64>().ok()? << 10)
}

/// The parts of a cold start.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_counts_while_it_loads_and_not_after() {
        let directory = tempfile::tempdir().unwrap();
        let disk = LocalDisk::new(directory.path(), TrustAnchors::clamav()).unwrap();
        let pool = EnginePool::new("/nonexistent".into(), directory.path().to_owned());
        let cache = EngineCache::new(disk, TrustAnchors::clamav(), pool);
        assert_eq!(cache.memory(), 0);
        let loading = Loading::begin(&cache.loading, 1300 << 20);
        assert_eq!(cache.memory(), 1300 << 20);
        drop(loading);
        assert_eq!(cache.memory(), 0);
    }
}
