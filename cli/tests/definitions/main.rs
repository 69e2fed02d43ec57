//! `nacre definitions` as a user runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that panics fails, as it should"
)]

mod apply;
mod buckets;
mod build;
mod check;
mod diff;
mod freshclams_data;
mod inspect;
mod keygen;
mod screens;
mod verify;
mod world;
