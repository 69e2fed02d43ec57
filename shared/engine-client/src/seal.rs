//! Sees that definitions on local disk are still those that were laid out.
//!
//! A worker that was taken over has our user, and where the system refuses Landlock it may write what we may write. An engine that dies
//! loads its definitions anew: from files of the attacker's, every object would be clean. The time of a file's last change of status
//! cannot be set by any call, so that a write, a rename, a replacement, and whatever hides them, leave it newer.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::EngineError;

/// What each directory of definitions was when an engine was first started with it.
#[derive(Debug, Default)]
pub(crate) struct Seals(Mutex<HashMap<PathBuf, Seal>>);

impl Seals {
    /// Refuses definitions that are no longer what they were when this was first asked.
    ///
    /// # Errors
    /// [`EngineError::Changed`]; [`EngineError::Definitions`] when they cannot be read.
    pub(crate) fn check(&self, definitions: &Path) -> Result<(), EngineError> {
        let directory = definitions.to_owned();
        let found = match Seal::of(definitions) {
            Ok(found) => found,
            Err(cause) => return Err(EngineError::Definitions { directory, cause }),
        };
        let mut seals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seals.get(&directory) {
            Some(first) if *first != found => Err(EngineError::Changed { directory }),
            Some(_) => Ok(()),
            None => {
                seals.insert(directory, found);
                Ok(())
            }
        }
    }

    /// Accepts whatever is there when it is asked for next.
    pub(crate) fn remove(&self, definitions: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(definitions);
    }
}

/// What the file system says of a directory and of each file in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seal {
    directory: Status,
    files: BTreeMap<OsString, Status>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl From<&Metadata> for Status {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mode: metadata.mode(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Seal {
    /// Reads the state of a directory and of what it holds directly.
    ///
    /// # Errors
    /// The operating system's.
    fn of(directory: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // Of the entry itself: a symbolic link is a change, whatever it leads to.
            files.insert(entry.file_name(), Status::from(&entry.metadata()?));
        }
        Ok(Self { directory: Status::from(&fs::metadata(directory)?), files })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::symlink, time::SystemTime};

    use super::*;

    /// A change, whose name a failure prints.
    type Change = (&'static str, fn(&Path));

    const CHANGES: [Change; 7] = [
        ("written in place", |place| fs::write(place.join("a.hdb"), "other").unwrap()),
        ("written, and its times set back", |place| {
            let before = fs::metadata(place.join("a.hdb")).unwrap().modified().unwrap();
            fs::write(place.join("a.hdb"), "other").unwrap();
            File::options().write(true).open(place.join("a.hdb")).unwrap().set_modified(before).unwrap();
        }),
        ("replaced", |place| {
            fs::write(place.join("b"), "first").unwrap();
            fs::rename(place.join("b"), place.join("a.hdb")).unwrap();
        }),
        ("removed", |place| fs::remove_file(place.join("a.hdb")).unwrap()),
        ("joined by another", |place| fs::write(place.join("b.fp"), "more").unwrap()),
        ("a link to another", |place| {
            fs::remove_file(place.join("a.hdb")).unwrap();
            symlink("/etc/passwd", place.join("a.hdb")).unwrap();
        }),
        ("touched", |place| {
            let file = File::options().write(true).open(place.join("a.hdb")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }),
    ];

    #[test]
    fn whatever_is_changed_breaks_it() {
        for (name, change) in CHANGES {
            let place = tempfile::tempdir().unwrap();
            fs::write(place.path().join("a.hdb"), "first").unwrap();
            let seal = Seal::of(place.path()).unwrap();
            assert_eq!(fs::read(place.path().join("a.hdb")).unwrap(), b"first");
            assert_eq!(Seal::of(place.path()).unwrap(), seal, "reading is no change");
            // Coarse clocks of file systems advance by some milliseconds.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(place.path());
            assert_ne!(Seal::of(place.path()).unwrap(), seal, "{name}");
        }
    }
}
