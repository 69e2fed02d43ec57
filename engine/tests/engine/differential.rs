//! The engine's verdicts are clamscan's.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::driver::{Engine, TEST_FILES_SIGNATURE, directory_of, eicar, hdb, test_files, zip};

/// What clamscan finds in a file.
pub(crate) fn clamscan(definitions: &Path, file: &Path) -> Option<BTreeSet<String>> {
    let options = ["--allmatch", "--alert-exceeds-max=yes", "--alert-encrypted=yes", "--no-summary", "--database"];
    let output = Command::new("clamscan").args(options).arg(definitions).arg(file).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let prefix = format!("{}: ", file.display());
    Some(
        text.lines().filter_map(|line| line.strip_prefix(&prefix)?.strip_suffix(" FOUND")).map(str::to_owned).collect(),
    )
}

#[test]
fn the_engine_finds_what_clamscan_finds() {
    let signatures = [
        TEST_FILES_SIGNATURE,
        ("a.hdb", &*hdb("Eicar", &eicar())),
        ("b.ndb", "Program:1:*:4d5a\nWords:7:*:776f726473\n"),
    ];
    let definitions = directory_of(&signatures);
    let made = directory_of(&[("words.txt", "just some words in a row\n"), ("clean.txt", "nothing to see here\n")]);
    fs::write(made.path().join("eicar.com"), eicar()).unwrap();
    fs::write(made.path().join("a.zip"), zip(&[("eicar.com", &eicar()), ("words", b"some words in a row\n")])).unwrap();
    let mut engine = Engine::with(&signatures);
    let made_files = fs::read_dir(made.path()).unwrap().map(|entry| entry.unwrap().path());
    for file in made_files.chain(test_files()) {
        let Some(expected) = clamscan(definitions.path(), &file) else {
            println!("skipped: clamscan is not installed");
            return;
        };
        let report = engine.scan(&fs::read(&file).unwrap());
        let found: BTreeSet<_> =
            [report.alerts, report.limits_exceeded, report.encrypted].concat().into_iter().collect();
        assert_eq!(found, expected, "{}", file.display());
        assert_eq!(report.status == 1, !expected.is_empty(), "{}", file.display());
    }
}
