//! Proves a set of databases with a real engine before anyone may use it.

use std::{fs, io, path::Path};

use nacre_shared::{
    definitions::manifest::EngineProof,
    engine::{EngineError, EnginePool},
};

/// Why a set is not fit for use.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The set could not be laid out for the engine.
    #[error("the databases could not be written for their proof")]
    Disk(#[source] io::Error),
    /// The engine could not be started, or refused the set.
    #[error("the engine does not load the databases")]
    Engine(#[from] EngineError),
    /// The set loads, but it misses the file that every set must find.
    #[error("the databases do not find the EICAR test file: add a database that does")]
    NoEicar,
}

/// A database as the engine loads it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The file name that tells libclamav what it is.
    pub file_name: &'a str,
    /// The whole file.
    pub bytes: &'a [u8],
}

/// Loads the set with a fresh engine, which must find its own canary and, by the set's signatures, EICAR inside a zip.
///
/// # Errors
/// [`ProveError`].
pub async fn prove(program: &Path, scratch: &Path, set: &[Candidate<'_>]) -> Result<EngineProof, ProveError> {
    let directory = lay_out(scratch, set).map_err(ProveError::Disk)?;
    let mut pool = EnginePool::new(program.to_owned(), scratch.to_owned());
    let (hello, loaded) = pool.ready(directory.path()).await?;
    if loaded.eicar.is_empty() {
        return Err(ProveError::NoEicar);
    }
    Ok(EngineProof {
        clamav_version: hello.clamav_version.clone(),
        functionality_level: hello.functionality_level,
        signatures: loaded.signatures,
        eicar: loaded.eicar.clone(),
    })
}

fn lay_out(scratch: &Path, set: &[Candidate<'_>]) -> io::Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix("nacre-proof-").tempdir_in(scratch)?;
    for candidate in set {
        fs::write(directory.path().join(candidate.file_name), candidate.bytes)?;
    }
    Ok(directory)
}
