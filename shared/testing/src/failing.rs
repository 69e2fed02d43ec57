//! A failure injector: of all calls to the ports that share a plan, the n-th fails.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use nacre_core::{
    generation::Generation,
    object::{ObjectId, Sequencer},
    port::{
        BusEvent, Call, DefinitionsStore, Deliveries, Delivery, EventBus, Listed, ObjectHead, ObjectStore, Page,
        RecordLookup, RecordPages, RecordStore, Segment, StoreError, Stored, TableExtent, Topic, TopicMessage,
        WorkQueue, WriteCondition,
    },
    rescan::request_mark::RequestMark,
    scan_record::{RecordSummary, ScanRecord},
    tag_policy::Tag,
};

/// When the failing call fails: a caller cannot see the difference, and both must converge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before it had any effect.
    Before,
    /// After it took effect: only the response was lost.
    After,
}

/// Which call fails.
#[derive(Debug)]
pub struct Plan {
    nth: u64,
    when: When,
    calls: AtomicU64,
}

impl Plan {
    /// Fails the `nth` call, counted from 1.
    pub fn new(nth: u64, when: When) -> Self {
        Self { nth, when, calls: AtomicU64::new(0) }
    }

    /// Fails no call.
    pub fn never() -> Self {
        Self::new(0, When::Before)
    }

    /// Whether the failing call was reached.
    pub fn was_reached(&self) -> bool {
        self.calls.load(Ordering::SeqCst) >= self.nth
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let fails = self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.nth;
        let failure = || Err(StoreError::Unavailable(Call::new("a call", "a port"), "injected failure".into()));
        match (fails, self.when) {
            (true, When::Before) => failure(),
            (true, When::After) => {
                // Whatever it was: an error of the port's own is lost as well.
                let _ = call.await;
                failure()
            }
            (false, _) => call.await,
        }
    }
}

/// A port of which one call fails.
#[derive(Debug)]
pub struct Failing<'a, Port> {
    /// The port itself.
    pub port: &'a Port,
    /// Which call fails.
    pub plan: &'a Plan,
}

impl<Port: ObjectStore> ObjectStore for Failing<'_, Port> {
    async fn head(&self, object: &ObjectId) -> Result<ObjectHead, StoreError> {
        self.plan.call(self.port.head(object)).await
    }

    async fn download(&self, object: &ObjectId, head: &ObjectHead, path: &Path) -> Result<(), StoreError> {
        self.plan.call(self.port.download(object, head, path)).await
    }

    async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StoreError> {
        self.plan.call(self.port.tags(object)).await
    }

    async fn put_tags(&self, object: &ObjectId, tags: &[Tag]) -> Result<(), StoreError> {
        self.plan.call(self.port.put_tags(object, tags)).await
    }

    async fn copy(&self, object: &ObjectId, etag: &str, to: &ObjectId) -> Result<(), StoreError> {
        self.plan.call(self.port.copy(object, etag, to)).await
    }

    async fn write(&self, object: &ObjectId, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.plan.call(self.port.write(object, bytes)).await
    }

    async fn delete(&self, object: &ObjectId, etag: &str) -> Result<(), StoreError> {
        self.plan.call(self.port.delete(object, etag)).await
    }
}

impl<Port: EventBus> EventBus for Failing<'_, Port> {
    async fn put(&self, events: &[BusEvent]) -> Result<(), StoreError> {
        self.plan.call(self.port.put(events)).await
    }
}

impl<Port: RecordStore> RecordStore for Failing<'_, Port> {
    async fn load(&self, object: &ObjectId) -> Result<Option<ScanRecord>, StoreError> {
        self.plan.call(self.port.load(object)).await
    }

    async fn save(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.plan.call(self.port.save(record)).await
    }

    async fn mark_published(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.plan.call(self.port.mark_published(record)).await
    }

    async fn mark_reported(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.plan.call(self.port.mark_reported(record)).await
    }

    async fn mark_archived(&self, record: &ScanRecord, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.plan.call(self.port.mark_archived(record, at)).await
    }

    async fn answer_request(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.plan.call(self.port.answer_request(record)).await
    }

    async fn discard(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.plan.call(self.port.discard(record)).await
    }

    async fn remove(&self, object: &ObjectId, removed_at: Option<&Sequencer>) -> Result<(), StoreError> {
        self.plan.call(self.port.remove(object, removed_at)).await
    }
}

impl<Port: RecordLookup> RecordLookup for Failing<'_, Port> {
    async fn recorded_etags(&self, objects: &[ObjectId]) -> Result<Vec<Option<String>>, StoreError> {
        self.plan.call(self.port.recorded_etags(objects)).await
    }
}

impl<Port: RecordPages> RecordPages for Failing<'_, Port> {
    type Cursor = Port::Cursor;

    async fn extent(&self) -> Result<TableExtent, StoreError> {
        self.plan.call(self.port.extent()).await
    }

    async fn advance_generation(&self, record: &RecordSummary, published: Generation) -> Result<(), StoreError> {
        self.plan.call(self.port.advance_generation(record, published)).await
    }

    async fn mark_requested(&self, record: &RecordSummary, mark: RequestMark) -> Result<(), StoreError> {
        self.plan.call(self.port.mark_requested(record, mark)).await
    }

    async fn page(&self, segment: Segment, after: Option<Self::Cursor>) -> Result<Page<Self::Cursor>, StoreError> {
        self.plan.call(self.port.page(segment, after)).await
    }
}

impl<Port: Topic> Topic for Failing<'_, Port> {
    async fn publish(&self, message: &TopicMessage) -> Result<(), StoreError> {
        self.plan.call(self.port.publish(message)).await
    }

    async fn publish_all(&self, messages: &[TopicMessage]) -> Result<Vec<usize>, StoreError> {
        self.plan.call(self.port.publish_all(messages)).await
    }
}

impl<Port: WorkQueue> WorkQueue for Failing<'_, Port> {
    async fn send(&self, bodies: &[String]) -> Result<(), StoreError> {
        self.plan.call(self.port.send(bodies)).await
    }
}

impl<Port: Deliveries> Deliveries for Failing<'_, Port> {
    async fn postpone(&self, delivery: &Delivery, wait: Duration) -> Result<(), StoreError> {
        self.plan.call(self.port.postpone(delivery, wait)).await
    }
}

impl<Port: DefinitionsStore> DefinitionsStore for Failing<'_, Port> {
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        self.plan.call(self.port.read(key, limit)).await
    }

    async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        self.plan.call(self.port.read_changed(key, etag, limit)).await
    }

    async fn read_part(&self, key: &str, from: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.plan.call(self.port.read_part(key, from, length)).await
    }

    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        self.plan.call(self.port.write(key, bytes, tags, condition)).await
    }

    async fn copy(&self, from: &str, etag: &str, to: &str, tags: &[Tag]) -> Result<String, StoreError> {
        self.plan.call(self.port.copy(from, etag, to, tags)).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.plan.call(self.port.list(prefix, limit)).await
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.plan.call(self.port.remove(key)).await
    }
}
