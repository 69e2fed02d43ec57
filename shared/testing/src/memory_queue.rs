//! A queue in memory, which delivers nothing by itself.

use std::sync::Mutex;

use nacre_core::port::{StoreError, WorkQueue};

use crate::lock;

/// A queue in memory.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    bodies: Mutex<Vec<String>>,
}

impl MemoryQueue {
    /// Takes all messages out, in the order in which they were sent.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.bodies))
    }
}

impl WorkQueue for MemoryQueue {
    async fn send(&self, bodies: &[String]) -> Result<(), StoreError> {
        lock(&self.bodies).extend_from_slice(bodies);
        Ok(())
    }
}
