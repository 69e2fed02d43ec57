//! `nacre definitions verify`.

use nacre_clamav::{builder::certificates::SigningCertificates, signing::SigningKeys};

use crate::world::{HOSTILE, TAMED, World, version};

#[test]
fn all_that_verify_are_a_line_each_and_status_0() {
    let world = World::with_databases();
    world.write("test.cld", version(3).build_cld(SigningKeys::fixed()));
    let files = ["test-1.cvd", "test.cld", "test-2.cdiff", "test-3.cdiff"];
    let outcome = world.nacre(&[&["verify", "--keys", "keys.json"], &files[..]].concat());
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!((outcome.status, lines.len()), (Some(0), 4), "{outcome:?}");
    for (line, file) in lines.iter().zip(files) {
        assert!(line.starts_with(&format!("{file}: OK version ")) && line.contains("signed by test"), "{line}");
    }
    assert!(lines[0].contains("version 1, 2 signatures, built 2026-11-23T"), "{}", lines[0]);
}

#[test]
fn each_that_does_not_is_a_line_with_the_reason_and_status_1() {
    let world = World::with_databases();
    let keys = SigningKeys::fixed();
    let mut flipped = version(1).build(keys);
    *flipped.last_mut().unwrap() ^= 1;
    world.write("flipped.cvd", flipped);
    world.write("test.cvd", &version(1).build(keys)[..600]);
    world.write("empty.cvd", "");
    world.write("own/test.cvd", version(1).unsigned().build(keys));
    world.write("short/test.cvd", version(1).drop_after_signing("test.ndb").build(keys));
    world.write("long/test.cvd", version(1).add_after_signing("test.fp", "x\n").build(keys));
    world.write("other-2.txt", "x");
    world.write("test-9.cdiff", world.read("test-2.cdiff"));
    world.write("test-4.cdiff", "");
    for (file, reason) in [
        ("flipped.cvd", "MD5"),
        ("test.cvd", "MD5"),
        ("empty.cvd", "512"),
        ("own/test.cvd", "the file is not signed"),
        ("short/test.cvd", "test.ndb"),
        ("long/test.cvd", "test.fp"),
        ("other-2.txt", "its name ends in none of .cvd, .cld, .cud and .cdiff"),
        ("test-9.cdiff", "leads to version 2, not 9"),
        ("test-4.cdiff", "the whole database must be fetched"),
        ("gone.cvd", "it cannot be read: there is no such file"),
    ] {
        let outcome = world.nacre(&["verify", "--keys", "keys.json", file, "test-1.cvd"]);
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!((outcome.status, lines.len()), (Some(1), 2), "{file}: {outcome:?}");
        assert!(lines[0].starts_with(&format!("{file}: FAILED ")) && lines[0].contains(reason), "{}", lines[0]);
        assert!(lines[1].starts_with("test-1.cvd: OK "), "one bad file hides no good one: {}", lines[1]);
    }
}

#[test]
fn only_the_named_keys_count() {
    let world = World::with_databases();
    let outcome = world.nacre(&["verify", "test-1.cvd"]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stdout.contains("clamav"), "ClamAV's keys, which did not sign it: {outcome:?}");
    let anchors = SigningKeys::fixed().trust_anchors().to_json();
    assert_eq!(world.nacre(&["verify", "--keys", &anchors, "test-1.cvd"]).status, Some(0));
    for wrong in ["gone.json", "{}", "test-1.cvd"] {
        let outcome = world.nacre(&["verify", "--keys", wrong, "test-1.cvd"]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{wrong}: {outcome:?}");
        assert!(outcome.stderr.contains("there are no keys to verify by"), "{outcome:?}");
    }
}

#[test]
fn a_detached_signature_must_hold_and_with_a_root_must_be_there() {
    let world = World::with_databases();
    let certificates = SigningCertificates::fixed();
    let verify = |arguments: &[&str]| {
        world.nacre(&[&["verify", "--keys", "keys.json", "--root", "root.pem"], arguments].concat())
    };
    world.write("root.pem", certificates.root_pem());
    let missing = verify(&["test-1.cvd"]);
    assert_eq!(missing.status, Some(1));
    assert!(missing.stdout.contains("there is no .sign beside it"), "{missing:?}");
    world.write("test-1.cvd.sign", certificates.sign(&world.read("test-1.cvd")));
    let held = verify(&["test-1.cvd"]);
    assert_eq!(held.status, Some(0), "{held:?}");
    assert!(held.stdout.contains(".sign by Test Signer"), "{held:?}");
    let early = verify(&["--at", "1999-01-01", "test-1.cvd"]);
    assert_eq!(early.status, Some(1));
    assert!(early.stdout.contains("not valid yet"), "{early:?}");
    world.write("test-1.cvd.sign", certificates.sign(b"something else"));
    let other = verify(&["test-1.cvd"]);
    assert!(other.status == Some(1) && other.stdout.contains("test-1.cvd.sign does not vouch for it"), "{other:?}");
}

#[test]
fn wrong_arguments_are_status_2_and_say_what_is_right() {
    let world = World::with_databases();
    for (arguments, message) in [
        (&["verify"][..], "FILE"),
        (&["verify", "--at", "yesterday", "test-1.cvd"], "a date is YYYY-MM-DD or 2026-01-31T12:00:00Z"),
        (&["verify", "--root", "gone.pem", "test-1.cvd"], "gone.pem cannot be read: there is no such file"),
        (&["verify", "--root", "keys.json", "test-1.cvd"], "the certificate keys.json cannot be used"),
    ] {
        let outcome = world.nacre(arguments);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(outcome.stderr.contains(message), "{outcome:?}");
    }
}

#[test]
fn a_hostile_name_is_printed_and_not_obeyed() {
    let world = World::new();
    let (file, gone) = (format!("{HOSTILE}.cvd"), format!("gone{HOSTILE}.cvd"));
    world.write(&file, "x");
    let outcome = world.nacre(&["verify", &file, &gone]);
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (Some(1), 2), "{outcome:?}");
    assert!(outcome.stdout.starts_with(&format!("{TAMED}.cvd: FAILED ")), "{outcome:?}");
}
