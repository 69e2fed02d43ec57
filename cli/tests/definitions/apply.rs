//! `nacre definitions apply`.

use nacre_clamav::signing::SigningKeys;

use crate::world::{HOSTILE, World, version};

#[test]
fn base_and_cdiffs_are_the_next_versions_payload() {
    let world = World::with_databases();
    let apply = |to: &str, files: &[&str]| {
        let outcome = world.nacre(&[&["apply", "--keys", "keys.json", "--to", to], files].concat());
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        outcome.stdout
    };
    let output = apply("test.cld", &["test-1.cvd", "test-2.cdiff", "test-3.cdiff"]);
    assert!(output.starts_with("test.cld: test version 3, 4 signatures, signed by test#"), "{output}");
    let keys = SigningKeys::fixed();
    assert_eq!(world.read("test.cld"), version(3).build_cld(keys), "what the makers' own CVD unpacks to");
    assert_eq!(world.nacre(&["verify", "--keys", "keys.json", "test.cld"]).status, Some(0));
    // Step by step, and over the base itself.
    apply("test-step.cld", &["test-1.cvd", "test-2.cdiff"]);
    apply("test-step.cld", &["test-step.cld", "test-3.cdiff"]);
    assert_eq!(world.read("test-step.cld"), world.read("test.cld"));
}

#[test]
fn what_does_not_fit_is_named_with_the_remedy_and_nothing_is_written() {
    let world = World::with_databases();
    let mut spoilt = world.read("test-2.cdiff");
    let middle = spoilt.len() / 2;
    spoilt[middle] ^= 1;
    world.write("spoilt/test-2.cdiff", spoilt);
    world.write("empty/test-2.cdiff", "");
    let mut base = world.read("test-1.cvd");
    *base.last_mut().unwrap() ^= 1;
    world.write("spoilt/test.cvd", base);
    world.write("test.txt", "x");
    for (files, message) in [
        (
            &["test-1.cvd", "test-3.cdiff"][..],
            "test-3.cdiff cannot follow version 1: give every CDIFF from 2 on, in order",
        ),
        (&["test-1.cvd", "test-2.cdiff", "test-2.cdiff"], "test-2.cdiff cannot follow version 2"),
        (&["test-1.cvd", "spoilt/test-2.cdiff"], "spoilt/test-2.cdiff, to version 2, cannot be used: fetch it again"),
        (&["test-1.cvd", "empty/test-2.cdiff"], "the whole database must be fetched"),
        (&["spoilt/test.cvd", "test-2.cdiff"], "spoilt/test.cvd does not verify: fetch it again"),
        (&["test.txt", "test-2.cdiff"], "test.txt cannot be updated: BASE is a .cvd or .cld"),
        (&["gone.cvd", "test-2.cdiff"], "gone.cvd cannot be read: there is no such file"),
        (&["test-1.cvd", "gone.cdiff"], "gone.cdiff cannot be read: there is no such file"),
    ] {
        let outcome = world.nacre(&[&["apply", "--keys", "keys.json", "--to", "out.cld"], files].concat());
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{files:?}");
        assert!(outcome.stderr.contains(message), "{outcome:?}");
        assert!(!world.has("out.cld"), "{files:?}");
    }
    // Keys that did not sign it; names that say nothing; a place that is not there.
    let apply = |arguments: &[&str]| world.nacre(&[&["apply"], arguments].concat());
    assert_eq!(apply(&["--to", "out.cld", "test-1.cvd", "test-2.cdiff"]).status, Some(2));
    let keys = ["--keys", "keys.json", "--to"];
    let named = apply(&[&keys[..], &["out.cvd", "test-1.cvd", "test-2.cdiff"]].concat());
    assert!(named.stderr.contains("let its name end in .cld"), "{named:?}");
    let nowhere = apply(&[&keys[..], &["gone/out.cld", "test-1.cvd", "test-2.cdiff"]].concat());
    assert!(
        nowhere.status == Some(2)
            && nowhere.stderr.contains("gone/out.cld cannot be written: there is no such directory"),
        "{nowhere:?}"
    );
    assert_eq!(apply(&["test-1.cvd", "test-2.cdiff"]).status, Some(2), "--to is missing");
}

#[test]
fn a_hostile_name_is_printed_and_not_obeyed() {
    let world = World::with_databases();
    let (base, out) = (format!("test-{HOSTILE}.cvd"), format!("{HOSTILE}.cld"));
    world.write(&base, world.read("test-1.cvd"));
    let outcome = world.nacre(&["apply", "--keys", "keys.json", "--to", &out, &base, "test-2.cdiff"]);
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (Some(0), 1), "{outcome:?}");
    assert_eq!(world.nacre(&["apply", "--to", &out, &base, "test-2.cdiff"]).status, Some(2));
}

#[test]
fn clamscan_takes_a_cld_of_foreign_keys_for_forged() {
    // It checks the signature of the `.info`, so that databases of one's own are CUDs or loose files to it. What it loads
    // of ClamAV's is among the tests on freshclam's data.
    let world = World::with_databases();
    let outcome = world.nacre(&["apply", "--keys", "keys.json", "--to", "test.cld", "test-1.cvd", "test-2.cdiff"]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let Some(scan) = world.clamav("clamscan", &["-d", "test.cld", "keys.json"]) else { return };
    assert_eq!(scan.status, Some(2), "{scan:?}");
    assert!(scan.stderr.contains("Incorrect digital signature"), "{scan:?}");
}
