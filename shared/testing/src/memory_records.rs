//! Scan records in memory.

use std::{collections::BTreeMap, sync::Mutex};

use chrono::{DateTime, Utc};
use nacre_core::{
    generation::Generation,
    object::{ObjectId, Sequencer},
    port::{Call, Page, RecordLookup, RecordPages, RecordStore, Segment, StoreError, TableExtent},
    rescan::request_mark::RequestMark,
    scan_record::{RecordSummary, ScanRecord},
};

use crate::lock;

/// Records of one page.
const PAGE_RECORDS: usize = 3;

/// Scan records in memory.
#[derive(Debug, Default)]
pub struct MemoryRecords {
    records: Mutex<BTreeMap<(String, String), ScanRecord>>,
}

impl MemoryRecords {
    /// All records, in the order of their keys.
    pub fn records(&self) -> Vec<ScanRecord> {
        lock(&self.records).values().cloned().collect()
    }

    /// Marks the stored record, provided that it still is this one.
    fn mark(&self, record: &ScanRecord, mark: impl FnOnce(&mut ScanRecord)) -> Result<(), StoreError> {
        let mut records = lock(&self.records);
        let same = |stored: &&mut ScanRecord| {
            stored.etag == record.etag
                && stored.generation == record.generation
                && stored.scanned_at == record.scanned_at
        };
        let stored = records.get_mut(&key(&record.object)).filter(same);
        mark(stored.ok_or_else(|| lost(&record.object))?);
        Ok(())
    }
}

fn lost(object: &ObjectId) -> StoreError {
    StoreError::PreconditionFailed(Call::new("a write", format!("the record of {object}")))
}

fn key(object: &ObjectId) -> (String, String) {
    (object.partition_key(), object.sort_key().to_owned())
}

impl RecordStore for MemoryRecords {
    async fn load(&self, object: &ObjectId) -> Result<Option<ScanRecord>, StoreError> {
        Ok(lock(&self.records).get(&key(object)).cloned())
    }

    async fn save(&self, record: &ScanRecord) -> Result<(), StoreError> {
        let mut records = lock(&self.records);
        let key = key(&record.object);
        if records.get(&key).is_some_and(|stored| !record.may_replace(stored)) {
            return Err(lost(&record.object));
        }
        records.insert(key, record.clone());
        Ok(())
    }

    async fn mark_published(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.mark(record, |stored| stored.published = true)
    }

    async fn mark_reported(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.mark(record, |stored| stored.reported = true)
    }

    async fn mark_archived(&self, record: &ScanRecord, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.mark(record, |stored| (stored.archived_at, stored.requested) = (Some(at), None))
    }

    async fn answer_request(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.mark(record, |stored| stored.requested = None)
    }

    async fn discard(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.mark(record, |_| ())?;
        lock(&self.records).remove(&key(&record.object));
        Ok(())
    }

    async fn remove(&self, object: &ObjectId, removed_at: Option<&Sequencer>) -> Result<(), StoreError> {
        let mut records = lock(&self.records);
        let newer = |stored: &ScanRecord| match (&stored.sequencer, removed_at) {
            (Some(stored), Some(removed_at)) => stored.order(removed_at).is_gt(),
            _ => false,
        };
        if !records.get(&key(object)).is_some_and(newer) {
            records.remove(&key(object));
        }
        Ok(())
    }
}

impl RecordLookup for MemoryRecords {
    async fn recorded_etags(&self, objects: &[ObjectId]) -> Result<Vec<Option<String>>, StoreError> {
        let records = lock(&self.records);
        let reported = |object| records.get(&key(object)).filter(|record| record.reported);
        Ok(objects.iter().map(|object| reported(object).map(|record| record.etag.clone())).collect())
    }
}

impl RecordPages for MemoryRecords {
    type Cursor = usize;

    async fn extent(&self) -> Result<TableExtent, StoreError> {
        let items = lock(&self.records).len() as u64;
        Ok(TableExtent { items, bytes: items * 500 })
    }

    async fn advance_generation(&self, record: &RecordSummary, published: Generation) -> Result<(), StoreError> {
        let mut records = lock(&self.records);
        let same = |stored: &&mut ScanRecord| {
            stored.etag == record.etag && stored.generation == record.generation && stored.reported
        };
        let stored = records.get_mut(&key(&record.object)).filter(same);
        let stored = stored.ok_or_else(|| lost(&record.object))?;
        stored.generation = published;
        Ok(())
    }

    async fn mark_requested(&self, record: &RecordSummary, mark: RequestMark) -> Result<(), StoreError> {
        let mut records = lock(&self.records);
        let same = |stored: &&mut ScanRecord| stored.etag == record.etag && stored.generation == record.generation;
        let stored = records.get_mut(&key(&record.object)).filter(same);
        stored.ok_or_else(|| lost(&record.object))?.requested = Some(mark);
        Ok(())
    }

    async fn page(&self, segment: Segment, after: Option<usize>) -> Result<Page<usize>, StoreError> {
        let records = lock(&self.records);
        let ours = records.values().enumerate().filter(|(n, _)| n % segment.total as usize == segment.index as usize);
        let left: Vec<&ScanRecord> = ours.map(|(_, record)| record).skip(after.unwrap_or(0)).collect();
        let summary = |record: &&ScanRecord| RecordSummary {
            object: record.object.at_version(Some(record.object.sort_key().to_owned())),
            ..RecordSummary::from(*record)
        };
        let next = (left.len() > PAGE_RECORDS).then(|| after.unwrap_or(0) + PAGE_RECORDS);
        Ok(Page { records: left.iter().take(PAGE_RECORDS).map(summary).collect(), unreadable: 0, next })
    }
}
