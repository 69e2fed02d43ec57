//! What the benchmarks measure with: synthetic databases, a bucket to publish them in, and what processes take.
//!
//! Each benchmark includes it by its path: benchmarks are programs of their own, and no product needs any of this.

mod databases;
mod directory_store;
mod error;
mod processes;
mod settings;
mod signatures;
mod update;

pub(crate) use databases::Database;
pub(crate) use directory_store::DirectoryDefinitions;
pub(crate) use error::{MaterialError, system};
pub(crate) use processes::{children, cpu_ms, milliseconds};
pub(crate) use settings::{processor, whole_number};
pub(crate) use signatures::{Random, append as append_signature, shares};
pub(crate) use update::{Run, as_clamavs, update};
