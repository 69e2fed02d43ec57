//! A private `clamd`, warm, and its client `clamdscan`.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    arena::Arena,
    clamav::{children_cpu_ms, command, each, output, processors, read, settings},
    corpus::Files,
    measured::{Measured, Verdicts},
};
use nacre_test_support::bench::{BenchError, cpu_ms, system};

/// Debian's programs.
const CLAMD: &str = "/usr/sbin/clamd";
const CLAMDSCAN: &str = "/usr/bin/clamdscan";

/// Longest time to load.
const LOAD_TIMEOUT: Duration = Duration::from_mins(2);

/// A running daemon; dropped, it ends.
pub(crate) struct Clamd<'a> {
    arena: &'a Arena,
    process: Child,
    conf: PathBuf,
    /// Milliseconds until it answered.
    pub(crate) start_ms: u64,
}

/// How files are handed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// All threads of the daemon work on the directory.
    AtOnce,
    /// One thread does.
    OneByOne,
}

impl<'a> Clamd<'a> {
    /// Starts it with the arena's databases and waits until it answers.
    pub(crate) fn start(arena: &'a Arena) -> Result<Self, BenchError> {
        let (conf, socket) = (arena.scratch.join("clamd.conf"), arena.scratch.join("clamd.socket"));
        let own = [
            ("Foreground", "yes".to_owned()),
            ("LocalSocket", socket.display().to_string()),
            ("DatabaseDirectory", arena.databases().display().to_string()),
            ("TemporaryDirectory", arena.scratch.display().to_string()),
            ("MaxThreads", processors().to_string()),
            // Once a day: not while it is measured.
            ("SelfCheck", "86400".to_owned()),
        ];
        let common = settings().into_iter().map(|(setting, _, value)| (setting, value));
        let lines: Vec<String> =
            own.into_iter().chain(common).map(|(name, value)| format!("{name} {value}\n")).collect();
        fs::write(&conf, lines.concat()).map_err(system("writing clamd.conf"))?;
        // It must not outlive us, however we end.
        let mut start = command(arena, "setpriv");
        start.args(["--pdeathsig", "KILL", CLAMD, "--config-file"]).arg(&conf).stdout(Stdio::null());
        let started = Instant::now();
        let process = start.spawn().map_err(system("starting clamd"))?;
        let mut clamd = Self { arena, process, conf, start_ms: 0 };
        while !answers(&socket) {
            if started.elapsed() > LOAD_TIMEOUT || clamd.process.try_wait().is_ok_and(|status| status.is_some()) {
                return Err("clamd does not answer; its words are above".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        clamd.start_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(clamd)
    }

    /// One `clamdscan` for each file.
    pub(crate) fn each(&self, files: &Files) -> Result<(Measured, Verdicts), BenchError> {
        let before = self.cpu_ms();
        let scan = |file: &Path| output(self.client(&["--fdpass", "--allmatch"]).arg(file));
        let (mut measured, verdicts) = each(files, &files.names(), scan)?;
        measured.cpu_ms += self.cpu_ms().saturating_sub(before);
        measured.bytes = files.bytes;
        Ok((measured, verdicts))
    }

    /// One `clamdscan` for all files, which names the directory and leaves all else to the daemon.
    pub(crate) fn tree(&self, files: &Files, how: Tree) -> Result<(Measured, Verdicts), BenchError> {
        let options: &[&str] = if how == Tree::AtOnce { &["--multiscan"] } else { &["--allmatch"] };
        let (before, started) = (self.cpu_ms() + children_cpu_ms()?, Instant::now());
        let output: Output = output(self.client(options).arg(&files.directory))?;
        let wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let cpu_ms = (self.cpu_ms() + children_cpu_ms()?).saturating_sub(before);
        // Of a directory it reports what it found, and nothing of the rest.
        let mut verdicts: Verdicts = files.names().into_iter().map(|name| (name.to_owned(), [].into())).collect();
        let printed = |line: &&str| line.ends_with(" FOUND") || line.ends_with("ERROR");
        let lines = String::from_utf8_lossy(&output.stdout).lines().filter(printed).collect::<Vec<_>>().join("\n");
        read(&Output { stdout: lines.into_bytes(), ..output }, &mut verdicts);
        let objects = files.expected.len() as u64;
        Ok((Measured { objects, bytes: files.bytes, wall_us, cpu_ms, peak_kib: None }, verdicts))
    }

    fn client(&self, options: &[&str]) -> std::process::Command {
        let mut client = command(self.arena, CLAMDSCAN);
        client.arg("--config-file").arg(&self.conf).arg("--no-summary").args(options);
        client
    }

    fn cpu_ms(&self) -> u64 {
        cpu_ms(self.process.id()).map_or(0, |(own, _)| own)
    }
}

impl Drop for Clamd<'_> {
    fn drop(&mut self) {
        // It has nothing to lose, and may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn answers(socket: &Path) -> bool {
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(b"zPING\0")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer| answer == b"PONG\0")
}
