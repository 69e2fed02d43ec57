//! `nacre definitions inspect`.

use nacre_clamav::{builder::CvdBuilder, database::DatabaseVersion, signing::SigningKeys};
use serde_json::{Value, json};

use crate::world::{HOSTILE, TAMED, World, version};

/// What `--json` prints, provided that no key is there twice.
fn inspect(world: &World, file: &str) -> Value {
    let outcome = world.nacre(&["inspect", "--json", file]);
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (Some(0), 1), "{outcome:?}");
    let value: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(value.to_string().len() + 1, outcome.stdout.replace("\\u009b", "\u{9b}").len(), "a key is there twice");
    value
}

#[test]
fn a_container_is_described_whole() {
    let world = World::with_databases();
    let report = inspect(&world, "test-1.cvd");
    assert_eq!((&report["kind"], &report["container"]), (&json!("container"), &json!("cvd")));
    assert_eq!((&report["header"]["version"], &report["header"]["signatures"]), (&json!(1), &json!(2)));
    assert_eq!(report["size"], world.read("test-1.cvd").len());
    let members: Vec<_> = report["members"].as_array().unwrap().iter().map(|member| &member["name"]).collect();
    assert_eq!(members, ["COPYING", "test.info", "test.ndb"]);
    assert_eq!(report["members"][2]["info"], "matches");
    assert_eq!((&report["verification"]["holds"], &report["verification"]["keys"]), (&json!(false), &json!("clamav")));
    let outcome = world.nacre(&["inspect", "test-1.cvd"]);
    assert_eq!(outcome.status, Some(0));
    for part in ["test-1.cvd: CVD, ", "version 1, 2 signatures", "member   test.ndb", "signed   not by clamav: "] {
        assert!(outcome.stdout.contains(part), "{part}: {outcome:?}");
    }
}

#[test]
fn a_cdiff_is_described_by_its_commands() {
    let world = World::with_databases();
    let report = inspect(&world, "test-2.cdiff");
    assert_eq!((&report["kind"], &report["version"]), (&json!("cdiff"), &json!(2)));
    assert_eq!(report["size"], world.read("test-2.cdiff").len());
    assert!(report["script_bytes"].as_u64().unwrap() > 0);
    assert_eq!(report["files"]["test.ndb"], json!({ "OPEN": 1, "ADD": 1, "CLOSE": 1 }));
}

#[test]
fn what_is_not_as_the_info_lists_it_stands_out() {
    let world = World::new();
    let keys = SigningKeys::fixed();
    world.write("test.cvd", version(1).add_after_signing("test.fp", "x\n").build(keys));
    let members = inspect(&world, "test.cvd")["members"].clone();
    assert_eq!((&members[0]["name"], &members[3]["name"]), (&json!("COPYING"), &json!("test.ndb")));
    assert_eq!((&members[1]["name"], &members[1]["info"]), (&json!("test.fp"), &json!("absent")));
    world.write("test.cvd", version(1).drop_after_signing("test.ndb").build(keys));
    assert_eq!(inspect(&world, "test.cvd")["missing"], json!(["test.ndb"]));
    let output = world.nacre(&["inspect", "test.cvd"]).stdout;
    assert!(output.contains("test.ndb is MISSING: .info lists it"), "{output}");
}

#[test]
fn what_is_no_database_is_described_all_the_same() {
    let world = World::with_databases();
    world.write("own.ndb", "# a remark\nOwn.One:0:*:6e61637265\nOwn.Two:0:*:6e61637266");
    let loose = inspect(&world, "own.ndb");
    assert_eq!((&loose["kind"], &loose["lines"]), (&json!("loose"), &json!(3)));
    for (name, bytes) in [("rubbish.cvd", "x".repeat(2000)), ("rubbish.cdiff", "ClamAV-Diff:x".into())] {
        world.write(name, bytes);
        let report = inspect(&world, name);
        assert_eq!(report["verification"]["holds"], false, "{report}");
        assert!(report["verification"]["reason"].is_string(), "{report}");
    }
    let whole = world.read("test-3.cvd");
    for length in [0, 1, 511, 512, 513, 600, whole.len() - 1] {
        world.write("cut.cvd", &whole[..length]);
        assert_eq!(inspect(&world, "cut.cvd")["verification"]["holds"], false, "{length}");
    }
}

#[test]
fn names_and_text_from_within_a_file_are_printed_and_not_obeyed() {
    let world = World::new();
    // What is in a header is its maker's choice; one that is not plain text is not even printed.
    let mut file = CvdBuilder::new("test").member("test.ndb", "x\n").build(SigningKeys::fixed());
    let header = format!("ClamAV-VDB:now:1:1:90:X:X:{HOSTILE}:1700000000");
    let padding = " ".repeat(512 - header.len());
    file.splice(..512, (header + &padding).into_bytes());
    world.write("test.cvd", &file);
    inspect(&world, "test.cvd");
    let output = world.nacre(&["inspect", "test.cvd"]);
    assert!(output.status == Some(0) && output.stdout.contains("the header is not printable text"), "{output:?}");
    // A script may hold anything.
    world.write("test-2.cdiff", SigningKeys::fixed().cdiff(DatabaseVersion(2), format!("OPEN {HOSTILE}\n").as_bytes()));
    let output = world.nacre(&["inspect", "test-2.cdiff"]);
    assert!(output.status == Some(0) && output.stdout.contains("cannot be read: line 1"), "{output:?}");
    let name = format!("{HOSTILE}.ndb");
    world.write(&name, "x\n");
    assert!(world.nacre(&["inspect", &name]).stdout.starts_with(TAMED));
    let json = world.nacre(&["inspect", "--json", &name]).stdout;
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["file"], name, "a parser reads the name as it is");
}

#[test]
fn a_file_that_is_not_there_is_status_2() {
    let outcome = World::new().nacre(&["inspect", "gone.cvd"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""));
    assert_eq!(outcome.stderr, "nacre definitions inspect: gone.cvd cannot be read: there is no such file\n");
}
