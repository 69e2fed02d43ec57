//! Whole invocations of the scanner with a real engine, in a world in memory.
//!
//! The modules are marked as tests, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod newer_definitions;
#[cfg(test)]
mod rescans;
#[cfg(test)]
mod world;
