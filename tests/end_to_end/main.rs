//! The whole of Nacre on the local stack, through its real entry points.

mod support;

mod contract;
mod definitions;
mod main_job;
mod objects;
mod settings;
