//! Containment of infected objects, once they are tagged and reported: an object stays, is deleted, or is moved to quarantine.
//!
//! Every step may be repeated: after a crash in between, the message is delivered again and the rest is done.

use nacre_core::{
    object::ObjectId,
    port::{Call, ObjectStore, StoreError},
    quarantine::{Provenance, quarantined},
    scan_record::ScanRecord,
};

use crate::config::InfectedSettings;

/// The version that S3 writes over where a bucket keeps no versions, or has stopped to.
const NULL_VERSION: &str = "null";

/// The result of containment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contained {
    /// It stays where it is.
    InPlace,
    /// Its version is deleted.
    Deleted,
    /// Its version is in quarantine, and nowhere else.
    Quarantined,
    /// Its version stays, for it is locked; in quarantine is a copy, where there is one.
    Locked,
}

/// Contains the infected object of a record.
///
/// # Errors
/// The store's; [`StoreError::PreconditionFailed`] when the object has other bytes by now.
pub async fn contain(
    objects: &impl ObjectStore,
    record: &ScanRecord,
    settings: &InfectedSettings,
) -> Result<Contained, StoreError> {
    let object = &record.object;
    if let Some(bucket) = &settings.quarantine_bucket {
        return unless_locked(move_away(objects, record, bucket).await, Contained::Quarantined);
    }
    if settings.delete {
        return unless_locked(objects.delete(object, &record.etag).await, Contained::Deleted);
    }
    Ok(Contained::InPlace)
}

/// Nobody can remove a locked version, so to try again would end as a dead letter: what is left is that nobody reads it.
fn unless_locked(outcome: Result<(), StoreError>, contained: Contained) -> Result<Contained, StoreError> {
    match outcome {
        Ok(()) => Ok(contained),
        Err(StoreError::Locked(..)) => Ok(Contained::Locked),
        Err(error) => Err(error),
    }
}

/// Moves a version to quarantine: its provenance first, then a copy, whose size is checked, and only then it is deleted.
async fn move_away(objects: &impl ObjectStore, record: &ScanRecord, bucket: &str) -> Result<(), StoreError> {
    let place = quarantined(bucket, &record.object, &record.etag);
    // A version that cannot be deleted comes back with every redelivery and rescan, and quarantine keeps versions. The bytes of an id
    // never change, so what is there of it is whole; those of an object without one may have the same ETag and be others.
    let is_fixed = record.object.version_id.as_deref().is_some_and(|version| version != NULL_VERSION);
    if is_fixed && is_there(objects, &place.content, Some(record.size)).await? {
        return objects.delete(&record.object, &record.etag).await;
    }
    if !is_fixed || !is_there(objects, &place.provenance, None).await? {
        objects.write(&place.provenance, Provenance::of(record).to_bytes()).await?;
    }
    match objects.copy(&record.object, &record.etag, &place.content).await {
        Ok(()) => {}
        // Moved by a previous attempt, or deleted by its owner.
        Err(StoreError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    }
    let copied = objects.head(&place.content).await?;
    if copied.size != record.size {
        let (found, expected) = (copied.size, record.size);
        return Err(StoreError::Unexpected(
            Call::new("CopyObject", record.object.to_string()),
            format!("the copy has {found} of {expected} bytes").into(),
        ));
    }
    objects.delete(&record.object, &record.etag).await
}

/// Whether quarantine has it, of this size.
async fn is_there(objects: &impl ObjectStore, object: &ObjectId, size: Option<u64>) -> Result<bool, StoreError> {
    match objects.head(object).await {
        Ok(head) => Ok(size.is_none_or(|size| head.size == size)),
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an object is in quarantine: nothing there is scanned, whatever events arrive.
pub fn is_quarantined(object: &ObjectId, settings: &InfectedSettings) -> bool {
    settings.quarantine_bucket.as_ref().is_some_and(|bucket| *bucket == object.bucket)
}

#[cfg(test)]
mod tests {
    use nacre_core::verdict::Verdict;
    use nacre_testing::{
        failing::{Failing, Plan, When},
        memory_objects::MemoryObjects,
    };

    use super::*;
    use crate::result_message::tests::record;

    async fn infected(objects: &MemoryObjects, bucket: &str) -> ScanRecord {
        let object = objects.put(bucket, "../a key", "evil");
        let head = objects.head(&object).await.unwrap();
        let verdict = Verdict::Infected { signatures: vec!["Test.Evil".into()] };
        ScanRecord { object, etag: head.etag, size: head.size, ..record(verdict) }
    }

    fn quarantine() -> InfectedSettings {
        InfectedSettings { delete: false, quarantine_bucket: Some("quarantine".into()) }
    }

    #[tokio::test]
    async fn a_quarantined_object_is_in_one_place_whatever_fails_on_the_way() {
        for bucket in ["plain", "versioned"] {
            for when in [When::Before, When::After] {
                for nth in 1.. {
                    let objects = MemoryObjects::default();
                    let harmless = objects.put(bucket, "other", "good");
                    let record = infected(&objects, bucket).await;
                    let plan = &Plan::new(nth, when);
                    let _ = contain(&Failing { port: &objects, plan }, &record, &quarantine()).await;
                    let there = objects.head(&record.object).await.is_ok();
                    let place = quarantined("quarantine", &record.object, &record.etag);
                    let copied = objects.bytes("quarantine", &place.content.key);
                    assert!(there || copied.is_some(), "lost at {nth}");

                    assert_eq!(contain(&objects, &record, &quarantine()).await.unwrap(), Contained::Quarantined);
                    assert!(matches!(objects.head(&record.object).await, Err(StoreError::NotFound(_))));
                    assert_eq!(objects.bytes("quarantine", &place.content.key).unwrap(), b"evil");
                    let provenance = objects.bytes("quarantine", &place.provenance.key).unwrap();
                    assert_eq!(Provenance::parse(&provenance).unwrap(), Provenance::of(&record));
                    assert!(objects.head(&harmless).await.is_ok());
                    if !plan.was_reached() {
                        break;
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_locked_version_is_copied_to_quarantine_once() {
        let objects = MemoryObjects::default();
        let record = infected(&objects, "versioned").await;
        objects.lock(&record.object);
        let settings = InfectedSettings { delete: false, quarantine_bucket: Some("versioned-quarantine".into()) };
        for _ in 0..3 {
            assert_eq!(contain(&objects, &record, &settings).await.unwrap(), Contained::Locked);
        }
        // Found again by other definitions: the place is that of the bytes.
        let again = ScanRecord { verdict: Verdict::Infected { signatures: vec!["Other".into()] }, ..record.clone() };
        assert_eq!(contain(&objects, &again, &settings).await.unwrap(), Contained::Locked);
        let place = quarantined("versioned-quarantine", &record.object, &record.etag);
        for object in [&place.content, &place.provenance] {
            assert_eq!(objects.versions("versioned-quarantine", &object.key), 1, "{object}");
        }
        let provenance = objects.bytes("versioned-quarantine", &place.provenance.key).unwrap();
        assert_eq!(Provenance::parse(&provenance).unwrap(), Provenance::of(&record));
    }

    #[tokio::test]
    async fn only_the_infected_version_is_deleted() {
        let objects = MemoryObjects::default();
        let record = infected(&objects, "versioned").await;
        let newer = objects.put("versioned", "../a key", "good");
        let settings = InfectedSettings { delete: true, quarantine_bucket: None };
        assert_eq!(contain(&objects, &record, &settings).await.unwrap(), Contained::Deleted);
        assert!(objects.head(&record.object).await.is_err() && objects.head(&newer).await.is_ok());
        // Written over meanwhile where no versions are kept: other bytes are not ours to delete.
        let record = infected(&objects, "plain").await;
        let newer = objects.put("plain", "../a key", "good");
        let lost = contain(&objects, &record, &settings).await;
        assert!(matches!(lost, Err(StoreError::PreconditionFailed(_))), "{lost:?}");
        assert!(objects.head(&newer).await.is_ok());
    }

    #[tokio::test]
    async fn without_a_setting_it_stays() {
        let objects = MemoryObjects::default();
        let record = infected(&objects, "plain").await;
        assert_eq!(contain(&objects, &record, &InfectedSettings::default()).await.unwrap(), Contained::InPlace);
        assert!(objects.head(&record.object).await.is_ok());
        assert!(is_quarantined(&ObjectId::new("quarantine", "x", None), &quarantine()));
        assert!(!is_quarantined(&record.object, &quarantine()));
    }
}
