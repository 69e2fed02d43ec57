//! Whole invocations of the scanner with a real engine, in a world in memory.

mod newer_definitions;
mod rescans;
mod world;
