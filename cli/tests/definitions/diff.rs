//! `nacre definitions diff`.

use serde_json::{Value, json};

use crate::world::{HOSTILE, TAMED, World};

#[test]
fn what_was_added_and_removed_is_counted_and_listed_with_json() {
    let world = World::with_databases();
    let outcome = world.nacre(&["diff", "test-1.cvd", "test-3.cvd"]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert_eq!(
        outcome.stdout.lines().collect::<Vec<_>>(),
        ["--- test-1.cvd version 1", "+++ test-3.cvd version 3", "test.ndb: 2 added, 0 removed"]
    );
    let outcome = world.nacre(&["diff", "--json", "test-3.cvd", "test-1.cvd"]);
    let comparison: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let change = &comparison["members"]["test.ndb"];
    assert_eq!((&change["added"], &change["removed"]), (&json!(0), &json!(2)));
    assert_eq!(change["lines_removed"][1], "Test.Version.3:0:*:6e6163726500000003");
    let same = world.nacre(&["diff", "test-1.cvd", "test-1.cvd"]);
    assert!(same.status == Some(0) && same.stdout.ends_with("no differences\n"), "{same:?}");
}

#[test]
fn directories_of_loose_files_are_compared_alike() {
    let world = World::with_databases();
    world.write("old/a.ndb", "one\ntwo\n");
    world.write("new/a.ndb", "two\none\n");
    world.write("new/b.fp", "x\n");
    let outcome = world.nacre(&["diff", "old", "new"]);
    assert!(
        outcome.stdout.contains("a.ndb: 0 added, 0 removed, the same lines in another order or form"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains("b.fp: 1 added, 0 removed, a new member"), "{outcome:?}");
}

#[test]
fn a_cdiff_that_is_written_leads_from_the_one_to_the_other() {
    let world = World::with_databases();
    let arguments = ["diff", "test-1.cvd", "test-2.cvd", "--cdiff", "own/../test-2.cdiff", "--key", "keys.json"];
    std::fs::create_dir(world.path("own")).unwrap();
    std::fs::remove_file(world.path("test-2.cdiff")).unwrap();
    let outcome = world.nacre(&arguments);
    assert!(outcome.status == Some(0) && outcome.stdout.contains("test-2.cdiff: written"), "{outcome:?}");
    let applied = world.nacre(&["apply", "--keys", "keys.json", "--to", "test.cld", "test-1.cvd", "test-2.cdiff"]);
    assert_eq!(applied.status, Some(0), "{applied:?}");
    let same = world.nacre(&["diff", "test.cld", "test-2.cvd"]);
    assert!(same.stdout.ends_with("no differences\n"), "{same:?}");
    let far = world.nacre(&["diff", "test-1.cvd", "test-3.cvd", "--cdiff", "far.cdiff", "--key", "keys.json"]);
    assert!(far.status == Some(2) && far.stderr.contains("from one version to the next, not from 1 to 3"), "{far:?}");
    assert!(!world.has("far.cdiff"));
}

#[test]
fn what_cannot_be_compared_is_named_and_status_2() {
    let world = World::with_databases();
    world.write("note.txt", "x");
    world.write("cut.cvd", &world.read("test-1.cvd")[..600]);
    for (old, new, message) in [
        ("gone.cvd", "test-1.cvd", "gone.cvd cannot be read: there is no such file"),
        ("test-1.cvd", "note.txt", "note.txt is neither a directory nor a .cvd, .cld or .cud"),
        ("test-1.cvd", "cut.cvd", "cut.cvd cannot be read"),
    ] {
        let outcome = world.nacre(&["diff", old, new]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        assert!(outcome.stderr.contains(message), "{outcome:?}");
    }
}

#[test]
fn hostile_names_and_lines_are_printed_and_not_obeyed() {
    let world = World::new();
    world.write("old/a.ndb", "x\n");
    world.write(&format!("new/{HOSTILE}.ndb"), HOSTILE);
    let outcome = world.nacre(&["diff", "old", "new"]);
    assert!(outcome.stdout.contains(&format!("{TAMED}.ndb: 2 added")), "{outcome:?}");
    let outcome = world.nacre(&["diff", "--json", "old", "new"]);
    let comparison: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let lines: Vec<&str> = HOSTILE.split('\n').collect();
    assert_eq!(comparison["members"][format!("{HOSTILE}.ndb")]["lines_added"], json!(lines));
}
