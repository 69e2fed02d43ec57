//! A table that throttles and a topic that refuses, at random.

use std::sync::Mutex;

use nacre_core::{
    generation::Generation,
    port::{Call, Page, RecordPages, Segment, StoreError, TableExtent, Topic, TopicMessage},
    rescan::request_mark::RequestMark,
    scan_record::RecordSummary,
};
use nacre_test_support::Random;

/// The random source of several ports at once.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<Random>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Random::new(seed)))
    }

    /// A number below `bound`.
    pub(crate) fn roll(&self, bound: usize) -> usize {
        self.0.lock().unwrap().below(bound)
    }
}

/// A port that fails one call in three.
pub(crate) struct Unreliable<'a, Port> {
    pub(crate) port: &'a Port,
    pub(crate) dice: &'a Dice,
}

impl<Port> Unreliable<'_, Port> {
    async fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let throttled = || Err(StoreError::Unavailable(Call::new("a call", "a port"), "throttled".into()));
        match self.dice.roll(6) {
            0 => throttled(),
            1 => call.await.and_then(|_| throttled()),
            _ => call.await,
        }
    }
}

impl<Port: RecordPages> RecordPages for Unreliable<'_, Port> {
    type Cursor = Port::Cursor;

    async fn extent(&self) -> Result<TableExtent, StoreError> {
        self.call(self.port.extent()).await
    }

    async fn advance_generation(&self, record: &RecordSummary, published: Generation) -> Result<(), StoreError> {
        self.call(self.port.advance_generation(record, published)).await
    }

    async fn mark_requested(&self, record: &RecordSummary, mark: RequestMark) -> Result<(), StoreError> {
        self.call(self.port.mark_requested(record, mark)).await
    }

    async fn page(&self, segment: Segment, after: Option<Self::Cursor>) -> Result<Page<Self::Cursor>, StoreError> {
        self.call(self.port.page(segment, after)).await
    }
}

impl<Port: Topic> Topic for Unreliable<'_, Port> {
    async fn publish(&self, message: &TopicMessage) -> Result<(), StoreError> {
        self.call(self.port.publish(message)).await
    }

    async fn publish_all(&self, messages: &[TopicMessage]) -> Result<Vec<usize>, StoreError> {
        let (refused, taken): (Vec<_>, Vec<_>) = messages.iter().enumerate().partition(|_| self.dice.roll(3) == 0);
        let taken: Vec<TopicMessage> = taken.into_iter().map(|(_, message)| message.clone()).collect();
        self.call(self.port.publish_all(&taken)).await?;
        Ok(refused.into_iter().map(|(index, _)| index).collect())
    }
}
