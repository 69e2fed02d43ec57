//! What is warm: definitions on local disk, and the engine that has them loaded.

use std::{
    fs,
    sync::{Mutex as StdMutex, PoisonError},
    time::Duration,
};

use nacre_shared::{
    engine::{EngineError, EnginePool, protocol::Loaded},
    port::DefinitionsStore,
    scan_record::EngineVersion,
    telemetry::Metric,
};
use tokio::sync::Mutex;

use crate::local_definitions::{DefinitionsError, DefinitionsFollower, FetchTimes, LocalDefinitions};

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
}

/// Follows the published definitions and keeps an engine with them warm.
#[derive(Debug)]
pub(crate) struct Readiness {
    follower: Mutex<DefinitionsFollower>,
    pub(crate) pool: EnginePool,
    /// What the last success came to.
    warm: StdMutex<Option<Ready>>,
    /// What the last cold start took, until it is told.
    times: StdMutex<Vec<(Metric, u64)>>,
}

impl Readiness {
    pub(crate) fn new(follower: DefinitionsFollower, pool: EnginePool) -> Self {
        Self { follower: Mutex::new(follower), pool, warm: StdMutex::default(), times: StdMutex::default() }
    }

    /// What is warm already, published still or not.
    pub(crate) fn warm(&self) -> Option<Ready> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what is warm is what is published, by one conditional GET.
    ///
    /// # Errors
    /// [`DefinitionsError`].
    pub(crate) async fn is_current(
        &self,
        warm: &Ready,
        store: &impl DefinitionsStore,
    ) -> Result<bool, DefinitionsError> {
        self.follower.lock().await.is_published(&warm.definitions, store).await
    }

    /// Whether memory has room for another engine beside this one.
    pub(crate) async fn has_room_beside(&self, warm: &Ready) -> bool {
        let (taken, free) = (self.pool.memory(&warm.definitions.directory).await, available_memory());
        taken.zip(free).is_some_and(|(taken, free)| taken.saturating_add(taken / 4) < free)
    }

    /// The published definitions, and an engine that has them loaded. The one before is kept until the new one is proven where memory
    /// has room for both, and dismissed first where not.
    ///
    /// # Errors
    /// [`ReadyError`].
    pub(crate) async fn ready(&self, store: &impl DefinitionsStore) -> Result<Ready, ReadyError> {
        let mut follower = self.follower.lock().await;
        let definitions = follower.follow(store).await?;
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
        if let Some(times) = follower.take_times() {
            *self.times.lock().unwrap_or_else(PoisonError::into_inner) = cold_start(times, &loaded).into();
        }
        let engine = EngineVersion { version: hello.clamav_version, functionality_level: hello.functionality_level };
        let ready = Ready { definitions, engine };
        *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready.clone());
        Ok(ready)
    }

    /// What the last cold start took; empty when it was told already.
    pub(crate) fn take_times(&self) -> Vec<(Metric, u64)> {
        std::mem::take(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
