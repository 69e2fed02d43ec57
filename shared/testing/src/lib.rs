//! Fakes, builders, a failure injector, and the contract suite that holds fakes and adapters to the same behaviour.

pub mod contract;
pub mod documented;
pub mod failing;
pub mod fixed_clock;
pub mod memory_definitions;
pub mod memory_deliveries;
pub mod memory_objects;
pub mod memory_queue;
pub mod memory_records;
pub mod memory_topic;
pub mod records;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what a fake holds; a test that panicked meanwhile has failed anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
