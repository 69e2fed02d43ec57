//! The claim that Nacre stands on: what an incremental rescan concludes is what a scan with everything concludes.
//!
//! Random generations of signature sets, drawn from what the files really hold, so that they hit; every file, from every generation to
//! every other, both ways, by real engines. What changed over several generations is composed, as a rescanner does it.

mod cold_start;
pub(crate) mod corpus;
pub(crate) mod genes;
mod rows;
pub(crate) mod sets;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use corpus::{CHOSEN, Corpus};
use futures::{StreamExt, stream};
use genes::Gene;
use nacre_clamav::delta::Delta;
use nacre_core::{
    rescan::plan::{Change, FullScan, RescanPlan, may_advance_generation},
    scan_record::RecordSummary,
    telemetry::error_chain,
};
use nacre_engine_client::{
    EngineError, EnginePool,
    equivalence::{Comparison, EquivalenceCheck, EquivalenceError, Scanned, SignatureSet, scan_in_full},
};
use nacre_test_support::programs_directory;
use proptest::{prelude::*, test_runner::TestCaseError};
use rows::{Narrowed, Row};
use sets::{Place, write_set};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::randomness;

/// Files that are tried at once.
const AT_ONCE: usize = 4;

/// Generations of a random case.
const GENERATIONS: usize = 4;

/// Most signatures of a random case.
const MAX_GENES: usize = 20;

/// A corpus, engines, and where sets are written.
struct Lab {
    corpus: Corpus,
    pool: EnginePool,
    scratch: TempDir,
    /// Where the files of a directory are in the order of their making, where there is such a file system.
    tmpfs: Option<TempDir>,
    /// The file that a case fails on: shrinking tries it alone.
    only: RefCell<Option<PathBuf>>,
    runtime: Runtime,
}

/// A set, and what it says of every file in full.
struct Side {
    set: SignatureSet,
    scanned: Vec<Scanned>,
}

/// Plans as the deployed plan does, or not.
type Plan<'a> = &'a (dyn Fn(&EquivalenceCheck<'_>, &RecordSummary, &Change) -> RescanPlan + 'a);

impl Lab {
    /// Gathers what we make, and these test files.
    fn new(test_files: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let program = programs_directory().unwrap().join("nacre-engine");
        let pool = EnginePool::new(program, scratch.path().to_owned()).with_scans(AT_ONCE);
        let runtime = Runtime::new().unwrap();
        let corpus = runtime.block_on(Corpus::gather(&scratch.path().join("files"), test_files, &pool));
        let tmpfs = tempfile::tempdir_in("/dev/shm").ok();
        Self { corpus, pool, scratch, tmpfs, only: RefCell::new(None), runtime }
    }

    /// The files that are tried.
    fn paths(&self) -> Vec<PathBuf> {
        let only = self.only.borrow();
        self.corpus.paths().filter(|path| only.as_ref().is_none_or(|only| path == only)).collect()
    }

    /// Makes a set; `None` when libclamav does not take it.
    fn side(&self, name: &str, write: impl FnOnce(&Path)) -> Option<Side> {
        let on_tmpfs = self.tmpfs.as_ref().filter(|_| name.ends_with(['1', '3']));
        let directory = on_tmpfs.unwrap_or(&self.scratch).path().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        write(&directory);
        let set = SignatureSet::read(&directory).unwrap();
        let scanned = self.runtime.block_on(async {
            let scans = self.paths().into_iter().map(|path| {
                let set = &set;
                async move { scan_in_full(&self.pool, set, &path).await }
            });
            stream::iter(scans).buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect::<Result<_, _>>()
        });
        self.pool.dismiss(&set.directory);
        match scanned {
            Ok(scanned) => Some(Side { set, scanned }),
            Err(EquivalenceError::Engine(EngineError::Refused(_))) => None,
            Err(error) => panic!("{}", error_chain(&error)),
        }
    }

    /// Tries every file from one set to another.
    fn try_all(
        &self,
        (old, new): (&Side, &Side),
        delta: Delta,
        plan: Plan<'_>,
    ) -> Result<Vec<(PathBuf, Comparison)>, EquivalenceError> {
        self.runtime.block_on(async {
            let check = EquivalenceCheck::after(&self.pool, &old.set, &new.set, delta).await?;
            let check = &check;
            let scanned = old.scanned.iter().zip(&new.scanned);
            let tried = self.paths().into_iter().zip(scanned).map(|(path, scanned)| async move {
                let plan = |record: &RecordSummary, change: &Change| plan(check, record, change);
                check.compare_scanned(&path, scanned, plan).await.map(|comparison| (path, comparison))
            });
            stream::iter(tried).buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
        })
    }
}

fn deployed(check: &EquivalenceCheck<'_>, record: &RecordSummary, change: &Change) -> RescanPlan {
    check.plan(record, change)
}

/// Walks each record from generation to generation as the passes do: a record that nothing concerns is renewed where that is allowed,
/// and judged by what changed since then.
fn renewed(lab: &Lab, sides: &[Side], tally: &RefCell<Tally>) -> Result<(), TestCaseError> {
    let paths = lab.paths();
    let mut records: Vec<(usize, Scanned)> = sides[0].scanned.iter().map(|scanned| (0, scanned.clone())).collect();
    let steps: Vec<Delta> =
        sides.windows(2).map(|pair| Delta::between(&pair[0].set.files, &pair[1].set.files)).collect();
    for to in 1..sides.len() {
        for from in 0..to {
            let those: Vec<usize> = (0..paths.len()).filter(|at| records[*at].0 == from).collect();
            let delta = steps[from..to].iter().fold(Delta::default(), Delta::then);
            let tried = lab.runtime.block_on(async {
                let check = EquivalenceCheck::after(&lab.pool, &sides[from].set, &sides[to].set, delta).await?;
                let (mut tried, checked) = (Vec::new(), &check);
                for at in those {
                    let plan = |record: &RecordSummary, change: &Change| checked.plan(record, change);
                    let scanned = (&records[at].1, &sides[to].scanned[at]);
                    let comparison = checked.compare_scanned(&paths[at], scanned, plan).await?;
                    let summary = RecordSummary::from(&records[at].1.record);
                    tried.push((at, may_advance_generation(&summary, comparison.plan, check.change()), comparison));
                }
                Ok::<_, EquivalenceError>(tried)
            });
            for (at, renew, comparison) in tried.map_err(|error| TestCaseError::fail(error_chain(&error)))? {
                tally.borrow_mut().add(&comparison);
                if !comparison.agrees() {
                    lab.only.replace(Some(paths[at].clone()));
                    return Err(TestCaseError::fail(format!(
                        "renewed {from} to {to}: {}: {comparison:?}",
                        paths[at].display()
                    )));
                }
                match comparison.plan {
                    RescanPlan::Unaffected(_) if renew => records[at].0 = to,
                    RescanPlan::Unaffected(_) => {}
                    _ => records[at] = (to, sides[to].scanned[at].clone()),
                }
            }
        }
    }
    Ok(())
}

/// Genes, and where each is in the first generation, and from which one on it is where else.
type Case = Vec<(Gene, Place, Vec<(usize, Place)>)>;

fn any_case() -> impl Strategy<Value = Case> {
    let moves = prop::collection::vec((1..GENERATIONS, Place::any()), 0..3);
    prop::collection::vec((Gene::any(), Place::any(), moves), 1..=MAX_GENES)
}

fn generation(case: &Case, number: usize) -> Vec<(&Gene, Place)> {
    let place = |first: Place, moves: &[(usize, Place)]| {
        moves.iter().rev().find(|(from, _)| *from <= number).map_or(first, |(_, place)| *place)
    };
    case.iter().map(|(gene, first, moves)| (gene, place(*first, moves))).collect()
}

/// What leads from each generation to each other, composed from the steps, and turned round for the way back.
fn ways(sides: &[Side]) -> Vec<(usize, usize, Delta)> {
    let steps: Vec<Delta> =
        sides.windows(2).map(|pair| Delta::between(&pair[0].set.files, &pair[1].set.files)).collect();
    let mut ways = Vec::new();
    for from in 0..sides.len() {
        let mut sum = Delta::default();
        for (to, step) in (from + 1..).zip(&steps[from..]) {
            sum = sum.then(step);
            ways.push((from, to, sum.clone()));
            ways.push((to, from, sum.clone().reversed()));
        }
    }
    ways
}

/// What was tried.
#[derive(Debug, Default)]
struct Tally {
    /// Files from one set to another.
    files: usize,
    infected: usize,
    /// Those of which the two sets say something else.
    changed: usize,
    /// Cases that libclamav loaded, and those of which it refused a set.
    loaded: u32,
    refused: u32,
    plans: BTreeMap<String, usize>,
}

impl Tally {
    fn add(&mut self, comparison: &Comparison) {
        self.files += 1;
        self.infected += usize::from(!comparison.full.signatures().is_empty());
        self.changed += usize::from(comparison.old.name() != comparison.full.name());
        *self.plans.entry(format!("{:?}", comparison.plan)).or_default() += 1;
    }
}

#[test]
fn an_incremental_rescan_concludes_what_a_full_one_would() {
    let lab = Lab::new(&CHOSEN);
    let mut runner = randomness::runner(3);
    let tally = RefCell::new(Tally::default());
    let outcome = runner.run(&any_case(), |case| {
        let sides: Option<Vec<Side>> = (0..GENERATIONS)
            .map(|number| {
                let genes = generation(&case, number);
                lab.side(&format!("generation-{number}"), |directory| write_set(directory, &genes, &lab.corpus))
            })
            .collect();
        let Some(sides) = sides else {
            tally.borrow_mut().refused += 1;
            return Ok(());
        };
        tally.borrow_mut().loaded += 1;
        for (from, to, delta) in ways(&sides) {
            let tried = lab.try_all((&sides[from], &sides[to]), delta, &deployed);
            let tried =
                tried.map_err(|error| TestCaseError::fail(format!("{from} to {to}: {}", error_chain(&error))))?;
            for (path, comparison) in tried {
                tally.borrow_mut().add(&comparison);
                if !comparison.agrees() {
                    lab.only.replace(Some(path.clone()));
                    return Err(TestCaseError::fail(format!("{from} to {to}: {}: {comparison:?}", path.display())));
                }
            }
        }
        renewed(&lab, &sides, &tally)?;
        // What a long run that is ended has shown.
        println!("{} cases, {} pairs of sets and a file", tally.borrow().loaded, tally.borrow().files);
        Ok(())
    });
    let tally = tally.into_inner();
    println!("{tally:?}");
    outcome.unwrap_or_else(|error| panic!("{error}"));
    // libclamav refuses about a third of them, by chance more of few.
    assert!(tally.loaded * 5 >= tally.loaded + tally.refused, "too few sets load: {tally:?}");
    assert!(tally.changed > 0, "the sets never hit: {tally:?}");
}

#[test]
fn each_row_of_the_plan_is_needed() {
    let lab = Lab::new(&["clam-fsg.exe"]);
    for row in rows::rows(&lab.corpus) {
        lab.try_row(&row);
    }
}

#[test]
fn each_narrowing_spares_what_it_may_and_no_more() {
    let lab = Lab::new(&[]);
    for Narrowed { row, spared } in rows::narrowed(&lab.corpus) {
        let tried = lab.try_row(&row);
        for name in spared {
            let (_, comparison) = tried.iter().find(|(path, _)| path.ends_with(name)).expect("it is in the corpus");
            assert!(matches!(comparison.plan, RescanPlan::Unaffected(_)), "{}: {name}: {comparison:?}", row.name);
        }
    }
    let [old, new] = rows::ignored_in_vain();
    let (old, new) = (lab.written("old", &old), lab.written("new", &new));
    let delta = Delta::between(&old.set.files, &new.set.files);
    for (path, comparison) in lab.try_all((&old, &new), delta, &deployed).unwrap() {
        assert!(comparison.agrees(), "{}: {comparison:?}", path.display());
        assert!(!matches!(comparison.plan, RescanPlan::DeltaScan | RescanPlan::FullScan(FullScan::Context)));
    }
}

impl Lab {
    fn written(&self, name: &str, files: &[(&str, String)]) -> Side {
        let made = self.side(name, |directory| {
            for (file, text) in files {
                std::fs::write(directory.join(file), text).unwrap();
            }
        });
        made.unwrap_or_else(|| panic!("a set is refused: {files:?}"))
    }

    /// Tries a row's sets with the deployed plan, which must be right, and with the row broken, which must be seen.
    fn try_row(&self, row: &Row) -> Vec<(PathBuf, Comparison)> {
        let (old, new) = (self.written("old", &row.old), self.written("new", &row.new));
        let delta = || Delta::between(&old.set.files, &new.set.files);
        let right = self.try_all((&old, &new), delta(), &deployed).unwrap();
        let wrong = right.iter().filter(|(_, comparison)| !comparison.agrees()).collect::<Vec<_>>();
        assert!(wrong.is_empty(), "{}: {wrong:?}", row.name);
        let plans: Vec<RescanPlan> = right.iter().map(|(_, comparison)| comparison.plan).collect();
        assert!(plans.iter().any(|plan| (row.is_its)(*plan)), "{}: no file is planned so: {plans:?}", row.name);
        let broken = |check: &EquivalenceCheck<'_>, record: &RecordSummary, change: &Change| {
            row.broken.plan(check, (record, change), (&old.set, &new.set))
        };
        let tried = self.try_all((&old, &new), delta(), &broken).unwrap();
        let found = tried.iter().filter(|(_, comparison)| !comparison.agrees()).count();
        assert!(found > 0, "{}: without it, nothing goes wrong", row.name);
        println!("{}: found by {found} of {} files", row.name, tried.len());
        right
    }
}

/// Reads a file that must be there.
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
