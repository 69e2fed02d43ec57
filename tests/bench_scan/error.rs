//! Why a measurement could not be taken.

use std::{io, path::PathBuf};

use nacre_clamav::trust_anchor::TrustAnchorError;
use nacre_core::settings::SettingError;
use nacre_engine_client::ExamineError;
use nacre_scanner::{EventError, HandleError, local_definitions::DefinitionsError};
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
    /// A program is not there.
    #[error("{0} is missing: run `make bench-scan`")]
    Missing(PathBuf),
    /// A message between our own processes is none.
    #[error("a report could not be read")]
    Report(#[from] serde_json::Error),
    /// The mirror, or ClamAV's libraries with other keys, could not be had.
    #[error(transparent)]
    Mirror(#[from] StackError),
    /// The bench's own keys are none.
    #[error("the keys are none")]
    Keys(#[from] TrustAnchorError),
    /// The scanner's settings are wrong.
    #[error("the scanner was not set up")]
    Settings(#[from] SettingError),
    /// The scanner has no definitions.
    #[error("the scanner has no definitions")]
    Definitions(#[from] DefinitionsError),
    /// The scanner did not get warm.
    #[error("the scanner did not get warm")]
    Cold(#[from] EventError),
    /// An invocation failed.
    #[error("an invocation failed")]
    Handle(#[from] HandleError),
    /// The engine failed.
    #[error("the engine failed")]
    Examine(#[from] ExamineError<io::Error>),
}

/// Says what the operating system refused.
pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
    let refused = material::system(doing);
    |source| refused(source).into()
}
