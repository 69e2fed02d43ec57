//! The scanner: scans the objects that its messages name, tags them, records the verdict and reports it.

mod batch_order;
pub mod bus_events;
pub mod config;
pub mod containment;
mod counts;
mod delta_engines;
mod engine_cache;
mod handler;
pub mod inspect;
mod log_outcome;
mod ports;
pub mod reports;
pub mod result_message;
pub mod scan;
mod worker_memory;

pub use engine_cache::ReadyError;
pub use handler::{EventError, Function, HandleError, Handled};
pub use nacre_engine_client::local_definitions;
pub use ports::{Ports, Services};
