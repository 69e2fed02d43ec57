//! The packaged engine in a cell, where the system refuses `prctl` and `seccomp`, as AWS Lambda does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nacre_core::verdict::Verdict;
use nacre_engine_client::{EngineError, EnginePool, SandboxPolicy};
use nacre_test_support::{Packages, programs_directory, unpack};
use tempfile::TempDir;

/// A signature of these words.
const SIGNATURE: &str = "Test.Words:0:*:736f6d65776f726473\n";

/// The scanner's package, unpacked as Lambda does, and the operator's program beside it.
fn task() -> TempDir {
    let task = tempfile::tempdir().unwrap();
    unpack(&Packages::of_built_programs().unwrap().scanner, task.path()).unwrap();
    fs::copy(programs_directory().unwrap().join("nacre"), task.path().join("nacre")).unwrap();
    task
}

/// A program that runs the packaged engine in a cell that has the current directory and `definitions`.
fn caged(task: &Path, place: &Path, definitions: &Path) -> PathBuf {
    let (cell, task, definitions) = (cell(), task.display(), definitions.display());
    let script = place.join("caged");
    let cell = format!("{cell} --task {task} --bind \"$PWD\" --bind {definitions} --chdir \"$PWD\"");
    let lines = format!("#!/bin/sh\nexec {cell} /var/task/nacre-engine\n");
    fs::write(&script, lines).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    script
}

fn cell() -> String {
    programs_directory().unwrap().join("nacre-lambda-cell").to_str().unwrap().to_owned()
}

fn definitions() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.ndb"), SIGNATURE).unwrap();
    place
}

fn pool(task: &Path, place: &Path, definitions: &Path, policy: SandboxPolicy) -> EnginePool {
    EnginePool::new(caged(task, place, definitions), place.to_owned()).with_policy(policy)
}

#[tokio::test]
async fn an_engine_scans_without_the_layers_that_are_refused_and_says_which() {
    let (task, place, definitions) = (task(), tempfile::tempdir().unwrap(), definitions());
    let pool = pool(task.path(), place.path(), definitions.path(), SandboxPolicy::BestEffort);
    let (hello, _) = pool.ready(definitions.path()).await.unwrap();
    assert_eq!(hello.sandbox.missing(), ["no_new_privileges", "not_dumpable", "seccomp", "landlock"]);
    let limits = nacre_engine_client::protocol::Limits::default();
    for (content, infected) in [("xx somewords xx\n", true), ("xx other words xx\n", false)] {
        let write = async |path: &Path| fs::write(path, content);
        let minute = || std::time::Duration::from_mins(10);
        let examined = pool.examine(definitions.path(), write, limits, minute).await.unwrap();
        let verdict = examined.verdict(content.len() as u64);
        assert_eq!(matches!(verdict, Verdict::Infected { .. }), infected, "{verdict:?}");
        assert!(infected || verdict == Verdict::Clean, "{verdict:?}");
    }
}

#[tokio::test]
async fn a_required_sandbox_that_is_refused_is_named_with_its_layers() {
    let (task, place, definitions) = (task(), tempfile::tempdir().unwrap(), definitions());
    let pool = pool(task.path(), place.path(), definitions.path(), SandboxPolicy::Required);
    let refused = pool.ready(definitions.path()).await.unwrap_err();
    assert!(matches!(refused, EngineError::Sandbox { .. }), "{refused:?}");
    let message = refused.to_string();
    for part in ["no_new_privileges", "not_dumpable", "seccomp", "landlock", "NACRE_SANDBOX"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// Nothing in the cell stands in for what the package should carry.
#[tokio::test]
async fn a_package_that_lacks_a_library_does_not_start_and_names_it() {
    let (task, place, definitions) = (task(), tempfile::tempdir().unwrap(), definitions());
    fs::remove_file(task.path().join("lib/libmspack.so.0")).unwrap();
    let output = Command::new(caged(task.path(), place.path(), definitions.path())).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(127), "{said}");
    assert!(said.contains("libmspack.so.0: cannot open shared object file"), "{said}");
}

/// `nacre scan` as a whole in a cell.
#[test]
fn nacre_scan_gives_its_verdicts_in_a_cell() {
    let (task, place, definitions) = (task(), tempfile::tempdir().unwrap(), definitions());
    for (name, content) in [("infected", "xx somewords xx\n"), ("clean", "xx other words xx\n")] {
        fs::write(place.path().join(name), content).unwrap();
    }
    let scan = |file: &str, policy: &str| -> Output {
        Command::new(cell())
            .env("LD_LIBRARY_PATH", "/var/task/lib")
            .env("TMPDIR", "/tmp")
            .args(["--task".as_ref(), task.path()])
            .args(["--bind".as_ref(), place.path()])
            .args(["--bind".as_ref(), definitions.path()])
            .arg("/var/task/nacre")
            .args(["scan", "--sandbox", policy, "--definitions"])
            .arg(definitions.path())
            .arg(place.path().join(file))
            .output()
            .unwrap()
    };
    for (file, status, word) in [("infected", 1, "INFECTED"), ("clean", 0, "CLEAN")] {
        let output = scan(file, "best-effort");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{out}{err}");
        assert!(out.to_uppercase().contains(word), "{out}");
        assert!(err.contains("seccomp") && err.contains("landlock"), "{err}");
    }
    let output = scan("clean", "required");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("NACRE_SANDBOX"), "{output:?}");
}
