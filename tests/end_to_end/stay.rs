//! `make stack`: the stack stays up until it is ended, and its environment is all that the command line needs.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use nacre_test_support::programs_directory;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn program(name: &str) -> PathBuf {
    programs_directory().unwrap().join(name)
}

/// Ended with the test, whatever becomes of it; with it, everything that it started ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stack_stays_until_it_is_ended_and_leaves_nothing_running() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("nacre-demo"));
    command.args(["--stay", "--directory"]).arg(scratch.path()).stdout(Stdio::piped());
    let mut demo = Ended(command.spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut exports = Vec::new();
    // The last of them.
    while exports.last().is_none_or(|(name, _)| name != "SCANNED_BUCKET") {
        let line = lines.next().expect("the stack ended before it was up");
        exports.extend(line.strip_prefix("export ").and_then(|export| export.split_once('=')).map(owned));
    }
    let mut status = Command::new(program("nacre"));
    let status = status.args(["definitions", "status"]).env_clear().envs(exports).output().unwrap();
    let shown = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.status.success() && shown.starts_with("generation    1"), "{status:?}");
    assert!(scratch.path().join("environment").is_file());

    kill(Pid::from_raw(demo.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(lines.any(|line| line.contains("nothing is left running")));
    assert!(demo.0.wait().unwrap().success());
    assert!(!scratch.path().join("environment").exists(), "it names what is not there any more");
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
