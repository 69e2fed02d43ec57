//! Runs a program under the system call filter of AWS Lambda: `nacre-lambda-filter PROGRAM ARGUMENT…`.
//!
//! Lambda's own filter answers `EPERM` to `prctl` and `seccomp`, and its kernel has no Landlock (`ENOSYS`). The other calls are those
//! that a sandboxed function has no use for; refusing one more than Lambda does costs nothing here. Never shipped.

use std::{
    collections::BTreeMap,
    env::{self, consts::ARCH},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// Answered with `ENOSYS`: the kernel has none.
const ABSENT: [c_long; 3] =
    [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];

/// Answered with `EPERM`.
const REFUSED: [c_long; 14] = [
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

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: nacre-lambda-filter PROGRAM ARGUMENT…");
        return ExitCode::from(2);
    };
    if let Err(error) = confine() {
        eprintln!("nacre-lambda-filter: {error}");
        return ExitCode::from(2);
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("nacre-lambda-filter: cannot run {}: {error}", program.display());
    ExitCode::from(2)
}

/// The filter that refuses `seccomp` comes last: no other could follow it.
fn confine() -> Result<(), seccompiler::Error> {
    apply_filter(&answered(&ABSENT, BTreeMap::new(), libc::ENOSYS)?)?;
    let namespaces = NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?])
    });
    let clone = BTreeMap::from([(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?)]);
    apply_filter(&answered(&REFUSED, clone, libc::EPERM)?)
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
