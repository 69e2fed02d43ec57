//! Looks at an object's bytes with the engine: fetch, scan, conclude.

use std::{
    cell::Cell,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_core::{
    generation::{Generation, manifest::Manifest},
    object::ObjectId,
    port::{DefinitionsStore, ObjectHead, ObjectStore, StoreError},
    rescan::conclude::conclude,
    scan_record::{EngineVersion, ScanRecord, recorded_layers},
    verdict::{Reason, Verdict, judge},
};
use nacre_engine_client::{
    EngineError, Examination, ExamineError,
    protocol::{Limits, Report},
};
use tokio::sync::OnceCell;

use crate::{
    readiness::{Again, Readiness, Ready, ReadyError},
    scan::{Inspection, Inspector, Reinspection, ScanError, reason_of},
};

/// What a scan leaves to the rest of the invocation: tagging, recording, reporting.
const SETTLING_TIME: Duration = Duration::from_secs(5);

/// Looks at objects with the pool's engine.
pub struct EngineInspector<'a, Objects, Definitions> {
    /// Where the bytes are.
    pub objects: &'a Objects,
    /// What is warm.
    pub(crate) engines: Engines<'a, Definitions>,
    /// The engine's bounds.
    pub limits: Limits,
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

/// What an object is looked at with.
#[derive(Clone, Copy)]
pub(crate) enum Engines<'a, Definitions> {
    /// What is warm already.
    Warm { readiness: &'a Readiness, ready: &'a Ready },
    /// What is published, once it is asked for.
    Published {
        readiness: &'a Readiness,
        store: &'a Definitions,
        manifest: &'a Arc<Manifest>,
        ready: &'a OnceCell<Ready>,
        engine: &'a EngineVersion,
        /// Whether engines with everything are started here.
        full_scans: bool,
    },
}

impl<'a, Definitions: DefinitionsStore> Engines<'a, Definitions> {
    fn readiness(&self) -> &'a Readiness {
        match self {
            Self::Warm { readiness, .. } | Self::Published { readiness, .. } => readiness,
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

    /// The directory whose engine has everything loaded.
    async fn full(&self) -> Result<&'a Path, ScanError> {
        match self {
            Self::Warm { ready, .. } => Ok(&ready.definitions.directory),
            Self::Published { full_scans: false, .. } => Err(ScanError::NeedsEverything),
            Self::Published { readiness, store, manifest, ready, .. } => {
                let ready = ready.get_or_try_init(|| Box::pin(readiness.ready(*store, manifest))).await?;
                Ok(&ready.definitions.directory)
            }
        }
    }
}

/// What an engine's report, or its lack, comes to.
enum Look {
    Report { report: Report, unrar: bool },
    Unseen(Reason),
}

impl<Objects: ObjectStore, Definitions: DefinitionsStore> EngineInspector<'_, Objects, Definitions> {
    /// What can be told of an object without a look.
    fn unseen(&self, head: &ObjectHead) -> Option<Verdict> {
        if self.skip_larger_than.is_some_and(|limit| head.size > limit) {
            return Some(Verdict::Skipped { reason: Reason::TooLarge });
        }
        (head.size > self.limits.max_file_size).then_some(Verdict::Unscannable { reason: Reason::TooLarge })
    }

    /// Has an engine with the definitions of this directory look at the object.
    async fn look(&self, directory: &Path, object: &ObjectId, head: &ObjectHead) -> Result<Look, ScanError> {
        let left = || self.deadline.saturating_duration_since(Instant::now()).saturating_sub(SETTLING_TIME);
        if left().is_zero() {
            return Err(ScanError::OutOfTime);
        }
        // Asked for each attempt: fetching and reloading take time, too.
        let cut_short = Cell::new(false);
        let allowed = || {
            let left = left();
            cut_short.set(left < self.scan_timeout);
            self.scan_timeout.min(left)
        };
        let objects = self.objects;
        let fetch = async |path: &Path| objects.download(object, head, path).await;
        match self.engines.readiness().pool.examine(directory, fetch, self.limits, allowed).await {
            Ok(Examination::Seen { report, unrar }) => Ok(Look::Report { report, unrar }),
            // Cut short by the invocation, not by the object: a fresh invocation has more time.
            Ok(Examination::TimedOut) if cut_short.get() => Err(ScanError::OutOfTime),
            Ok(Examination::TimedOut) => Ok(Look::Unseen(Reason::TimeLimit)),
            Ok(Examination::Died) => Ok(Look::Unseen(Reason::EngineDied)),
            Err(ExamineError::Fetch(StoreError::Unreadable(obstacle, _))) => Ok(Look::Unseen(reason_of(obstacle))),
            Err(ExamineError::Fetch(StoreError::Denied(_))) => Ok(Look::Unseen(Reason::AccessDenied)),
            Err(ExamineError::Fetch(error)) => Err(ScanError::Read(error)),
            Err(ExamineError::Engine(error)) => Err(ScanError::Ready(error.into())),
        }
    }

    /// The verdict as definitions of their age allow it.
    fn aged(&self, verdict: Verdict) -> Verdict {
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
        if let Some(verdict) = self.unseen(head) {
            return Ok(Inspection::unseen(verdict));
        }
        match self.look(self.engines.full().await?, object, head).await? {
            Look::Unseen(reason) => Ok(Inspection::unseen(Verdict::Unscannable { reason })),
            Look::Report { report, unrar } => {
                let mut seen = seen(&report, head.size, unrar);
                seen.verdict = self.aged(seen.verdict);
                Ok(seen)
            }
        }
    }

    async fn reinspect(&mut self, record: &ScanRecord, head: &ObjectHead) -> Result<Reinspection, ScanError> {
        let Engines::Published { readiness, store, manifest, .. } = self.engines else {
            return Ok(Reinspection::Everything);
        };
        if self.unseen(head).is_some() {
            return Ok(Reinspection::Everything);
        }
        let engine = match readiness.again(record, store, manifest).await? {
            Again::Stands => return Ok(Reinspection::Stands),
            Again::Everything => return Ok(Reinspection::Everything),
            Again::Delta(engine) => engine,
        };
        let (report, unrar) = match self.look(&engine.directory, &record.object, head).await {
            Ok(Look::Report { report, unrar }) => (report, unrar),
            // What was added does not load by itself: the whole set was proven to.
            Ok(Look::Unseen(_)) | Err(ScanError::Ready(ReadyError::Engine(EngineError::Refused(_)))) => {
                return Ok(Reinspection::Everything);
            }
            Err(error) => return Err(error),
        };
        Ok(match conclude(record, &report, unrar, &engine.names) {
            None => Reinspection::Everything,
            Some(verdict) => Reinspection::Seen(Inspection {
                verdict: self.aged(verdict),
                targets: record.targets,
                layers: record.layers.clone(),
                layer_count: record.layer_count,
            }),
        })
    }
}

fn seen(report: &Report, size: u64, unrar: bool) -> Inspection {
    Inspection {
        verdict: judge(report, size, unrar),
        targets: report.targets,
        layers: recorded_layers(report),
        layer_count: report.layer_count,
    }
}
