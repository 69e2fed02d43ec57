//! ClamAV's databases: their formats, their signatures, and the generations that we publish of them.

pub mod archive;
pub mod cdiff;
pub mod context;
pub mod cvd;
pub mod database;
pub mod delta;
pub mod detached_signature;
pub mod digital_signature;
pub mod engine_form;
pub mod history;
pub mod ignored;
pub mod info;
pub mod manifest;
pub mod signature;
#[cfg(any(feature = "signing", test))]
pub mod signing;
mod split;
pub mod trust_anchor;
pub mod unpacked;
