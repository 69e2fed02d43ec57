//! What the watch over a deployment uses: test files, the lengths of queues, and the records that a person should check.

use std::future::Future;

use chrono::{DateTime, Utc};

use super::StoreError;
use crate::{object::ObjectId, tag_policy::Tag};

/// The answer to a reader of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The bytes were returned.
    Readable,
    /// A policy refused them.
    Refused,
    /// There is no such object.
    Missing,
}

/// Objects that a self-test uploads, reads and removes.
pub trait TestObjects: Sync {
    /// Uploads an object without tags; returns it with its version.
    ///
    /// # Errors
    /// The store's.
    fn upload(
        &self,
        bucket: &str,
        key: &str,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<ObjectId, StoreError>> + Send;

    /// Reads the tags of exactly this version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not there.
    fn tags(&self, object: &ObjectId) -> impl Future<Output = Result<Vec<Tag>, StoreError>> + Send;

    /// Reads the object as any reader would.
    ///
    /// # Errors
    /// The store's, but for those that are a [`Reading`].
    fn read(&self, object: &ObjectId) -> impl Future<Output = Result<Reading, StoreError>> + Send;

    /// Removes exactly this version; a missing one is no error.
    ///
    /// # Errors
    /// The store's.
    fn remove(&self, object: &ObjectId) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The lengths of queues.
pub trait QueueLengths: Sync {
    /// Returns about how many messages can be received from the queue.
    ///
    /// # Errors
    /// The queue's.
    fn length(&self, queue_url: &str) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// The records that a person should check: of infected and of unscannable objects.
pub trait AttentionIndex: Sync {
    /// Lists the newest objects of a verdict, `infected` or `unscannable`, that were scanned since; at most `limit`.
    ///
    /// # Errors
    /// The store's.
    fn newest(
        &self,
        verdict: &str,
        since: DateTime<Utc>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ObjectId>, StoreError>> + Send;
}
