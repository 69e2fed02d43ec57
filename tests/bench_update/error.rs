//! Why a measurement could not be taken.

use std::{io, path::PathBuf};

use nacre_shared::{
    definitions::{
        cdiff::NoScript,
        cvd::{HeaderError, VerifyError},
        database::InvalidDatabaseName,
        trust_anchor::TrustAnchorError,
    },
    settings::SettingError,
};
use nacre_stack::StackError;
use nacre_updater::{http::HttpClientError, update::UpdateError};

/// Why a measurement could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The operating system refused something.
    #[error("{doing} failed")]
    System {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: io::Error,
    },
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
    /// ClamAV's libraries do not carry their keys as decimal text, each once.
    #[error("{library} does not have ClamAV's key just once as text: freshclam cannot be given another")]
    NoKey {
        /// Where it was looked for.
        library: PathBuf,
    },
    /// The engine was not built.
    #[error("{0} is missing: run `make bench-update`")]
    NoEngine(PathBuf),
    /// A setting is no number.
    #[error("{name} is {value:?}: set it to a whole number of at least {least}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it is.
        value: String,
        /// The least that it may be.
        least: u32,
    },
    /// A message between our own processes is none.
    #[error("a report could not be read")]
    Report(#[from] serde_json::Error),
    /// The mirror could not be started.
    #[error("the mirror could not be started")]
    Mirror(#[from] StackError),
    /// The updater's settings are wrong.
    #[error("the updater was not set up")]
    Settings(#[from] SettingError),
    /// The updater's HTTP client could not be made.
    #[error("the updater's HTTP client was not set up")]
    Http(#[from] HttpClientError),
    /// The updater failed.
    #[error("the update failed")]
    Update(#[from] UpdateError),
    /// A synthetic database could not be made.
    #[error("a name is none")]
    Name(#[from] InvalidDatabaseName),
    /// The bench's own keys are none.
    #[error("the keys are none")]
    Keys(#[from] TrustAnchorError),
    /// No script leads from one version to the next.
    #[error("there is no script to the next version")]
    Script(#[from] NoScript),
    /// A database is not one.
    #[error("a database has no header")]
    Header(#[from] HeaderError),
    /// A database is not what was signed.
    #[error("a database does not verify")]
    Verify(#[from] VerifyError),
}

/// Says what the operating system refused.
pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
    let doing = doing.into();
    move |source| BenchError::System { doing, source }
}
