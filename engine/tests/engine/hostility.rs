//! Hangs, deaths, tricks with paths, and a parent that misbehaves or goes away.

use std::{fs, os::unix::fs::symlink, path::Path};

use nacre_engine_protocol::{Command, FailureCode, Limits, MAX_LINE_BYTES, Outcome, PROTOCOL_VERSION, Response};
use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};

use crate::driver::{
    DEADLINE_MS, ENDLESS, Engine, TEST_FILES_SIGNATURE, await_some, children, eicar, private_directory,
    processor_ticks, scan, zip,
};

/// Some seconds of work for a worker, in a file of a few hundred kilobytes.
fn slow() -> Vec<u8> {
    let bulk = vec![b'a'; 100 << 20];
    zip(&[("1", &bulk), ("2", &bulk), ("3", &bulk)])
}

/// Waits for the engine's worker to have begun to unpack.
fn worker_at_work(engine: &Engine) -> i32 {
    await_some("a worker that unpacks", || {
        let unpacking =
            |scratch: fs::DirEntry| fs::read_dir(scratch.path()).is_ok_and(|mut inside| inside.next().is_some());
        let begun = fs::read_dir(engine.directory.path().join("tmp")).unwrap().flatten().any(unpacking);
        // Others wait for their work.
        let busy = |child: &i32| processor_ticks(*child).is_some_and(|ticks| ticks > 1);
        children(engine.child.id()).into_iter().find(busy).filter(|_| begun)
    })
}

fn assert_gone(process: i32) {
    let end = || (!Path::new(&format!("/proc/{process}")).exists()).then_some(());
    await_some("the end of the worker", end);
}

#[test]
fn an_overrunning_worker_is_killed_and_the_engine_goes_on() {
    let mut engine = Engine::attacked(&[TEST_FILES_SIGNATURE]);
    engine.put("endless", ENDLESS);
    for deadline_ms in [0, 1, 100] {
        let (file, limits) = ("endless".to_owned(), Limits::default());
        let (code, message) = engine.refuse(Command::Scan { engine: 1, file, limits, deadline_ms });
        assert_eq!(code, FailureCode::DeadlineExceeded, "{message}");
        engine.assert_nothing_left();
        assert!(children(engine.child.id()).len() <= 2, "more than those that wait for work");
    }
    assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
}

#[test]
fn a_worker_that_dies_costs_its_one_object() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    engine.put("slow", &slow());
    for signal in [Signal::SIGKILL, Signal::SIGABRT] {
        engine.send(scan("slow"));
        kill(Pid::from_raw(worker_at_work(&engine)), signal).unwrap();
        let Outcome::Failed(failure) = engine.receive() else { panic!("not failed") };
        assert_eq!(failure.code, FailureCode::WorkerDied);
        assert!(failure.message.contains(signal.as_str()), "{}", failure.message);
        engine.assert_nothing_left();
        assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
    }
}

#[test]
fn a_worker_does_not_outlive_its_engine() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    engine.put("slow", &slow());
    engine.send(scan("slow"));
    let worker = worker_at_work(&engine);
    engine.child.kill().unwrap();
    assert_gone(worker);
}

#[test]
fn an_answer_that_nobody_waits_for_ends_the_engine() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    engine.put("slow", &slow());
    engine.send(scan("slow"));
    let worker = worker_at_work(&engine);
    // What the parent's death does.
    drop((engine.stdin.take(), engine.stdout.take()));
    assert!(!engine.child.wait().unwrap().success());
    assert_gone(worker);
}

#[test]
fn a_file_that_is_not_a_plain_file_in_the_directory_is_refused() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    let directory = engine.directory.path().to_owned();
    engine.put("real", &eicar());
    symlink(directory.join("real"), directory.join("link")).unwrap();
    symlink("/etc/passwd", directory.join("outside")).unwrap();
    private_directory(&directory.join("folder"));
    fs::write(directory.join("folder/inside"), eicar()).unwrap();
    mkfifo(&directory.join("fifo"), Mode::S_IRWXU).unwrap();
    let absolute = directory.join("real");
    let tricks = [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../etc/passwd",
        "folder/inside",
        "./real",
        "real/",
        "real\0",
        "link",
        "outside",
        "folder",
        "fifo",
        "absent",
        absolute.to_str().unwrap(),
    ];
    for trick in tricks {
        let (code, message) = engine.refuse(scan(trick));
        assert_eq!(code, FailureCode::BadRequest, "{trick:?}: {message}");
        engine.assert_nothing_left();
    }
    assert!(matches!(engine.ask(scan("real")), Outcome::Scanned(_)));
}

#[test]
fn a_limit_of_zero_is_not_taken_for_none() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    engine.put("object", b"words");
    let limits = Limits { max_files: 0, ..Limits::default() };
    let (code, _) = engine.refuse(Command::Scan { engine: 1, file: "object".into(), limits, deadline_ms: DEADLINE_MS });
    assert_eq!(code, FailureCode::BadRequest);
}

#[test]
fn hello_comes_first_and_must_agree() {
    let mut engine = Engine::start();
    assert_eq!(engine.refuse(scan("object")).0, FailureCode::BadRequest);
    let foreign = Command::Hello { protocol: PROTOCOL_VERSION + 1 };
    assert_eq!(engine.refuse(foreign).0, FailureCode::ProtocolMismatch);
    assert_eq!(engine.refuse(scan("object")).0, FailureCode::BadRequest);
    let Outcome::Hello(hello) = engine.ask(Command::Hello { protocol: PROTOCOL_VERSION }) else { panic!("no hello") };
    assert!(hello.clamav_version.starts_with("1."), "{hello:?}");
    assert!(hello.functionality_level >= 200, "{hello:?}");
    assert_eq!(engine.refuse(scan("object")).0, FailureCode::NoSuchEngine);
}

#[test]
fn a_malformed_line_is_answered_and_passed_over() {
    let mut engine = Engine::greeted();
    for line in [&b"\n"[..], b"{}\n", b"nonsense\n", b"{\"id\":1,\"command\":\"explode\"}\n", b"\xff\xfe\n"] {
        engine.send_raw(line);
        let Response { id, outcome } = engine.receive_any();
        let Outcome::Failed(failure) = outcome else { panic!("not failed") };
        assert_eq!((id, failure.code), (0, FailureCode::BadRequest));
    }
    engine.load(&[TEST_FILES_SIGNATURE]);
}

#[test]
fn an_endless_line_ends_the_engine() {
    let mut engine = Engine::greeted();
    engine.send_raw(&vec![b'x'; MAX_LINE_BYTES]);
    assert!(!engine.child.wait().unwrap().success());
}

#[test]
fn the_end_of_its_input_ends_the_engine_in_peace() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    drop(engine.stdin.take());
    assert!(engine.child.wait().unwrap().success());
}

#[test]
fn a_directory_that_is_not_fresh_is_refused() {
    let used = tempfile::TempDir::new().unwrap();
    private_directory(&used.path().join("tmp"));
    fs::write(used.path().join("tmp/precious"), "kept").unwrap();
    let mut engine = std::process::Command::new(env!("CARGO_BIN_EXE_nacre-engine"));
    assert!(!engine.current_dir(used.path()).output().unwrap().status.success());
    assert!(used.path().join("tmp/precious").exists());
}
