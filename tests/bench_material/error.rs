//! Why material could not be made.

use std::io;

use nacre_clamav::{cdiff::NoScript, database::InvalidDatabaseName};
use nacre_core::settings::SettingError;
use nacre_updater::{http::HttpClientError, update::UpdateError};

/// Why material could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialError {
    /// The operating system refused something.
    #[error("{doing} failed")]
    System {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: io::Error,
    },
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
    /// The updater's settings are wrong.
    #[error("the updater was not set up")]
    Settings(#[from] SettingError),
    /// The updater's HTTP client could not be made.
    #[error("the updater's HTTP client was not set up")]
    Http(#[from] HttpClientError),
    /// The updater failed.
    #[error("the update failed")]
    Update(#[from] UpdateError),
    /// The update published nothing, or not everything.
    #[error("the update came to {0}")]
    Unpublished(String),
    /// A synthetic database could not be made.
    #[error("a name is none")]
    Name(#[from] InvalidDatabaseName),
    /// No script leads from one version to the next.
    #[error("there is no script to the next version")]
    Script(#[from] NoScript),
}

/// Says what the operating system refused.
pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> MaterialError {
    let doing = doing.into();
    move |source| MaterialError::System { doing, source }
}
