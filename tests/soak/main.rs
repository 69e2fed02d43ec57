//! The scanner under everything at once: uploads, kills, messages told twice, late and broken, and new definitions in between.
//!
//! `SOAK_OBJECTS` is the number of object versions, `SOAK_SEED` repeats a plan; the order in which processes meet is never the same.
//!
//! Each module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod content;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod disorder;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod soak;
#[cfg(test)]
#[path = "../end_to_end/support.rs"]
mod support;
#[cfg(test)]
mod upload;
