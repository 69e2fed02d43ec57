//! Runs a stock freshclam, the client that ClamAV's network serves, in a private directory.
//!
//! It brings bytes, and nothing that it says of them is believed: what it leaves is verified as any mirror's files are.

mod configuration;
mod data_file;
mod environment;
mod error;
mod output;
mod process;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nacre_clamav::{
    cvd::{CvdHeader, HEADER_BYTES},
    database::{ContainerKind, DatabaseName, DatabaseVersion},
};

pub use configuration::Configuration;
pub(crate) use configuration::is_known;
pub use data_file::DataFile;
pub use environment::environment;
pub use error::FreshclamError;
pub use output::announced_version;

use error::{disk, failure};
use process::{Ended, Limits};

/// How often a run tries each mirror before it gives up; it rests for 5 seconds in between.
pub const ATTEMPTS: u32 = 2;

/// The file in which freshclam keeps who it is, and until when it is to leave the mirrors alone.
const DATA_FILE: &str = "freshclam.dat";

/// A stock freshclam, and what a run of it may take.
#[derive(Clone, Debug)]
pub struct Freshclam {
    /// The program; `None` where there is none, which fails the run.
    pub program: Option<PathBuf>,
    /// All the variables that it gets: see [`environment()`].
    pub environment: Vec<(String, String)>,
    /// How long it may run. It is killed then.
    pub time_limit: Duration,
    /// How often it tries a mirror.
    pub attempts: u32,
}

impl Freshclam {
    /// Finds the program: in the directory of our own, where packages have it, or else in those of `PATH`.
    pub fn find(own_directory: Option<&Path>, path: Option<&OsStr>) -> Option<PathBuf> {
        let directories = path.into_iter().flat_map(std::env::split_paths).filter(|directory| directory.is_absolute());
        let candidates = own_directory.map(Path::to_owned).into_iter().chain(directories);
        candidates.map(|directory| directory.join("freshclam")).find(|program| program.is_file())
    }

    /// Runs it once; returns what it printed. Whatever comes of it, `home` has what it left.
    ///
    /// # Errors
    /// [`FreshclamError`].
    pub async fn run(&self, home: &Home, configuration: &Configuration<'_>) -> Result<String, FreshclamError> {
        let program = self.program.as_deref().ok_or(FreshclamError::NotFound)?;
        let text = configuration.text(&home.databases, self.attempts)?;
        let file = home.path.join("freshclam.conf");
        fs::write(&file, text).map_err(disk(&file))?;
        let mut arguments = vec![format!("--config-file={}", file.display()), "--stdout".to_owned()];
        if configuration.dns_record.is_none() {
            // `DNSDatabaseInfo no` is for freshclam a record of the name "no".
            arguments.push("--no-dns".to_owned());
        }
        let limits = Limits { time: self.time_limit, file_bytes: configuration.max_database_bytes };
        let command = process::limited(program, &arguments, &home.databases, &self.environment, limits);
        let run = process::run(command, limits).await;
        let run = run.map_err(|source| FreshclamError::Start { program: program.to_owned(), source })?;
        match run.ended {
            Ended::Exited(0) => Ok(run.printed),
            ended => Err(failure(ended, limits, &run.printed)),
        }
    }
}

/// A directory of one run: freshclam's databases, its data file, its settings.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    databases: PathBuf,
    /// What was laid out, and its inodes: freshclam replaces a file, and never writes into it.
    laid_out: BTreeMap<PathBuf, u64>,
}

/// A database that freshclam left.
#[derive(Debug)]
pub struct LeftDatabase {
    /// By its file's name.
    pub kind: ContainerKind,
    /// What its header claims; `None` where there is no header.
    pub version: Option<DatabaseVersion>,
    /// Whether it is another file than the one that was laid out.
    pub is_new: bool,
    file: PathBuf,
}

impl Home {
    /// Makes one below a directory of ours alone.
    ///
    /// # Errors
    /// [`FreshclamError::Disk`].
    pub fn new(scratch: &Path) -> Result<Self, FreshclamError> {
        let path = scratch.join("freshclam");
        let databases = path.join("databases");
        DirBuilder::new().recursive(true).mode(0o700).create(&databases).map_err(disk(&databases))?;
        Ok(Self { path, databases, laid_out: BTreeMap::new() })
    }

    /// Lays out a database, for CDIFFs to lead on from.
    ///
    /// # Errors
    /// [`FreshclamError::Disk`].
    pub fn lay_out(&mut self, file: &str, bytes: &[u8]) -> Result<(), FreshclamError> {
        let path = self.databases.join(file);
        let inode = fs::write(&path, bytes).and_then(|()| fs::metadata(&path)).map_err(disk(&path))?.ino();
        self.laid_out.insert(path, inode);
        Ok(())
    }

    /// Lays out the data file of the run before.
    ///
    /// # Errors
    /// [`FreshclamError::Disk`].
    pub fn lay_out_data(&mut self, data: &DataFile) -> Result<(), FreshclamError> {
        self.lay_out(DATA_FILE, data.as_bytes())
    }

    /// The data file; `None` when there is none that is like one.
    pub fn data(&self) -> Option<DataFile> {
        let bytes = read_file(&self.databases.join(DATA_FILE), data_file::MAX_BYTES).ok()??;
        DataFile::parse(bytes)
    }

    /// The newest file of a database, by the headers; `None` when there is none.
    ///
    /// # Errors
    /// [`FreshclamError::Disk`].
    pub fn left(&self, database: &DatabaseName) -> Result<Option<LeftDatabase>, FreshclamError> {
        let mut newest: Option<LeftDatabase> = None;
        for kind in [ContainerKind::Cvd, ContainerKind::Cld] {
            let file = self.databases.join(format!("{database}.{}", kind.extension()));
            let Some(header) = read_beginning(&file, HEADER_BYTES).map_err(disk(&file))? else { continue };
            let version = CvdHeader::parse(&header).ok().map(|header| header.version);
            if newest.as_ref().is_none_or(|newest| newest.version < version) {
                let inode = fs::metadata(&file).map_err(disk(&file))?.ino();
                let is_new = self.laid_out.get(&file) != Some(&inode);
                newest = Some(LeftDatabase { kind, version, is_new, file });
            }
        }
        Ok(newest)
    }

    /// Removes a database, so that the next run downloads it as a whole.
    ///
    /// # Errors
    /// [`FreshclamError::Disk`].
    pub fn forget(&mut self, database: &DatabaseName) -> Result<(), FreshclamError> {
        for kind in [ContainerKind::Cvd, ContainerKind::Cld] {
            let file = self.databases.join(format!("{database}.{}", kind.extension()));
            // A file system gives the inode of a removed file to the next that is made.
            self.laid_out.remove(&file);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(&file)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The detached signature that freshclam left beside a database; `None` when there is none of this size.
    pub fn signature(&self, file: &str, limit: usize) -> Option<Vec<u8>> {
        read_file(&self.databases.join(file), limit).ok()?
    }

    /// Removes it all. What cannot be removed goes with the directory above.
    pub fn remove(self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl LeftDatabase {
    /// Reads it, at most `limit` bytes.
    ///
    /// # Errors
    /// [`FreshclamError::Disk`] and [`FreshclamError::TooLarge`].
    pub fn read(&self, limit: usize) -> Result<Vec<u8>, FreshclamError> {
        read_file(&self.file, limit).map_err(disk(&self.file))?.ok_or(FreshclamError::TooLarge { limit })
    }
}

/// The first bytes of a regular file: a link or a pipe in its place is none of freshclam's files.
fn read_beginning(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// A whole regular file; `None` when there is none, or a larger one.
fn read_file(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    Ok(read_beginning(path, limit.saturating_add(1))?.filter(|bytes| bytes.len() <= limit))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_program_beside_us_comes_before_any_on_the_path() {
        let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = Some(other.path().as_os_str());
        assert_eq!(Freshclam::find(Some(ours.path()), path), None);
        assert_eq!(Freshclam::find(None, Some(OsStr::new("relative:"))), None);
        fs::write(other.path().join("freshclam"), "").unwrap();
        assert_eq!(Freshclam::find(Some(ours.path()), path), Some(other.path().join("freshclam")));
        fs::write(ours.path().join("freshclam"), "").unwrap();
        assert_eq!(Freshclam::find(Some(ours.path()), path), Some(ours.path().join("freshclam")));
    }

    #[test]
    fn what_takes_the_place_of_a_forgotten_database_is_new() {
        let scratch = tempfile::tempdir().unwrap();
        let mut home = Home::new(scratch.path()).unwrap();
        let daily = DatabaseName::new("daily").unwrap();
        home.lay_out("daily.cvd", b"no header").unwrap();
        home.forget(&daily).unwrap();
        fs::write(home.databases.join("daily.cvd"), b"the whole, downloaded").unwrap();
        assert!(home.left(&daily).unwrap().unwrap().is_new);
    }

    #[test]
    fn only_regular_files_of_a_size_are_read() {
        let scratch = tempfile::tempdir().unwrap();
        let mut home = Home::new(scratch.path()).unwrap();
        let daily = DatabaseName::new("daily").unwrap();
        assert!(home.left(&daily).unwrap().is_none() && home.data().is_none());
        symlink("/etc/passwd", home.databases.join("daily.cvd")).unwrap();
        assert!(home.left(&daily).unwrap().is_none());
        home.lay_out("daily.cld", b"no header").unwrap();
        let left = home.left(&daily).unwrap().unwrap();
        assert_eq!((left.kind, left.version, left.is_new), (ContainerKind::Cld, None, false));
        fs::write(home.databases.join("new"), "no header").unwrap();
        fs::rename(home.databases.join("new"), home.databases.join("daily.cld")).unwrap();
        let left = home.left(&daily).unwrap().unwrap();
        assert!(left.is_new);
        assert_eq!(left.read(9).unwrap(), b"no header");
        assert!(matches!(left.read(8), Err(FreshclamError::TooLarge { limit: 8 })));
        home.remove();
        assert!(fs::read_dir(scratch.path()).unwrap().next().is_none());
    }
}
