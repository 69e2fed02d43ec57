//! The functions' packages, from programs that are built.

use std::{
    env, fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::error::{StackError, system};

/// The functions' packages: zip files with the function and, where objects or definitions are parsed, `nacre-engine`. Their `bootstrap`
/// starts the function under the system call filter of AWS Lambda.
#[derive(Clone, Debug)]
pub struct Bundles {
    /// The updater's.
    pub updater: Vec<u8>,
    /// The rescanner's.
    pub rescanner: Vec<u8>,
    /// The scanner's.
    pub scanner: Vec<u8>,
}

impl Bundles {
    /// Packages the programs that were built into `directory`, such as [`programs_directory`].
    ///
    /// # Errors
    /// [`StackError::NotBuilt`], [`StackError::System`], [`StackError::Package`].
    pub fn from_directory(directory: &Path) -> Result<Self, StackError> {
        Ok(Self {
            updater: bundle(directory, "nacre-updater", true)?,
            rescanner: bundle(directory, "nacre-rescanner", false)?,
            scanner: bundle(directory, "nacre-scanner", true)?,
        })
    }
}

/// The package of the probe, for `nacre deploy --probe`.
///
/// # Errors
/// Those of [`Bundles::from_directory`].
pub fn probe_package(directory: &Path) -> Result<Vec<u8>, StackError> {
    bundle(directory, "nacre-probe", false)
}

/// One package.
fn bundle(directory: &Path, program: &'static str, with_engine: bool) -> Result<Vec<u8>, StackError> {
    let read = |program: &'static str| {
        let path = directory.join(program);
        if !path.is_file() {
            return Err(StackError::NotBuilt { program, directory: directory.to_owned() });
        }
        fs::read(&path).map_err(system(format!("reading {}", path.display())))
    };
    let engine = if with_engine { Some(read("nacre-engine")?) } else { None };
    let (bytes, filter) = (read(program)?, read(FILTER)?);
    let bootstrap = format!("#!/bin/sh\nhere=$(dirname \"$0\")\nexec \"$here/{FILTER}\" \"$here/{program}\"\n");
    let files = [("bootstrap", bootstrap.as_bytes()), (program, &bytes), (FILTER, &filter)];
    let engine = engine.iter().map(|engine| ("nacre-engine", engine.as_slice()));
    package(program, &files.into_iter().chain(engine).collect::<Vec<_>>())
}

/// Refuses what Lambda refuses: see `tests/lambda_filter`.
const FILTER: &str = "nacre-lambda-filter";

/// Where cargo put the program or test that we are, and so everything else that it built.
///
/// # Errors
/// [`StackError::System`] when the system does not say where we are.
pub fn programs_directory() -> Result<PathBuf, StackError> {
    let ours = env::current_exe().map_err(system("asking for our own path"))?;
    let directory = ours.parent().unwrap_or(Path::new("."));
    // Tests are one level below.
    let beside = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
    Ok(beside.unwrap_or(directory).to_owned())
}

/// A zip of executable files. The same files give the same bytes, so an unchanged function is not deployed anew.
pub(crate) fn package(program: &'static str, files: &[(&str, &[u8])]) -> Result<Vec<u8>, StackError> {
    // Stored, not deflated: it travels over loopback only, and deflating debug builds takes seconds.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let write = || {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            zip.start_file(*name, options)?;
            zip.write_all(bytes)?;
        }
        Ok(zip.finish()?.into_inner())
    };
    write().map_err(|source| StackError::Package { program, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_programs_give_the_same_package_and_stay_executable() {
        let directory = tempfile::tempdir().unwrap();
        for program in ["nacre-updater", "nacre-rescanner", "nacre-scanner", "nacre-engine", FILTER] {
            fs::write(directory.path().join(program), program).unwrap();
        }
        let bundles = Bundles::from_directory(directory.path()).unwrap();
        assert_eq!(bundles.scanner, Bundles::from_directory(directory.path()).unwrap().scanner);
        let mut zip = zip::ZipArchive::new(Cursor::new(bundles.scanner)).unwrap();
        let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["bootstrap", "nacre-scanner", FILTER, "nacre-engine"]);
        assert_eq!(zip.by_name("nacre-engine").unwrap().unix_mode().unwrap() & 0o777, 0o755);
    }

    #[test]
    fn a_program_that_is_not_built_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Bundles::from_directory(directory.path()).unwrap_err().to_string();
        assert!(error.starts_with("nacre-engine is not in "), "{error}");
        assert!(error.ends_with("run `cargo build --workspace --bins`"), "{error}");
    }
}
