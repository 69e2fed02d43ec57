//! The system call filter of AWS Lambda.
//!
//! Lambda's own filter answers `EPERM` to `prctl` and `seccomp`, and its kernel has no Landlock (`ENOSYS`). The other calls are those
//! that a sandboxed function has no use for; refusing one more than Lambda does costs nothing here.

use std::{collections::BTreeMap, env::consts::ARCH};

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Answered with `ENOSYS`: the kernel has none.
///
/// `clone3` has its flags in memory, where no filter sees those of namespaces: programs fall back to `clone`.
const ABSENT: [c_long; 4] = [
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
    libc::SYS_clone3,
];

/// Answered with `EPERM`.
const REFUSED: [c_long; 20] = [
    libc::SYS_prctl,
    libc::SYS_seccomp,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_pidfd_getfd,
    libc::SYS_userfaultfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

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

/// Calls that Lambda allows and that the functions or their engine need, by names that `--without` takes: a test takes them away one at a
/// time, so that what is said of a call that Lambda does refuse some day is known.
const NEEDED: [(&str, c_long); 8] = [
    ("clone", libc::SYS_clone),
    ("execve", libc::SYS_execve),
    ("flock", libc::SYS_flock),
    ("ftruncate", libc::SYS_ftruncate),
    ("mkdir", SYS_MKDIR),
    ("pipe2", libc::SYS_pipe2),
    ("socket", libc::SYS_socket),
    ("unlink", SYS_UNLINK),
];

#[cfg(target_arch = "x86_64")]
const SYS_MKDIR: c_long = libc::SYS_mkdir;
#[cfg(target_arch = "x86_64")]
const SYS_UNLINK: c_long = libc::SYS_unlink;
#[cfg(not(target_arch = "x86_64"))]
const SYS_MKDIR: c_long = libc::SYS_mkdirat;
#[cfg(not(target_arch = "x86_64"))]
const SYS_UNLINK: c_long = libc::SYS_unlinkat;

/// The call of a name that `--without` takes.
pub(crate) fn needed(name: &str) -> Option<c_long> {
    NEEDED.iter().find(|(known, _)| *known == name).map(|(_, call)| *call)
}

/// The filters, in the order in which they are to be put on: the one that refuses `seccomp` comes last, as no other could follow it.
///
/// `without` are refused besides.
pub(crate) fn filters(without: &[c_long]) -> Result<[BpfProgram; 2], seccompiler::Error> {
    let namespaces = NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?])
    });
    let clone = BTreeMap::from([(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?)]);
    let refused = [&REFUSED, without].concat();
    Ok([answered(&ABSENT, BTreeMap::new(), libc::ENOSYS)?, answered(&refused, clone, libc::EPERM)?])
}

/// A filter that answers these calls with an error, and allows all others.
fn answered(
    calls: &[c_long],
    mut rules: BTreeMap<c_long, Vec<SeccompRule>>,
    error: i32,
) -> Result<BpfProgram, seccompiler::Error> {
    rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    let answer = SeccompAction::Errno(error.unsigned_abs());
    let filter = ARCH.try_into().and_then(|arch| SeccompFilter::new(rules, SeccompAction::Allow, answer, arch));
    Ok(filter.and_then(TryInto::try_into)?)
}
