//! `nacre definitions keygen`: keys of one's own.

use std::{io, path::PathBuf, process::ExitCode};

use clap::Args;
use nacre_clamav::{signing::SigningKeys, trust_anchor::TrustAnchorError};

use super::source::{Location, SourceError, write_secret};
use crate::output::{conclude, print};

/// Make keys to sign databases with.
///
/// Prints the trust anchors, which is what `NACRE_TRUST_ANCHORS` and `--keys` take. The key file is a secret: it is readable by
/// its owner alone, and no existing file is overwritten.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The key file to write, a local one
    #[arg(value_name = "OUT")]
    out: Location,
    /// Name of the keys, by which manifests and logs call them; 1 to 40 characters, not `clamav`
    #[arg(long)]
    name: String,
}

/// Why there is no key file.
#[derive(Debug, thiserror::Error)]
enum KeygenError {
    #[error("--name is not a valid name of keys; the trust anchors must be")]
    Name(#[from] TrustAnchorError),
    #[error("{0} is no local file, and a private key goes nowhere else unasked: name one, and copy it if you must")]
    Remote(Location),
    #[error("{0} exists already: name another file, or move it away if its keys are in use nowhere")]
    Exists(PathBuf),
    #[error("{0} cannot be written")]
    Write(PathBuf, #[source] SourceError),
    #[error("the trust anchors cannot be printed")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    conclude("definitions keygen", generate(arguments))
}

fn generate(arguments: &Arguments) -> Result<(), KeygenError> {
    let Location::Local(path) = &arguments.out else { return Err(KeygenError::Remote(arguments.out.clone())) };
    let keys = SigningKeys::generate(arguments.name.as_str())?;
    let out = || path.clone();
    write_secret(path, (keys.to_json() + "\n").as_bytes()).map_err(|error| match error {
        SourceError::Local(error) if error.kind() == io::ErrorKind::AlreadyExists => KeygenError::Exists(out()),
        error => KeygenError::Write(out(), error),
    })?;
    Ok(print(&keys.trust_anchors().to_json())?)
}
