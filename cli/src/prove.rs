//! `nacre prove`: tests on an operator's own files that an incremental rescan has the verdict of a full scan.

use std::{
    collections::BTreeMap,
    env, fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use nacre_clamav::yara::repeated_rules;
use nacre_core::{
    rescan::plan::{Change, RescanPlan},
    telemetry::error_chain,
    verdict::{Reason, Verdict},
};
use nacre_engine_client::{
    EnginePool, SandboxPolicy,
    equivalence::{Comparison, EquivalenceCheck, EquivalenceError, SetError, SignatureSet},
    program_beside_us,
};
use serde_json::{Value, json};

use crate::{
    interrupt::until_interrupt,
    output::{ERROR, FINDING, INTERRUPTED, failed},
    printable::printable,
    scan::{Found, files_under},
};

/// Test on your own files that an incremental rescan has the verdict of a full one.
///
/// Every file gets a full scan with the old definitions, a plan by what changed, an incremental rescan, and a full scan with the new
/// definitions. Verdicts agree when they are the same, and so are the reasons why a file cannot be scanned. Of an infected file, the
/// signatures of the incremental rescan must be among those of the full scan: a file whose signature is unchanged is not rescanned,
/// and need not have the new ones.
///
/// Up to three engines are loaded at once: leave memory for both definitions. Times are those of scans, without loading.
///
/// Exit status: 0 when all verdicts agree, 1 when any does not, otherwise 2 when a file could not be read or an error occurred.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files and directories to try it on
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Directory of the old definitions (.cvd, .cld, .cud or loose signature files)
    #[arg(long, value_name = "DIR")]
    old: PathBuf,
    /// Directory of the new definitions
    #[arg(long, value_name = "DIR")]
    new: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print files that needed no scan, too
    #[arg(long)]
    verbose: bool,
    /// The engine program [default: nacre-engine beside this program]
    #[arg(long, value_name = "PROGRAM")]
    engine: Option<PathBuf>,
    /// Whether the engine may run where the system refuses a layer of its sandbox: best-effort or required
    #[arg(long, env = "NACRE_SANDBOX", value_name = "POLICY", default_value = "best-effort", value_parser = <SandboxPolicy as std::str::FromStr>::from_str)]
    sandbox: SandboxPolicy,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the definitions cannot be read: name directories with --old and --new")]
    Set(#[from] SetError),
    #[error("the engine program cannot be found: name it with --engine")]
    Program(#[source] io::Error),
    #[error("nothing can be tried")]
    Prove(#[from] EquivalenceError),
    #[error("interrupts cannot be listened to")]
    Interrupts(#[source] io::Error),
    #[error("the results cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    let Some(proven) = until_interrupt(prove_all(arguments), Error::Interrupts).await else {
        return ExitCode::from(INTERRUPTED);
    };
    match proven {
        Ok(Summary { mismatches: 1.., .. }) => ExitCode::from(FINDING),
        Ok(Summary { unread: 1.., .. }) => ExitCode::from(ERROR),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed("prove", &error),
    }
}

async fn prove_all(arguments: &Arguments) -> Result<Summary, Error> {
    let (old, new) = (SignatureSet::read(&arguments.old)?, SignatureSet::read(&arguments.new)?);
    let program = arguments.engine.clone().map_or_else(program_beside_us, Ok).map_err(Error::Program)?;
    let pool = EnginePool::new(program, env::temp_dir()).with_policy(arguments.sandbox);
    let check = EquivalenceCheck::new(&pool, &old, &new).await?;
    let mut output = io::stdout().lock();
    if !arguments.json {
        print_change(&mut output, &check)?;
    }
    for repeated in repeated_rules(&new.files) {
        eprintln!("nacre prove: {}", printable(&repeated.to_string()));
    }
    let mut summary = Summary::default();
    let (mut files, mut unread) = (Vec::new(), 0);
    for found in arguments.paths.iter().flat_map(|path| files_under(path)) {
        match found {
            Found::File(path) => files.push(path),
            Found::Other(path, verdict) => {
                unread += u64::from(matches!(verdict, Verdict::Unscannable { .. }));
                not_tried(&path, verdict.reason().map_or("", Reason::name));
            }
        }
    }
    let check = &check;
    let tried = files.into_iter().map(|path| async move {
        match check.compare_file(&path).await {
            Ok(comparison) => Ok((path, Some(comparison))),
            Err(error @ EquivalenceError::File(..)) => {
                not_tried(&path, &error_chain(&error));
                Ok((path, None))
            }
            Err(error) => Err(error),
        }
    });
    let mut comparisons = stream::iter(tried).buffered(std::thread::available_parallelism().map_or(1, usize::from));
    while let Some((path, comparison)) = comparisons.try_next().await? {
        let Some(comparison) = comparison else {
            unread += 1;
            continue;
        };
        summary.add(&comparison);
        if arguments.json {
            writeln!(output, "{}", as_json(&path, &comparison))?;
        } else if arguments.verbose || !comparison.agrees() || is_scan(comparison.plan) {
            writeln!(output, "{}", Line(&path, &comparison))?;
        }
    }
    summary.unread = unread;
    if arguments.json {
        writeln!(output, "{}", json!({ "summary": summary.as_json() }))?;
    } else {
        writeln!(output, "{summary}")?;
    }
    Ok(summary)
}

fn not_tried(path: &Path, why: &str) {
    eprintln!("nacre prove: {} is not tried: {}", printable(&path.to_string_lossy()), printable(why));
}

fn print_change(output: &mut impl Write, check: &EquivalenceCheck<'_>) -> io::Result<()> {
    let Change::Known(change) = check.change() else { return Ok(()) };
    for (extension, changed) in &change.counts {
        writeln!(output, "{extension}: {} added, {} removed", changed.added, changed.removed)?;
    }
    match &change.requires_full_scan {
        Some(extension) => {
            writeln!(output, "what changed in .{extension} concerns every file: all get a full scan")
        }
        None => Ok(()),
    }
}

fn is_scan(plan: RescanPlan) -> bool {
    matches!(plan, RescanPlan::DeltaScan | RescanPlan::FullScan(_))
}

/// A plan's stable name, such as `unaffected:nothing_matches`.
fn plan_name(plan: RescanPlan) -> String {
    match json!(plan) {
        Value::String(name) => name,
        Value::Object(named) => {
            let named = named.into_iter().next();
            named.map(|(plan, why)| format!("{plan}:{}", why.as_str().unwrap_or_default())).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn verdict_name(verdict: &Verdict) -> String {
    let details = verdict.signatures().iter().map(String::as_str).chain(verdict.reason().map(Reason::name));
    printable(&[verdict.name()].into_iter().chain(details).collect::<Vec<_>>().join(" "))
}

fn as_json(path: &Path, comparison: &Comparison) -> Value {
    json!({
        "path": path.to_string_lossy(),
        "old": comparison.old.name(),
        "plan": plan_name(comparison.plan),
        "incremental": comparison.incremental.name(),
        "full": comparison.full.name(),
        "agrees": comparison.agrees(),
        "signatures_incremental": comparison.incremental.signatures(),
        "signatures_full": comparison.full.signatures(),
    })
}

/// One file, as people read it.
struct Line<'a>(&'a Path, &'a Comparison);

impl fmt::Display for Line<'_> {
    /// One line; control characters of a file's name must not reach the terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, comparison) = self;
        let (incremental, full) = (verdict_name(&comparison.incremental), verdict_name(&comparison.full));
        write!(
            f,
            "{}: was {}; {}",
            printable(&path.to_string_lossy()),
            verdict_name(&comparison.old),
            plan_name(comparison.plan)
        )?;
        if comparison.agrees() {
            write!(f, "; is {incremental}")
        } else {
            write!(f, "; MISMATCH: {incremental} incrementally, {full} by a full scan")
        }
    }
}

/// What all files together came to.
#[derive(Clone, Debug, Default)]
struct Summary {
    files: u64,
    /// Files that could not be read.
    unread: u64,
    mismatches: u64,
    unaffected: u64,
    delta: u64,
    full: u64,
    plans: BTreeMap<String, u64>,
    incremental_time: Duration,
    full_time: Duration,
}

impl Summary {
    fn add(&mut self, comparison: &Comparison) {
        self.files += 1;
        self.mismatches += u64::from(!comparison.agrees());
        match comparison.plan {
            RescanPlan::UpToDate | RescanPlan::Unaffected(_) | RescanPlan::Unreported => self.unaffected += 1,
            RescanPlan::DeltaScan => self.delta += 1,
            RescanPlan::FullScan(_) => self.full += 1,
        }
        *self.plans.entry(plan_name(comparison.plan)).or_default() += 1;
        self.incremental_time += comparison.incremental_time;
        self.full_time += comparison.full_time;
    }

    fn as_json(&self) -> Value {
        json!({
            "files": self.files,
            "unread": self.unread,
            "mismatches": self.mismatches,
            "unaffected": self.unaffected,
            "delta": self.delta,
            "full": self.full,
            "seconds_incremental": self.incremental_time.as_secs_f64(),
            "seconds_full": self.full_time.as_secs_f64(),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} files, {} mismatches, {} could not be read", self.files, self.mismatches, self.unread)?;
        for (plan, count) in &self.plans {
            writeln!(f, "{count} {plan}")?;
        }
        let (incremental, full) = (self.incremental_time.as_secs_f64(), self.full_time.as_secs_f64());
        write!(f, "{incremental:.3} s of incremental scans, {full:.3} s of full scans")
    }
}
