//! The whole of Nacre on the local stack, through its real entry points.
//!
//! Each module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod alarms;
#[cfg(test)]
mod backfill;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod definitions;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod mirror_to_others;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod passes;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod results;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod stay;
#[cfg(test)]
mod support;
