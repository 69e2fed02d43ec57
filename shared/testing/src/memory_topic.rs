//! A topic that remembers what was published.

use std::sync::Mutex;

use nacre_core::port::{BusEvent, EventBus, FindingImport, StoreError, Topic, TopicMessage};
use serde_json::Value;

use crate::lock;

/// A bus in memory.
#[derive(Debug, Default)]
pub struct MemoryBus {
    events: Mutex<Vec<BusEvent>>,
}

impl MemoryBus {
    /// Everything that was put, in order.
    pub fn events(&self) -> Vec<BusEvent> {
        lock(&self.events).clone()
    }
}

impl EventBus for MemoryBus {
    async fn put(&self, events: &[BusEvent]) -> Result<(), StoreError> {
        lock(&self.events).extend_from_slice(events);
        Ok(())
    }
}

/// Security Hub in memory.
#[derive(Debug, Default)]
pub struct MemoryHub {
    findings: Mutex<Vec<Value>>,
}

impl MemoryHub {
    /// Everything that was imported, in order.
    pub fn findings(&self) -> Vec<Value> {
        lock(&self.findings).clone()
    }
}

impl FindingImport for MemoryHub {
    async fn import(&self, findings: &[Value]) -> Result<Vec<(String, String)>, StoreError> {
        lock(&self.findings).extend_from_slice(findings);
        Ok(Vec::new())
    }
}

impl FindingImport for &MemoryHub {
    async fn import(&self, findings: &[Value]) -> Result<Vec<(String, String)>, StoreError> {
        (**self).import(findings).await
    }
}

/// A topic in memory.
#[derive(Debug, Default)]
pub struct MemoryTopic {
    messages: Mutex<Vec<TopicMessage>>,
}

impl MemoryTopic {
    /// Everything that was published, in order.
    pub fn messages(&self) -> Vec<TopicMessage> {
        lock(&self.messages).clone()
    }
}

impl Topic for MemoryTopic {
    async fn publish(&self, message: &TopicMessage) -> Result<(), StoreError> {
        lock(&self.messages).push(message.clone());
        Ok(())
    }

    async fn publish_all(&self, messages: &[TopicMessage]) -> Result<Vec<usize>, StoreError> {
        lock(&self.messages).extend_from_slice(messages);
        Ok(Vec::new())
    }
}
