//! Whole passes of the rescanner in a world in memory: killed, told twice, throttled, overtaken, bounded.
//!
//! Each module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod budgets;
#[cfg(test)]
mod disorder;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod renewals;
#[cfg(test)]
mod started;
#[cfg(test)]
mod unreliable;
#[cfg(test)]
mod unreported;
#[cfg(test)]
mod world;
