//! What shells complete, and the manual pages.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics fails, as it should")]

use std::{fs, process::Command};

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(env!("CARGO_BIN_EXE_nacre")).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shell}");
        for word in ["definitions", "dlq", "redrive", "unscannable", "--stack"] {
            assert!(script.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let output = Command::new(env!("CARGO_BIN_EXE_nacre")).arg("man").arg(&pages).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for page in ["nacre.1", "nacre-status.1", "nacre-dlq-redrive.1", "nacre-definitions-list.1"] {
        let text = fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains("EXIT STATUS") || text.contains("SYNOPSIS"), "{page}");
    }
}
