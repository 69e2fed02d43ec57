//! The updater's runs against mirrors good and bad, with a real engine and a definitions bucket in memory.
//!
//! Each module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod cool_downs;
#[cfg(test)]
mod found_by_attack;
#[cfg(test)]
mod freshclams_own;
#[cfg(test)]
mod hostility;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod loose_files;
#[cfg(test)]
mod meddling;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod published;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod world;
