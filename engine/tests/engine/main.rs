//! Drives the real engine over its pipe.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that panics fails, as it should"
)]

mod archives;
mod concurrency;
mod containers;
mod differential;
mod driver;
mod fail_closed;
mod hashes;
mod holes;
mod hostile_corpus;
mod hostility;
mod large;
mod libraries;
mod loading;
mod marks;
mod oracle;
mod sandbox;
mod scanning;
mod second_reader;
