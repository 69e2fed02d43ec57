//! The functions' packages: those that `dev/package` makes, of the programs that were built last.

use std::{
    env, fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use crate::error::{StackError, system};

/// The functions' packages, as they are deployed: zip files of `dev/package`.
#[derive(Clone, Debug)]
pub struct Packages {
    /// The updater's.
    pub updater: Vec<u8>,
    /// The rescanner's.
    pub rescanner: Vec<u8>,
    /// The scanner's.
    pub scanner: Vec<u8>,
    /// That of `nacre deploy --probe`.
    pub probe: Vec<u8>,
}

/// What packages are made of.
const PROGRAMS: [&str; 5] = ["nacre-updater", "nacre-rescanner", "nacre-scanner", "nacre-probe", "nacre-engine"];

/// The packages by their functions.
const FUNCTIONS: [&str; 4] = ["updater", "rescanner", "scanner", "probe"];

impl Packages {
    /// Packages the programs that were built, unless they were packaged before. It takes half a minute.
    ///
    /// # Errors
    /// [`StackError::NotBuilt`], [`StackError::System`], [`StackError::Package`].
    pub fn of_built_programs() -> Result<Self, StackError> {
        let programs = programs_directory()?;
        let directory = programs.join("packages");
        fs::create_dir_all(&directory).map_err(system(format!("making {}", directory.display())))?;
        // Several test programs may come here at once.
        let lock = File::create(directory.join("lock")).map_err(system("making a lock"))?;
        lock.lock().map_err(system("taking a lock"))?;
        if !is_newer(&directory, newest(&programs)?) {
            package(&programs, &directory)?;
        }
        Self::read(&directory)
    }

    /// Reads packages that were made before: those of `make package`, say.
    ///
    /// # Errors
    /// [`StackError::System`] names the file that could not be read.
    pub fn read(directory: &Path) -> Result<Self, StackError> {
        let read = |function: &str| {
            let path = directory.join(function).with_extension("zip");
            fs::read(&path).map_err(system(format!("reading {}", path.display())))
        };
        let (updater, rescanner, scanner) = (read("updater")?, read("rescanner")?, read("scanner")?);
        Ok(Self { updater, rescanner, scanner, probe: read("probe")? })
    }

    /// Writes the packages as `make package` does, for `nacre deploy --packages`.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub fn write(&self, directory: &Path) -> Result<(), StackError> {
        fs::create_dir_all(directory).map_err(system(format!("making {}", directory.display())))?;
        for (name, bytes) in FUNCTIONS.iter().zip([&self.updater, &self.rescanner, &self.scanner, &self.probe]) {
            let path = directory.join(name).with_extension("zip");
            fs::write(&path, bytes).map_err(system(format!("writing {}", path.display())))?;
        }
        Ok(())
    }
}

/// When the programs were built last.
fn newest(programs: &Path) -> Result<SystemTime, StackError> {
    let built = |program: &'static str| {
        let modified = fs::metadata(programs.join(program)).and_then(|metadata| metadata.modified());
        modified.map_err(|_| StackError::NotBuilt { program, directory: programs.to_owned() })
    };
    PROGRAMS.into_iter().map(built).try_fold(SystemTime::UNIX_EPOCH, |newest, time| Ok(newest.max(time?)))
}

/// Whether all packages were made after that.
fn is_newer(directory: &Path, than: SystemTime) -> bool {
    let made = |function: &str| fs::metadata(directory.join(function).with_extension("zip"))?.modified();
    FUNCTIONS.into_iter().all(|function| made(function).is_ok_and(|made| made > than))
}

fn package(programs: &Path, directory: &Path) -> Result<(), StackError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(root.join("dev/package"))
        .env("PROGRAMS", programs)
        .env("INTO", directory)
        .stdin(Stdio::null())
        .output()
        .map_err(system("running dev/package"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    if output.status.success() { Ok(()) } else { Err(StackError::Package { said }) }
}

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

/// Unpacks a package into a directory, as Lambda does into `/var/task`.
///
/// # Errors
/// [`StackError::System`].
pub fn unpack(package: &[u8], directory: &Path) -> Result<(), StackError> {
    let unpack = || {
        zip::ZipArchive::new(io::Cursor::new(package))
            .map_err(io::Error::other)?
            .extract(directory)
            .map_err(io::Error::other)
    };
    unpack().map_err(system(format!("unpacking a package into {}", directory.display())))
}
