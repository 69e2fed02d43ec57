//! `nacre prove` as a user runs it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use nacre_clamav::builder::{eicar, eicar_signature};
use nacre_testing::documented::{assert_as_schema, assert_screen};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What no file here holds.
const ALWAYS: &str = "Always:0:*:00112233445566778899aabbccddeeff00112233\n";

/// Older definitions that know nothing, newer ones that know EICAR, and files.
struct World {
    old: TempDir,
    new: TempDir,
    files: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = || tempfile::tempdir().unwrap();
        let world = Self { old: directory(), new: directory(), files: directory() };
        put(&world.old, "always.ndb", ALWAYS);
        put(&world.new, "always.ndb", ALWAYS);
        put(&world.new, "eicar.ndb", eicar_signature());
        put(&world.files, "a.txt", "nothing at all\n");
        put(&world.files, "b.com", eicar());
        world
    }

    fn prove(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nacre"));
        let sets = [Path::new("--old"), self.old.path(), Path::new("--new"), self.new.path()];
        let output = command.arg("prove").args(sets).args(arguments).arg(self.files.path()).output().unwrap();
        assert_as_schema(&[&["prove"], arguments].concat(), &String::from_utf8_lossy(&output.stdout));
        output
    }
}

fn put(directory: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(directory.path().join(name), bytes).unwrap();
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn json_has_one_object_a_file_and_then_the_summary() {
    let world = World::new();
    let output = world.prove(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said = lines(&output);
    let [clean, infected, summary] = &said[..] else { panic!("{said:?}") };
    let comparison =
        |line: &Value| ["old", "plan", "incremental", "full"].map(|field| line[field].as_str().unwrap().to_owned());
    assert!(clean["path"].as_str().unwrap().ends_with("a.txt"));
    assert_eq!(comparison(clean), ["clean", "delta_scan", "clean", "clean"]);
    assert_eq!(comparison(infected), ["clean", "delta_scan", "infected", "infected"]);
    let summary = &summary["summary"];
    for (field, number) in
        [("files", 2), ("mismatches", 0), ("unaffected", 0), ("delta", 2), ("full", 0), ("unread", 0)]
    {
        assert_eq!(summary[field], json!(number), "{field}");
    }
    assert!(summary["seconds_incremental"].is_f64() && summary["seconds_full"].is_f64());
}

#[test]
fn the_documentation_shows_this_screen() {
    let world = World::new();
    let output = world.prove(&["--verbose"]);
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    let files = format!("{}/", world.files.path().display());
    assert_screen("rescans.md", "nacre prove --old old --new new --verbose files", &printed, &[(&files, "files/")]);
}

#[test]
fn plans_are_printed_with_their_reasons() {
    let world = World::new();
    fs::remove_file(world.new.path().join("eicar.ndb")).unwrap();
    put(&world.new, "own.hdb", format!("{}:1:Own\n", "0".repeat(32)));
    // What freshclam keeps beside its databases is not one, and is ignored.
    put(&world.new, "freshclam.dat", "not a database");
    let plans = |output: &Output| lines(output).iter().map(|line| line["plan"].clone()).collect::<Vec<_>>();
    assert_eq!(plans(&world.prove(&["--json"]))[0], json!("unaffected:nothing_matches"));
    put(&world.new, "own.wdb", "M:www.example.org:example.org\n");
    assert_eq!(plans(&world.prove(&["--json"]))[0], json!("full_scan:context"));
}

#[test]
fn output_says_where_something_happened_and_names_reach_no_terminal() {
    let world = World::new();
    fs::remove_file(world.new.path().join("eicar.ndb")).unwrap();
    put(&world.new, "own.hdb", format!("{}:68:Own\n", md5_of_eicar()));
    put(&world.files, "c\u{1b}[31m.com", eicar());
    let output = world.prove(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!said.contains("a.txt") && said.contains("b.com: was clean; delta_scan; is infected Own"), "{said}");
    assert!(!said.contains('\u{1b}') && said.contains(r"c\u{1b}[31m.com"), "{said}");
    assert!(said.contains("3 files, 0 mismatches") && said.contains("1 unaffected:nothing_matches"), "{said}");
    assert!(String::from_utf8(world.prove(&["--verbose"]).stdout).unwrap().contains("a.txt"));
}

fn md5_of_eicar() -> &'static str {
    "44d88612fea8a8f36de82e1278abb02f"
}

#[test]
fn what_cannot_be_tried_is_named_with_a_remedy() {
    let world = World::new();
    let missing = world.files.path().join("missing");
    let output = world.prove(&["--json", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(lines(&output).last().unwrap()["summary"]["unread"], json!(1));
    put(&world.new, "broken.cvd", "short");
    let output = world.prove(&[]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("broken.cvd is not a database: fetch it again, or take it out"), "{said}");
    fs::remove_file(world.new.path().join("broken.cvd")).unwrap();
    put(&world.new, "broken.ldb", "not a signature\n");
    assert!(String::from_utf8(world.prove(&[]).stderr).unwrap().contains("Malformed database"));
}
