//! `nacre definitions build`.

use nacre_clamav::builder::{eicar, eicar_signature};
use serde_json::Value;

use crate::world::{HOSTILE, World};

/// A directory with keys and two files of signatures.
fn world() -> World {
    let world = World::with_databases();
    world.write("signatures/mine.ndb", eicar_signature() + "Own.One:0:*:6e61637265\n");
    world.write("signatures/bad.hdb", format!("{}:3:Own.Two\n", "0".repeat(32)));
    world
}

#[test]
fn a_directory_becomes_a_database_that_verifies() {
    let world = world();
    let built =
        world.nacre(&["build", "signatures", "own.cvd", "--key", "keys.json", "--version", "7", "--at", "2026-01-31"]);
    assert_eq!(built.status, Some(0), "{built:?}");
    assert!(built.stdout.starts_with("own.cvd: own version 7, 3 signatures, signed by test#"), "{built:?}");
    let verified = world.nacre(&["verify", "--keys", "keys.json", "own.cvd"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
    let report: Value = serde_json::from_str(&world.nacre(&["inspect", "--json", "own.cvd"]).stdout).unwrap();
    let members: Vec<_> = report["members"].as_array().unwrap().iter().map(|member| &member["name"]).collect();
    assert_eq!(members, ["COPYING", "own.hdb", "own.info", "own.ndb"]);
    assert_eq!(report["header"]["built"], "2026-01-31T00:00:00Z");
    assert_eq!(world.nacre(&["diff", "signatures", "own.cvd"]).status, Some(0));
}

#[test]
fn the_same_files_are_the_same_payload() {
    let world = world();
    for out in ["one.cvd", "two.cvd"] {
        let arguments = ["build", "signatures", out, "--name", "own", "--key", "keys.json", "--at", "2026-01-31"];
        assert_eq!(world.nacre(&arguments).status, Some(0));
    }
    let outcome = world.nacre(&["diff", "one.cvd", "two.cvd"]);
    assert!(outcome.stdout.ends_with("no differences\n"), "{outcome:?}");
}

#[test]
fn clamscan_loads_what_was_built_without_a_signature_and_refuses_foreign_keys() {
    let world = world();
    assert_eq!(world.nacre(&["build", "signatures", "own.cud", "--unsigned"]).status, Some(0));
    assert_eq!(world.nacre(&["build", "signatures", "own.cvd", "--key", "keys.json"]).status, Some(0));
    world.write("eicar.com", eicar());
    let Some(scan) = world.clamav("clamscan", &["-d", "own.cud", "eicar.com"]) else { return };
    assert_eq!(scan.status, Some(1), "{scan:?}");
    assert!(scan.stdout.contains("FOUND") && scan.stdout.contains("Known viruses: 3"), "{scan:?}");
    let Some(scan) = world.clamav("clamscan", &["-d", "own.cvd", "eicar.com"]) else { return };
    assert_eq!(scan.status, Some(2), "a CVD is signed by ClamAV, or refused: {scan:?}");
}

#[test]
fn what_is_no_set_of_signatures_is_named_with_the_remedy() {
    let world = world();
    world.write("foreign/readme.txt", "x");
    world.write("nothing/COPYING", "x");
    world.write("twice/a.ndb", "x\n");
    world.write("twice/b.ndb", "x\n");
    world.write("wrong.json", "{}");
    let hostile = format!("hostile/{HOSTILE}.txt");
    world.write(&hostile, "x");
    for (arguments, message) in [
        (
            &["foreign", "own.cvd", "--key", "keys.json"][..],
            "foreign/readme.txt is not a file of signatures: move it elsewhere",
        ),
        (&["hostile", "own.cvd", "--key", "keys.json"], "is not a file of signatures"),
        (&["nothing", "own.cvd", "--key", "keys.json"], "nothing holds no files of signatures"),
        (&["twice", "own.cvd", "--key", "keys.json"], "would both become own.ndb: join them"),
        (&["gone", "own.cvd", "--key", "keys.json"], "gone cannot be read"),
        (&["signatures", "own.cld", "--key", "keys.json"], "let its name end in .cvd"),
        (&["signatures", "own.cvd", "--unsigned"], "let its name end in .cud"),
        (&["signatures", "own.cvd", "--key", "gone.json"], "gone.json cannot be read: there is no such file"),
        (&["signatures", "own.cvd", "--key", "wrong.json"], "wrong.json"),
        (&["signatures", "own.cvd", "--key", "keys.json", "--name", "../own"], "give one with --name"),
        (&["signatures", ".cvd", "--key", "keys.json"], "the database has no name: give one with --name"),
    ] {
        let outcome = world.nacre(&[&["build"], arguments].concat());
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(message), "{arguments:?}: {outcome:?}");
        assert!(!world.has("own.cvd") && !world.has("own.cld"), "{arguments:?}");
    }
    for arguments in
        [&["signatures", "own.cvd"][..], &["signatures", "own.cvd", "--key", "keys.json", "--builder", "a b"]]
    {
        assert_eq!(world.nacre(&[&["build"], arguments].concat()).status, Some(2), "{arguments:?}");
    }
}
