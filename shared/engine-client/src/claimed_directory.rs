//! Directories that are removed after their process ends, however it ended.
//!
//! A process that is killed removes nothing, and Lambda gives the next one in its sandbox the same disk. So each directory has a lock file
//! beside it. The kernel releases the lock with the process: who gets it may remove the directory.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A directory of this process alone, which only its owner may enter; removed when dropped.
#[derive(Debug)]
pub struct ClaimedDirectory {
    /// Stands before the lock, so that it is removed before another process may claim it.
    directory: TempDir,
    lock: PathBuf,
    _held: File,
}

impl ClaimedDirectory {
    /// Makes a directory under `parent` whose name begins with `prefix`, and removes those that dead processes left there.
    ///
    /// # Errors
    /// The operating system's, of the new directory; what cannot be removed stays.
    pub fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        sweep(parent, prefix);
        let owner_only = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix(prefix).permissions(owner_only).tempdir_in(parent)?;
        let lock = lock_of(directory.path());
        let held = File::create_new(&lock)?;
        // No other process can hold the lock of a directory that was not there a moment ago, except a sweep at this moment: it
        // finds an empty directory, and a lock that it then releases.
        held.lock()?;
        match fs::DirBuilder::new().mode(0o700).create(directory.path()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(Self { directory, lock, _held: held })
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for ClaimedDirectory {
    fn drop(&mut self) {
        // What cannot be removed is swept by the next process, which finds it by its lock: a child on its way out may still write there.
        if fs::remove_dir_all(self.directory.path()).is_ok() || !self.directory.path().exists() {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

fn lock_of(directory: &Path) -> PathBuf {
    directory.with_added_extension("lock")
}

/// Removes the directories of dead processes.
fn sweep(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for lock in entries.flatten().map(|entry| entry.path()) {
        let name = lock.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with(prefix) || lock.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(file) = File::open(&lock) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        let directory = lock.with_extension("");
        if fs::remove_dir_all(&directory).is_ok() || !directory.exists() {
            let _ = fs::remove_file(&lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn names(parent: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_its_owners_and_gone_when_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let one = ClaimedDirectory::new(parent.path(), "engine-").unwrap();
        assert_eq!(fs::metadata(one.path()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(one.path().join("object"), "content").unwrap();
        let other = ClaimedDirectory::new(parent.path(), "engine-").unwrap();
        assert!(one.path().join("object").exists(), "a living process keeps what it has");
        assert_eq!(names(parent.path()).len(), 4);
        drop((one, other));
        assert_eq!(names(parent.path()), [""; 0]);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_by_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("engine-killed");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("object"), "content").unwrap();
        // `flock` holds the lock as a process of ours does.
        let lock = parent.path().join("engine-killed.lock");
        let mut holder = Command::new("flock")
            .arg("--no-fork")
            .arg(&lock)
            .args(["sleep", "60"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !lock.exists() || File::open(&lock).unwrap().try_lock().is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        drop(ClaimedDirectory::new(parent.path(), "engine-").unwrap());
        assert!(path.join("object").exists());
        holder.kill().unwrap();
        holder.wait().unwrap();
        fs::write(parent.path().join("engine-other.txt"), "no lock").unwrap();
        drop(ClaimedDirectory::new(parent.path(), "engine-").unwrap());
        assert_eq!(names(parent.path()), ["engine-other.txt"], "and nothing else");
    }
}
