//! ClamAV's formats: containers, signatures, scripts of changes, and what they are signed with.
//!
//! Pure: bytes come in as slices and readers, and results go out as values. No clock, no environment, no network, no files.

pub mod archive;
#[cfg(any(feature = "builder", test))]
pub mod builder;
pub mod cdiff;
pub mod context;
pub mod cvd;
pub mod database;
pub mod delta;
pub mod detached_signature;
pub mod digest;
pub mod digital_signature;
pub mod dns_record;
pub mod file_types;
pub mod ignored;
pub mod info;
pub mod load_order;
pub mod loose;
mod mistaken;
pub mod narrowing;
pub mod pattern_length;
pub mod signature;
pub mod signing;
mod split;
pub mod trust_anchor;
pub mod unpacked;
pub mod yara;
