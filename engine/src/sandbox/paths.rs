//! The files that the engine's processes may reach, where the kernel has Landlock.
//!
//! It holds against symbolic links, `/proc/<process>` of others and, in newer kernels, TCP and signals. A kernel without it, such as
//! AWS Lambda's 5.10, leaves these to the filter of system calls and to the processes not being dumpable.

use std::{
    collections::BTreeSet,
    fs, io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};
use nacre_engine_protocol::Landlock;
use nix::libc::O_PATH;

use super::SandboxError;

/// The newest rules that we know; an older kernel enforces those that it supports.
const RULES: ABI = ABI::V6;
/// What libraries open by themselves while they work: other libraries (character sets, RAR), time zones.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/share/zoneinfo"];
/// Single files of the same kind.
const FILES: [&str; 5] = ["/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/zero", "/proc/meminfo"];
/// Replaces a worker's standard streams.
const NOTHING: &str = "/dev/null";

/// Opened ahead: a worker confines itself for every object.
#[derive(Debug)]
pub(crate) struct Paths {
    readable: Vec<fs::File>,
    nothing: fs::File,
}

impl Paths {
    /// Opens what workers may read.
    pub(crate) fn find() -> io::Result<Self> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        // Packages put libclamav's own dependencies in its directory.
        let mapped = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
        let libraries = mapped.map(Path::new).filter(|path| path.to_string_lossy().contains(".so"));
        let beside = libraries.filter_map(Path::parent).filter(|directory| directory.is_absolute());
        let all = LIBRARIES.iter().chain(&FILES).map(Path::new).chain(beside);
        let all: BTreeSet<PathBuf> = all.filter_map(|path| fs::canonicalize(path).ok()).collect();
        let readable = all.iter().filter_map(|path| open(path).ok()).collect();
        Ok(Self { readable, nothing: open(Path::new(NOTHING))? })
    }

    /// The descriptors of all that workers may reach.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        self.readable.iter().chain([&self.nothing]).map(AsRawFd::as_raw_fd).collect()
    }

    /// Leaves this process to read everything, to write the current directory, and to run nothing.
    ///
    /// # Errors
    /// [`SandboxError`]; none when the kernel lacks Landlock.
    pub(crate) fn confine_zygote(&self) -> Result<Landlock, SandboxError> {
        let rules = rules()?
            .add_rule(PathBeneath::new(PathFd::new("/")?, reading()))?
            .add_rule(PathBeneath::new(&self.nothing, AccessFs::ReadFile | AccessFs::WriteFile))?
            .add_rule(PathBeneath::new(PathFd::new(".")?, writing()))?;
        // The caller has set it, where the system allows that; without it only root may restrict itself.
        Ok(match rules.no_new_privs(false).restrict_self()?.ruleset {
            RulesetStatus::FullyEnforced => Landlock::Full,
            RulesetStatus::PartiallyEnforced => Landlock::Partial,
            RulesetStatus::NotEnforced => Landlock::Absent,
        })
    }

    /// Leaves this worker to read libraries, and to write in `scratch`.
    ///
    /// # Errors
    /// [`SandboxError`]; none when the kernel lacks Landlock.
    pub(crate) fn confine_worker(&self, scratch: &Path) -> Result<(), SandboxError> {
        let mut rules = rules()?.add_rule(PathBeneath::new(PathFd::new(scratch)?, writing()))?;
        for readable in &self.readable {
            let access = if readable.metadata()?.is_dir() { reading() } else { AccessFs::ReadFile.into() };
            rules = rules.add_rule(PathBeneath::new(readable, access))?;
        }
        rules.no_new_privs(false).restrict_self()?;
        Ok(())
    }
}

/// Rules that deny everything until access is added.
fn rules() -> Result<landlock::RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// No devices, sockets, pipes or links: libclamav makes files and directories.
fn writing() -> BitFlags<AccessFs> {
    reading()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn open(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).custom_flags(O_PATH).open(path)
}
