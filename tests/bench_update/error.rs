//! Why a measurement could not be taken.

use std::{io, path::PathBuf};

use nacre_clamav::{
    cvd::{HeaderError, VerifyError},
    database::InvalidDatabaseName,
    trust_anchor::TrustAnchorError,
};
use nacre_stack::StackError;

use crate::material::{self, MaterialError};

/// Why a measurement could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// What is measured with could not be made.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A measured program failed.
    #[error("{program} failed ({status}):\n{said}")]
    Failed {
        /// Which.
        program: String,
        /// How.
        status: String,
        /// Its last words.
        said: String,
    },
    /// A result is not what it must be: its figures would mean nothing.
    #[error("the result is wrong: {0}")]
    Wrong(String),
    /// The engine was not built.
    #[error("{0} is missing: run `make bench-update`")]
    NoEngine(PathBuf),
    /// A message between our own processes is none.
    #[error("a report could not be read")]
    Report(#[from] serde_json::Error),
    /// The mirror, or ClamAV's libraries with other keys, could not be had.
    #[error(transparent)]
    Mirror(#[from] StackError),
    /// A database has another name.
    #[error("a name is none")]
    Name(#[from] InvalidDatabaseName),
    /// The bench's own keys are none.
    #[error("the keys are none")]
    Keys(#[from] TrustAnchorError),
    /// A database is not one.
    #[error("a database has no header")]
    Header(#[from] HeaderError),
    /// A database is not what was signed.
    #[error("a database does not verify")]
    Verify(#[from] VerifyError),
}

/// Says what the operating system refused.
pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
    let refused = material::system(doing);
    |source| refused(source).into()
}
