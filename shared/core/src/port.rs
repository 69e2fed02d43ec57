//! The services that the core uses. Each port is small and in our terms; adapters are in `aws`, fakes in `testing`.

mod queue;
mod records;
mod watch;

use std::{error::Error, fmt, future::Future, path::Path};

use chrono::{DateTime, Utc};
pub use queue::{Deliveries, Delivery, WorkQueue};
pub use records::{Page, RecordLookup, RecordPages, RecordStore, Segment, TableExtent};
pub use watch::{AttentionIndex, QueueLengths, Reading, TestObjects};

use crate::{object::ObjectId, tag_policy::Tag};

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

/// Security Hub.
pub trait FindingImport: Sync {
    /// Imports findings in its format, at most 100; returns those that it left out, each with the code that says why.
    ///
    /// # Errors
    /// The service's, when it took none.
    fn import(
        &self,
        findings: &[serde_json::Value],
    ) -> impl Future<Output = Result<Vec<(String, String)>, StoreError>> + Send;
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
