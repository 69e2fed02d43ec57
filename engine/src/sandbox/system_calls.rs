//! The system calls that the engine's processes keep.
//!
//! Two filters of two kinds, by what a mistake in them would cost:
//! - The zygote never meets an object, but runs whatever the libraries of a system run when they start. It is refused what no
//!   engine needs (`EPERM`): a list that misses a call loses a second line of defence, no more.
//! - A worker meets objects, so it keeps what is listed and dies of everything else. Refusing a call instead would be wrong here:
//!   libclamav takes most failures for "clean", but a worker that was killed has seen nothing, and its object is unscannable. When
//!   a newer libc or libclamav needs a call that is not listed, the canary's scan dies of it and no definitions load: loud, and
//!   before the first object.

use std::{collections::BTreeMap, env::consts::ARCH};

use nix::libc::{self, c_long};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// Refused to the zygote, and so to every worker.
const REFUSED: &[c_long] = &[
    // Networks.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes: their memory, descriptors and tracing.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Ways around this filter, and corners of the kernel that no engine needs.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_fanotify_init,
    libc::SYS_memfd_secret,
    libc::SYS_mknodat,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
];

/// All that a worker may call. Not `truncate`: before Linux 6.2, Landlock does not cover it, and it reaches files that cannot be opened;
/// libclamav has `ftruncate`.
const KEPT: &[c_long] = &[
    // Files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_flock,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_renameat2,
    libc::SYS_umask,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_msync,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_membarrier,
    // Threads, which libclamav's image decoder uses. `clone` has a rule of its own; `clone3` hides its flags from every filter,
    // so the zygote's filter says that there is none, and libc falls back to `clone`.
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals of its own.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time, randomness, and who it is.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
];

/// Older forms of the same, which newer architectures lack.
#[cfg(target_arch = "x86_64")]
const KEPT_HERE: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_unlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_time,
    libc::SYS_getrlimit,
];
#[cfg(not(target_arch = "x86_64"))]
const KEPT_HERE: &[c_long] = &[];

/// Refused to a worker. Landlock does not cover the mode and the times of a file, wherever it is; libclamav changes modes only of its
/// own directories before it removes them, which works without.
const REFUSED_TO_WORKERS: &[c_long] = &[libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_utimensat];

/// Older forms of the same, which newer architectures lack.
#[cfg(target_arch = "x86_64")]
const REFUSED_TO_WORKERS_HERE: &[c_long] = &[libc::SYS_chmod, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_TO_WORKERS_HERE: &[c_long] = &[];

/// Flags of `clone` that create namespaces.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The commands of `fcntl` on a worker's own descriptors. Attack: `F_SETOWN` and `F_SETSIG` make the kernel send any signal to any process of
/// the same user, around the refused `kill`; before Linux 6.12, Landlock does not stop that.
const DESCRIPTOR_COMMANDS: [i32; 12] = [
    libc::F_DUPFD,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
    libc::F_DUPFD_CLOEXEC,
];

/// The `ioctl` request that only checks whether a descriptor is a terminal.
const TERMINAL: u64 = libc::TCGETS;
/// The sign bit of a process id: such a number means a group of processes.
const GROUP: u64 = 0x8000_0000;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// The compiled filters of a worker: what it is refused, and what kills it.
#[derive(Debug)]
pub(crate) struct WorkerFilter([BpfProgram; 2]);

impl WorkerFilter {
    /// Compiles the filter, so that workers need not.
    ///
    /// # Errors
    /// On an architecture that is not ours.
    pub(crate) fn compile() -> Result<Self, Error> {
        let refused = REFUSED_TO_WORKERS.iter().chain(REFUSED_TO_WORKERS_HERE);
        // Of two filters, the one that kills has the last word: the refused calls are kept by it.
        let mut rules: Rules =
            KEPT.iter().chain(KEPT_HERE).chain(refused.clone()).map(|call| (*call, Vec::new())).collect();
        let refused = refused.map(|call| (*call, Vec::new())).collect();
        let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
        rules.insert(libc::SYS_clone, vec![only(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
        rules.insert(libc::SYS_ioctl, vec![only(1, SeccompCmpOp::Eq, TERMINAL)?]);
        let commands =
            DESCRIPTOR_COMMANDS.iter().map(|command| only(1, SeccompCmpOp::Eq, u64::from(command.unsigned_abs())));
        rules.insert(libc::SYS_fcntl, commands.collect::<Result<_, _>>()?);
        // Its own limits, which it can only lower.
        rules.insert(libc::SYS_prlimit64, vec![only(0, SeccompCmpOp::Eq, 0)?]);
        let refusing = compile(refused, SeccompAction::Allow, errno(libc::EPERM))?;
        Ok(Self([refusing, compile(rules, SeccompAction::KillProcess, SeccompAction::Allow)?]))
    }

    /// Applies the filters to this process and its threads, for good.
    pub(crate) fn apply(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(|filter| apply_filter(filter))
    }
}

/// Denies this process, and all that it will fork, what no engine needs.
///
/// # Errors
/// The kernel's; without filters the engine must not continue.
pub(crate) fn confine_zygote() -> Result<(), Error> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let namespaces = NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        only(0, SeccompCmpOp::MaskedEq(flag), flag)
    });
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    // It ends its workers one by one.
    rules.insert(libc::SYS_kill, vec![only(0, SeccompCmpOp::Eq, 0)?, only(0, SeccompCmpOp::Ge, GROUP)?]);
    apply_filter(&compile(rules, SeccompAction::Allow, errno(libc::EPERM))?)?;
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    apply_filter(&compile(clone3, SeccompAction::Allow, errno(libc::ENOSYS))?)
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

/// A rule for calls whose argument at `index`, seen as 32 bits, is so.
fn only(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)?])
}

fn compile(rules: Rules, otherwise: SeccompAction, then: SeccompAction) -> Result<BpfProgram, Error> {
    let program = ARCH.try_into().and_then(|arch| SeccompFilter::new(rules, otherwise, then, arch)?.try_into());
    program.map_err(Error::Backend)
}
