//! The updater's runs against mirrors good and bad, with a real engine and a definitions bucket in memory.

mod cool_downs;
mod deltas;
mod found_by_attack;
mod freshclam;
mod freshclams_own;
mod hostility;
mod kills;
mod loose_files;
mod meddling;
mod proofs;
mod published;
mod scan_sets;
mod sources;
mod world;
