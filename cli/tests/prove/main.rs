//! `nacre prove` as a user runs it.
//!
//! The module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod own_files;
