//! The scanner under everything at once: uploads, kills, messages sent twice, late and broken, and new definitions in between.
//!
//! `SOAK_OBJECTS` is the number of object versions, `SOAK_SEED` repeats a plan; the order in which processes meet is never the same.

mod audit;
mod content;
mod disorder;
mod kills;
mod plan;
mod queues;
mod soak;
mod upload;
