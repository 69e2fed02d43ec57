//! Several scans at once over one loaded engine.

use std::collections::BTreeMap;

use nacre_engine_protocol::{Command, FailureCode, Limits, Outcome};

use crate::driver::{DEADLINE_MS, ENDLESS, Engine, TEST_FILES_SIGNATURE, directory_of, eicar, hdb, load, scan, zip};

/// Some seconds of work for a worker.
fn slow() -> Vec<u8> {
    let bulk = vec![b'a'; 100 << 20];
    zip(&[("1", &bulk), ("2", &bulk)])
}

fn scan_until(file: &str, deadline_ms: u64) -> Command {
    Command::Scan { engine: 1, file: file.to_owned(), limits: Limits::default(), deadline_ms }
}

/// Receives `count` answers in whatever order they come.
fn answers(engine: &mut Engine, count: usize) -> (Vec<u64>, BTreeMap<u64, Outcome>) {
    let received: Vec<_> = (0..count).map(|_| engine.receive_any()).collect();
    (received.iter().map(|answer| answer.id).collect(), received.into_iter().map(|a| (a.id, a.outcome)).collect())
}

fn code(outcome: &Outcome) -> Option<FailureCode> {
    if let Outcome::Failed(failure) = outcome { Some(failure.code) } else { None }
}

#[test]
fn answers_come_as_scans_end_each_to_its_own_request() {
    let mut engine = Engine::attacked(&[("a.hdb", &hdb("Eicar", &eicar()))]);
    engine.put("endless", ENDLESS);
    engine.put("slow", &slow());
    engine.put("eicar", &eicar());
    engine.put("clean", b"just some words in a row\n");
    let endless = engine.send(scan("endless"));
    let slow = engine.send(scan("slow"));
    let quick: Vec<_> = (0..100).map(|n| engine.send(scan(if n % 2 == 0 { "eicar" } else { "clean" }))).collect();
    // All of them come although the first never ends.
    let (_, outcomes) = answers(&mut engine, 101);
    assert!(!outcomes.contains_key(&endless));
    for (n, id) in quick.iter().enumerate() {
        let Outcome::Scanned(report) = &outcomes[id] else { panic!("{:?}", outcomes[id]) };
        assert_eq!(report.alerts.len(), usize::from(n % 2 == 0), "request {id}");
    }
    assert!(matches!(outcomes[&slow], Outcome::Scanned(_)));
    let cancel = engine.send(Command::Cancel { scan: endless });
    let (_, outcomes) = answers(&mut engine, 2);
    assert_eq!(code(&outcomes[&endless]), Some(FailureCode::Cancelled));
    assert_eq!(outcomes[&cancel], Outcome::Cancelled);
    engine.assert_nothing_left();
}

#[test]
fn each_scan_has_its_own_deadline_and_its_death_costs_no_other() {
    let mut engine = Engine::attacked(&[("a.hdb", &hdb("Eicar", &eicar()))]);
    engine.put("endless", ENDLESS);
    engine.put("eicar", &eicar());
    let late = engine.send(scan_until("endless", 200));
    let cancelled = engine.send(scan("endless"));
    let found = engine.send(scan("eicar"));
    let cancel = engine.send(Command::Cancel { scan: cancelled });
    let again = engine.send(Command::Cancel { scan: cancelled });
    let (_, outcomes) = answers(&mut engine, 5);
    assert_eq!(code(&outcomes[&late]), Some(FailureCode::DeadlineExceeded));
    assert_eq!(code(&outcomes[&cancelled]), Some(FailureCode::Cancelled));
    assert!(matches!(&outcomes[&found], Outcome::Scanned(report) if report.alerts.len() == 1));
    assert_eq!((&outcomes[&cancel], &outcomes[&again]), (&Outcome::Cancelled, &Outcome::Cancelled));
    engine.assert_nothing_left();
}

#[test]
fn a_load_waits_for_the_scans_before_it_and_holds_up_those_after_it() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    engine.put("slow", &slow());
    engine.put("eicar", &eicar());
    let definitions = directory_of(&[("a.hdb", &hdb("Eicar", &eicar()))]);
    let first = engine.send(scan("slow"));
    let second = engine.send(load(definitions.path()));
    let mut third = scan("eicar");
    if let Command::Scan { engine, .. } = &mut third {
        *engine = 2;
    }
    let third = engine.send(third);
    let (order, outcomes) = answers(&mut engine, 3);
    assert_eq!(order, [first, second, third]);
    assert!(matches!(&outcomes[&third], Outcome::Scanned(report) if report.alerts.len() == 1), "{outcomes:?}");
}

#[test]
fn what_was_asked_before_the_end_of_the_input_is_answered() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    engine.put("slow", &slow());
    engine.put("clean", b"just some words in a row\n");
    for _ in 0..3 {
        engine.send(scan("clean"));
    }
    engine.send(scan_until("slow", DEADLINE_MS));
    drop(engine.stdin.take());
    let (_, outcomes) = answers(&mut engine, 4);
    assert!(outcomes.values().all(|outcome| matches!(outcome, Outcome::Scanned(_))));
    assert!(engine.child.wait().unwrap().success());
}
