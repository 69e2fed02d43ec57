//! The claim that a cold start stands on: body, filter and mini engine say of every file what an engine of all signatures says.

mod decide;
mod rows;

use std::{cell::RefCell, collections::BTreeMap, path::Path};

use nacre_core::telemetry::error_chain;
use nacre_engine_client::{EngineError, protocol::Limits};
use proptest::{prelude::*, test_runner::TestCaseError};

use super::{
    CHOSEN, Lab, MAX_GENES,
    corpus::{Corpus, Known},
    genes::Gene,
    sets::{Place, write_database, write_set},
};
use crate::randomness;
use decide::{Broken, Decided, ScanSets, canonical, decide};

/// A line of a third database, which a filter must not take for another.
#[derive(Clone, Copy, Debug)]
struct Extra {
    file: usize,
    layer: usize,
    form: u8,
}

impl Extra {
    fn any() -> impl Strategy<Value = Self> {
        (0_usize..1000, 0_usize..40, 0_u8..16).prop_map(|(file, layer, form)| Self { file, layer, form })
    }

    /// The name of its file, and the line.
    fn line(self, number: usize, corpus: &Corpus) -> Option<(&'static str, String)> {
        let known: &Known = corpus.files.get(self.file % corpus.files.len())?;
        let layer = known.layers.get(self.layer % known.layers.len().max(1)).filter(|layer| layer.size > 1)?;
        let (size, md5, sha1, sha256) = (layer.size, &layer.md5, &layer.sha1, &layer.sha256);
        let section = known.sections.get(self.layer % known.sections.len().max(1));
        let near = |digest: &str| digest.replace(|digit: char| digit == digest.chars().next().unwrap_or('0'), "0");
        Some(match self.form {
            0 => ("extra.hsb", format!("{md5}:{size}:X.{number}")),
            1 => ("extra.hdb", format!("{sha256}:{size}:X.{number}")),
            2 => ("extra.hdb", format!("{sha1}:*:X.{number}:73:999")),
            3 => ("extra.hdb", format!("{md5}:{}:X.{number}", size - 1)),
            4 => ("extra.hsb", format!("{}:{size}:X.{number}", near(sha256))),
            5 => ("extra.hdb", format!("{}:{size}:PUA.X.{number}", md5.to_uppercase())),
            6 => ("extra.hdb", format!("{md5}:{size}:X.{number}:1:2\r")),
            7 => ("extra.hsb", format!("{sha1}:{size}:X.{number}:999")),
            // libclamav reads it; the filter's makers leave it in the body.
            8 => ("extra.hdb", format!("{md5}: +{size}:X.{number}")),
            9 => ("extra.hdb", format!("{md5}:{size}:Heuristics.X.{number}")),
            10 => ("extra.mdb", format!("{size}:{md5}:X.{number}")),
            11 => ("extra.imp", format!("{md5}:*:X.{number}")),
            12 => ("extra.msb", format!("{}:{}:X.{number}", section?.0, section?.2)),
            13 => ("extra.mdb", format!("{}:{}:X.{number}:1:2", section?.0, section?.1)),
            14 => ("extra.ldb", handler(number, known)?),
            _ => (
                "extra.cfg",
                ["PE:0x0:1:255", "PE:0xfffffe0f:1:255", "ARCHIVE:0x0:1:255"].get(self.file % 3)?.to_string(),
            ),
        })
    }
}

/// A signature that has a file with these bytes scanned as a page.
fn handler(number: usize, known: &Known) -> Option<String> {
    let bytes = known.bytes.get(..12).filter(|bytes| bytes.iter().any(|byte| *byte != bytes[0]))?;
    Some(format!("X.{number};Engine:81-255,Target:0,HandlerType:CL_TYPE_HTML;0;{}", hex::encode(bytes)))
}

/// Genes and where they are, lines of a third database, and which of the limits are hit.
type Case = (Vec<(Gene, Place)>, Vec<Extra>, u8);

/// The usual limits, or one of them so low that files of the corpus meet it.
fn limits(choice: u8) -> Limits {
    let usual = Limits::default();
    match choice {
        0 => Limits { max_files: 2, ..usual },
        1 => Limits { max_recursion: 2, ..usual },
        2 => Limits { max_file_size: 3000, ..usual },
        3 => Limits { max_scan_size: 20_000, ..usual },
        _ => usual,
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let genes = prop::collection::vec((Gene::any(), Place::any()), 1..=MAX_GENES / 2);
    (genes, prop::collection::vec(Extra::any(), 0..20), 0_u8..10)
}

fn write_case((genes, extras, _): &Case, directory: &Path, corpus: &Corpus) {
    let genes: Vec<(&Gene, Place)> = genes.iter().map(|(gene, place)| (gene, *place)).collect();
    write_set(directory, &genes, corpus);
    let mut files = BTreeMap::<&str, String>::new();
    for (number, extra) in extras.iter().enumerate() {
        let Some((file, line)) = extra.line(number, corpus) else { continue };
        let text = files.entry(file).or_default();
        text.push_str(&line);
        text.push('\n');
    }
    write_databases(directory, &files);
}

/// Writes files as members of the databases that their names begin with.
fn write_databases(directory: &Path, files: &BTreeMap<&str, String>) {
    let mut databases = BTreeMap::<&str, Vec<(String, &str)>>::new();
    for (file, text) in files {
        let name = file.split('.').next().unwrap_or_default();
        databases.entry(name).or_default().push(((*file).to_owned(), text.as_str()));
    }
    for (name, members) in databases {
        write_database(directory, name, &members, false);
    }
}

/// What was tried.
#[derive(Debug, Default)]
struct Tally {
    files: usize,
    infected: usize,
    alerts: usize,
    /// Files that a filter did not rule out, and those that had an exact match.
    proposed: usize,
    decided_by_mini: usize,
    /// Files of which contents could not be read, so that nothing is claimed.
    unread: usize,
    loaded: u32,
    refused: u32,
}

impl Tally {
    fn add(&mut self, decided: &Decided) {
        self.files += 1;
        self.infected += usize::from(!decided.full.alerts.is_empty());
        self.alerts += decided.full.alerts.len();
        self.proposed += usize::from(decided.proposals > 0);
        self.decided_by_mini += usize::from(decided.is_hit);
        self.unread += usize::from(decided.unread);
    }
}

#[test]
fn a_scan_set_decides_what_all_signatures_would() {
    let lab = Lab::new(&CHOSEN);
    let mut runner = randomness::runner(2);
    let tally = RefCell::new(Tally::default());
    let outcome = runner.run(&any_case(), |case| {
        let directory = lab.scratch.path().join("all");
        lab.pool.dismiss(&directory);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        write_case(&case, &directory, &lab.corpus);
        // What all signatures load, body and mini engine must load, too.
        match lab.runtime.block_on(lab.pool.ready(&directory)) {
            Ok(_) => {}
            Err(EngineError::Refused(_)) => {
                tally.borrow_mut().refused += 1;
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error_chain(&error))),
        }
        let sets = lab.runtime.block_on(ScanSets::build(&directory, &lab.scratch.path().join("body")));
        let decided = lab.runtime.block_on(decide(&lab, &directory, &sets, &Broken::Nothing, limits(case.2)));
        let decided = decided.map_err(|error| TestCaseError::fail(error_chain(&error)))?;
        tally.borrow_mut().loaded += 1;
        for (path, decided) in decided {
            tally.borrow_mut().add(&decided);
            if !decided.agrees(&sets) {
                let names = |alerts: &[String]| canonical(alerts, &sets);
                let (full, ours) = (names(&decided.full.alerts), names(&decided.ours.alerts));
                return Err(TestCaseError::fail(format!(
                    "{}: all say {full:?}, and we {ours:?}: {decided:?}",
                    path.display()
                )));
            }
        }
        Ok(())
    });
    let tally = tally.into_inner();
    println!("{tally:?}");
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(tally.loaded > 0, "no set was loaded: {tally:?}");
    assert!(tally.decided_by_mini > 0 && tally.infected > 0, "the sets never hit: {tally:?}");
    assert!(tally.unread * 10 < tally.files, "too many files are not compared: {tally:?}");
}

#[test]
fn each_part_of_a_scan_set_is_needed() {
    let lab = Lab::new(&["clam-fsg.exe", "clam.exe", "clam-upx.exe"]);
    for row in rows::rows(&lab) {
        let directory = lab.scratch.path().join("all");
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        write_databases(&directory, &row.files.iter().cloned().collect());
        let sets = lab.runtime.block_on(ScanSets::build(&directory, &lab.scratch.path().join("body")));
        let tried = |broken: &Broken| {
            let decided = lab.runtime.block_on(decide(&lab, &directory, &sets, broken, Limits::default()));
            decided.unwrap_or_else(|error| panic!("{}: {}", row.name, error_chain(&error)))
        };
        for (path, decided) in tried(&Broken::Nothing) {
            assert!(decided.agrees(&sets), "{}: {}: {decided:?}", row.name, path.display());
        }
        let found = tried(&row.broken).iter().filter(|(_, decided)| !decided.agrees(&sets)).count();
        assert!(found > 0, "{}: without it, nothing goes wrong", row.name);
        println!("{}: found by {found} files", row.name);
    }
}
