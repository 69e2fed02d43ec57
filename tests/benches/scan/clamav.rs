//! `clamscan`, and what it and `clamd` have in common.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    process::{Command, Output},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use nacre_engine_client::protocol::Limits;
use nix::sys::resource::{UsageWho, getrusage};

use crate::{
    arena::Arena,
    corpus::Files,
    measured::{Measured, Verdicts},
};
use nacre_test_support::bench::{BenchError, milliseconds, system};

/// Debian's program.
const CLAMSCAN: &str = "/usr/bin/clamscan";

/// What our engine sets too (`engine/src/library.rs`), by the names of clamd's settings and clamscan's options.
pub(crate) fn settings() -> Vec<(&'static str, &'static str, String)> {
    let limits = Limits::default();
    let (size, yes) = (limits.max_file_size.to_string(), || "yes".to_owned());
    vec![
        // Theirs ends at 4 GiB - 1.
        ("MaxScanSize", "max-scansize", limits.max_scan_size.min(u64::from(u32::MAX)).to_string()),
        ("MaxFileSize", "max-filesize", size.clone()),
        ("MaxRecursion", "max-recursion", limits.max_recursion.to_string()),
        ("MaxFiles", "max-files", limits.max_files.to_string()),
        ("MaxScanTime", "max-scantime", limits.max_scan_time_ms.to_string()),
        ("MaxEmbeddedPE", "max-embeddedpe", size.clone()),
        ("MaxHTMLNormalize", "max-htmlnormalize", size.clone()),
        ("MaxHTMLNoTags", "max-htmlnotags", size.clone()),
        ("MaxScriptNormalize", "max-scriptnormalize", size.clone()),
        ("MaxZipTypeRcg", "max-ziptypercg", size.clone()),
        ("PCREMaxFileSize", "pcre-max-filesize", size),
        ("AlertExceedsMax", "alert-exceeds-max", yes()),
        ("AlertEncrypted", "alert-encrypted", yes()),
        // The same files come again and again, which is nothing to gain from.
        ("DisableCache", "disable-cache", yes()),
    ]
}

/// A program of ClamAV's, with our keys.
pub(crate) fn command(arena: &Arena, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", arena.libraries());
    command
}

/// One `clamscan` for one file.
pub(crate) fn clamscan(arena: &Arena, file: &Path) -> Result<Output, BenchError> {
    let mut command = command(arena, CLAMSCAN);
    command.args(["--no-summary", "--allmatch=yes"]).arg(format!("--database={}", arena.databases().display()));
    command.args(settings().iter().map(|(_, option, value)| format!("--{option}={value}")));
    output(command.arg(file))
}

/// Runs a scanner to its end. 0 and 1 say that nothing or something was found.
pub(crate) fn output(command: &mut Command) -> Result<Output, BenchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(system(format!("starting {program}")))?;
    if output.status.code().is_some_and(|code| code < 2) {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Err(format!("{program} failed ({}):\n{said}", output.status).into())
}

/// Reads a scanner's lines: `path: OK`, and `path: name FOUND` for each signature.
pub(crate) fn read(output: &Output, verdicts: &mut Verdicts) {
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((path, said)) = line.rsplit_once(": ") else { continue };
        let file = path.rsplit('/').next().unwrap_or(path).to_owned();
        let names: &mut BTreeSet<String> = verdicts.entry(file).or_default();
        match said.strip_suffix(" FOUND") {
            Some(name) => _ = names.insert(name.to_owned()),
            // Neither clean nor infected: it agrees with nobody.
            None if said != "OK" => _ = names.insert(said.to_owned()),
            None => {}
        }
    }
}

/// Has a program run for each of these files, as many at a time as there are processors, and measures that, apart from
/// processes that go on.
pub(crate) fn each(
    files: &Files,
    names: &[&str],
    run: impl Fn(&Path) -> Result<Output, BenchError> + Sync,
) -> Result<(Measured, Verdicts), BenchError> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Verdicts::new()));
    let work = || -> Result<(), BenchError> {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let output = run(&files.directory.join(name))?;
            read(&output, &mut found.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    };
    let (before, started) = (children_cpu_ms()?, Instant::now());
    let outcome: Result<(), BenchError> = thread::scope(|scope| {
        let workers: Vec<_> = (0..processors()).map(|_| scope.spawn(work)).collect();
        let panicked = |_| Err("a thread panicked".into());
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(panicked))
    });
    outcome?;
    let measured = Measured {
        objects: names.len() as u64,
        bytes: 0,
        wall_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        cpu_ms: children_cpu_ms()?.saturating_sub(before),
        peak_kib: None,
    };
    Ok((measured, found.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// How many processors there are.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// User and system time of all processes that we have started and that have ended, in milliseconds.
pub(crate) fn children_cpu_ms() -> Result<u64, BenchError> {
    let taken = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(io::Error::from).map_err(system("asking for times"))?;
    Ok(milliseconds(taken.user_time()) + milliseconds(taken.system_time()))
}
