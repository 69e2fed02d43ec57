//! Deltas compose as differences do, and read back as they were written.

use proptest::prelude::*;

use super::*;

fn file(official: bool, name: &str, text: impl Into<Vec<u8>>) -> SignatureFile<'static> {
    SignatureFile { official, name: name.to_owned(), bytes: Cow::Owned(text.into()) }
}

/// A set of few lines, so that they meet again, and of every way to be compared.
fn any_set() -> impl Strategy<Value = Vec<SignatureFile<'static>>> {
    let lines = |kind: &'static str| {
        proptest::collection::vec(0_u8..6, 0..8).prop_map(move |numbers| -> String {
            numbers
                .iter()
                .map(|n| match kind {
                    "ndb" => format!("S.{n}:{}:*:{n:02x}{n:02x}\n", n % 3),
                    "hdb" => format!("{n:032x}:{n}:H.{n}\n"),
                    "ign2" => format!("S.{n}\n"),
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
        if !name.is_some_and(|name| ignored.covers(name, line.bytes)) {
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
        // Unknown names count each time that they change.
        let known = |delta: Delta| Delta {
            lines: delta.lines.into_iter().filter(|(line, _)| line.extension != UNKNOWN_NAME).collect(),
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
        let not_ignoring = |set: Vec<SignatureFile<'static>>| -> Vec<_> {
            set.into_iter().filter(|file| Kind::of(&file.name) != Kind::Ignore).collect()
        };
        let (old, new) = (not_ignoring(old), not_ignoring(new));
        let others: Vec<_> = not_ignoring(others)
            .into_iter()
            .map(|file| SignatureFile { name: format!("others.{}", file.name), ..file })
            .collect();
        let with_others = |set: &[SignatureFile<'static>]| [set, &others].concat();
        prop_assert_eq!(Delta::between(&with_others(&old), &with_others(&new)), Delta::between(&old, &new));
    }
}

#[test]
fn a_signature_that_is_no_longer_ignored_counts_as_added() {
    let signature = file(true, "main.ndb", "S.1:0:*:00ff\n");
    let ignoring = [signature.clone(), file(false, "own.ign2", "S.1\n")];
    let added = Delta::between(&ignoring, std::slice::from_ref(&signature));
    assert_eq!(added.added_files().get("added.ndb").map(Vec::as_slice), Some(&b"S.1:0:*:00ff\n"[..]));
    assert!(added.added_official_names().contains("S.1"));
    assert!(Delta::between(std::slice::from_ref(&signature), &ignoring).added_files().is_empty());
}

#[test]
fn what_is_ignored_and_moves_to_another_file_concerns_everything() {
    let ignoring = file(true, "daily.ign2", "S.1\n");
    let line = "S.1:0:*:00ff\n";
    let old = [ignoring.clone(), file(true, "daily.ndb", line)];
    let new = [ignoring, file(true, "main.ndb", line)];
    let delta = Delta::between(&old, &new);
    assert!(delta.lines().any(|(line, _)| line.extension == UNKNOWN_NAME));
    let quiet = |set: &[SignatureFile<'static>]| set[1..].to_vec();
    assert!(Delta::between(&quiet(&old), &quiet(&new)).is_empty(), "where nothing is ignored, lines may move");
}
