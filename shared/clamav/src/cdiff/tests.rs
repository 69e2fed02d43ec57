//! Scripts and their containers: the laws, each departure from libclamav, and the real files.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{
    archive::ArchiveLimits,
    builder::{CvdBuilder, shared_data},
    cvd::Cvd,
    database::ContainerKind,
    signing::SigningKeys,
    unpacked::Unpacked,
};

fn database(members: &[(&str, &str)]) -> Unpacked<'static> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), text.as_bytes().to_vec().into());
    Unpacked { members: members.iter().map(owned).collect() }
}

fn applied(members: &[(&str, &str)], script: &str) -> Result<BTreeMap<String, String>, CommandError> {
    let result = apply(&database(members), script.as_bytes(), ArchiveLimits::default()).map_err(|error| error.cause)?;
    Ok(result.members.into_iter().map(|(name, bytes)| (name, String::from_utf8_lossy(&bytes).into_owned())).collect())
}

fn one(text: &str, script: &str) -> Result<String, CommandError> {
    Ok(applied(&[("x.ndb", text)], script)?.remove("x.ndb").unwrap_or_default())
}

#[test]
fn line_numbers_are_those_at_open_and_additions_come_last() {
    let script = "OPEN x.ndb\nADD e\nDEL 1 a\nXCHG 3 c C x\nADD f\nDEL 2 \nCLOSE\n";
    assert_eq!(one("a\nb\nc\nd\n", script).unwrap(), "C x\nd\ne\nf\n");
}

#[test]
fn the_last_edit_of_a_line_counts() {
    assert_eq!(one("a\nb\n", "OPEN x.ndb\nDEL 1 a\nXCHG 1 a A\nCLOSE\n").unwrap(), "A\nb\n");
    assert_eq!(one("a\nb\n", "OPEN x.ndb\nXCHG 1 nonsense A\nDEL 1 a\nCLOSE\n").unwrap(), "b\n");
}

#[test]
fn a_prefix_ends_at_the_next_space_and_must_match() {
    assert_eq!(one("a b c\nd\n", "OPEN x.ndb\nDEL 1 a anything\nCLOSE\n").unwrap(), "d\n");
    let wrong = one("a b c\nd\n", "OPEN x.ndb\nDEL 1 b\nCLOSE\n").unwrap_err();
    assert_eq!(wrong, CommandError::Prefix { file: "x.ndb".into(), line: 1 });
}

#[test]
fn a_line_that_is_not_there_is_an_error() {
    for line in [0, 3, u64::MAX] {
        let script = format!("OPEN x.ndb\nDEL {line} \nCLOSE\n");
        assert_eq!(one("a\nb\n", &script).unwrap_err(), CommandError::NoLine { file: "x.ndb".into(), line });
    }
}

#[test]
fn files_come_and_go() {
    let before = [("COPYING", "c\n"), ("x.ndb", "a\n")];
    let after = applied(&before, "UNLINK x.ndb\nOPEN y.hdb\nADD new\nCLOSE\n").unwrap();
    assert_eq!(after, BTreeMap::from([("COPYING".into(), "c\n".into()), ("y.hdb".into(), "new\n".into())]));
    assert_eq!(applied(&before, "UNLINK y.hdb\n").unwrap_err(), CommandError::NoFile("y.hdb".into()));
    let edit = applied(&before, "OPEN y.hdb\nDEL 1 a\nCLOSE\n").unwrap_err();
    assert_eq!(edit, CommandError::NoFile("y.hdb".into()));
}

#[test]
fn a_move_appends_to_one_file_what_it_takes_from_another() {
    let before = [("x.ndb", "a\nb\nc\nd\n"), ("y.ndb", "z\n")];
    let after = applied(&before, "MOVE x.ndb y.ndb 2 b 3 c\n").unwrap();
    assert_eq!(after, BTreeMap::from([("x.ndb".into(), "a\nd\n".into()), ("y.ndb".into(), "z\nb\nc\n".into())]));
    let single = applied(&before, "MOVE x.ndb y.ndb 2 b 2 b\n").unwrap_err();
    assert!(matches!(single, CommandError::Script(ScriptError::Range { first: 2, last: 2 })));
    let same = applied(&before, "MOVE x.ndb x.ndb 1 a 2 b\n").unwrap_err();
    assert!(matches!(same, CommandError::Script(ScriptError::SameFile(name)) if name == "x.ndb"));
    assert!(matches!(applied(&before, "MOVE x.ndb y.ndb 2 b 3 x\n"), Err(CommandError::Prefix { line: 3, .. })));
    assert!(
        matches!(applied(&before, "MOVE x.ndb z.ndb 2 b 3 c\n"), Err(CommandError::NoFile(name)) if name == "z.ndb")
    );
}

#[test]
fn no_name_leads_out_of_the_database() {
    for name in ["../x", "/etc/passwd", "..", ".x", "a/b", "é.ndb", "", "x y"] {
        let moves = format!("MOVE x.ndb {name} 1 a 2 b\n");
        for script in [format!("OPEN {name}\n"), format!("UNLINK {name}\n"), moves] {
            let error = applied(&[("x.ndb", "a\nb\n")], &script).unwrap_err();
            assert!(matches!(error, CommandError::Script(_)), "{script}: {error:?}");
        }
    }
}

#[test]
fn what_is_not_closed_is_refused_and_so_is_what_is_opened_twice() {
    assert_eq!(one("a\n", "OPEN x.ndb\nADD b\n").unwrap_err(), CommandError::Unfinished("x.ndb".into()));
    assert_eq!(one("a\n", "OPEN x.ndb\nOPEN y.ndb\n").unwrap_err(), CommandError::StillOpen("x.ndb".into()));
    assert_eq!(one("a\n", "OPEN x.ndb\nUNLINK x.ndb\n").unwrap_err(), CommandError::StillOpen("x.ndb".into()));
    for script in ["CLOSE\n", "ADD a\n", "DEL 1 a\n", "XCHG 1 a b\n"] {
        assert_eq!(one("a\n", script).unwrap_err(), CommandError::NotOpen, "{script}");
    }
}

#[test]
fn a_script_that_fails_changes_nothing_and_says_where() {
    let base = database(&[("x.ndb", "a\n")]);
    let script = b"#LSIZE 4\nOPEN x.ndb\nADD b\nCLOSE\nopen y.ndb\n";
    let error = apply(&base, script, ArchiveLimits::default()).unwrap_err();
    assert_eq!((error.line, error.to_string().as_str()), (5, "line 5 of the script cannot be applied"));
    assert_eq!(base, database(&[("x.ndb", "a\n")]));
}

#[test]
fn what_grows_past_its_limits_is_refused() {
    let limits = ArchiveLimits { unpacked_bytes: 6, member_bytes: 4, members: 2 };
    let grown = |script: &str| apply(&database(&[("x.ndb", "a\n")]), script.as_bytes(), limits).map_err(|e| e.cause);
    assert!(grown("OPEN x.ndb\nADD b\nCLOSE\n").is_ok());
    assert_eq!(grown("OPEN x.ndb\nADD bcd\nCLOSE\n").unwrap_err(), CommandError::TooLarge);
    assert_eq!(grown("OPEN y\nADD b\nCLOSE\nOPEN z\nADD b\nCLOSE\n").unwrap_err(), CommandError::TooLarge);
    let twice = "OPEN x.ndb\nADD b\nCLOSE\nOPEN y\nADD bc\nCLOSE\n";
    assert_eq!(grown(twice).unwrap_err(), CommandError::TooLarge);
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]", "[a-c ]{0,4}", "[a-z]{1,20}( [a-z]{0,9}){0,2}", "#[a-z]{0,3}", "é[a-z]\r?"]
}

fn file() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 1..30).prop_map(|lines| lines.into_iter().map(|line| line + "\n").collect())
}

fn files() -> impl Strategy<Value = Unpacked<'static>> {
    let name = prop::sample::select(vec!["COPYING", "x.ndb", "x.hdb", "x.info", "x.cfg"]);
    prop::collection::btree_map(name, file(), 0..5).prop_map(|files| Unpacked {
        members: files.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes().into())).collect(),
    })
}

fn command() -> impl Strategy<Value = Vec<u8>> {
    let field = "[a-zA-Z0-9#.:]{0,6}";
    prop_oneof![
        "[a-z]{1,4}\\.[a-z]{1,3}".prop_map(|name| format!("OPEN {name}\n")),
        "[ -~]{0,9}".prop_map(|line| format!("ADD {line}\n")),
        (any::<u32>(), field).prop_map(|(line, prefix)| format!("DEL {line} {prefix}\n")),
        (any::<u32>(), field, "[ -~]{0,9}").prop_map(|(line, prefix, new)| format!("XCHG {line} {prefix} {new}\n")),
        Just("CLOSE\n".to_owned()),
        Just("ADD\n".to_owned()),
        "[a-z_.0-9]{1,6}".prop_map(|name| format!("UNLINK a{name}\n")),
        (1_u32..9, field, 10_u32..20, field).prop_map(|(a, b, c, d)| format!("MOVE a b {a} {b} {c} {d}\n")),
    ]
    .prop_map(String::into_bytes)
}

proptest! {
    #[test]
    fn a_difference_applied_gives_the_new_from_the_old(old in files(), new in files()) {
        let script = between(&old, &new).unwrap();
        prop_assert_eq!(apply(&old, &script, ArchiveLimits::default()).unwrap(), new);
    }

    #[test]
    fn there_is_no_difference_between_a_thing_and_itself(database in files()) {
        prop_assert!(between(&database, &database).unwrap().is_empty());
    }

    #[test]
    fn commands_survive_their_lines(lines in prop::collection::vec(command(), 0..20)) {
        let script = lines.concat();
        let mut written = Vec::new();
        for (_, command) in commands(&script) {
            command.unwrap().write(&mut written);
        }
        prop_assert_eq!(written, script);
    }

    #[test]
    fn no_bytes_panic_or_exceed_their_limits(base in files(), bytes: Vec<u8>, lines in prop::collection::vec(command(), 0..20)) {
        let limits = ArchiveLimits { unpacked_bytes: 500, member_bytes: 100, members: 3 };
        for script in [bytes.clone(), lines.concat()] {
            if let Ok(result) = apply(&base, &script, limits)
                && result != base
            {
                // A script that only removes may leave what was too large before.
                let size = |database: &Unpacked<'_>| database.members.values().map(|bytes| bytes.len()).sum::<usize>();
                prop_assert!(size(&result) <= 500.max(size(&base)));
            }
        }
        let _ = Cdiff::parse(&bytes).map(|cdiff| cdiff.script());
    }

    #[test]
    fn a_container_survives_its_bytes_and_no_other_bytes_verify(script: Vec<u8>, at: Index, flip in 1_u8..) {
        let keys = SigningKeys::fixed();
        let file = keys.cdiff(DatabaseVersion(7), &script);
        let anchors = keys.trust_anchors();
        let cdiff = Cdiff::parse(&file).unwrap();
        prop_assert_eq!((cdiff.version, cdiff.script_bytes), (DatabaseVersion(7), script.len() as u64));
        let verified = cdiff.verify(DatabaseVersion(7), &anchors).unwrap();
        prop_assert_eq!(verified, VerifiedCdiff { version: DatabaseVersion(7), script });
        let mut damaged = file.clone();
        damaged[at.index(file.len())] ^= flip;
        prop_assert!(Cdiff::parse(&damaged).and_then(|cdiff| cdiff.verify(DatabaseVersion(7), &anchors)).is_err());
    }
}

#[test]
fn a_container_must_be_whole_signed_and_for_this_version() {
    let keys = SigningKeys::fixed();
    let (anchors, version) = (keys.trust_anchors(), DatabaseVersion(7));
    let file = keys.cdiff(version, b"OPEN x.ndb\nADD a\nCLOSE\n");
    let verify = |file: &[u8]| Cdiff::parse(file).and_then(|cdiff| cdiff.verify(version, &anchors));
    assert!(verify(&file).is_ok());
    assert!(matches!(verify(b""), Err(CdiffError::Empty)));
    assert!(matches!(verify(b"<html>not found</html>"), Err(CdiffError::Header)));
    assert!(matches!(verify(&file[..300]), Err(CdiffError::Truncated)));
    assert!(matches!(verify(&keys.cdiff(DatabaseVersion(8), b"")), Err(CdiffError::Version { expected: 7, found: 8 })));
    let others = Cdiff::parse(&file).unwrap().verify(version, &TrustAnchors::clamav());
    assert!(matches!(others, Err(CdiffError::Signature { anchor, .. }) if anchor == "clamav"));
}

#[test]
fn a_bomb_stops_at_the_size_in_its_header() {
    let packed = to_signed_part(DatabaseVersion(1), &vec![b'\n'; 8 << 20]);
    let lying = String::from_utf8_lossy(&packed[..24]).replace(&(8 << 20).to_string(), "1000");
    let colon = packed.iter().enumerate().filter(|(_, byte)| **byte == b':').nth(2).unwrap().0;
    let header = lying[..lying.rfind(':').unwrap_or(lying.len())].to_owned();
    let file = [format!("{header}:").as_bytes(), &packed[colon + 1..], b":", &[b'a'; 342]].concat();
    let cdiff = Cdiff::parse(&file).unwrap();
    assert!(matches!(cdiff.script(), Err(CdiffError::Size(1000))), "{:?}", cdiff.script_bytes);
}

#[test]
fn base_and_cdiffs_give_the_bytes_of_the_next_versions_members() {
    let keys = SigningKeys::fixed();
    let daily = |version: u32, ndb: &str| {
        CvdBuilder::new("daily").version(version).built(1_700_000_000 + u64::from(version)).member("daily.ndb", ndb)
    };
    let versions = [daily(1, "A:0:*:61\nB:0:*:62\n"), daily(2, "B:0:*:62\nC:0:*:63\n"), daily(3, "B:0:*:6262\n")];
    let mut base = versions[0].unpacked(keys);
    for [previous, next] in versions.array_windows() {
        let file = next.cdiff_from(previous, keys);
        let cdiff = Cdiff::parse(&file).unwrap();
        let verified = cdiff.verify(cdiff.version, &keys.trust_anchors()).unwrap();
        base = apply(&base, &verified.script, ArchiveLimits::default()).unwrap();
        let whole = next.build(keys);
        let expected = Cvd::parse(&whole).unwrap().unpack(ArchiveLimits::default()).unwrap();
        assert_eq!(base, expected);
    }
}

#[test]
fn real_cdiffs_verify_and_turn_real_databases_into_the_next_ones() {
    let Some(directory) = shared_data("freshclam") else { return };
    let first = std::fs::read(directory.join("test-1.cvd")).unwrap();
    let (name, anchors) = (super::super::database::DatabaseName::new("test").unwrap(), TrustAnchors::clamav());
    let limits = ArchiveLimits::default();
    let mut base = Cvd::parse(&first).unwrap().unpack(limits).unwrap();
    for version in [2, 3] {
        let file = std::fs::read(directory.join(format!("test-{version}.cdiff"))).unwrap();
        let verified = Cdiff::parse(&file).unwrap().verify(DatabaseVersion(version), &anchors).unwrap();
        base = apply(&base, &verified.script, limits).unwrap();
        let whole = std::fs::read(directory.join(format!("test-{version}.cvd"))).unwrap();
        assert_eq!(base, Cvd::parse(&whole).unwrap().unpack(limits).unwrap(), "version {version}");
        let cld = base.to_cld(&name).unwrap();
        let verified = Cvd::parse_as(ContainerKind::Cld, &cld).unwrap().verify(&name, &anchors, limits).unwrap();
        assert_eq!(verified.header.version, DatabaseVersion(version));
    }
}
