//! The signatures of a directory, as libclamav takes them from there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nacre_clamav::{
    archive::ArchiveLimits,
    context::is_bytecode,
    cvd::{Cvd, HeaderError},
    database::ContainerKind,
    delta::SignatureFile,
    signature::Kind,
    unpacked::{UnpackError, Unpacked},
};

/// The signatures of a directory of databases and loose files.
#[derive(Debug)]
pub struct SignatureSet {
    /// Where it is.
    pub directory: PathBuf,
    /// Its loose files, and the members of its databases.
    pub files: Vec<SignatureFile<'static>>,
    /// Databases with bytecode, which are only loaded whole.
    pub(super) bytecode: Vec<PathBuf>,
}

/// Why a directory cannot be read as a set of signatures.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It, or something in it, cannot be read.
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A database has no header.
    #[error("{} is not a database: fetch it again, or take it out", .0.display())]
    Header(PathBuf, #[source] HeaderError),
    /// A database cannot be unpacked.
    #[error("{} cannot be unpacked: fetch it again, or take it out", .0.display())]
    Unpack(PathBuf, #[source] UnpackError),
}

impl SignatureSet {
    /// Reads every file of a directory that libclamav would load, databases by their members.
    pub fn read(directory: &Path) -> Result<Self, SetError> {
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |error| SetError::Read(path, error)
        };
        let directory = fs::canonicalize(directory).map_err(unread(directory))?;
        let mut set = Self { directory: directory.clone(), files: Vec::new(), bytecode: Vec::new() };
        let entries = fs::read_dir(&directory).map_err(unread(&directory))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(unread(&directory))?.path());
        }
        paths.sort();
        for path in paths.into_iter().filter(|path| path.is_file() && is_loaded(path)) {
            let bytes = fs::read(&path).map_err(unread(&path))?;
            set.take(&path, bytes)?;
        }
        Ok(set)
    }

    fn take(&mut self, path: &Path, bytes: Vec<u8>) -> Result<(), SetError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("cvd" | "cud") => ContainerKind::Cvd,
            Some("cld") => ContainerKind::Cld,
            _ => {
                self.files.push(SignatureFile { official: false, name, bytes: bytes.into() });
                return Ok(());
            }
        };
        // Signatures of an unsigned database are named as those of loose files.
        let official = path.extension().is_none_or(|extension| extension != "cud");
        let cvd = Cvd::parse_as(kind, &bytes).map_err(|error| SetError::Header(path.to_owned(), error))?;
        let unpacked = cvd.unpack(ArchiveLimits::default());
        let Unpacked { members } = unpacked.map_err(|error| SetError::Unpack(path.to_owned(), error))?;
        if members.keys().any(|name| is_bytecode(name)) {
            self.bytecode.push(path.to_owned());
        }
        let owned =
            members.into_iter().map(|(name, bytes)| SignatureFile { official, name, bytes: bytes.into_owned().into() });
        self.files.extend(owned);
        Ok(())
    }
}

/// Whether libclamav loads a file of this name from a directory: not what freshclam keeps beside its databases.
fn is_loaded(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let loose = !matches!(Kind::of(&name), Kind::Unknown | Kind::Nothing) || name.ends_with(".ioc");
    name.contains('.') && (loose || ContainerKind::of_file(&name).is_some())
}
