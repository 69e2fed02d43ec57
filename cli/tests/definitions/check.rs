//! `nacre definitions check` as a user runs it.

use std::{fs, process::Command};

/// Checks a file of that name and content; its exit status, and what was printed.
fn check(name: &str, content: &[u8]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nacre")).args(["definitions", "check"]).arg(&path).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_file_of_which_libclamav_loads_less_than_it_holds_is_named_with_its_line() {
    for (name, content, says) in [
        ("x.yar", &b"import \"pe\"\nrule r { condition: pe.is_dll() }\n"[..], "line 2"),
        ("x.yar", b"rule good { condition: true }\nrule bad { condition: uint32be(0) == 1 }\n", "line 2"),
        ("x.yar", b"\xEF\xBB\xBFrule r { condition: true }\n", "byte order mark"),
        ("x.yar", b"// nothing\n", "empty database file"),
        ("x.ldb", b"A;Engine:500-600,Target:0;0;00112233\n", "line 1: it is for functionality levels 500 to 600"),
        ("x.ndb", b"Field.\xFCml:0:*:00112233\n", "line 1: the name is not in UTF-8"),
        ("x.ndb", b"no signature at all\n", "x.ndb"),
        ("local.ign2", b"\xEF\xBB\xBFSome.Name\n", "byte order mark"),
    ] {
        let (status, printed) = check(name, content);
        assert_eq!(status, Some(1), "{name}: {printed}");
        assert!(printed.contains(says), "{name}: {printed}");
    }
}

#[test]
fn a_file_that_is_loaded_whole_is_ok() {
    for (name, content) in [
        ("x.yar", &b"rule r { strings: $a = \"some words\" condition: $a }\n"[..]),
        ("x.ldb", b"A;Engine:51-255,Target:0;0&1;00112233;44556677\n"),
        ("x.ndb", b"# a comment\nA:0:*:00112233\n"),
        ("x.hsb", b"0123456789abcdef0123456789abcdef01234567:68:A\n"),
        ("x.fp", b"0123456789abcdef0123456789abcdef:68:A\n"),
        ("x.sfp", b"0123456789abcdef0123456789abcdef01234567:68:A\n"),
        ("x.cdb", b"A:CL_TYPE_ZIP:*:evil:*:*:*:1:*:*\n"),
        ("local.ign2", b"Some.Name\n"),
    ] {
        let (status, printed) = check(name, content);
        assert_eq!((status, printed.ends_with(": OK\n")), (Some(0), true), "{name}: {printed}");
    }
    for name in ["noextension", "a.txt", "a.NDB", "a.cbc"] {
        let (status, printed) = check(name, b"A:0:*:00112233\n");
        assert!(status == Some(1) && printed.contains("loads no loose file of this name"), "{name}: {printed}");
    }
}
