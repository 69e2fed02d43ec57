//! One object, from the request to scan it to its settled record.
//!
//! The record is the authority and the tags are its projection: a verdict is recorded first, on condition that nothing newer
//! is, then shown in tags and published, then marked as reported. A crash in between leaves a record that says so, and the
//! next delivery of the message finishes the work without a second scan.

mod inspection;
mod settle;

pub use inspection::{Inspection, Inspector};
use nacre_core::{
    event::{Cause, ScanRequest},
    finding::State,
    object::ObjectId,
    port::{Clock, ObjectHead, ObjectStore, Obstacle, RecordStore, StoreError},
    scan_record::ScanRecord,
    self_test::is_test_file,
    tag_policy::TagNames,
    verdict::{Reason, Verdict},
};
use nacre_engine_client::scan_sets::DecideError;
use settle::Settled;

use crate::{
    config::{InfectedSettings, ResultSettings},
    engine_cache::ReadyError,
    ports::{Ports, Services},
    reports::Reports,
};

/// How often an object may change during its scan before its message goes back to the queue.
const MAX_ATTEMPTS: u32 = 4;

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Scanned and settled.
    Scanned(Verdict),
    /// Scanned and settled: clean now, and infected before.
    Cleared,
    /// A rescan of what is archived by now: the verdict of its last scan stands.
    NotRescanned(Verdict),
    /// Only a full scan can decide, and one was requested.
    Forwarded,
    /// The record of an earlier scan of these bytes is valid under these definitions.
    AlreadyScanned(Verdict),
    /// Scanned and settled: the infected file of a scheduled self-test, which nobody has to hear of.
    TestFile(Verdict),
    /// The object was removed.
    Gone,
}

impl Outcome {
    /// Whether the bytes were scanned, or found to be such as cannot be.
    pub(crate) fn is_verdict(&self) -> bool {
        matches!(self, Self::Scanned(_) | Self::Cleared | Self::TestFile(_))
    }
}

/// Why an object has no settled record yet; its message is retried.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The object could not be read.
    #[error("the object could not be read")]
    Read(#[source] StoreError),
    /// The scan record could not be read or written.
    #[error("the scan record could not be read or written")]
    Record(#[source] StoreError),
    /// The object's tags could not be read or written.
    #[error("the object's tags could not be read or written")]
    Tag(#[source] StoreError),
    /// The result could not be published.
    #[error("the scan result could not be published")]
    Publish(#[source] StoreError),
    /// The infected object could not be deleted or moved to quarantine.
    #[error("the infected object could not be deleted or moved to quarantine")]
    Contain(#[source] StoreError),
    /// An infected object has ten foreign tags, so that its readers cannot be denied by ours.
    #[error("the infected object has ten foreign tags and no room for its status: remove one of them, or the object")]
    NoRoomForStatus,
    /// The object changed during each attempt.
    #[error("the object changed {MAX_ATTEMPTS} times while it was scanned")]
    ConcurrentChange,
    /// No engine is ready.
    #[error("no engine is ready")]
    Ready(#[from] ReadyError),
    /// What the filters of the scan sets do not rule out could not be decided.
    #[error("the signatures behind the scan sets' filters could not be compared")]
    Undecided(#[from] DecideError),
    /// Only a full scan can decide, and this function does none.
    #[error("only a full scan can decide, which this function does not do")]
    NeedsFullScan,
    /// The disk has too little room for the object now.
    #[error(
        "the object has {size} bytes, and the disk {free} free: it is tried again, or raise ScannerEphemeralStorage"
    )]
    NoSpace {
        /// Bytes of the object.
        size: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The invocation ends too soon for this object.
    #[error("the invocation has too little time left for the object")]
    OutOfTime,
}

impl ScanError {
    /// Whether tagging fails until somebody changes the object's tags or a policy.
    fn is_permanent(&self) -> bool {
        matches!(self, Self::NoRoomForStatus | Self::Tag(StoreError::Denied(..)))
    }
}

/// The stored record of an object that is to be scanned.
#[derive(Clone, Copy)]
struct Previous<'a> {
    record: &'a ScanRecord,
    /// Whether it proves nothing, and would only keep the scan from being saved.
    obsolete: bool,
}

/// Scans objects and settles their records.
pub struct Scanner<'a, S: Services> {
    /// The services.
    pub ports: &'a Ports<S>,
    /// Tag keys and values.
    pub tags: &'a TagNames,
    /// Which results are published.
    pub results: &'a ResultSettings,
    /// What is done with infected objects.
    pub infected: &'a InfectedSettings,
}

/// The result of the scan itself.
enum Scan {
    /// This record was written.
    Recorded(Box<ScanRecord>),
    /// The existing record is valid.
    Valid,
    /// The bytes cannot be read any more, and the existing record stays the last that is known of them.
    Archived,
    /// The bytes changed in the meantime, or a newer record was written.
    Overtaken,
}

impl<S: Services> Scanner<'_, S> {
    /// Scans the object of a request, unless its record answers for it, and settles the record.
    ///
    /// # Errors
    /// [`ScanError`]; the request must be made again.
    pub async fn scan(&self, request: &ScanRequest, inspector: &mut impl Inspector) -> Result<Outcome, ScanError> {
        for _ in 0..MAX_ATTEMPTS {
            let head = match self.ports.objects.head(&request.object).await {
                Ok(head) => Ok(head),
                Err(StoreError::NotFound(_)) => return self.forget(request).await,
                Err(StoreError::Unreadable(obstacle, ..)) => Err(reason_of(obstacle)),
                Err(StoreError::Denied(..)) => Err(Reason::AccessDenied),
                Err(error) => return Err(ScanError::Read(error)),
            };
            let version_id = head.as_ref().ok().and_then(|head| head.version_id.clone());
            let object = request.object.at_version(version_id);
            let recorded = self.ports.records.load(&object).await.map_err(ScanError::Record)?;
            let generation = inspector.generation();
            let is_valid = |record: &ScanRecord| {
                let is_newer = request.cause == Cause::Upload && record.is_before(request.sequencer.as_ref());
                match &head {
                    Ok(head) => record.answers_for(&head.etag, generation) && !is_newer,
                    // What cannot be read for now stays infected: its bytes may be the same.
                    Err(_) => matches!(request.cause, Cause::Definitions(_)) && record.verdict.is_infected(),
                }
            };
            let obsolete = match (&recorded, &head) {
                (Some(record), Ok(head)) => inspector.is_obsolete(record, head).await?,
                _ => false,
            };
            // People hear of an infection once, and not again with each generation that finds it.
            let is_known = recorded
                .as_ref()
                .is_some_and(|record| record.verdict.is_infected() && (record.reported || record.published));
            let was_infected = recorded.as_ref().is_some_and(|record| record.verdict.is_infected());
            let scanned = match &recorded {
                Some(record) if !obsolete && is_valid(record) => Scan::Valid,
                _ => {
                    let previous = recorded.as_ref().map(|record| Previous { record, obsolete });
                    self.record_scan(request, &object, &head, previous, inspector).await?
                }
            };
            let archived = matches!(scanned, Scan::Archived);
            let (record, scanned) = match (scanned, recorded) {
                (Scan::Recorded(record), _) => (*record, true),
                (Scan::Valid | Scan::Archived, Some(record)) => (record, false),
                (Scan::Overtaken | Scan::Valid | Scan::Archived, _) => continue,
            };
            if !scanned {
                self.answer_request(&record, archived).await?;
            }
            match self.settle(&record, is_known).await? {
                Settled::Done if scanned && was_infected && record.verdict == Verdict::Clean => {
                    self.reports().cleared(&record).await;
                    return Ok(Outcome::Cleared);
                }
                Settled::Done if scanned && is_test_file(&record) => return Ok(Outcome::TestFile(record.verdict)),
                Settled::Done if scanned => return Ok(Outcome::Scanned(record.verdict)),
                Settled::Done if archived => return Ok(Outcome::NotRescanned(record.verdict)),
                Settled::Done => return Ok(Outcome::AlreadyScanned(record.verdict)),
                Settled::Gone => return Ok(Outcome::Gone),
                Settled::Overtaken => {}
            }
        }
        Err(ScanError::ConcurrentChange)
    }

    /// Writes into a record that the request of its rescan is answered without a scan: passes may request it again.
    async fn answer_request(&self, record: &ScanRecord, archived: bool) -> Result<(), ScanError> {
        let answered = if archived {
            self.ports.records.mark_archived(record, self.ports.clock.now()).await
        } else if record.requested.is_some() {
            self.ports.records.answer_request(record).await
        } else {
            return Ok(());
        };
        match answered {
            // It is another record by now, which no request waits for.
            Ok(()) | Err(StoreError::PreconditionFailed(_)) => Ok(()),
            Err(error) => Err(ScanError::Record(error)),
        }
    }

    /// Removes the record of a version that was removed. Where the request names no version, the one that was meant may still
    /// exist behind a delete marker.
    async fn forget(&self, request: &ScanRequest) -> Result<Outcome, ScanError> {
        if request.object.version_id.is_some() {
            if self.reports().has_findings()
                && let Some(record) = self.ports.records.load(&request.object).await.map_err(ScanError::Record)?
                && record.verdict.is_infected()
                // What we removed ourselves was closed then.
                && !(record.reported && self.infected.removes())
            {
                self.find(&record, State::Deleted).await?;
            }
            let removed = self.ports.records.remove(&request.object, request.sequencer.as_ref()).await;
            removed.map_err(ScanError::Record)?;
        }
        Ok(Outcome::Gone)
    }

    /// Scans and records. An object whose HEAD fails is recorded without an ETag: otherwise a tag that its uploader forged would
    /// be all that readers see.
    async fn record_scan(
        &self,
        request: &ScanRequest,
        object: &ObjectId,
        head: &Result<ObjectHead, Reason>,
        previous: Option<Previous<'_>>,
        inspector: &mut impl Inspector,
    ) -> Result<Scan, ScanError> {
        let inspection = match head {
            Ok(head) => {
                // An upload asks for a scan of its own; a rescan only for what the record does not answer.
                let previous = previous.filter(|Previous { record, .. }| {
                    matches!(request.cause, Cause::Definitions(_)) && record.etag == head.etag
                });
                let answering = previous.as_ref().filter(|previous| !previous.obsolete).map(|previous| previous.record);
                match self.inspect(object, head, answering, inspector).await {
                    // S3 never changes archived bytes, so what was concluded of them stands, by the definitions of then: the record
                    // keeps its generation. An object that is restored is announced, and scanned as an upload is.
                    Ok(Some(inspection))
                        if is_archived(&inspection) && previous.is_some_and(|previous| has_scan(previous.record)) =>
                    {
                        return Ok(Scan::Archived);
                    }
                    Ok(Some(inspection)) => inspection,
                    Ok(None) => return Ok(Scan::Valid),
                    Err(ScanError::Read(StoreError::PreconditionFailed(_) | StoreError::NotFound(_))) => {
                        return Ok(Scan::Overtaken);
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(reason) => {
                self.report_start(object).await?;
                Inspection::not_scanned(Verdict::Unscannable { reason: *reason })
            }
        };
        let mut record = ScanRecord {
            object: object.clone(),
            etag: head.as_ref().map_or_else(|_| String::new(), |head| head.etag.clone()),
            size: head.as_ref().map_or(0, |head| head.size),
            verdict: inspection.verdict,
            generation: inspector.generation(),
            engine: inspector.engine(),
            targets: inspection.targets,
            layers: inspection.layers,
            layer_count: inspection.layer_count,
            types: inspection.types,
            scanned_at: self.ports.clock.now(),
            written_at: head.as_ref().ok().and_then(|head| head.written_at),
            sequencer: request.sequencer.clone(),
            reported: false,
            published: false,
            requested: None,
            archived_at: None,
            unread: inspection.unread,
            first_infected: None,
        };
        record.first_infected = record.first_infected_after(previous.map(|previous| previous.record));
        if let Some(Previous { record: obsolete, obsolete: true }) = previous
            && let Err(error) = self.ports.records.discard(obsolete).await
        {
            return match error {
                StoreError::PreconditionFailed(_) => Ok(Scan::Overtaken),
                error => Err(ScanError::Record(error)),
            };
        }
        match self.ports.records.save(&record).await {
            Ok(()) => Ok(Scan::Recorded(Box::new(record))),
            Err(StoreError::PreconditionFailed(_)) => Ok(Scan::Overtaken),
            Err(error) => Err(ScanError::Record(error)),
        }
    }

    /// Scans the bytes as far as the previous record of them does not answer; `None` when it answers everything.
    async fn inspect(
        &self,
        object: &ObjectId,
        head: &ObjectHead,
        previous: Option<&ScanRecord>,
        inspector: &mut impl Inspector,
    ) -> Result<Option<Inspection>, ScanError> {
        if let Some(previous) = previous
            && !inspector.needs_scan(previous, head).await?
        {
            return Ok(None);
        }
        self.report_start(object).await?;
        if let Some(previous) = previous
            && let Some(inspection) = inspector.reinspect(previous, head).await?
        {
            return Ok(Some(inspection));
        }
        inspector.inspect(object, head).await.map(Some)
    }

    async fn report_start(&self, object: &ObjectId) -> Result<(), ScanError> {
        self.reports().scan_started(object, self.ports.clock.now()).await.map_err(ScanError::Publish)
    }

    fn reports(&self) -> Reports<'_, S> {
        Reports { ports: self.ports, tags: self.tags, settings: self.results, infected: self.infected }
    }
}

fn is_archived(inspection: &Inspection) -> bool {
    inspection.verdict == Verdict::Unscannable { reason: Reason::Archived }
}

/// Whether a record is of a scan, and not of a failure to make one.
fn has_scan(record: &ScanRecord) -> bool {
    !record.is_transient_failure()
}

/// Why an object is not scanned that cannot be read as it is stored.
pub(crate) fn reason_of(obstacle: Obstacle) -> Reason {
    match obstacle {
        Obstacle::Archived => Reason::Archived,
        Obstacle::CustomerKey => Reason::CustomerKey,
        Obstacle::KeyUnusable => Reason::KeyUnusable,
    }
}

#[cfg(test)]
mod tests;
