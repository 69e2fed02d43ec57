//! The engine where the system refuses `prctl` and `seccomp`, as AWS Lambda does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nacre_core::verdict::Verdict;
use nacre_engine_client::{EngineError, EnginePool, SandboxPolicy};
use nacre_test_support::programs_directory;
use tempfile::TempDir;

/// A signature of these words.
const SIGNATURE: &str = "Test.Words:0:*:736f6d65776f726473\n";

/// A program that runs `program` under Lambda's filter.
fn filtered(place: &Path, program: &Path) -> PathBuf {
    let filter = programs_directory().unwrap().join("nacre-lambda-filter");
    let script = place.join("filtered");
    fs::write(&script, format!("#!/bin/sh\nexec {} {}\n", filter.display(), program.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    script
}

fn definitions() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.ndb"), SIGNATURE).unwrap();
    place
}

fn pool(place: &Path, policy: SandboxPolicy) -> EnginePool {
    let engine = programs_directory().unwrap().join("nacre-engine");
    EnginePool::new(filtered(place, &engine), place.to_owned()).with_policy(policy)
}

#[tokio::test]
async fn an_engine_scans_without_the_layers_that_are_refused_and_says_which() {
    let (place, definitions) = (tempfile::tempdir().unwrap(), definitions());
    let pool = pool(place.path(), SandboxPolicy::BestEffort);
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
    let (place, definitions) = (tempfile::tempdir().unwrap(), definitions());
    let refused = pool(place.path(), SandboxPolicy::Required).ready(definitions.path()).await.unwrap_err();
    assert!(matches!(refused, EngineError::Sandbox { .. }), "{refused:?}");
    let message = refused.to_string();
    for part in ["no_new_privileges", "not_dumpable", "seccomp", "landlock", "NACRE_SANDBOX"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// `nacre scan` with the whole process under the filter.
#[test]
fn nacre_scan_gives_its_verdicts_under_the_filter() {
    let (place, definitions) = (tempfile::tempdir().unwrap(), definitions());
    for (name, content) in [("infected", "xx somewords xx\n"), ("clean", "xx other words xx\n")] {
        fs::write(place.path().join(name), content).unwrap();
    }
    let programs = programs_directory().unwrap();
    let scan = |file: &str, policy: &str| -> Output {
        Command::new(programs.join("nacre-lambda-filter"))
            .arg(programs.join("nacre"))
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
