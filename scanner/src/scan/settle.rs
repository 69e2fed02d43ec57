//! Settles a record: its verdict is shown in the object's tags, its result is published, the object is contained, and only then the
//! record is marked as reported. Each step may be repeated.

use lambda_runtime::tracing;
use nacre_core::{
    finding::State,
    port::{ObjectStore, RecordStore, StoreError},
    scan_record::ScanRecord,
    self_test::is_test_file,
    tag_policy::{TagPlan, plan_tags},
};

use super::{ScanError, Scanner};
use crate::{
    containment::{Contained, contain},
    ports::Services,
};

/// The result of an attempt to settle a record.
pub(super) enum Settled {
    /// Tags, result and record are complete.
    Done,
    /// The object or its record changed in the meantime: read both again.
    Overtaken,
    /// The object was removed.
    Gone,
}

impl<S: Services> Scanner<'_, S> {
    /// Settles a record, once; `is_known` says whether people have heard that this object is infected.
    pub(super) async fn settle(&self, record: &ScanRecord, is_known: bool) -> Result<Settled, ScanError> {
        let is_infected = record.verdict.is_infected();
        let tagged = match self.tag(record).await {
            Ok(tagged) => tagged,
            Err(ScanError::Tag(StoreError::NotFound(_))) => {
                if is_infected && is_known {
                    self.find(record, State::Deleted).await?;
                }
                let removed = self.ports.records.remove(&record.object, record.sequencer.as_ref()).await;
                return removed.map(|()| Settled::Gone).map_err(ScanError::Record);
            }
            // Attack: an uploader's tags, or a policy, keep our tags off an infected object. Its result is published before the
            // message fails, and with a quarantine bucket the object does not stay where it can be read.
            Err(error) if is_infected && error.is_permanent() => {
                return match (self.publish(record, is_known).await?, self.infected.quarantine_bucket.is_some()) {
                    // A locked object stays, and its tags are all that would keep readers from it.
                    (Settled::Done, true) => self.contain_and_mark(record, || Err(error)).await,
                    // Not reported while it has no tags, so that passes request it until it has.
                    (Settled::Done, false) => Err(error),
                    (other, _) => Ok(other),
                };
            }
            Err(error) => return Err(error),
        };
        if !tagged && record.reported {
            return if is_infected { self.contain_again(record).await } else { Ok(Settled::Done) };
        }
        if !self.is_current(record).await? {
            return Ok(Settled::Overtaken);
        }
        match self.publish(record, is_known).await? {
            Settled::Done if is_infected => self.contain_and_mark(record, || Ok(())).await,
            Settled::Done => marked(self.ports.records.mark_reported(record).await),
            other => Ok(other),
        }
    }

    /// Contains an infected object, and only then marks its record: an object that was not contained is requested again. `if_locked`
    /// says whether a locked object, which stays, counts as contained.
    async fn contain_and_mark(
        &self,
        record: &ScanRecord,
        if_locked: impl FnOnce() -> Result<(), ScanError>,
    ) -> Result<Settled, ScanError> {
        match self.contain(record).await? {
            None => return Ok(Settled::Overtaken),
            Some(Contained::Locked) => if_locked()?,
            Some(_) => {}
        }
        marked(self.ports.records.mark_reported(record).await)
    }

    async fn contain_again(&self, record: &ScanRecord) -> Result<Settled, ScanError> {
        Ok(self.contain(record).await?.map_or(Settled::Overtaken, |_| Settled::Done))
    }

    /// Contains an infected object; `None` when the object has other bytes by now.
    async fn contain(&self, record: &ScanRecord) -> Result<Option<Contained>, ScanError> {
        // It stays, for a reader to be refused; whoever made it removes it.
        if is_test_file(record) {
            return Ok(Some(Contained::InPlace));
        }
        match contain(&self.ports.objects, record, self.infected).await {
            Ok(Contained::InPlace) => Ok(Some(Contained::InPlace)),
            Ok(contained) => {
                tracing::warn!(
                    s3.bucket = record.object.bucket,
                    s3.key = record.object.key,
                    s3.version_id = record.object.version_id,
                    outcome = ?contained,
                    "infected object contained"
                );
                match contained {
                    Contained::Deleted => self.find(record, State::Deleted).await?,
                    Contained::Quarantined => self.find(record, State::Quarantined).await?,
                    Contained::InPlace | Contained::Locked => {}
                }
                Ok(Some(contained))
            }
            Err(StoreError::PreconditionFailed(_)) => Ok(None),
            Err(error) => Err(ScanError::Contain(error)),
        }
    }

    /// Publishes a record's result once. The record of an infected object says so before its tags are complete.
    async fn publish(&self, record: &ScanRecord, is_known: bool) -> Result<Settled, ScanError> {
        if record.reported || record.published {
            return Ok(Settled::Done);
        }
        self.reports().scan_ended(record).await.map_err(ScanError::Publish)?;
        if !is_known {
            self.reports().infected(record).await.map_err(ScanError::Publish)?;
        }
        if record.verdict.is_infected() {
            self.find(record, if is_known { State::FoundAgain } else { State::Found }).await?;
            marked(self.ports.records.mark_published(record).await)
        } else {
            Ok(Settled::Done)
        }
    }

    /// Publishes what became of an infected object.
    pub(super) async fn find(&self, record: &ScanRecord, state: State) -> Result<(), ScanError> {
        self.reports().finding(record, state).await.map_err(ScanError::Publish)
    }

    /// Merges the record's tags into the object's; returns whether that took a write.
    async fn tag(&self, record: &ScanRecord) -> Result<bool, ScanError> {
        let objects = &self.ports.objects;
        let existing = objects.tags(&record.object).await.map_err(ScanError::Tag)?;
        let tags = match plan_tags(&existing, &record.verdict, record.scanned_at, self.tags) {
            TagPlan::Put(tags) => tags,
            TagPlan::NoRoom if record.verdict.is_infected() => return Err(ScanError::NoRoomForStatus),
            TagPlan::Keep | TagPlan::NoRoom => return Ok(false),
        };
        objects.put_tags(&record.object, &tags).await.map_err(ScanError::Tag)?;
        Ok(true)
    }

    /// Whether the object still has the bytes that were scanned. S3 has no conditional tagging, so an overwrite between
    /// scan and tag would carry the old bytes' verdict; a version named by its id cannot be overwritten.
    async fn is_current(&self, record: &ScanRecord) -> Result<bool, ScanError> {
        if record.object.is_immutable() {
            return Ok(true);
        }
        match self.ports.objects.head(&record.object).await {
            Ok(head) => Ok(head.etag == record.etag),
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(StoreError::Unreadable(..) | StoreError::Denied(..)) => {
                Ok(record.etag.is_empty() || record.verdict.is_infected())
            }
            Err(error) => Err(ScanError::Read(error)),
        }
    }
}

/// Whether a mark was set. If a newer record was written while we tagged, our tags may stand over its own.
fn marked(result: Result<(), StoreError>) -> Result<Settled, ScanError> {
    match result {
        Ok(()) => Ok(Settled::Done),
        Err(StoreError::PreconditionFailed(_)) => Ok(Settled::Overtaken),
        Err(error) => Err(ScanError::Record(error)),
    }
}
