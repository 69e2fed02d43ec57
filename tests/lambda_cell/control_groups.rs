//! Control groups: the bounds on memory and processes that hold for a cell as a whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::id,
    thread,
    time::Duration,
};

/// Lambda's bound on processes and threads.
const PROCESSES: u64 = 1024;

/// How often a group is tried to be removed.
const ATTEMPTS: u32 = 100;

/// Begins the name of each group; the keeper's process id ends it.
const PREFIX: &str = "nacre-cell-";

/// Where the groups of version 2 are, and of version 1.
const UNIFIED: &str = "/sys/fs/cgroup";
const MEMORY: &str = "/sys/fs/cgroup/memory";
const PIDS: &str = "/sys/fs/cgroup/pids";

/// The groups of a cell; removed when dropped.
pub(crate) struct ControlGroups(Vec<PathBuf>);

impl ControlGroups {
    /// Makes groups with these bounds.
    ///
    /// # Errors
    /// When this user may not make any, which only root may on most systems.
    pub(crate) fn new(memory_mib: u64) -> io::Result<Self> {
        let bytes = memory_mib.saturating_mul(1 << 20).to_string();
        let pids = ("pids.max", PROCESSES.to_string());
        let mut made = Self(Vec::new());
        if Path::new(UNIFIED).join("cgroup.controllers").exists() {
            let memory = [("memory.max", bytes), ("memory.swap.max", "0".into()), ("memory.oom.group", "1".into())];
            made.add(UNIFIED, &memory)?;
            made.set(&[pids])?;
        } else {
            made.add(MEMORY, &[("memory.limit_in_bytes", bytes)])?;
            made.add(PIDS, &[pids])?;
        }
        Ok(made)
    }

    fn add(&mut self, hierarchy: &str, bounds: &[(&str, String)]) -> io::Result<()> {
        let path = Path::new(hierarchy).join(format!("{PREFIX}{}", id()));
        fs::create_dir(&path)?;
        self.0.push(path);
        self.set(bounds)
    }

    fn set(&self, bounds: &[(&str, String)]) -> io::Result<()> {
        let Some(path) = self.0.last() else { return Ok(()) };
        bounds.iter().try_for_each(|(name, value)| fs::write(path.join(name), value))
    }

    /// The files that a process writes its id to in order to join.
    pub(crate) fn doors(&self) -> Vec<PathBuf> {
        self.0.iter().map(|path| path.join("cgroup.procs")).collect()
    }
}

impl Drop for ControlGroups {
    fn drop(&mut self) {
        for path in &self.0 {
            // The kernel may still be ending the cell's processes. What cannot be removed is left to the next sweep.
            let _ = (0..ATTEMPTS).any(|_| {
                fs::remove_dir(path).is_ok() || {
                    thread::sleep(Duration::from_millis(10));
                    false
                }
            });
        }
    }
}

/// Removes the groups of keepers that were killed.
pub(crate) fn sweep() {
    for hierarchy in [UNIFIED, MEMORY, PIDS] {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let keeper = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
            if keeper.is_some_and(|keeper| !Path::new(&format!("/proc/{keeper}")).exists()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}
