//! What the benchmarks measure with: synthetic databases, a bucket to publish them in, ClamAV's libraries with other keys, and
//! what processes take.

mod databases;
mod directory_store;
mod error;
pub mod memory;
pub mod pe;
mod processes;
mod settings;
mod signatures;
mod stack_s3;
mod update;

pub use databases::Database;
pub use directory_store::DirectoryDefinitions;
pub use error::{BenchError, Outcome, system};
pub use processes::{children, cpu_ms, milliseconds};
pub use settings::{processor, whole_number};
pub use signatures::{append as append_signature, shares};
pub use stack_s3::{StackS3, stack_s3};
pub use update::{Run, as_clamavs, update};
