//! One object from its announcement to its settled record.
//!
//! The record is the authority and the tags are its projection: a verdict is recorded first, on condition that nothing newer
//! is, then shown in tags and published, then marked as reported. A crash in between leaves a record that says so, and the
//! next delivery of the message finishes the work without a second scan.

use std::future::Future;

use lambda_runtime::tracing;
use nacre_core::{
    event::{Cause, ScanRequest},
    generation::Generation,
    object::ObjectId,
    port::{Clock, EventBus, ObjectHead, ObjectStore, Obstacle, RecordStore, StoreError, Topic},
    scan_record::{EngineVersion, LayerDigest, ScanRecord},
    tag_policy::{TagNames, TagPlan, plan_tags},
    verdict::{Reason, Verdict},
};

use crate::{
    config::InfectedSettings,
    containment::{Contained, contain},
    readiness::ReadyError,
    reports::Reports,
};

/// How often an object may change under our hands before its message goes back to the queue.
const MAX_ROUNDS: u32 = 4;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Scanned and settled.
    Scanned(Verdict),
    /// Scanned and settled: nothing is found any more in what was infected.
    Cleared,
    /// Only a scan with everything tells, and those who do that were asked.
    Forwarded,
    /// An earlier scan of these bytes with these definitions stands.
    AlreadyScanned(Verdict),
    /// There is no such object any more; nothing is left to protect.
    Gone,
}

/// Why an object could not be brought to a settled record; its message comes again.
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
    /// Ten foreign tags stand on an infected object: it cannot be denied to its readers.
    #[error("the infected object has ten foreign tags and no room for its status: remove one of them, or the object")]
    NoRoomForStatus,
    /// The object changed each time it was looked at.
    #[error("the object changed {MAX_ROUNDS} times while it was scanned")]
    Restless,
    /// There is nothing to scan with.
    #[error("nothing is ready to scan with")]
    Ready(#[from] ReadyError),
    /// Only a scan with everything tells, which is not done here.
    #[error("only a scan with all definitions tells, which this function does not do")]
    NeedsEverything,
    /// The invocation's time ran out before the object's did.
    #[error("the invocation has too little time left for the object")]
    OutOfTime,
}

impl ScanError {
    /// Whether tagging fails again until somebody changes the object's tags or a policy.
    fn is_lasting(&self) -> bool {
        matches!(self, Self::NoRoomForStatus | Self::Tag(StoreError::Denied(_)))
    }
}

/// What looking at the object's bytes found.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The conclusion.
    pub verdict: Verdict,
    /// Bit set of the matcher targets that ran.
    pub targets: u16,
    /// The layers, when all were recorded.
    pub layers: Option<Vec<LayerDigest>>,
    /// Number of layers.
    pub layer_count: u64,
}

impl Inspection {
    /// The bytes were not looked at.
    pub fn unseen(verdict: Verdict) -> Self {
        Self { verdict, targets: 0, layers: None, layer_count: 0 }
    }
}

/// What another look at a recorded object came to.
#[derive(Clone, Debug)]
pub enum Reinspection {
    /// None was needed: what is recorded stands under these definitions, too.
    Stands,
    /// Together with what is recorded, this.
    Seen(Inspection),
    /// Only a look with everything tells.
    Everything,
}

/// Looks at an object's bytes.
pub trait Inspector {
    /// The generation of definitions that it looks with.
    fn generation(&self) -> Generation;

    /// The engine that it looks with.
    fn engine(&self) -> EngineVersion;

    /// Reads exactly these bytes and concludes.
    ///
    /// # Errors
    /// [`ScanError::Read`] with [`StoreError::PreconditionFailed`] or [`StoreError::NotFound`] when the bytes are others by
    /// now.
    fn inspect(&mut self, object: &ObjectId, head: &ObjectHead) -> impl Future<Output = Result<Inspection, ScanError>>;

    /// Looks again at the bytes that a record is of, as far as the record does not tell already.
    ///
    /// # Errors
    /// As [`Inspector::inspect`].
    fn reinspect(
        &mut self,
        record: &ScanRecord,
        head: &ObjectHead,
    ) -> impl Future<Output = Result<Reinspection, ScanError>>;
}

/// What a scan works with.
pub struct Scanner<'a, Objects, Records, Results, Bus, Time> {
    /// The scanned objects.
    pub objects: &'a Objects,
    /// The scan records.
    pub records: &'a Records,
    /// Whom it is told to.
    pub reports: Reports<'a, Results, Bus>,
    /// The time of day.
    pub clock: &'a Time,
    /// Tag keys and values.
    pub names: &'a TagNames,
    /// What becomes of infected objects.
    pub infected: &'a InfectedSettings,
}

/// What a scan came to.
enum Scan {
    /// This record, written.
    Recorded(Box<ScanRecord>),
    /// What is recorded stands.
    Stands,
    /// The bytes changed meanwhile, or a newer record stands.
    Overtaken,
}

/// What an attempt to settle a record came to.
enum Settled {
    /// Tags say it, the topic has it, the record knows.
    Done,
    /// The object or its record changed meanwhile: look again.
    Overtaken,
    /// The object is gone.
    Gone,
}

impl<Objects: ObjectStore, Records: RecordStore, Results: Topic, Bus: EventBus, Time: Clock>
    Scanner<'_, Objects, Records, Results, Bus, Time>
{
    /// Brings the object of a request to a settled record.
    ///
    /// # Errors
    /// [`ScanError`]; the request must be made again.
    pub async fn scan(&self, request: &ScanRequest, inspector: &mut impl Inspector) -> Result<Outcome, ScanError> {
        for _ in 0..MAX_ROUNDS {
            let head = match self.objects.head(&request.object).await {
                Ok(head) => Ok(head),
                Err(StoreError::NotFound) => return self.forget(request).await,
                Err(StoreError::Unreadable(obstacle, _)) => Err(reason_of(obstacle)),
                Err(StoreError::Denied(_)) => Err(Reason::AccessDenied),
                Err(error) => return Err(ScanError::Read(error)),
            };
            let version_id = head.as_ref().ok().and_then(|head| head.version_id.clone());
            let object = request.object.at_version(version_id);
            let recorded = self.records.load(&object).await.map_err(ScanError::Record)?;
            let stands = |record: &ScanRecord| {
                let announced_since = request.cause == Cause::Upload && record.is_before(request.sequencer.as_ref());
                match &head {
                    Ok(head) => record.answers_for(&head.etag, inspector.generation()) && !announced_since,
                    // What cannot be read for now stays infected: its bytes may be the same.
                    Err(_) => matches!(request.cause, Cause::Definitions(_)) && is_infected(record),
                }
            };
            let was_infected = recorded.as_ref().is_some_and(is_infected);
            let scanned = match &recorded {
                Some(record) if stands(record) => Scan::Stands,
                _ => self.record_scan(request, &object, &head, recorded.as_ref(), inspector).await?,
            };
            let (record, scanned) = match (scanned, recorded) {
                (Scan::Recorded(record), _) => (*record, true),
                (Scan::Stands, Some(record)) => (record, false),
                (Scan::Overtaken | Scan::Stands, _) => continue,
            };
            match self.settle(&record).await? {
                Settled::Done if scanned && was_infected && record.verdict == Verdict::Clean => {
                    return Ok(Outcome::Cleared);
                }
                Settled::Done if scanned => return Ok(Outcome::Scanned(record.verdict)),
                Settled::Done => return Ok(Outcome::AlreadyScanned(record.verdict)),
                Settled::Gone => return Ok(Outcome::Gone),
                Settled::Overtaken => {}
            }
        }
        Err(ScanError::Restless)
    }

    /// Forgets a version that is gone. Where the request names none, the version that was meant may still be there, behind a
    /// delete marker.
    async fn forget(&self, request: &ScanRequest) -> Result<Outcome, ScanError> {
        if request.object.version_id.is_some() {
            let removed = self.records.remove(&request.object, request.sequencer.as_ref()).await;
            removed.map_err(ScanError::Record)?;
        }
        Ok(Outcome::Gone)
    }

    /// Scans and records. What not even HEAD tells anything of is recorded without an ETag: a tag that its uploader forged must not
    /// be all there is.
    async fn record_scan(
        &self,
        request: &ScanRequest,
        object: &ObjectId,
        head: &Result<ObjectHead, Reason>,
        elder: Option<&ScanRecord>,
        inspector: &mut impl Inspector,
    ) -> Result<Scan, ScanError> {
        self.reports.begun(object, self.clock.now()).await.map_err(ScanError::Publish)?;
        // New definitions ask what a record does not tell; an upload asks for a scan.
        let elder = elder.filter(|_| matches!(request.cause, Cause::Definitions(_)));
        let inspection = match head {
            Ok(head) => match look(object, head, elder.filter(|elder| elder.etag == head.etag), inspector).await {
                Err(ScanError::Read(StoreError::PreconditionFailed | StoreError::NotFound)) => {
                    return Ok(Scan::Overtaken);
                }
                Ok(Some(inspection)) => inspection,
                Ok(None) => return Ok(Scan::Stands),
                Err(error) => return Err(error),
            },
            Err(reason) => Inspection::unseen(Verdict::Unscannable { reason: *reason }),
        };
        let record = ScanRecord {
            object: object.clone(),
            etag: head.as_ref().map_or_else(|_| String::new(), |head| head.etag.clone()),
            size: head.as_ref().map_or(0, |head| head.size),
            verdict: inspection.verdict,
            generation: inspector.generation(),
            engine: inspector.engine(),
            targets: inspection.targets,
            layers: inspection.layers,
            layer_count: inspection.layer_count,
            scanned_at: self.clock.now(),
            written_at: head.as_ref().ok().and_then(|head| head.written_at),
            sequencer: request.sequencer.clone(),
            reported: false,
            published: false,
        };
        match self.records.save(&record).await {
            Ok(()) => Ok(Scan::Recorded(Box::new(record))),
            Err(StoreError::PreconditionFailed) => Ok(Scan::Overtaken),
            Err(error) => Err(ScanError::Record(error)),
        }
    }

    /// Shows a record in the object's tags and on the topic, once.
    async fn settle(&self, record: &ScanRecord) -> Result<Settled, ScanError> {
        let tagged = match self.tag(record).await {
            Ok(tagged) => tagged,
            Err(ScanError::Tag(StoreError::NotFound)) => {
                let removed = self.records.remove(&record.object, record.sequencer.as_ref()).await;
                return removed.map(|()| Settled::Gone).map_err(ScanError::Record);
            }
            // Tags of its uploader's, or a policy, must not silence an infection: it is reported before its message fails. And
            // what cannot be tagged must not stay where anybody can read it.
            Err(error) if is_infected(record) && error.is_lasting() => {
                return match (self.publish(record).await?, self.infected.quarantine_bucket.is_some()) {
                    (Settled::Done, true) => self.contain_and_mark(record).await,
                    // Not reported while it has no tags, so that passes ask for it until it has.
                    (Settled::Done, false) => Err(error),
                    (other, _) => Ok(other),
                };
            }
            Err(error) => return Err(error),
        };
        if !tagged && record.reported {
            return if is_infected(record) { self.contain(record).await } else { Ok(Settled::Done) };
        }
        if !self.still_holds(record).await? {
            return Ok(Settled::Overtaken);
        }
        match self.publish(record).await? {
            Settled::Done if is_infected(record) => self.contain_and_mark(record).await,
            Settled::Done => self.mark_reported(record).await,
            other => Ok(other),
        }
    }

    /// Contains an infected object, and only then marks its record: what was not contained is asked for again.
    async fn contain_and_mark(&self, record: &ScanRecord) -> Result<Settled, ScanError> {
        match self.contain(record).await? {
            Settled::Done => self.mark_reported(record).await,
            other => Ok(other),
        }
    }

    async fn contain(&self, record: &ScanRecord) -> Result<Settled, ScanError> {
        match contain(self.objects, record, self.infected).await {
            Ok(Contained::InPlace) => Ok(Settled::Done),
            Ok(contained) => {
                tracing::warn!(
                    s3.bucket = record.object.bucket,
                    s3.key = record.object.key,
                    s3.version_id = record.object.version_id,
                    outcome = ?contained,
                    "infected object contained"
                );
                Ok(Settled::Done)
            }
            Err(StoreError::PreconditionFailed) => Ok(Settled::Overtaken),
            Err(error) => Err(ScanError::Contain(error)),
        }
    }

    /// Publishes a record's result once. The record of an infected object says so before its tags are complete.
    async fn publish(&self, record: &ScanRecord) -> Result<Settled, ScanError> {
        if record.reported || record.published {
            return Ok(Settled::Done);
        }
        self.reports.ended(record).await.map_err(ScanError::Publish)?;
        if is_infected(record) { marked(self.records.mark_published(record).await) } else { Ok(Settled::Done) }
    }

    /// Marks a record whose tags and result are out.
    async fn mark_reported(&self, record: &ScanRecord) -> Result<Settled, ScanError> {
        marked(self.records.mark_reported(record).await)
    }

    /// Merges the record's tags into the object's; tells whether that took a write.
    async fn tag(&self, record: &ScanRecord) -> Result<bool, ScanError> {
        let existing = self.objects.tags(&record.object).await.map_err(ScanError::Tag)?;
        let tags = match plan_tags(&existing, &record.verdict, record.scanned_at, self.names) {
            TagPlan::Put(tags) => tags,
            TagPlan::NoRoom if matches!(record.verdict, Verdict::Infected { .. }) => {
                return Err(ScanError::NoRoomForStatus);
            }
            TagPlan::Keep | TagPlan::NoRoom => return Ok(false),
        };
        self.objects.put_tags(&record.object, &tags).await.map_err(ScanError::Tag)?;
        Ok(true)
    }

    /// Whether the object still has the bytes that were scanned. S3 has no conditional tagging, so an overwrite between
    /// scan and tag would carry the old bytes' verdict; a version named by its id cannot be overwritten.
    async fn still_holds(&self, record: &ScanRecord) -> Result<bool, ScanError> {
        if record.object.is_immutable() {
            return Ok(true);
        }
        match self.objects.head(&record.object).await {
            Ok(head) => Ok(head.etag == record.etag),
            Err(StoreError::NotFound) => Ok(false),
            Err(StoreError::Unreadable(..) | StoreError::Denied(_)) => {
                Ok(record.etag.is_empty() || is_infected(record))
            }
            Err(error) => Err(ScanError::Read(error)),
        }
    }
}

/// Looks at the bytes, as far as the record of an elder scan of them does not tell; `None` when it tells everything.
async fn look(
    object: &ObjectId,
    head: &ObjectHead,
    elder: Option<&ScanRecord>,
    inspector: &mut impl Inspector,
) -> Result<Option<Inspection>, ScanError> {
    if let Some(elder) = elder {
        match inspector.reinspect(elder, head).await? {
            Reinspection::Stands => return Ok(None),
            Reinspection::Seen(inspection) => return Ok(Some(inspection)),
            Reinspection::Everything => {}
        }
    }
    inspector.inspect(object, head).await.map(Some)
}

/// Whether a mark was set. Also says whether a newer record was written while we tagged: then our tags may stand over its own.
fn marked(result: Result<(), StoreError>) -> Result<Settled, ScanError> {
    match result {
        Ok(()) => Ok(Settled::Done),
        Err(StoreError::PreconditionFailed) => Ok(Settled::Overtaken),
        Err(error) => Err(ScanError::Record(error)),
    }
}

fn is_infected(record: &ScanRecord) -> bool {
    matches!(record.verdict, Verdict::Infected { .. })
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
