//! ClamAV's databases: their formats, their signatures, and the generations that we publish of them.

pub mod archive;
pub mod cvd;
pub mod database;
pub mod digital_signature;
pub mod engine_form;
pub mod info;
pub mod manifest;
pub mod trust_anchor;
