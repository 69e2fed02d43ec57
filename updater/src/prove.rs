//! Proves a set of databases with a real engine before anyone may use it.

use std::{fs, io, path::Path};

use nacre_shared::{
    definitions::{
        engine_form::{EngineFormError, engine_form},
        manifest::{DatabaseEntry, EngineProof},
    },
    engine::{EngineError, EnginePool},
};

/// Why a set is not fit for use.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The set could not be laid out for the engine.
    #[error("the databases could not be written for their proof")]
    Disk(#[source] io::Error),
    /// A database could not be brought into the engine's form.
    #[error("the databases could not be unpacked for their proof")]
    Form(#[from] EngineFormError),
    /// The engine could not be started, or refused the set.
    #[error("the engine does not load the databases")]
    Engine(#[from] EngineError),
    /// The set loads, but it misses the file that every set must find.
    #[error("the databases do not find the EICAR test file: add a database that does")]
    NoEicar,
}

/// Loads the set with a fresh engine, which must find its own canary and, by the set's signatures, EICAR inside a zip.
///
/// # Errors
/// [`ProveError`].
pub async fn prove<'a>(
    program: &Path,
    scratch: &Path,
    set: impl Iterator<Item = (&'a DatabaseEntry, &'a [u8])>,
    signed_by_clamav: bool,
) -> Result<EngineProof, ProveError> {
    let directory = tempfile::Builder::new().prefix("nacre-proof-").tempdir_in(scratch).map_err(ProveError::Disk)?;
    for (database, bytes) in set {
        let (file_name, bytes) = engine_form(database, bytes, signed_by_clamav)?;
        fs::write(directory.path().join(file_name), bytes).map_err(ProveError::Disk)?;
    }
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
