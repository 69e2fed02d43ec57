//! Rescans: what changed between two generations, what a record needs, how a pass over all records is worked, and what it costs.

pub mod conclude;
pub mod cost;
pub mod delta_summary;
mod narrowed;
pub mod pass;
pub mod plan;
pub mod planner;
pub mod request_mark;
pub mod trigger;
mod window;
