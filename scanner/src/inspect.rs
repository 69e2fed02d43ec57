//! Scans an object's bytes with the engine: download, scan, verdict.

use std::{
    cell::Cell,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use lambda_runtime::tracing;
use nacre_core::{
    generation::{Generation, manifest::Manifest},
    object::ObjectId,
    port::{DefinitionsStore, ObjectHead, ObjectStore, StoreError},
    rescan::conclude::conclude,
    scan_record::{EngineVersion, ScanRecord, recorded_layers, recorded_types, unread},
    targets::Targets,
    verdict::{Reason, Verdict, judge},
};
use nacre_engine_client::{
    EngineError, Examination, ExamineError,
    protocol::{Limits, Report},
};
use tokio::sync::OnceCell;

use crate::{
    engine_cache::{EngineCache, Ready, ReadyError, RescanNeed},
    local_definitions::LocalDefinitions,
    scan::{Inspection, Inspector, ScanError, reason_of},
    worker_memory::worker_memory,
};

/// Time that a scan leaves to the rest of the invocation: tagging, recording, reporting.
const SETTLING_TIME: Duration = Duration::from_secs(5);

/// Scans objects with the cached engines.
pub struct EngineInspector<'a, Objects, Definitions> {
    /// The scanned objects.
    pub objects: &'a Objects,
    /// The engines.
    pub(crate) engines: Engines<'a, Definitions>,
    /// The engine's bounds.
    pub limits: Limits,
    /// The function's memory, in bytes, where it is known.
    pub function_memory: Option<u64>,
    /// Objects that are scanned at once.
    pub parallelism: usize,
    /// Longest scan of one object.
    pub scan_timeout: Duration,
    /// Objects larger than this are skipped by the operator's choice.
    pub skip_larger_than: Option<u64>,
    /// When the invocation ends.
    pub deadline: Instant,
    /// The time of day.
    pub now: DateTime<Utc>,
    /// Age of definitions beyond which nothing is clean any more.
    pub staleness_limit: TimeDelta,
}

/// The engines that an object is scanned with.
#[derive(Clone, Copy)]
pub(crate) enum Engines<'a, Definitions> {
    /// The warm engine.
    Warm { cache: &'a EngineCache, store: &'a Definitions, ready: &'a Ready },
    /// Engines with the published definitions, made ready on first use.
    Published {
        cache: &'a EngineCache,
        store: &'a Definitions,
        manifest: &'a Arc<Manifest>,
        ready: &'a OnceCell<Ready>,
        engine: &'a EngineVersion,
        /// Whether this function does full scans.
        full_scans: bool,
    },
}

impl<'a, Definitions: DefinitionsStore> Engines<'a, Definitions> {
    fn cache(&self) -> &'a EngineCache {
        match self {
            Self::Warm { cache, .. } | Self::Published { cache, .. } => cache,
        }
    }

    fn store(&self) -> &'a Definitions {
        match self {
            Self::Warm { store, .. } | Self::Published { store, .. } => store,
        }
    }

    fn generation(&self) -> Generation {
        match self {
            Self::Warm { ready, .. } => ready.definitions.generation,
            Self::Published { manifest, .. } => manifest.generation,
        }
    }

    fn engine(&self) -> &'a EngineVersion {
        match self {
            Self::Warm { ready, .. } => &ready.engine,
            Self::Published { engine, .. } => engine,
        }
    }

    fn built(&self) -> DateTime<Utc> {
        match self {
            Self::Warm { ready, .. } => ready.definitions.built,
            Self::Published { manifest, .. } => manifest.newest_built(),
        }
    }

    /// All definitions, which an engine has loaded.
    async fn full(&self) -> Result<&'a LocalDefinitions, ScanError> {
        match self {
            Self::Warm { ready, .. } => Ok(&ready.definitions),
            Self::Published { full_scans: false, .. } => Err(ScanError::NeedsFullScan),
            Self::Published { cache, store, manifest, ready, .. } => {
                let ready = ready.get_or_try_init(|| Box::pin(cache.ready(*store, manifest))).await?;
                Ok(&ready.definitions)
            }
        }
    }
}

/// Logs the names of what hid content: the verdict's reason says only of which kind it was.
fn log_unread(object: &ObjectId, report: &Report) {
    if !report.encrypted.is_empty() || !report.containers.is_empty() {
        tracing::info!(
            s3.bucket = object.bucket,
            s3.key = object.key,
            s3.version_id = object.version_id,
            encrypted = report.encrypted.join(", "),
            containers = report.containers.join(", "),
            "content not read"
        );
    }
}

/// The result of one scan by an engine.
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly always the largest")]
enum EngineScan {
    Finished { report: Report, unrar: bool },
    NotScanned(Reason),
}

impl<Objects: ObjectStore, Definitions: DefinitionsStore> EngineInspector<'_, Objects, Definitions> {
    /// The verdict on an object that is too large to be scanned.
    fn too_large(&self, head: &ObjectHead) -> Option<Verdict> {
        if self.skip_larger_than.is_some_and(|limit| head.size > limit) {
            return Some(Verdict::Skipped { reason: Reason::TooLarge });
        }
        (head.size > self.limits.max_file_size).then_some(Verdict::Unscannable { reason: Reason::TooLarge })
    }

    /// Scans the object with the engine that has loaded this directory.
    async fn engine_scan(
        &self,
        directory: &Path,
        object: &ObjectId,
        head: &ObjectHead,
    ) -> Result<EngineScan, ScanError> {
        let left = || self.deadline.saturating_duration_since(Instant::now()).saturating_sub(SETTLING_TIME);
        if left().is_zero() {
            return Err(ScanError::OutOfTime);
        }
        // Computed for each attempt: downloading and reloading take time, too.
        let cut_short = Cell::new(false);
        let allowed = || {
            let left = left();
            cut_short.set(left < self.scan_timeout);
            self.scan_timeout.min(left)
        };
        let objects = self.objects;
        let fetch = async |path: &Path| objects.download(object, head, path).await;
        // Attack: objects that fill the disk, so that others' downloads fail after minutes. What others write meanwhile may still do so.
        let free = self.engines.cache().pool.free_space();
        if let Some(free) = free.filter(|free| *free < head.size) {
            return Err(ScanError::NoSpace { size: head.size, free });
        }
        let limits = Limits { max_memory: self.worker_memory(), ..self.limits };
        match self.engines.cache().pool.examine(directory, fetch, limits, allowed).await {
            Ok(Examination::Seen { report, unrar }) => {
                log_unread(object, &report);
                Ok(EngineScan::Finished { report, unrar })
            }
            // Cut short by the invocation, not by the object: a fresh invocation has more time.
            Ok(Examination::TimedOut) if cut_short.get() => Err(ScanError::OutOfTime),
            Ok(Examination::TimedOut) => Ok(EngineScan::NotScanned(Reason::TimeLimit)),
            Ok(Examination::Died) => Ok(EngineScan::NotScanned(Reason::EngineDied)),
            Err(ExamineError::Fetch(StoreError::Unreadable(obstacle, ..))) => {
                Ok(EngineScan::NotScanned(reason_of(obstacle)))
            }
            Err(ExamineError::Fetch(StoreError::Denied(..))) => Ok(EngineScan::NotScanned(Reason::AccessDenied)),
            Err(ExamineError::Fetch(error)) => Err(ScanError::Read(error)),
            Err(ExamineError::Engine(error)) => Err(ScanError::Ready(error.into())),
        }
    }

    /// Scans the object with all definitions.
    async fn full_scan(&self, object: &ObjectId, head: &ObjectHead) -> Result<EngineScan, ScanError> {
        let definitions = self.engines.full().await?;
        let scanned = self.engine_scan(&definitions.directory, object, head).await?;
        let (sets, report, unrar) = match (&definitions.scan_sets, scanned) {
            (Some(sets), EngineScan::Finished { report, unrar }) => (sets, report, unrar),
            (_, scanned) => return Ok(scanned),
        };
        let again = async |mini: &Path| {
            Ok(match self.engine_scan(mini, object, head).await? {
                EngineScan::Finished { report, .. } => Ok(report),
                EngineScan::NotScanned(reason) => Err(reason),
            })
        };
        let decided = sets.decide(self.engines.store(), &self.engines.cache().pool, report, again);
        let decided: Result<_, ScanError> = decided.await;
        Ok(match decided? {
            Ok(report) => EngineScan::Finished { report, unrar },
            Err(reason) => EngineScan::NotScanned(reason),
        })
    }

    /// The memory of one worker.
    fn worker_memory(&self) -> u64 {
        let engines = self.engines.cache().memory();
        worker_memory(self.function_memory, engines, self.parallelism, self.limits.max_memory)
    }

    /// The scan that a recorded object needs, provided that its bytes are the same.
    async fn plan(&self, record: &ScanRecord, head: &ObjectHead) -> Result<RescanNeed, ScanError> {
        match self.engines {
            Engines::Published { cache, store, manifest, .. } if self.too_large(head).is_none() => {
                Ok(cache.plan_rescan_of(record, store, manifest).await?)
            }
            _ => Ok(RescanNeed::Full),
        }
    }

    /// The verdict, unless the definitions are too old for it.
    fn unless_stale(&self, verdict: Verdict) -> Verdict {
        let stale = self.now - self.engines.built() > self.staleness_limit;
        if stale && verdict == Verdict::Clean {
            Verdict::Unscannable { reason: Reason::StaleDefinitions }
        } else {
            verdict
        }
    }
}

impl<Objects: ObjectStore, Definitions: DefinitionsStore> Inspector for EngineInspector<'_, Objects, Definitions> {
    fn generation(&self) -> Generation {
        self.engines.generation()
    }

    fn engine(&self) -> EngineVersion {
        self.engines.engine().clone()
    }

    async fn inspect(&mut self, object: &ObjectId, head: &ObjectHead) -> Result<Inspection, ScanError> {
        if let Some(verdict) = self.too_large(head) {
            return Ok(Inspection::not_scanned(verdict));
        }
        match Box::pin(self.full_scan(object, head)).await? {
            EngineScan::NotScanned(reason) => Ok(Inspection::not_scanned(Verdict::Unscannable { reason })),
            EngineScan::Finished { report, unrar } => {
                let mut inspection = inspection(&report, head.size, unrar);
                inspection.verdict = self.unless_stale(inspection.verdict);
                Ok(inspection)
            }
        }
    }

    async fn is_obsolete(&mut self, record: &ScanRecord, head: &ObjectHead) -> Result<bool, ScanError> {
        if record.etag != head.etag {
            return Ok(false);
        }
        if record.verdict.reason() == Some(Reason::TooLarge) {
            return Ok(self.too_large(head).is_none());
        }
        let Engines::Published { cache, store, .. } = self.engines else { return Ok(false) };
        if record.generation <= self.generation() {
            return Ok(false);
        }
        // It may have been published since this batch began.
        let published = cache.published(store).await.map_err(ReadyError::from)?;
        Ok(record.generation > published.generation)
    }

    async fn needs_scan(&mut self, record: &ScanRecord, head: &ObjectHead) -> Result<bool, ScanError> {
        Ok(!matches!(self.plan(record, head).await?, RescanNeed::None))
    }

    async fn reinspect(&mut self, record: &ScanRecord, head: &ObjectHead) -> Result<Option<Inspection>, ScanError> {
        let RescanNeed::Delta(engine) = self.plan(record, head).await? else { return Ok(None) };
        let (report, unrar) = match self.engine_scan(&engine.directory, &record.object, head).await {
            Ok(EngineScan::Finished { report, unrar }) => (report, unrar),
            // Nobody else could read it, either.
            Ok(EngineScan::NotScanned(reason @ Reason::Archived)) => {
                return Ok(Some(Inspection::not_scanned(Verdict::Unscannable { reason })));
            }
            // The added signatures do not load by themselves: the whole set was tested to.
            Ok(EngineScan::NotScanned(_)) | Err(ScanError::Ready(ReadyError::Engine(EngineError::Refused(_)))) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(conclude(record, &report, unrar, &engine.names).map(|verdict| Inspection {
            verdict: self.unless_stale(verdict),
            targets: record.targets,
            layers: record.layers.clone(),
            layer_count: record.layer_count,
            types: record.types,
            unread: record.unread.clone(),
        }))
    }
}

fn inspection(report: &Report, size: u64, unrar: bool) -> Inspection {
    Inspection {
        verdict: judge(report, size, unrar),
        targets: Targets::from_bits(report.targets),
        layers: recorded_layers(report),
        layer_count: report.layer_count,
        types: recorded_types(report),
        unread: unread(report),
    }
}
