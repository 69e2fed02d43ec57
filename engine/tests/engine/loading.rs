//! What a load accepts, proves and refuses.

use std::{fs, process::Command as Process};

use nacre_clamav::{context::cud_in_pieces, delta::SignatureFile};
use nacre_engine_protocol::{Command, FailureCode, Outcome};

use crate::driver::{DEADLINE_MS, Engine, TEST_FILES_SIGNATURE, directory_of, eicar, hdb, load, ndb, scan};

const OTHER: (&str, &str) = ("other.hdb", "d41d8cd98f00b204e9800998ecf8427f:100:Other\n");

/// What a load leaves mapped is lost for the process, and so are the huge pages in which it lies.
#[test]
fn an_engine_that_is_unloaded_leaves_no_memory_behind() {
    let mut engine = Engine::greeted();
    let process = engine.child.id();
    let mappings = || fs::read_to_string(format!("/proc/{process}/maps")).map(|maps| maps.lines().count());
    if mappings().is_err() {
        println!("skipped: only root may read the mappings of a process that cannot be dumped");
        return;
    }
    // More than the first megabytes of a load, which are mapped one by one.
    let lines = (0_u64..120_000).map(|number| {
        let digits = hex::encode(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        format!("{digits}{digits}{digits}{digits}:{}:Many-{number}\n", number % 9000 + 1)
    });
    let many = lines.collect::<Vec<_>>().concat();
    let mut left = Vec::new();
    for _ in 0..5 {
        let loaded = engine.load(&[("many.hsb", &many)]);
        assert_eq!(engine.ask(Command::Unload { engine: loaded.engine }), Outcome::Unloaded);
        left.push(mappings().unwrap());
    }
    assert!(left[4] <= left[0] + 8, "{left:?}");
}

#[test]
fn the_canary_shows_whether_the_definitions_know_eicar() {
    let mut engine = Engine::greeted();
    let knowing = engine.load(&[("a.ndb", &ndb("Eicar", &eicar())), OTHER]);
    assert_eq!((knowing.signatures, knowing.eicar), (2, vec!["Eicar.UNOFFICIAL".to_owned()]));
    assert_eq!(engine.load(&[OTHER]).eicar, Vec::<String>::new());
    engine.assert_nothing_left();
}

#[test]
fn definitions_cannot_switch_the_canary_off() {
    let mut engine = Engine::greeted();
    let eicar_signature = hdb("Eicar", &eicar());
    let ignoring = "Eicar\nNacre.Target.0\nNacre.Canary\nCanary\nNacre.\nNacre.*\n";
    let loaded = engine.load(&[("a.hdb", &eicar_signature), ("a.ign2", ignoring), OTHER]);
    assert!(loaded.eicar.is_empty());
    let trusting = engine.load(&[("a.hdb", &eicar_signature), ("a.fp", &hdb("Trusted", &eicar()))]);
    assert!(trusting.eicar.is_empty());
}

#[test]
fn definitions_without_a_signature_are_refused() {
    let mut engine = Engine::greeted();
    let no_directory = directory_of(&[]).path().to_owned();
    let directories = [
        directory_of(&[]),
        directory_of(&[("readme.txt", "no database\n")]),
        directory_of(&[("a.ign2", "Some.Name\n")]),
    ];
    for directory in directories.iter().map(tempfile::TempDir::path).chain([&*no_directory]) {
        let (code, message) = engine.refuse(load(directory));
        assert_eq!(code, FailureCode::LoadFailed, "{message}");
    }
    engine.assert_nothing_left();
}

#[test]
fn malformed_definitions_are_refused_with_libclamavs_words() {
    let mut engine = Engine::greeted();
    for name in ["bad.hdb", "bad.ndb", "bad.ldb", "bad.cvd", "bad.cud"] {
        let directory = directory_of(&[(name, "this is no signature\n"), OTHER]);
        let (code, message) = engine.refuse(load(directory.path()));
        assert_eq!(code, FailureCode::LoadFailed, "{name}: {message}");
        assert!(message.contains("Malformed database") || message.contains("Broken or not a CVD"), "{message}");
        assert!(message.contains(name), "{message}");
    }
    engine.load(&[OTHER]);
}

#[test]
fn definitions_that_blind_the_engine_fail_the_canary() {
    // `cfg` switches: a set that turns the archive unpackers off finds nothing inside of archives.
    let directory = directory_of(&[("a.cfg", "ARCHIVE:0x0:1:255\n"), OTHER]);
    let (code, message) = Engine::greeted().refuse(load(directory.path()));
    assert_eq!(code, FailureCode::CanaryFailed, "{message}");
}

#[test]
fn a_path_that_is_not_absolute_is_refused() {
    for directory in ["", "definitions", "/with\0nul"] {
        let (code, _) = Engine::greeted().refuse(Command::Load { directory: directory.to_owned() });
        assert_eq!(code, FailureCode::BadRequest, "{directory:?}");
    }
}

#[test]
fn engines_live_side_by_side_until_unloaded() {
    let mut engine = Engine::with(&[("a.hdb", &hdb("One", &eicar()))]);
    let second = engine.load(&[("a.hdb", &hdb("Two", &eicar()))]);
    assert_eq!(second.engine, 2);
    assert_eq!(engine.scan(&eicar()).alerts, ["One.UNOFFICIAL"]);
    assert_eq!(engine.ask(Command::Unload { engine: 1 }), Outcome::Unloaded);
    assert_eq!(engine.refuse(scan("object")).0, FailureCode::NoSuchEngine);
    assert_eq!(engine.refuse(Command::Unload { engine: 1 }).0, FailureCode::NoSuchEngine);
    let limits = nacre_engine_protocol::Limits::default();
    let again = Command::Scan { engine: 2, file: "object".into(), limits, deadline_ms: DEADLINE_MS };
    let Outcome::Scanned(report) = engine.ask(again) else { panic!("not scanned") };
    assert_eq!(report.alerts, ["Two.UNOFFICIAL"]);
    assert_eq!(engine.load(&[OTHER]).engine, 3);
}

#[test]
fn unsigned_containers_load() {
    let directory = directory_of(&[("COPYING", "free\n"), ("nacre.hdb", &hdb("Eicar", &eicar())), OTHER]);
    let build = Process::new("sigtool")
        .current_dir(directory.path())
        .env("SIGNDUSER", "nacre")
        .args(["--build=nacre.cud", "--unsigned", "--cvd-version=1", "--max-bad-sigs=0"])
        .output();
    let Ok(build) = build else {
        println!("skipped: sigtool is not installed");
        return;
    };
    let container = directory.path().join("nacre.cud");
    assert!(container.exists(), "{build:?}");
    let loose = tempfile::TempDir::new().unwrap();
    fs::copy(container, loose.path().join("nacre.cud")).unwrap();
    let Outcome::Loaded(loaded) = Engine::greeted().ask(load(loose.path())) else { panic!("not loaded") };
    assert_eq!(loaded.eicar, ["Eicar.UNOFFICIAL"]);
}

#[test]
fn a_failed_load_leaves_earlier_engines_alone() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    let directory = directory_of(&[("bad.ndb", "this is no signature\n")]);
    assert_eq!(engine.refuse(load(directory.path())).0, FailureCode::LoadFailed);
    assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
}

#[test]
fn rules_of_an_unsigned_container_take_no_request_for_a_rule() {
    let mut engine = Engine::greeted();
    let rule = b"rule a { strings: $a = \"some words\" condition: $a }\n".to_vec();
    let rules = [SignatureFile::member("x", true, "a.yar".to_owned(), rule)];
    let mut container = Vec::new();
    cud_in_pieces("x", &rules, |piece| container.extend_from_slice(piece)).unwrap();
    let directory = directory_of(&[OTHER]);
    fs::write(directory.path().join("x.cud"), container).unwrap();
    let loaded = engine.ask(load(directory.path()));
    assert!(matches!(loaded, Outcome::Loaded(_) | Outcome::Failed(_)), "{loaded:?}");
    engine.load(&[OTHER]);
}
