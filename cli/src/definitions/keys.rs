//! The keys that files are verified and signed by.

use clap::Args;
use nacre_clamav::{
    signing::{KeyFileError, SigningKeys},
    trust_anchor::{TrustAnchorError, TrustAnchors},
};
use serde_json::Value;

use super::source::{Files, Location, SourceError};

/// The keys that signatures are verified by.
#[derive(Debug, Args)]
pub(crate) struct KeysArgument {
    /// Trust these keys instead of ClamAV's: the JSON of trust anchors, a file of it, or a key file
    #[arg(long, value_name = "FILE_OR_JSON")]
    keys: Option<String>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("{0} cannot be read")]
    Read(Location, #[source] SourceError),
    #[error("{0} is not text")]
    NotText(Location),
    #[error("--keys holds no trust anchors; they are")]
    Anchors(#[source] TrustAnchorError),
    #[error("the keys in {0} cannot be used")]
    KeyFile(Location, #[source] KeyFileError),
}

impl KeysArgument {
    /// The keys that were named, or ClamAV's.
    pub(crate) async fn trust_anchors(&self, files: &Files) -> Result<TrustAnchors, KeysError> {
        let text = match &self.keys {
            None => return Ok(TrustAnchors::clamav()),
            Some(json) if json.trim_start().starts_with('{') => json.clone(),
            Some(file) => read_text(files, &location(file)).await?,
        };
        // A key file holds the anchors of its private keys, which verifying has no need of.
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let within = value.as_ref().and_then(|value| value.get("trust_anchors")).map(Value::to_string);
        TrustAnchors::from_json(&within.unwrap_or(text)).map_err(KeysError::Anchors)
    }
}

/// Reads a key file.
pub(super) async fn signing_keys(files: &Files, file: &Location) -> Result<SigningKeys, KeysError> {
    let text = read_text(files, file).await?;
    SigningKeys::from_json(&text).map_err(|error| KeysError::KeyFile(file.clone(), error))
}

/// Reads a file of text, such as a key file or a certificate.
///
/// # Errors
/// [`KeysError::Read`], [`KeysError::NotText`].
pub(super) async fn read_text(files: &Files, file: &Location) -> Result<String, KeysError> {
    let bytes = files.read(file).await.map_err(|error| KeysError::Read(file.clone(), error))?;
    String::from_utf8(bytes).map_err(|_| KeysError::NotText(file.clone()))
}

fn location(text: &str) -> Location {
    let Ok(location) = text.parse();
    location
}
