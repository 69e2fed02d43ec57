//! Random CDIFF scripts, applied by us and by `sigtool --run-cdiff`: the same files, or a departure that we chose.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use nacre_clamav::{
    archive::ArchiveLimits,
    cdiff::{ApplyError, CommandError, ScriptError, apply},
    unpacked::Unpacked,
};
use proptest::prelude::*;

use crate::randomness;

/// How many scripts are compared for each random case; a process each.
const SCRIPTS: u32 = 100;

type Files = BTreeMap<String, Vec<u8>>;

/// A base and a script that mostly fits it.
#[derive(Clone, Debug)]
struct Case {
    base: Files,
    script: Vec<u8>,
}

/// Files of short lines, which are often alike; some end without a line feed.
fn base() -> impl Strategy<Value = Files> {
    let line = prop_oneof![3 => "[a-c]{1,3}", 1 => "[a-c ]{0,3}", 1 => "#[a-c]?", 1 => "[a-c]\r"];
    let file = (prop::collection::vec(line, 0..7), prop::bool::weighted(0.05)).prop_map(|(lines, cut)| {
        let mut text: String = lines.into_iter().map(|line| line + "\n").collect();
        if cut {
            text.pop();
        }
        text.into_bytes()
    });
    prop::collection::btree_map(
        prop::sample::select(vec!["x.ndb", "y.ndb", "z.hdb"]).prop_map(str::to_owned),
        file,
        1..4,
    )
}

/// What a block of a script does to one file; numbers choose lines, and are off by a little now and then.
#[derive(Clone, Debug)]
enum Step {
    Edit { file: &'static str, edits: Vec<Edit>, ending: &'static str },
    Line(String),
    Move { from: &'static str, to: &'static str, first: u64, count: u64, honest: bool },
}

#[derive(Clone, Debug)]
enum Edit {
    Add(String),
    Del { line: u64, prefix: Prefix },
    Xchg { line: u64, prefix: Prefix, new: String },
    Line(String),
}

/// What an edit says that its line begins with.
#[derive(Clone, Debug)]
enum Prefix {
    Honest(usize),
    Text(String),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(vec!["x.ndb", "y.ndb", "z.hdb", "w.ldb"]);
    let prefix = || prop_oneof![8 => (0_usize..4).prop_map(Prefix::Honest), 1 => "[a-c ]{0,2}".prop_map(Prefix::Text)];
    let edit = prop_oneof![
        4 => "[a-c ]{0,4}".prop_map(Edit::Add),
        4 => (0_u64..7, prefix()).prop_map(|(line, prefix)| Edit::Del { line, prefix }),
        4 => (0_u64..7, prefix(), "[a-d ]{0,4}").prop_map(|(line, prefix, new)| Edit::Xchg { line, prefix, new }),
        1 => stray().prop_map(Edit::Line),
    ];
    let ending = prop_oneof![12 => Just("CLOSE\n"), 1 => Just("CLOSE and more\n"), 1 => Just("")];
    prop_oneof![
        12 => (name(), prop::collection::vec(edit, 0..6), ending)
            .prop_map(|(file, edits, ending)| Step::Edit { file, edits, ending }),
        1 => stray().prop_map(Step::Line),
        1 => name().prop_map(|name| Step::Line(format!("UNLINK {name}\n"))),
        2 => (name(), name(), 0_u64..5, 0_u64..4, prop::bool::weighted(0.9))
            // From a file to itself sigtool moves without end; ours refuses that.
            .prop_filter("another file", |(from, to, ..)| from != to)
            .prop_map(|(from, to, first, count, honest)| Step::Move { from, to, first, count, honest }),
    ]
}

/// Lines that are often no command at all.
fn stray() -> impl Strategy<Value = String> {
    let lines = [
        "# a remark\n",
        "\n",
        "ADD\n",
        "ADD \n",
        "DEL 1\n",
        "DEL x a\n",
        "DEL +1 a\n",
        "XCHG 1 a\n",
        "CLOSE\n",
        "close\n",
        "OPEN ../x\n",
        "OPEN x/y\n",
        "OPEN\n",
        "UNLINK nothing.ndb\n",
        "NONSENSE 1\n",
        "ADD no line feed",
        "OPEN x_y\n",
    ];
    prop::sample::select(lines.to_vec()).prop_map(str::to_owned)
}

fn case() -> impl Strategy<Value = Case> {
    (base(), prop::collection::vec(step(), 0..5)).prop_map(|(base, steps)| {
        let script = steps.iter().flat_map(|step| written(&base, step)).collect();
        Case { base, script }
    })
}

/// The step as a script says it. Prefixes are taken from the base, which earlier steps may have changed: so much the better.
fn written(base: &Files, step: &Step) -> Vec<u8> {
    let prefix_of = |file: &str, line: u64, prefix: &Prefix| match prefix {
        Prefix::Text(text) => text.clone().into_bytes(),
        Prefix::Honest(length) => {
            let text = base.get(file).map(Vec::as_slice).unwrap_or_default();
            let at = usize::try_from(line.saturating_sub(1)).unwrap();
            let line = text.split(|byte| *byte == b'\n').nth(at).unwrap_or_default();
            line.split(|byte| *byte == b' ').next().unwrap().iter().take(*length).copied().collect()
        }
    };
    match step {
        Step::Line(line) => line.clone().into_bytes(),
        Step::Move { from, to, first, count, honest } => {
            let last = first + count;
            let prefix = |line| if *honest { prefix_of(from, line, &Prefix::Honest(3)) } else { b"q".to_vec() };
            let head = format!("MOVE {from} {to} {first} ").into_bytes();
            [head, prefix(*first), format!(" {last} ").into_bytes(), prefix(last), b"\n".to_vec()].concat()
        }
        Step::Edit { file, edits, ending } => {
            let mut script = format!("OPEN {file}\n").into_bytes();
            for edit in edits {
                script.extend(match edit {
                    Edit::Add(line) => format!("ADD {line}\n").into_bytes(),
                    Edit::Line(line) => line.clone().into_bytes(),
                    Edit::Del { line, prefix } => {
                        [format!("DEL {line} ").as_bytes(), &prefix_of(file, *line, prefix), b"\n"].concat()
                    }
                    Edit::Xchg { line, prefix, new } => {
                        let prefix = prefix_of(file, *line, prefix);
                        [format!("XCHG {line} ").as_bytes(), &prefix, format!(" {new}\n").as_bytes()].concat()
                    }
                });
            }
            script.extend(ending.bytes());
            script
        }
    }
}

fn by_us(case: &Case) -> Result<Files, ApplyError> {
    let members = case.base.iter().map(|(name, bytes)| (name.clone(), bytes.clone().into())).collect();
    let result = apply(&Unpacked { members }, &case.script, ArchiveLimits::default())?;
    Ok(result.members.into_iter().map(|(name, bytes)| (name, bytes.into_owned())).collect())
}

/// The files as `sigtool` leaves them in its directory, or `None` when it refuses the script.
fn by_sigtool(case: &Case, directory: &Path) -> Option<Files> {
    let scratch = tempfile::tempdir_in(directory).unwrap();
    for (name, bytes) in &case.base {
        fs::write(scratch.path().join(name), bytes).unwrap();
    }
    // Outside the database's directory, so that it is not taken for a member.
    let script = tempfile::Builder::new().suffix("-1.script").tempfile_in(directory).unwrap();
    fs::write(script.path(), &case.script).unwrap();
    let output = Command::new("timeout")
        .args(["300", "sigtool"])
        .arg(format!("--run-cdiff={}", script.path().display()))
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // Once it has applied the script, it wants an `.info` to compare the files with, which these have not.
    let applied = String::from_utf8_lossy(&output.stderr).contains("verifydiff: Can't open");
    let files = fs::read_dir(scratch.path()).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    });
    applied.then(|| files.collect())
}

/// What we refuse and libclamav does, by choice: each is marked `Off-spec` where it is made.
fn refused_by_choice(error: &ApplyError) -> bool {
    match &error.cause {
        CommandError::Unfinished(_) | CommandError::NoLineFeed(_) => true,
        CommandError::Script(ScriptError::Number(number)) => number.starts_with('+'),
        _ => false,
    }
}

#[test]
fn sigtool_makes_the_same_of_a_script() {
    if Command::new("sigtool").arg("--version").output().is_err() {
        eprintln!("skipped: sigtool is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut runner = randomness::runner(SCRIPTS);
    let scripts = runner.config().cases;
    let agreed = std::cell::Cell::new((0_u32, 0_u32));
    let outcome = runner.run(&case(), |case| {
        let script = String::from_utf8_lossy(&case.script).into_owned();
        match (by_us(&case), by_sigtool(&case, directory.path())) {
            (Ok(ours), Some(theirs)) => {
                prop_assert_eq!(ours, theirs, "{}", script);
                agreed.update(|(done, refused)| (done + 1, refused));
            }
            (Err(_), None) => agreed.update(|(done, refused)| (done, refused + 1)),
            (Err(error), Some(_)) => {
                prop_assert!(refused_by_choice(&error), "we alone refuse: {:?}\n{}", error, script);
            }
            // ClamAV 1.4 knows no `_` in names, 1.5 does; a script has one only by our stray line.
            (Ok(_), None) => prop_assert!(script.contains("x_y"), "we alone accept:\n{}", script),
        }
        Ok(())
    });
    outcome.unwrap();
    let (done, refused) = agreed.get();
    assert!(done > scripts / 5 && refused > scripts / 10, "the cases are lopsided: {done} applied, {refused} refused");
}
