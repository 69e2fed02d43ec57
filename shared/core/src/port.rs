//! The services that the core uses. Each port is small and in our terms; adapters are in `aws`, fakes in `testing`.

mod queue;
mod watch;

use std::{error::Error, fmt, future::Future, path::Path};

use chrono::{DateTime, Utc};
pub use queue::{Deliveries, Delivery, WorkQueue};
use serde::{Serialize, de::DeserializeOwned};
pub use watch::{AttentionIndex, QueueLengths, Reading, TestObjects};

use crate::{
    generation::Generation,
    object::{ObjectId, Sequencer},
    rescan::request_mark::RequestMark,
    scan_record::{RecordSummary, ScanRecord},
    tag_policy::Tag,
};

/// A call to a service: the operation, by its name in AWS's API, and its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    operation: &'static str,
    target: String,
}

impl Call {
    /// The call of an operation on a target: a URL of S3, a table with an item's key, an ARN.
    pub fn new(operation: &'static str, target: impl Into<String>) -> Self {
        Self { operation, target: target.into() }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.operation, self.target)
    }
}

/// Why a call failed, by what the caller can do about it. It names the call, so that no caller has to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such object, version or item.
    #[error("{0}: not found")]
    NotFound(Call),
    /// A conditional call lost the race; re-read, then decide again.
    #[error("{0}: precondition failed")]
    PreconditionFailed(Call),
    /// The caller may not do this; the same call fails until someone changes a policy.
    #[error("{0}: access denied")]
    Denied(Call, #[source] Box<dyn Error + Send + Sync>),
    /// The stored object may not be removed: S3 Object Lock, or MFA delete.
    #[error("{0}: the object is locked")]
    Locked(Call, #[source] Box<dyn Error + Send + Sync>),
    /// The stored object cannot be read as it is.
    #[error("{1}: not readable as it is stored")]
    Unreadable(Obstacle, Call, #[source] Box<dyn Error + Send + Sync>),
    /// Throttled, timed out or 5xx; the same call may work later.
    #[error("{0}: service unavailable")]
    Unavailable(Call, #[source] Box<dyn Error + Send + Sync>),
    /// The response is not valid, or the request was refused for its form.
    #[error("{0}: unexpected response")]
    Unexpected(Call, #[source] Box<dyn Error + Send + Sync>),
}

/// What keeps a stored object from its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is in an archive tier.
    Archived,
    /// It is encrypted with a key that only its uploader has (SSE-C).
    CustomerKey,
    /// It is encrypted with a KMS key that is disabled, deleted, or not the caller's to use.
    KeyUnusable,
}

/// The response of HEAD on one object version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// The version; `None` in a bucket that keeps no versions.
    pub version_id: Option<String>,
    /// ETag without its quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, if S3 says so.
    pub written_at: Option<DateTime<Utc>>,
}

/// The scanned objects.
pub trait ObjectStore: Sync {
    /// Reads the metadata of an object version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the key, the version or the bucket does not exist, or the version is a delete marker.
    fn head(&self, object: &ObjectId) -> impl Future<Output = Result<ObjectHead, StoreError>> + Send;

    /// Writes the object's bytes to a new file at `path`, and nothing when the object no longer has this ETag.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`] when the ETag changed; [`StoreError::Unexpected`] when the body is not `head.size` bytes.
    fn download(
        &self,
        object: &ObjectId,
        head: &ObjectHead,
        path: &Path,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads the tags of exactly this version.
    ///
    /// # Errors
    /// As [`ObjectStore::head`].
    fn tags(&self, object: &ObjectId) -> impl Future<Output = Result<Vec<Tag>, StoreError>> + Send;

    /// Replaces the whole tag set of exactly this version: S3 has no partial and no conditional form of this call.
    ///
    /// # Errors
    /// As [`ObjectStore::head`].
    fn put_tags(&self, object: &ObjectId, tags: &[Tag]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Copies exactly these bytes, without their tags, to another place, where whatever is there is written over.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`] when the object no longer has this ETag; otherwise as [`ObjectStore::head`].
    fn copy(&self, object: &ObjectId, etag: &str, to: &ObjectId)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a small object.
    ///
    /// # Errors
    /// The store's.
    fn write(&self, object: &ObjectId, bytes: Vec<u8>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes exactly this version for good; where no versions are kept, the object, provided that it still has this ETag.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`] when the object no longer has this ETag; a missing one is no error.
    fn delete(&self, object: &ObjectId, etag: &str) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// An event for an EventBridge bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusEvent {
    /// The source; never beginning with `aws.`, which EventBridge keeps for itself.
    pub source: &'static str,
    /// What kind of event it is.
    pub detail_type: &'static str,
    /// A JSON object, at most 256 KiB with all else.
    pub detail: String,
    /// ARNs of the resources that it is about.
    pub resources: Vec<String>,
}

/// An EventBridge bus.
pub trait EventBus: Sync {
    /// Puts events, at most 10; all or an error.
    ///
    /// # Errors
    /// The bus's.
    fn put(&self, events: &[BusEvent]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The scan records, as the scanner uses them.
pub trait RecordStore: Sync {
    /// Reads one record, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`] when the item is not a record; a record of a *newer* format is `None`: it proves nothing to us.
    fn load(&self, object: &ObjectId) -> impl Future<Output = Result<Option<ScanRecord>, StoreError>> + Send;

    /// Writes a record unless the stored one is newer by [`ScanRecord::may_replace`].
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`] when the stored record is newer.
    fn save(&self, record: &ScanRecord) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Marks the stored record as published: its result is out, but its tags are missing. Only if it still is that record.
    ///
    /// # Errors
    /// As [`RecordStore::mark_reported`].
    fn mark_published(&self, record: &ScanRecord) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Marks the stored record as reported, provided that it still is this one.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`] when another record took its place.
    fn mark_reported(&self, record: &ScanRecord) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes into the stored record that its object is archived, and that a requested rescan is answered by that; only if it still is
    /// that record.
    ///
    /// # Errors
    /// As [`RecordStore::mark_reported`].
    fn mark_archived(
        &self,
        record: &ScanRecord,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the request of a rescan from the stored record, as the record itself answers it; only if it still is that record.
    ///
    /// # Errors
    /// As [`RecordStore::mark_reported`].
    fn answer_request(&self, record: &ScanRecord) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the stored record, provided that it still is this one: it proves nothing, and would keep a newer scan from being saved.
    ///
    /// # Errors
    /// As [`RecordStore::mark_reported`].
    fn discard(&self, record: &ScanRecord) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the record of an object version; a record that is newer than `removed_at` stays.
    ///
    /// # Errors
    /// The store's; a record that is not there is no error.
    fn remove(
        &self,
        object: &ObjectId,
        removed_at: Option<&Sequencer>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The scan records, as a search for unrecorded objects uses them.
pub trait RecordLookup: Sync {
    /// Returns the ETag in the record of each object; `None` where there is no record, or its tags and result are missing.
    ///
    /// # Errors
    /// The store's.
    fn recorded_etags(
        &self,
        objects: &[ObjectId],
    ) -> impl Future<Output = Result<Vec<Option<String>>, StoreError>> + Send;
}

/// The scan records, as the rescanner pages through them.
pub trait RecordPages: Sync {
    /// The end of a page; opaque, and stored in messages.
    type Cursor: Clone + Send + Sync + Serialize + DeserializeOwned;

    /// The approximate size of the table, some hours old.
    ///
    /// # Errors
    /// The store's.
    fn extent(&self) -> impl Future<Output = Result<TableExtent, StoreError>> + Send;

    /// Writes into a reported record that the published generation would have concluded the same, provided that its generation and its
    /// bytes are still those of `record`.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`] when it is not, or not reported yet.
    fn advance_generation(
        &self,
        record: &RecordSummary,
        published: Generation,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes into a record that a rescan was requested, provided that its generation and its bytes are still those of `record`.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`] when they are not.
    fn mark_requested(
        &self,
        record: &RecordSummary,
        mark: RequestMark,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads one page of one segment of the table.
    ///
    /// # Errors
    /// The store's.
    fn page(
        &self,
        segment: Segment,
        after: Option<Self::Cursor>,
    ) -> impl Future<Output = Result<Page<Self::Cursor>, StoreError>> + Send;
}

/// The size of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableExtent {
    /// Items.
    pub items: u64,
    /// Bytes of all items.
    pub bytes: u64,
}

/// One of the equal parts that the table is read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// From 0 to `total - 1`.
    pub index: u32,
    /// Number of parts, 1 to 1,000,000.
    pub total: u32,
}

/// A page of records.
#[derive(Clone, Debug)]
pub struct Page<Cursor> {
    /// The records, unordered.
    pub records: Vec<RecordSummary>,
    /// Items that are not records of a known format.
    pub unreadable: u64,
    /// Where to go on; `None` at the end of the segment.
    pub next: Option<Cursor>,
}

/// A message for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMessage {
    /// Subject line, ASCII, at most 100 characters.
    pub subject: Option<String>,
    /// Body.
    pub body: String,
    /// String attributes, by name.
    pub attributes: Vec<(String, String)>,
    /// Whether the body is a JSON object with one body per protocol (`MessageStructure=json`).
    pub per_protocol: bool,
}

/// A topic to publish on.
pub trait Topic: Sync {
    /// Publishes one message.
    ///
    /// # Errors
    /// The topic's.
    fn publish(&self, message: &TopicMessage) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Publishes any number of messages, in batches; returns the indices of those that were not accepted.
    ///
    /// # Errors
    /// The topic's, when a whole batch was refused.
    fn publish_all(&self, messages: &[TopicMessage]) -> impl Future<Output = Result<Vec<usize>, StoreError>> + Send;
}

/// When a key of the definitions bucket may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteCondition<'a> {
    /// Whatever is there now.
    Always,
    /// Only when nothing is there.
    Absent,
    /// Only when what is there has this ETag.
    Etag(&'a str),
}

/// A key of the definitions bucket and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// ETag without its quotes.
    pub etag: String,
}

/// A key in a listing of the definitions bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// ETag without its quotes.
    pub etag: String,
    /// When it was written.
    pub modified: DateTime<Utc>,
}

/// The definitions bucket.
pub trait DefinitionsStore: Sync {
    /// Reads a key of at most `limit` bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is missing; [`StoreError::Unexpected`] when it is larger.
    fn read(&self, key: &str, limit: u64) -> impl Future<Output = Result<Stored, StoreError>> + Send;

    /// Reads a key; `None` if it still has this ETag.
    ///
    /// # Errors
    /// As [`DefinitionsStore::read`].
    fn read_changed(
        &self,
        key: &str,
        etag: Option<&str>,
        limit: u64,
    ) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Reads `length` bytes of a key from the offset `from` on, at least one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is missing; [`StoreError::Unexpected`] when it does not have all of them.
    fn read_part(&self, key: &str, from: u64, length: u32) -> impl Future<Output = Result<Vec<u8>, StoreError>> + Send;

    /// Writes a key with object tags; returns the new ETag.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`] when the condition does not hold.
    fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Copies a key of at most 5 GiB within the bucket while it has this ETag, with these tags instead of its own; returns the ETag of
    /// the copy.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when `from` is missing; [`StoreError::PreconditionFailed`] when it has another ETag.
    fn copy(
        &self,
        from: &str,
        etag: &str,
        to: &str,
        tags: &[Tag],
    ) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Lists every key that begins with `prefix`, in order; at most `limit`, beyond which it is an error.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`] when there are more.
    fn list(&self, prefix: &str, limit: usize) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;

    /// Removes a key; a missing one is no error.
    ///
    /// # Errors
    /// The store's.
    fn remove(&self, key: &str) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The time of day, so that tests choose it.
pub trait Clock: Sync {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}
