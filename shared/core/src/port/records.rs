//! Records of scans, in a table.

use std::future::Future;

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;
use crate::{
    generation::Generation,
    object::{ObjectId, Sequencer},
    rescan::request_mark::RequestMark,
    scan_record::{RecordSummary, ScanRecord},
};

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
