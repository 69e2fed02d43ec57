//! System calls that may be refused, each tried by a wrapper that is safe.

use std::{env::consts::ARCH, fmt::Display, fs, io::Write, os::unix::process::parent_id};

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use nix::{
    fcntl::{FallocateFlags, Flock, FlockArg, fallocate},
    sched::{CloneFlags, unshare},
    sys::{
        memfd::{MFdFlags, memfd_create},
        prctl, ptrace,
        resource::{Resource, getrlimit, setrlimit},
        signal::Signal,
    },
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// A system call, and what tries it: `allowed`, or why not. It may change this process.
pub(crate) type Attempt = (&'static str, fn() -> String);

/// All attempts.
pub(crate) const ATTEMPTS: [Attempt; 17] = [
    ("fallocate in /tmp", || outcome(with_a_file(|file| Ok(fallocate(file, FallocateFlags::empty(), 0, 4096)?)))),
    ("flock in /tmp", || {
        outcome(with_a_file(|file| {
            let locked = Flock::lock(file.try_clone()?, FlockArg::LockExclusiveNonblock);
            locked.map(drop).map_err(|(_, error)| error.into())
        }))
    }),
    ("landlock", || {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        outcome(ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create))
    }),
    ("memfd_create", || outcome(memfd_create("nacre-probe", MFdFlags::MFD_CLOEXEC))),
    ("prctl PR_SET_DUMPABLE", || outcome(prctl::set_dumpable(false))),
    ("prctl PR_SET_NAME", || outcome(prctl::set_name(c"nacre-probe"))),
    ("prctl PR_SET_NO_NEW_PRIVS", || outcome(prctl::set_no_new_privs())),
    ("prctl PR_SET_PDEATHSIG", || outcome(prctl::set_pdeathsig(Signal::SIGKILL))),
    ("ptrace PTRACE_TRACEME", || outcome(ptrace::traceme())),
    ("read the environment of the parent", || outcome(fs::read(format!("/proc/{}/environ", parent_id())).map(drop))),
    ("seccomp filter", filter),
    ("setrlimit RLIMIT_AS", || {
        let limited = getrlimit(Resource::RLIMIT_AS);
        outcome(limited.and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_AS, soft.min(1 << 40), hard)))
    }),
    ("unshare CLONE_NEWNET", || outcome(unshare(CloneFlags::CLONE_NEWNET))),
    ("unshare CLONE_NEWNS", || outcome(unshare(CloneFlags::CLONE_NEWNS))),
    ("unshare CLONE_NEWPID", || outcome(unshare(CloneFlags::CLONE_NEWPID))),
    ("unshare CLONE_NEWUSER", || outcome(unshare(CloneFlags::CLONE_NEWUSER))),
    ("write oom_score_adj", || outcome(fs::write("/proc/self/oom_score_adj", "500"))),
];

/// Tries one by its name; `None` when there is none of that name.
pub(crate) fn attempt(name: &str) -> Option<String> {
    ATTEMPTS.iter().find(|(known, _)| *known == name).map(|(_, attempt)| attempt())
}

/// A filter that refuses nothing, applied as the engine applies its own.
fn filter() -> String {
    let made = ARCH.try_into().and_then(|arch| {
        let refused = SeccompAction::Errno(1);
        BpfProgram::try_from(SeccompFilter::new([].into(), SeccompAction::Allow, refused, arch)?)
    });
    match made {
        Ok(program) => outcome(apply_filter(&program)),
        Err(error) => outcome(Err::<(), _>(error)),
    }
}

/// Tries something with an open file that has no name.
fn with_a_file(attempt: impl FnOnce(&fs::File) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in("/tmp")?;
    file.write_all(b"nacre")?;
    attempt(&file)
}

fn outcome<T, E: Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "allowed".to_owned(),
        Err(error) => format!("refused: {error}"),
    }
}
