//! Whole invocations of the scanner with a real engine, in a world in memory.

mod lambda;
mod newer_definitions;
mod passes;
mod redeliveries;
mod rescans;
mod scan_sets;
mod world;
