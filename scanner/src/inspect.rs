//! Looks at an object's bytes with the engine: fetch, scan, conclude.

use std::{
    cell::Cell,
    path::Path,
    time::{Duration, Instant},
};

use nacre_shared::{
    definitions::manifest::Generation,
    engine::{
        EnginePool, Examination, ExamineError,
        protocol::{Limits, Report},
    },
    object::ObjectId,
    port::{ObjectHead, ObjectStore, StoreError},
    scan_record::{EngineVersion, recorded_layers},
    verdict::{Reason, Verdict, judge},
};

use crate::{
    local_definitions::LocalDefinitions,
    scan::{Inspection, Inspector, ScanError, reason_of},
};

/// What a scan leaves to the rest of the invocation: tagging, recording, reporting.
const SETTLING_TIME: Duration = Duration::from_secs(5);

/// Looks at objects with the pool's engine.
pub struct EngineInspector<'a, Objects> {
    /// Where the bytes are.
    pub objects: &'a Objects,
    /// The engines.
    pub pool: &'a EnginePool,
    /// The definitions to look with.
    pub definitions: &'a LocalDefinitions,
    /// The engine that they were loaded into.
    pub engine: &'a EngineVersion,
    /// The engine's bounds.
    pub limits: Limits,
    /// Longest scan of one object.
    pub scan_timeout: Duration,
    /// Objects larger than this are skipped by the operator's choice.
    pub skip_larger_than: Option<u64>,
    /// When the invocation ends.
    pub deadline: Instant,
    /// Whether the definitions are too old to call anything clean.
    pub stale: bool,
}

impl<Objects: ObjectStore> Inspector for EngineInspector<'_, Objects> {
    fn generation(&self) -> Generation {
        self.definitions.generation
    }

    fn engine(&self) -> EngineVersion {
        self.engine.clone()
    }

    async fn inspect(&mut self, object: &ObjectId, head: &ObjectHead) -> Result<Inspection, ScanError> {
        if self.skip_larger_than.is_some_and(|limit| head.size > limit) {
            return Ok(Inspection::unseen(Verdict::Skipped { reason: Reason::TooLarge }));
        }
        if head.size > self.limits.max_file_size {
            return Ok(Inspection::unseen(Verdict::Unscannable { reason: Reason::TooLarge }));
        }
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
        let directory = &self.definitions.directory;
        let unscannable = |reason| Ok(Inspection::unseen(Verdict::Unscannable { reason }));
        match self.pool.examine(directory, fetch, self.limits, allowed).await {
            Ok(Examination::Seen { report, unrar }) => {
                let mut seen = seen(&report, head.size, unrar);
                if self.stale && seen.verdict == Verdict::Clean {
                    seen.verdict = Verdict::Unscannable { reason: Reason::StaleDefinitions };
                }
                Ok(seen)
            }
            // Cut short by the invocation, not by the object: a fresh invocation has more time.
            Ok(Examination::TimedOut) if cut_short.get() => Err(ScanError::OutOfTime),
            Ok(Examination::TimedOut) => unscannable(Reason::TimeLimit),
            Ok(Examination::Died) => unscannable(Reason::EngineDied),
            Err(ExamineError::Fetch(StoreError::Unreadable(obstacle, _))) => unscannable(reason_of(obstacle)),
            Err(ExamineError::Fetch(StoreError::Denied(_))) => unscannable(Reason::AccessDenied),
            Err(ExamineError::Fetch(error)) => Err(ScanError::Read(error)),
            Err(ExamineError::Engine(error)) => Err(ScanError::Engine(error)),
        }
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
