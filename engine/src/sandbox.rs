//! The sandbox of the engine's processes.
//!
//! The zygote drops what no engine needs: the network, other programs, other processes, writes outside of its private directory. A
//! worker keeps only computation, its object and one directory to write to; any other system call kills it.
//!
//! Each layer is put on where the system allows it, and the client hears which are: AWS Lambda refuses `prctl` and `seccomp`, and a
//! scan there is still better than none. Whether that is enough is the client's choice.

mod paths;
mod resources;
mod system_calls;

use std::{fs, io, os::fd::RawFd, path::Path, time::Duration};

use nacre_engine_protocol::{Landlock, Limits, Sandbox as SandboxState};
use nix::{
    fcntl::{self, OFlag},
    sys::{
        prctl,
        signal::Signal,
        stat::{Mode, umask},
    },
    unistd::{self, Pid},
};

use self::{paths::Paths, system_calls::WorkerFilter};

/// The confined zygote, and the rules for its workers.
#[derive(Debug)]
pub(crate) struct Sandbox {
    paths: Paths,
    worker_filter: WorkerFilter,
    state: SandboxState,
}

/// Why a process could not be confined; it must then not continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// A system call failed.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// The kernel has no seccomp, or refused a filter.
    #[error("no system call filter: {0}")]
    Filter(#[from] seccompiler::Error),
    /// The kernel has Landlock, and refused a rule.
    #[error("no Landlock rules: {0}")]
    Paths(#[from] landlock::RulesetError),
    /// A path of the rules cannot be opened.
    #[error("no Landlock rule: {0}")]
    Path(#[from] landlock::PathFdError),
}

impl From<nix::Error> for SandboxError {
    fn from(error: nix::Error) -> Self {
        Self::System(error.into())
    }
}

impl Sandbox {
    /// Confines this process, whose private directory is the current one, and all that it will fork.
    pub(crate) fn confine_zygote() -> Result<Self, SandboxError> {
        close_inherited()?;
        umask(Mode::from_bits_truncate(0o077));
        // Attack: an archive that takes all memory. The system then kills a worker, which costs one object its scan, and not the client,
        // which would lose all of its objects. Where it is refused, the bounds of workers must do.
        fs::write("/proc/self/oom_score_adj", "1000").ok();
        let no_new_privileges = prctl::set_no_new_privs().is_ok();
        // Without Landlock, this keeps the zygote's memory from a compromised worker: it has the same user.
        let not_dumpable = prctl::set_dumpable(false).is_ok();
        resources::bound_zygote()?;
        let paths = Paths::find()?;
        let landlock = paths.confine_zygote().unwrap_or(Landlock::Absent);
        let worker_filter = WorkerFilter::compile()?;
        let seccomp = system_calls::confine_zygote().is_ok();
        Ok(Self { paths, worker_filter, state: SandboxState { no_new_privileges, not_dumpable, seccomp, landlock } })
    }

    /// The descriptors that workers need to confine themselves.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        self.paths.descriptors()
    }

    /// The sandbox of the zygote and its workers, as reported to the client.
    pub(crate) fn state(&self) -> SandboxState {
        self.state
    }

    /// Confines this worker, once it has its object open, for a scan within `limits`: it may write in `scratch` alone.
    pub(crate) fn confine_worker(
        &self,
        scratch: &Path,
        object_bytes: u64,
        limits: &Limits,
        deadline: Duration,
    ) -> Result<(), SandboxError> {
        resources::bound_worker(object_bytes, limits, deadline)?;
        // A layer that the zygote has and a worker cannot have is an error: something changed under us.
        if self.state.landlock != Landlock::Absent {
            self.paths.confine_worker(scratch)?;
        }
        // Last: it forbids what the lines above do.
        if self.state.seccomp {
            self.worker_filter.apply()?;
        }
        Ok(())
    }
}

/// Detaches a new worker from the zygote, before it waits for its job: of all descriptors it keeps `kept` alone.
///
/// # Errors
/// When the system refuses or the zygote has already ended; the worker must then not continue.
pub(crate) fn detach_from(zygote: Pid, kept: &[RawFd]) -> io::Result<()> {
    // Where it is refused, an idle worker ends when its pipe closes, and a busy one with its processor time.
    prctl::set_pdeathsig(Signal::SIGKILL).ok();
    // The zygote may have died before the line above.
    if unistd::getppid() != zygote {
        return Err(io::Error::other("the zygote has ended"));
    }
    // Attack: a compromised worker reads the next request, requests a scan of its own, or responds for another object. Neither the
    // zygote's streams nor any other descriptor of it stay open. Its stderr would reach the client's log. Where the system refuses
    // Landlock and non-dumpable processes, `/proc/<zygote>/fd` stays open: SECURITY.md says so.
    let nothing = fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    unistd::dup2_stdin(&nothing)?;
    unistd::dup2_stdout(&nothing)?;
    unistd::dup2_stderr(&nothing)?;
    drop(nothing);
    for descriptor in (3..resources::MAX_DESCRIPTORS).filter_map(|descriptor| RawFd::try_from(descriptor).ok()) {
        if !kept.contains(&descriptor) {
            unistd::close(descriptor).ok();
        }
    }
    Ok(())
}

/// Closes every descriptor past stderr that the parent left open.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // The one that listed the others is closed already.
        unistd::close(descriptor).ok();
    }
    Ok(())
}
