//! Scan sets: what a cold start loads instead of all of ClamAV's signatures.
//!
//! Nearly all of them are digests, of files or of sections of Windows programs, and need no engine. A set has three parts for each
//! database. The *body* is everything else, for libclamav to load. The *filter* says of a digest "none of these", or "perhaps". The
//! *shards* are the exact lines, one of which is fetched for each "perhaps". An exact match is still no verdict: a *mini engine* of
//! the matching lines and of everything that steers an engine scans the object again, so that libclamav decides as always.
//!
//! Pure: bytes come in as slices and readers, and results go out as values. Any bytes may come in: the readers return errors.

#[cfg(feature = "packing")]
pub mod body;
#[cfg(feature = "packing")]
pub mod builder;
pub mod filter;
pub mod key;
pub mod line;
#[cfg(feature = "packing")]
pub mod mini;
pub mod pe;
pub mod propose;
#[cfg(feature = "packing")]
pub mod shard;
