//! The claim that Nacre stands on: what an incremental rescan concludes is what a scan with everything concludes.
//!
//! Random pairs of signature sets, drawn from what the files really hold, so that they hit; every file, both ways, by real engines.

mod corpus;
mod genes;
mod rows;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use corpus::Corpus;
use futures::{StreamExt, stream};
use genes::{Gene, Placed, write_set};
use nacre_shared::{
    engine::{EngineError, EnginePool},
    prove::{ProveError, Prover, SignatureSet, Trial, scan_in_full},
    rescan_plan::{Change, RescanPlan, Unaffected},
    scan_record::RecordSummary,
};
use nacre_stack::programs_directory;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Files that are tried at once.
const AT_ONCE: usize = 4;

/// A corpus, engines, and where sets are written.
struct Lab {
    corpus: Corpus,
    pool: EnginePool,
    scratch: TempDir,
    runtime: Runtime,
}

impl Lab {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let program = programs_directory().unwrap().join("nacre-engine");
        let pool = EnginePool::new(program, scratch.path().to_owned()).with_scans(AT_ONCE);
        let runtime = Runtime::new().unwrap();
        let corpus = runtime.block_on(Corpus::gather(&scratch.path().join("files"), &pool));
        Self { corpus, pool, scratch, runtime }
    }

    fn set(&self, name: &str, genes: &[Placed]) -> SignatureSet {
        let directory = self.scratch.path().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        write_set(&directory, genes, &self.corpus);
        SignatureSet::read(&directory).unwrap()
    }

    /// Tries every file on a pair of sets; `None` when libclamav does not take one of them.
    fn try_all(
        &self,
        (old, new): (&SignatureSet, &SignatureSet),
        plan: Option<&dyn Fn(RescanPlan) -> RescanPlan>,
    ) -> Option<Vec<(PathBuf, Trial)>> {
        let tried = self.runtime.block_on(async {
            let prover = Prover::new(&self.pool, old, new).await?;
            let prover = &prover;
            let tried = self.corpus.paths().map(|path| async move {
                let trial = match plan {
                    None => prover.try_file(&path).await,
                    Some(plan) => {
                        let broken = |record: &RecordSummary, change: &Change| plan(prover.plan(record, change));
                        let before = scan_in_full(&self.pool, old, &path).await?;
                        let after = scan_in_full(&self.pool, new, &path).await?;
                        prover.try_scanned(&path, (&before, &after), broken).await
                    }
                };
                trial.map(|trial| (path, trial))
            });
            let tried: Vec<Result<_, ProveError>> = stream::iter(tried).buffered(AT_ONCE).collect().await;
            tried.into_iter().collect::<Result<Vec<_>, _>>()
        });
        for set in [old, new] {
            self.pool.dismiss(&set.directory);
        }
        match tried {
            Ok(tried) => Some(tried),
            Err(ProveError::Engine(EngineError::Refused(_))) => None,
            Err(error) => panic!("{}", nacre_shared::telemetry::error_chain(&error)),
        }
    }
}

/// The number of random pairs; more of them by `NACRE_DIFFERENTIAL_CASES`.
#[expect(clippy::disallowed_methods, reason = "a test is its own composition root")]
fn cases() -> u32 {
    std::env::var("NACRE_DIFFERENTIAL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(25)
}

/// Genes, each in the elder set, the newer, both, or moved from one file to another.
fn any_pair() -> impl Strategy<Value = Vec<(Gene, u8, bool)>> {
    prop::collection::vec((Gene::any(), 0_u8..5, any::<bool>()), 1..14)
}

fn pair(genes: &[(Gene, u8, bool)]) -> (Vec<Placed>, Vec<Placed>) {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for (number, (gene, presence, packed)) in genes.iter().enumerate() {
        let placed = |packed| Placed { gene: gene.clone(), number, packed };
        if [0, 2, 3].contains(presence) {
            old.push(placed(*packed));
        }
        match presence {
            1 | 2 => new.push(placed(*packed)),
            3 => new.push(placed(!*packed)),
            _ => {}
        }
    }
    (old, new)
}

/// What was tried.
#[derive(Debug, Default)]
struct Tally {
    files: usize,
    /// Pairs of sets that libclamav loaded, and those that it refused.
    loaded: u32,
    refused: u32,
    plans: BTreeMap<String, usize>,
}

#[test]
fn an_incremental_rescan_concludes_what_a_full_one_would() {
    let lab = Lab::new();
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let tally = RefCell::new(Tally::default());
    let outcome = runner.run(&any_pair(), |genes| {
        let (old, new) = pair(&genes);
        let (old, new) = (lab.set("old", &old), lab.set("new", &new));
        let tried = lab.try_all((&old, &new), None);
        let mut tally = tally.borrow_mut();
        let Some(tried) = tried else {
            tally.refused += 1;
            return Ok(());
        };
        tally.loaded += 1;
        for (path, trial) in tried {
            tally.files += 1;
            *tally.plans.entry(format!("{:?}", trial.plan)).or_default() += 1;
            if !trial.agrees() {
                return Err(TestCaseError::fail(format!("{}: {trial:?}", path.display())));
            }
        }
        Ok(())
    });
    let tally = tally.into_inner();
    println!("{tally:?}");
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(tally.loaded > tally.refused * 3, "most sets must load: {tally:?}");
}

#[test]
fn each_row_of_the_plan_is_needed() {
    let lab = Lab::new();
    for row in rows::rows(&lab.corpus) {
        let set = |name: &str, files: &[(&str, String)]| {
            let directory = lab.scratch.path().join(name);
            let _ = std::fs::remove_dir_all(&directory);
            std::fs::create_dir_all(&directory).unwrap();
            for (file, text) in files {
                std::fs::write(directory.join(file), text).unwrap();
            }
            SignatureSet::read(&directory).unwrap()
        };
        let (old, new) = (set("old", &row.old), set("new", &row.new));
        let right = lab.try_all((&old, &new), None).unwrap_or_else(|| panic!("{}: a set is refused", row.name));
        let wrong = right.iter().filter(|(_, trial)| !trial.agrees()).collect::<Vec<_>>();
        assert!(wrong.is_empty(), "{}: {wrong:?}", row.name);
        let planned = right.iter().any(|(_, trial)| (row.is_its)(trial.plan));
        assert!(
            planned,
            "{}: no file was planned so: {:?}",
            row.name,
            right.iter().map(|(_, t)| t.plan).collect::<Vec<_>>()
        );
        // The plan with this row broken: it would leave such files alone.
        let is_its = row.is_its;
        let broken = move |plan: RescanPlan| {
            if is_its(plan) { RescanPlan::Unaffected(Unaffected::NothingMatches) } else { plan }
        };
        let tried = lab.try_all((&old, &new), Some(&broken)).expect("it loaded before");
        let found = tried.iter().filter(|(_, trial)| !trial.agrees()).count();
        assert!(found > 0, "{}: without it, nothing goes wrong", row.name);
    }
}

/// Reads a file that must be there.
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
