//! `nacre definitions keygen`.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::world::{HOSTILE, World};

#[test]
fn keys_are_their_owners_alone_and_sign_what_their_anchors_verify() {
    let world = World::new();
    let outcome = world.nacre(&["keygen", "--name", "ours", "keys.json"]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let mode = fs::metadata(world.path("keys.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let anchors: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let file: Value = serde_json::from_slice(&world.read("keys.json")).unwrap();
    assert_eq!(file["trust_anchors"], anchors, "and nothing of the private half is printed");
    world.write("signatures/own.ndb", "Own.One:0:*:6e61637265\n");
    assert_eq!(world.nacre(&["build", "signatures", "own.cvd", "--key", "keys.json"]).status, Some(0));
    let verified = world.nacre(&["verify", "--keys", outcome.stdout.trim(), "own.cvd"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
}

#[test]
fn keys_that_are_there_are_never_overwritten() {
    let world = World::new();
    world.write("keys.json", "precious");
    let outcome = world.nacre(&["keygen", "--name", "ours", "keys.json"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""));
    assert!(outcome.stderr.contains("keys.json exists already: name another file"), "{outcome:?}");
    assert_eq!(world.read("keys.json"), b"precious");
}

#[test]
fn a_name_that_would_mislead_is_refused() {
    let world = World::new();
    let long = "x".repeat(41);
    for name in ["clamav", "", HOSTILE, &long] {
        let outcome = world.nacre(&["keygen", "--name", name, "keys.json"]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{name:?}: {outcome:?}");
        assert!(outcome.stderr.contains("--name is not a valid name of keys"), "{outcome:?}");
        assert!(!world.has("keys.json"));
    }
    let remote = world.nacre(&["keygen", "--name", "ours", "s3://bucket/keys.json"]);
    assert!(remote.status == Some(2) && remote.stderr.contains("s3://bucket/keys.json is no local file"), "{remote:?}");
    let nowhere = world.nacre(&["keygen", "--name", "ours", "gone/keys.json"]);
    assert!(
        nowhere.status == Some(2)
            && nowhere.stderr.contains("gone/keys.json cannot be written: there is no such directory"),
        "{nowhere:?}"
    );
}
