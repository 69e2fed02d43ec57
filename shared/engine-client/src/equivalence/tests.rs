//! What is taken for a set, and when two ways agree.

use super::*;
use nacre_clamav::{builder::CvdBuilder, signing::SigningKeys};
use nacre_core::rescan::plan::{FullScan, Unaffected};

#[test]
fn a_set_is_what_libclamav_would_load() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    put("own.cud", &CvdBuilder::new("own").member("own.ndb", "A:0:*:00ff00ff\n").build_cld(SigningKeys::fixed()));
    put("main.cvd", &CvdBuilder::new("main").member("main.hdb", "h\n").build(SigningKeys::fixed()));
    put("Mine.HDB", b"h\n");
    for beside in ["freshclam.dat", "notes", "main-1.cvd.sign", "own.info"] {
        put(beside, b"not a database");
    }
    let set = SignatureSet::read(directory.path()).unwrap();
    let files: Vec<(bool, &str)> = set.files.iter().map(|file| (file.official, file.name.as_str())).collect();
    let main = ["COPYING", "main.info", "main.hdb"].map(|name| (true, name));
    let own = ["COPYING", "own.info", "own.ndb"].map(|name| (false, name));
    assert_eq!(files, [&[(false, "Mine.HDB")], main.as_slice(), &own].concat(), "members keep their order");
    put("broken.cvd", b"short");
    assert!(matches!(SignatureSet::read(directory.path()), Err(SetError::Header(..))));
}

fn infected(names: &[&str]) -> Verdict {
    Verdict::Infected { signatures: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn agrees(plan: RescanPlan, incremental: &Verdict, full: &Verdict) -> bool {
    let (incremental, full) = (incremental.clone(), full.clone());
    let (incremental_time, full_time) = (Duration::ZERO, Duration::ZERO);
    Comparison { old: Verdict::Clean, plan, incremental, full, incremental_time, full_time }.agrees()
}

#[test]
fn what_is_named_incrementally_is_named_in_full() {
    let delta = RescanPlan::DeltaScan;
    assert!(agrees(delta, &infected(&["A"]), &infected(&["A", "B"])));
    assert!(!agrees(delta, &infected(&["A", "C"]), &infected(&["A", "B"])));
    assert!(!agrees(delta, &infected(&[]), &infected(&["A"])));
    assert!(!agrees(delta, &infected(&["A"]), &Verdict::Clean));
    let stands = RescanPlan::Unaffected(Unaffected::StillInfected);
    assert!(agrees(stands, &infected(&["A", "C"]), &infected(&["A", "B"])), "one of them stands");
    assert!(!agrees(stands, &infected(&["C"]), &infected(&["A", "B"])));
}

#[test]
fn reasons_are_the_same_unless_they_pass() {
    let of = |reason| Verdict::Unscannable { reason };
    let plan = RescanPlan::FullScan(FullScan::Unscannable);
    assert!(agrees(plan, &of(Reason::Encrypted), &of(Reason::Encrypted)));
    assert!(!agrees(plan, &of(Reason::Encrypted), &of(Reason::EngineError)));
    assert!(agrees(plan, &of(Reason::EngineDied), &of(Reason::StaleDefinitions)));
    assert!(!agrees(plan, &of(Reason::Encrypted), &Verdict::Clean));
}
