//! Why a measurement could not be taken.

use std::{error::Error, io};

/// Why a measurement could not be taken: whatever it was, it is printed, and the benchmark ends.
pub type BenchError = Box<dyn Error + Send + Sync>;

/// A measurement, or why there is none.
pub type Outcome<T> = Result<T, BenchError>;

/// What the operating system refused.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed")]
struct Refused {
    doing: String,
    source: io::Error,
}

/// Says what the operating system refused.
pub fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
    let doing = doing.into();
    move |source| Refused { doing, source }.into()
}
