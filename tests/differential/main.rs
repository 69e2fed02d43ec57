//! Our programs beside ClamAV's own.
//!
//! The module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod incremental;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod verdicts;
