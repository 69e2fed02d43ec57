//! Documentation that is made from the code, and held to it.
//!
//! The module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod configuration;
#[cfg(test)]
mod scale;
