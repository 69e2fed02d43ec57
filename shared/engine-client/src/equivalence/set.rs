//! The signatures of a directory, as libclamav takes them from there.

use std::{
    borrow::Cow,
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
    unpacked::{UnpackError, members_as_loaded},
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
        // Signatures of an unsigned database are named as those of loose files.
        let (kind, official) = match ContainerKind::of_file(&name.to_ascii_lowercase()) {
            Some(ContainerKind::Cud) => (ContainerKind::Cvd, false),
            Some(kind) => (kind, true),
            None => {
                self.files.push(SignatureFile::loose(name, bytes));
                return Ok(());
            }
        };
        let cvd = Cvd::parse_as(kind, &bytes).map_err(|error| SetError::Header(path.to_owned(), error))?;
        let members = members_as_loaded(cvd.payload(), ArchiveLimits::default());
        let members = members.map_err(|error| SetError::Unpack(path.to_owned(), error))?;
        if members.iter().any(|(name, _)| is_bytecode(name)) {
            self.bytecode.push(path.to_owned());
        }
        let owned = |(member, bytes): (String, Cow<'_, [u8]>)| {
            SignatureFile::member(name.clone(), official, member, bytes.into_owned())
        };
        self.files.extend(members.into_iter().map(owned));
        Ok(())
    }
}

/// Whether libclamav loads a file of this name from a directory: not what freshclam keeps beside its databases.
fn is_loaded(path: &Path) -> bool {
    // libclamav takes upper case for lower case here.
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let loose = !matches!(Kind::of(&name), Kind::Unknown | Kind::Nothing)
        || name.rsplit_once('.').is_some_and(|(_, extension)| extension == "ioc");
    name.contains('.') && (loose || ContainerKind::of_file(&name).is_some())
}
