//! Whole passes of the rescanner in a world in memory: killed, repeated, throttled, overtaken, bounded.

mod budgets;
mod disorder;
mod endings;
mod fairness;
mod kills;
mod many_generations;
mod memory;
mod overtaken;
mod renewals;
mod started;
mod unreliable;
mod unreported;
mod world;
