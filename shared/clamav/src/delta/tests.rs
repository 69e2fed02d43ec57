//! Deltas compose as differences do, and read back as they were written.

use proptest::prelude::*;

use super::*;

fn file(official: bool, name: &str, text: impl Into<Vec<u8>>) -> SignatureFile<'static> {
    if official {
        SignatureFile::member("daily.cvd", true, name, text.into())
    } else {
        SignatureFile::loose(name, text.into())
    }
}

/// A set of few lines, so that they meet again, and of every way to be compared.
fn any_set() -> impl Strategy<Value = Vec<SignatureFile<'static>>> {
    let lines = |kind: &'static str| {
        proptest::collection::vec(0_u8..6, 0..8).prop_map(move |numbers| -> String {
            numbers
                .iter()
                .map(|n| match kind {
                    "ndb" => format!("S.{n}:{}:*:{n:02x}{n:02x}\n", n % 3),
                    "hdb" => format!("{:032x}:{}:H.{n}\n", n / 2, n / 4 + 1),
                    "ign2" => format!("{}.{n}\n", if n % 2 == 0 { "S" } else { "H" }),
                    "cbc" => format!("{n}"),
                    _ => format!("F.{n}\n"),
                })
                .collect()
        })
    };
    (lines("ndb"), lines("hdb"), lines("ign2"), lines("ftm"), lines("cbc"), lines("ndb")).prop_map(
        |(ndb, hdb, ign2, ftm, cbc, custom)| {
            vec![
                file(true, "daily.ndb", ndb),
                file(true, "main.hdb", hdb),
                file(true, "daily.ign2", ign2),
                file(true, "daily.ftm", ftm),
                file(true, "1.cbc", cbc),
                file(false, "own.ndb", custom),
            ]
        },
    )
}

/// The lines of a set that are in use, counted.
fn in_use(set: &[SignatureFile<'_>]) -> BTreeMap<DeltaLine, i64> {
    let ignored = ignored(set);
    let mut counts = BTreeMap::new();
    for line in set.iter().flat_map(Line::all) {
        let name = Signature::parse(Kind::of(line.extension), line.bytes).and_then(|signature| signature.name);
        if !name.is_some_and(|name| ignored.covers(name)) {
            *counts.entry(line.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

proptest! {
    #[test]
    fn a_delta_is_the_difference_of_what_is_in_use(old in any_set(), new in any_set()) {
        let delta = Delta::between(&old, &new);
        let (before, now) = (in_use(&old), in_use(&new));
        for line in before.keys().chain(now.keys()) {
            let expected = now.get(line).unwrap_or(&0) - before.get(line).unwrap_or(&0);
            let found = delta.lines.get(line).map_or(0, |count| count.effective);
            prop_assert_eq!(found, expected, "{}", String::from_utf8_lossy(&line.line));
        }
        prop_assert!(Delta::between(&new, &new).is_empty());
    }

    #[test]
    fn deltas_compose(a in any_set(), b in any_set(), c in any_set(), d in any_set()) {
        // Marks stay, whatever comes after them.
        let known = |delta: Delta| Delta {
            lines: delta.lines.into_iter().filter(|(line, _)| !line.is_mark()).collect(),
        };
        let between = |old: &Vec<_>, new: &Vec<_>| known(Delta::between(old, new));
        let (ab, bc, cd) = (between(&a, &b), between(&b, &c), between(&c, &d));
        prop_assert_eq!(ab.clone().then(&bc), between(&a, &c));
        prop_assert_eq!(ab.clone().then(&bc).then(&cd), ab.clone().then(&bc.clone().then(&cd)));
        prop_assert_eq!(ab.clone().then(&Delta::default()), ab.clone());
        prop_assert_eq!(Delta::default().then(&ab), ab.clone());
        prop_assert!(ab.clone().then(&ab.clone().reversed()).is_empty(), "added and taken back");
        prop_assert_eq!(ab.reversed(), between(&b, &a));
    }

    #[test]
    fn a_delta_survives_its_text(old in any_set(), new in any_set()) {
        let delta = Delta::between(&old, &new);
        prop_assert_eq!(Delta::parse(&delta.to_bytes()), Ok(delta));
    }

    #[test]
    fn no_bytes_panic_the_reader(bytes: Vec<u8>) {
        let _ = Delta::parse(&bytes);
        let _ = Delta::parse(&[b"nacre delta 1\n", bytes.as_slice(), b"\n"].concat());
    }

    #[test]
    fn equal_files_may_be_left_out(old in any_set(), new in any_set(), others in any_set()) {
        let others: Vec<_> = others
            .into_iter()
            .filter(|file| Kind::of(&file.name) != Kind::Ignore)
            .map(|file| SignatureFile { name: format!("others.{}", file.name), ..file })
            .collect();
        let with_others = |set: &[SignatureFile<'static>]| [set, &others].concat();
        // But for those of their lines that may be of the same digests, or are ignored by one set alone.
        let (before, now) = (ignored(&old), ignored(&new));
        let names = before.differing(&now);
        let mut search = TwinSearch::between(&old, &new);
        for file in &others {
            search.ignore(file, &names);
        }
        for file in &others {
            search.add(file);
        }
        let (twins, is_any) = search.end();
        let concerned = others.iter().map(|file| file.clone().concerned_by(&names, &twins)).collect::<Vec<_>>();
        if names.is_empty() {
            prop_assert_eq!(concerned.iter().any(|file| !file.bytes.is_empty()), is_any);
        }
        let with_concerned = |set: &[SignatureFile<'static>]| [set, &concerned].concat();
        // Of a line that is ignored throughout, and is in a file that stays as well, the whole set says that it moved.
        let marked = |delta: Delta| delta.lines.into_iter().filter(|(line, _)| line.extension != EVERYTHING).collect();
        let expected: BTreeMap<_, _> = marked(Delta::between(&with_others(&old), &with_others(&new)));
        prop_assert_eq!(marked(Delta::with_twins(&with_concerned(&old), &with_concerned(&new), &twins)), expected);
    }
}

#[test]
fn a_digest_that_passes_its_twin_in_a_database_that_stays_is_moved() {
    let line = |name: &str| format!("{}:5:{name}\n", "0a".repeat(16)).into_bytes();
    let member = |database: &str, name: &str| {
        SignatureFile::member(format!("{database}.cvd"), true, format!("{database}.hdb"), line(name))
    };
    let (main, before, behind) = (member("main", "Other"), member("daily", "Moving"), member("winnow", "Moving"));
    let mut search = TwinSearch::between(std::slice::from_ref(&before), std::slice::from_ref(&behind));
    search.add(&main);
    let (twins, is_any) = search.end();
    assert!(is_any, "the database that stays has the other line");
    let main = main.concerned_by(&BTreeSet::new(), &twins);
    let delta = Delta::with_twins(&[before.clone(), main.clone()], &[main.clone(), behind], &twins);
    assert!(delta.lines().any(|(line, _)| line.moved() == Some("hdb")), "{delta:?}");
    assert!(Delta::between(&[before.clone(), main.clone()], &[before, main]).is_empty());
}

#[test]
fn digests_of_a_table_in_a_database_that_stays_are_moved_where_one_of_them_is_ignored() {
    let line = |digest: &str, name: &str| format!("{}:5:{name}\n", digest.repeat(16));
    let lines = [line("0a", "One"), line("0a", "Other"), line("0b", "Ignored"), line("0c", "Alone")].concat();
    let main = SignatureFile::member("main.cvd", true, "main.hdb", lines.into_bytes());
    let own = SignatureFile::loose("own.ign2", b"Ignored\n".to_vec());
    let (old, new) = (Vec::new(), vec![own]);
    let (before, now) = (ignored(&old), ignored(&new));
    let names = before.differing(&now);
    let mut search = TwinSearch::between(&old, &new);
    search.ignore(&main, &names);
    search.add(&main);
    let (twins, is_any) = search.end();
    assert!(is_any);
    let concerned = main.clone().concerned_by(&names, &twins);
    let delta = Delta::with_twins(std::slice::from_ref(&concerned), &[concerned.clone(), new[0].clone()], &twins);
    assert_eq!(delta.lines().filter(|(line, _)| line.moved() == Some("hdb")).count(), 2, "{delta:?}");
    assert_eq!(delta, Delta::between(std::slice::from_ref(&main), &[main.clone(), new[0].clone()]));
}

#[test]
fn patterns_that_may_be_mistaken_have_an_order() {
    let (one, other) = ("A:0:*:4d41(6162|61)20\n", "B:0:*:4d41(6163|61)20\n");
    let of = |name: &str, lines: &[&str]| SignatureFile::loose(name.to_owned(), lines.concat().into_bytes());
    let is_marked = |old: &[SignatureFile<'_>], new: &[SignatureFile<'_>]| {
        Delta::between(old, new).lines().any(|(line, _)| line.extension == EVERYTHING)
    };
    assert!(is_marked(&[of("a.ndb", &[one, other])], &[of("a.ndb", &[other, one])]));
    assert!(is_marked(&[of("a.ndb", &[one]), of("b.ndb", &[other])], &[of("z.ndb", &[one]), of("b.ndb", &[other])]));
    assert!(!is_marked(&[of("a.ndb", &[one, other])], &[of("a.ndb", &[other])]), "the line itself concerns its target");
    assert!(!is_marked(&[of("a.ndb", &[one])], &[of("z.ndb", &[one])]));
    let rules = |text: &str| of("own.yar", &[&format!("rule a {{ strings: $a = {{ {text} }} condition: $a }}")]);
    let moved = |old: &[SignatureFile<'_>], new: &[SignatureFile<'_>]| {
        Delta::between(old, new).lines().any(|(line, _)| line.moved() == Some("yar"))
    };
    assert!(moved(&[rules("6162")], &[rules("61 (62 | 63)")]) && !moved(&[rules("6162")], &[rules("6163")]));
}

#[test]
fn patterns_of_a_macros_group_concern_everything() {
    let group = SignatureFile::loose("d.ndb", b"D1:0:$12:6262AA\n".to_vec());
    let line =
        |pattern: &str| SignatureFile::loose("a.ldb", format!("N;Engine:81-255,Target:0;0;{pattern}\n").into_bytes());
    for (pattern, expected) in [("6262aa", true), ("00ff*6262aa", true), ("0:6262AA::i", true), ("6262ab", false)] {
        let old = std::slice::from_ref(&group);
        let new = [group.clone(), line(pattern)];
        let marked = |delta: &Delta| delta.lines().any(|(line, _)| line.extension == EVERYTHING);
        assert_eq!(marked(&Delta::between(old, &new)), expected, "{pattern}");
        let added = &new[1..];
        let mut search = TwinSearch::between(&[], added);
        search.add(&group);
        let (twins, _) = search.end();
        assert_eq!(marked(&Delta::with_twins(&[], added, &twins)), expected, "{pattern}: the group stays");
    }
}

#[test]
fn a_signature_that_is_no_longer_ignored_counts_as_added() {
    let signature = file(true, "main.ndb", "S.1:0:*:00ff\n");
    let ignoring = [signature.clone(), file(false, "own.ign2", "S.1\n")];
    let added = Delta::between(&ignoring, std::slice::from_ref(&signature));
    assert_eq!(added.added_files().get("added.ndb").map(Vec::as_slice), Some(&b"S.1:0:*:00ff\n"[..]));
    assert!(added.added_names(true).contains("S.1"));
    assert!(Delta::between(std::slice::from_ref(&signature), &ignoring).added_files().is_empty());
}

#[test]
fn what_is_ignored_and_moves_to_where_that_does_not_reach_concerns_everything() {
    let (line, main) = ("S.1:0:*:00ff\n", |name: &str, text: &'static str| {
        SignatureFile::member("main.cvd", true, name, text.as_bytes())
    });
    let daily = SignatureFile::member("daily.cvd", true, "daily.ndb", line.as_bytes());
    let ignoring = main("main.ign2", "S.1\n");
    let reached = [ignoring.clone(), main("main.ndb", line)];
    let early = [main("main.ndb", line), ignoring.clone()];
    let elsewhere = [ignoring, daily.clone()];
    for (old, new) in [(&reached, &elsewhere), (&elsewhere, &reached), (&reached, &early), (&early, &reached)] {
        assert!(concerns_everything(&Delta::between(old, new)));
        let quiet = |set: &[SignatureFile<'static>]| -> Vec<_> {
            set.iter().filter(|file| Kind::of(&file.name) != Kind::Ignore).cloned().collect()
        };
        assert!(Delta::between(&quiet(old), &quiet(new)).is_empty(), "where nothing is ignored, lines may move");
    }
    let daily_ignores = SignatureFile::member("daily.cld", true, "daily.ign2", b"S.1\n".as_slice());
    let patched = SignatureFile::member("daily.cld", true, "daily.ndb", line.as_bytes());
    let whole = [SignatureFile { container: Some("daily.cvd".into()), ..daily_ignores.clone() }, daily];
    assert!(Delta::between(&whole, &[daily_ignores, patched]).is_empty(), "a CVD may become a CLD");
}

fn concerns_everything(delta: &Delta) -> bool {
    delta.lines().any(|(line, _)| line.extension == EVERYTHING)
}

#[test]
fn a_list_of_more_than_names_that_changes_concerns_everything() {
    let signatures = || SignatureFile::loose("own.ndb", b"Win.Test.A:0:*:00ff\nOther:0:*:01ff\n".as_slice());
    let with = |ign2: &str| [signatures(), SignatureFile::loose("own.ign2", ign2.as_bytes().to_vec())];
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    for (old, new) in [
        ("Win.Test.A\n".to_owned(), format!("Other:{md5}\nWin.Test.A\n")),
        ("Gone\nown.ndb:1:Win.Test.A\n".to_owned(), "Gone\n".to_owned()),
        (format!("Win.Test.A:{md5}\nOther\n"), format!("Other\nWin.Test.A:{md5}\n")),
    ] {
        assert!(concerns_everything(&Delta::between(&with(&old), &with(&new))), "{old:?} {new:?}");
        assert!(concerns_everything(&Delta::between(&with(&new), &with(&old))), "{new:?} {old:?}");
        assert!(Delta::between(&with(&new), &with(&new)).is_empty());
    }
    let plain = Delta::between(&with("Win.Test.A\n"), &with("Other\nWin.Test.A\n"));
    assert!(!concerns_everything(&plain) && !plain.is_empty(), "a name alone says what it means");
    let unofficial = || SignatureFile::loose("own.ndb", b"Win.Test.A.UNOFFICIAL:0:*:00ff\n".as_slice());
    let ignoring = [unofficial(), SignatureFile::loose("own.ign2", b"Win.Test.A\n".as_slice())];
    assert_eq!(
        Delta::between(&ignoring, &[unofficial()]).added_files().len(),
        1,
        "names are compared as libclamav does"
    );
}

#[test]
fn files_whose_order_matters_are_compared_as_a_whole() {
    for kind in ["cfg", "crb", "ftm", "idb", "pwdb", "sdb"] {
        let of = |text: &str| [SignatureFile::loose(format!("own.{kind}"), text.as_bytes().to_vec())];
        assert!(!Delta::between(&of("A\nB\n"), &of("B\nA\n")).is_empty(), "{kind}");
    }
}

#[test]
fn digests_that_several_lines_have_are_marked_where_their_table_changes() {
    let (digest, other) = ("a".repeat(32), "b".repeat(32));
    let line = |digest: &str, name: &str| format!("{digest}:68:{name}\n");
    let sized = |size: &str| format!("{other}:{size}:C:73\n");
    let file = |name: &str, lines: &[String]| SignatureFile::loose(name, lines.concat().into_bytes());
    let (a, b, c) = (line(&digest, "A"), line(&digest, "B"), line(&other, "C"));
    let moved = |old: &[SignatureFile<'_>], new: &[SignatureFile<'_>]| -> usize {
        Delta::between(old, new).lines().filter(|(line, _)| line.moved() == Some("hdb")).count()
    };
    let one = |lines: &[&String]| [file("own.hdb", &lines.iter().map(|line| (*line).clone()).collect::<Vec<_>>())];
    assert_eq!(moved(&one(&[&a, &b]), &one(&[&b, &a])), 2);
    assert_eq!(moved(&one(&[&a, &c, &b]), &one(&[&a, &b])), 2, "where each stands in the table depends on all of it");
    assert_eq!(moved(&one(&[&a, &sized("67"), &b]), &one(&[&a, &b, &sized("*")])), 0, "other tables");
    assert_eq!(moved(&one(&[&a, &b]), &one(&[&b])), 2, "it may come back in another place");
    let member = |database: &str, name: &str, text: &str| {
        SignatureFile::member(database.to_owned(), false, name.to_owned(), text.as_bytes().to_vec())
    };
    for (old, new) in [
        (
            [member("x.cud", "a.hdb", &a), member("x.cud", "b.hdb", &b)],
            [member("x.cud", "b.hdb", &b), member("x.cud", "a.hdb", &a)],
        ),
        (
            [member("x.cud", "a.hdb", &a), member("y.cud", "b.hdb", &b)],
            [member("x.cud", "b.hdb", &b), member("y.cud", "a.hdb", &a)],
        ),
        (
            [member("x.cud", "a.hdb", &a), member("y.cud", "b.hdb", &b)],
            [member("z.cud", "a.hdb", &a), member("y.cud", "b.hdb", &b)],
        ),
        (
            [member("x.cud", "a.hdb", &a), file("y.hdb", std::slice::from_ref(&b))],
            [file("y.hdb", std::slice::from_ref(&b)), member("z.cud", "a.hdb", &a)],
        ),
    ] {
        assert_eq!(moved(&old, &new), 2, "members that change places");
        assert!(Delta::between(&old, &old).is_empty());
    }
    let patched = [member("x.cvd", "a.hdb", &a), member("x.cvd", "b.hdb", &b)];
    assert!(
        Delta::between(
            &patched,
            &patched.clone().map(|file| SignatureFile { container: Some("x.cld".into()), ..file })
        )
        .is_empty()
    );
    let ignoring =
        |names: &str| [file("own.hdb", &[a.clone(), b.clone(), c.clone()]), file("own.ign2", &[names.to_owned()])];
    assert_eq!(moved(&ignoring("D\n"), &ignoring("C\n")), 2, "what is ignored stands in no table");
    assert_eq!(moved(&one(&[&a, &c]), &one(&[&c, &a])), 0, "each digest has one line");
    let import = |name: &str| format!("{digest}:35:{name}\n").into_bytes();
    let imports = |lines: [Vec<u8>; 2]| [SignatureFile::loose("own.imp", lines.concat())];
    let delta = Delta::between(&imports([import("A"), import("B")]), &imports([import("B"), import("A")]));
    assert_eq!(delta.lines().filter(|(line, _)| line.moved() == Some("imp")).count(), 2, "it stands before its size");
    let (first, last) = ([file("a.hdb", std::slice::from_ref(&a))], [file("z.hdb", std::slice::from_ref(&a))]);
    assert_eq!(moved(&first, &last), 1, "another may be in a file that was left out");
    let there = Delta::between(&one(&[&a, &b]), &one(&[&b, &a]));
    assert!(!there.clone().then(&there.reversed()).is_empty(), "the way back does not take a mark back");
}

#[test]
fn hashes_of_urls_are_marked_where_they_change_their_file_or_order() {
    let of = |name: &str, lines: &str| SignatureFile::loose(name.to_owned(), lines.as_bytes().to_vec());
    let is_marked = |old: &[SignatureFile<'_>], new: &[SignatureFile<'_>]| {
        Delta::between(old, new).lines().any(|(line, _)| line.moved() == Some("gdb"))
    };
    let one = [of("own.gdb", "S1:F:00\nS2:F:00\n")];
    assert!(is_marked(&one, &[of("own.gdb", "S2:F:00\nS1:F:00\n")]), "the order");
    assert!(is_marked(&one, &[of("local.gdb", "S1:F:00\nS2:F:00\n")]), "the file");
    assert!(is_marked(&one, &[of("own.gdb", "S1:F:00\nS2:F:00\nS:W:00\n")]), "one is allowed");
    assert!(!is_marked(&one, &[of("own.gdb", "# remark\nS1:F:00\nS2:F:00\n")]));
    assert!(!is_marked(&[of("own.pdb", "H:a.example\n")], &[of("own.pdb", "H:b.example\n")]), "no hash of a URL");
}

#[test]
fn members_of_a_database_that_are_compared_as_a_whole_have_an_order() {
    let of =
        |name: &str, text: &str| SignatureFile::member("own.cud", false, name.to_owned(), text.as_bytes().to_vec());
    for extension in ["cfg", "ftm", "crb", "yar"] {
        let (a, b) = (of(&format!("a.{extension}"), "one"), of(&format!("b.{extension}"), "other"));
        let delta = Delta::between(&[a.clone(), b.clone()], &[b, a]);
        assert!(!delta.is_empty(), "{extension}");
    }
}

#[test]
fn patterns_that_outreach_a_probe_concern_everything() {
    let gaps = "00ff{127}".repeat(40);
    for (name, line, everything) in [
        ("own.ldb", format!("A;Engine:81-255,Target:0;0;{gaps}ff\n"), true),
        ("own.ldb", "A;Engine:81-255,Target:0;0;00ff{127}ff\n".into(), false),
        ("own.ndb", format!("A:0:*:{gaps}ff\n"), true),
        ("own.db", format!("A={gaps}ff\n"), true),
        ("own.cdb", format!("A:CL_TYPE_ZIP:*:{gaps}:*:*:*:*:*:*\n"), false),
    ] {
        let signature = Signature::parse(Kind::of(name), line.trim_end().as_bytes()).unwrap();
        assert_eq!(signature.concern == crate::signature::Concern::Everything, everything, "{line}");
        assert_eq!(signature.name, Some(b"A".as_slice()));
    }
    let rules = |text: &str| {
        [SignatureFile::loose("own.yar", format!("rule a {{ strings: $a = {text} condition: $a }}").into_bytes())]
    };
    let long = rules(&format!("{{ {} }}", "00 ff [127] ".repeat(40)));
    let is_marked = |old: &[SignatureFile<'_>], new: &[SignatureFile<'_>]| {
        Delta::between(old, new).lines().any(|(line, _)| line.moved() == Some("yar"))
    };
    assert!(is_marked(&rules("\"a\""), &long) && is_marked(&long, &[]));
    assert!(!is_marked(&rules("\"a\""), &rules("\"b\"")));
}

#[test]
fn the_first_and_the_last_file_of_import_tables_are_marked() {
    let of = |name: &str, text: &str| SignatureFile::loose(name.to_owned(), text.as_bytes().to_vec());
    let is_marked = |old: &[SignatureFile<'_>], new: &[SignatureFile<'_>]| {
        Delta::between(old, new).lines().any(|(line, _)| line.moved() == Some("imp") && line.line == b"*")
    };
    let (one, none) = ([of("own.imp", "# none\n")], [of("own.mdb", "")]);
    assert!(is_marked(&one, &none) && is_marked(&none, &one));
    assert!(!is_marked(&one, &[of("z.IMP", "# other\n")]) && !is_marked(&none, &[]));
}
