//! `nacre definitions` as a user runs it.
//!
//! The modules are marked as tests, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod apply;
#[cfg(test)]
mod buckets;
#[cfg(test)]
mod build;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod freshclams_data;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod keygen;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod world;
