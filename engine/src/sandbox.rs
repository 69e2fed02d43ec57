//! What the engine's processes give up before they touch anything.
//!
//! Thin today: no new privileges, no core dumps, few descriptors, nothing inherited, and no worker without its zygote.

use std::{fs, io};

use nix::{
    fcntl::{self, OFlag},
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
        stat::{Mode, umask},
    },
    unistd::{self, Pid},
};

/// Most descriptors that a process may hold; libclamav keeps a few per level of nesting.
const MAX_DESCRIPTORS: u64 = 256;

/// Confines this process and all that it will fork.
///
/// # Errors
/// When the system refuses; the process must then not go on.
pub(crate) fn confine_zygote() -> io::Result<()> {
    close_inherited()?;
    umask(Mode::from_bits_truncate(0o077));
    prctl::set_no_new_privs()?;
    // A core dump would keep an object's content after its scan.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS, MAX_DESCRIPTORS)?;
    Ok(())
}

/// Confines a fresh worker of `zygote`.
///
/// # Errors
/// When the system refuses or the zygote is already gone; the worker must then not go on.
pub(crate) fn confine_worker(zygote: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The zygote may have died before the line above.
    if unistd::getppid() != zygote {
        return Err(io::Error::other("the zygote is gone"));
    }
    // A worker taken over by its object must neither read the next request nor answer for the zygote.
    let nothing = fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    unistd::dup2_stdin(&nothing)?;
    unistd::dup2_stdout(&nothing)?;
    Ok(())
}

/// Closes every descriptor past stderr: whatever the parent forgot is none of our business.
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
