//! Directories of loose signature files, as `sigtool --unpack` leaves them and as people keep their own.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use nacre_clamav::cvd::COPYING;

use super::{
    file_kind::extension,
    source::{Files, Location, SourceError},
};

/// The extensions of all files that libclamav takes signatures from. Source: clamav.md §8, after `readdb.c` (`cli_load`).
const SIGNATURE_EXTENSIONS: [&str; 35] = [
    "cat", "cbc", "cdb", "cfg", "crb", "db", "fp", "ftm", "gdb", "hdb", "hdu", "hsb", "hsu", "idb", "ign", "ign2",
    "imp", "ioc", "ldb", "ldu", "mdb", "mdu", "msb", "msu", "ndb", "ndu", "pdb", "pwdb", "rmd", "sdb", "sfp", "wdb",
    "yar", "yara", "zmd",
];

/// Why a directory is no set of signature files.
#[derive(Debug, thiserror::Error)]
pub(super) enum LooseError {
    #[error("the directory {0} cannot be read")]
    Directory(PathBuf, #[source] io::Error),
    #[error("{0} cannot be read")]
    File(PathBuf, #[source] SourceError),
    #[error("{0} is not a file of signatures: move it elsewhere")]
    Foreign(PathBuf),
}

/// What a directory of loose signature files holds.
#[derive(Debug, Default)]
pub(super) struct Loose {
    /// The files of signatures, by name.
    pub(super) signatures: BTreeMap<String, Vec<u8>>,
    /// The text of `COPYING`, if it is there.
    pub(super) copying: Option<Vec<u8>>,
}

/// Reads a directory. An `.info` is passed over: it is about the files, and none of them.
pub(super) async fn read(files: &Files, directory: &Path) -> Result<Loose, LooseError> {
    let mut loose = Loose::default();
    for entry in fs::read_dir(directory).map_err(|error| LooseError::Directory(directory.into(), error))? {
        let path = entry.map_err(|error| LooseError::Directory(directory.into(), error))?.path();
        let foreign = || LooseError::Foreign(path.clone());
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(foreign)?.to_owned();
        let known = name == COPYING || SIGNATURE_EXTENSIONS.contains(&extension(&name));
        if extension(&name) == "info" {
            continue;
        }
        if !known || !path.is_file() {
            return Err(foreign());
        }
        let read = files.read(&Location::Local(path.clone())).await;
        let bytes = read.map_err(|error| LooseError::File(path.clone(), error))?;
        if name == COPYING {
            loose.copying = Some(bytes);
        } else {
            loose.signatures.insert(name, bytes);
        }
    }
    Ok(loose)
}
