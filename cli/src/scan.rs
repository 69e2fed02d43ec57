//! `nacre scan`: runs the engine on local files.

mod definitions;
mod sarif;

use std::{
    env, fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use clap::Args;
use nacre_core::{
    targets::Targets,
    verdict::{Reason, Verdict},
};
use nacre_engine_client::{
    EngineError, EnginePool, SandboxPolicy,
    local_definitions::DefinitionsError,
    program_beside_us,
    protocol::{Layer, Limits},
    scan_sets::DecideError,
};
use serde::Serialize;
use walkdir::WalkDir;

use self::definitions::{Definitions, Place};
use crate::{
    definitions::{
        keys::{KeysArgument, KeysError},
        source::Files,
    },
    interrupt::until_interrupt,
    output::{ERROR, FINDING, INTERRUPTED, failed},
    printable::printable,
};

/// Scan local files and directories.
///
/// Exit status: 0 when all is clean, 1 when something is infected, otherwise 2 when something could not be scanned or an
/// error occurred. Symbolic links and special files inside a directory are skipped, which changes no exit status.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files and directories to scan
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Directory of ClamAV databases (.cvd, .cld, .cud or loose signature files), or `s3://BUCKET` for what an updater has published there
    #[arg(long, value_name = "DIR_OR_BUCKET", default_value = "/var/lib/clamav")]
    definitions: Place,
    #[command(flatten)]
    keys: KeysArgument,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print one SARIF 2.1.0 log of what was found, for code scanning in CI
    #[arg(long, conflicts_with = "json")]
    sarif: bool,
    /// The engine program [default: nacre-engine beside this program]
    #[arg(long, value_name = "PROGRAM")]
    engine: Option<PathBuf>,
    /// Whether the engine may run where the system refuses a layer of its sandbox: best-effort or required
    #[arg(long, env = "NACRE_SANDBOX", value_name = "POLICY", default_value = "best-effort", value_parser = SandboxPolicy::from_str)]
    sandbox: SandboxPolicy,
}

/// Why nothing could be scanned.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error("the definitions directory {0} cannot be read: name one with --definitions, or let freshclam fill it")]
    Definitions(PathBuf, #[source] io::Error),
    #[error("the definitions in s3://{0} cannot be used")]
    Published(String, #[source] DefinitionsError),
    #[error("the definitions are signed by {found}, not by {trusted}: name the keys with --keys")]
    Untrusted { found: String, trusted: String },
    #[error("the keys cannot be used")]
    Keys(#[from] KeysError),
    #[error("what the filters of the scan sets do not rule out cannot be decided")]
    Undecided(#[from] DecideError),
    #[error("the engine program cannot be found: name it with --engine")]
    Program(#[source] io::Error),
    #[error("the engine is not ready")]
    Engine(#[from] EngineError),
    #[error("interrupts cannot be listened to")]
    Interrupts(#[source] io::Error),
    #[error("the results cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    let Some(scanned) = until_interrupt(Box::pin(scan_all(arguments)), ScanError::Interrupts).await else {
        return ExitCode::from(INTERRUPTED);
    };
    match scanned {
        Ok(Tally { infected: 1.., .. }) => ExitCode::from(FINDING),
        Ok(Tally { unscannable: 1.., .. }) => ExitCode::from(ERROR),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed("scan", &error),
    }
}

async fn scan_all(arguments: &Arguments) -> Result<Tally, ScanError> {
    let definitions =
        Definitions::at(&arguments.definitions, arguments.keys.trust_anchors(&Files::default()).await?).await?;
    let program = arguments.engine.clone().map_or_else(program_beside_us, Ok).map_err(ScanError::Program)?;
    let pool = EnginePool::new(program, env::temp_dir()).with_policy(arguments.sandbox);
    let (hello, _) = pool.ready(definitions.directory()).await?;
    let missing = hello.sandbox.missing();
    if !missing.is_empty() {
        eprintln!("nacre scan: the system refuses these layers of the engine's sandbox: {}", missing.join(", "));
    }

    let mut tally = Tally::default();
    let mut output = io::stdout().lock();
    let mut log = sarif::Log::default();
    for found in arguments.paths.iter().flat_map(|path| files_under(path)) {
        let (path, result) = match found {
            Found::File(path) => {
                let result = scan_file(&pool, &definitions, &path).await?;
                (path, result)
            }
            Found::Other(path, verdict) => {
                let result = FileResult::unseen(&path, &verdict);
                (path, result)
            }
        };
        tally.add(&result);
        if arguments.sarif {
            log.add(&path, &result);
        } else if arguments.json {
            serde_json::to_writer(&mut output, &result).map_err(io::Error::from)?;
            writeln!(output)?;
        } else if result.verdict != "skipped" {
            writeln!(output, "{result}")?;
        }
    }
    if arguments.sarif {
        serde_json::to_writer(&mut output, &log.finish()).map_err(io::Error::from)?;
        writeln!(output)?;
    }
    if !arguments.json {
        eprintln!("{tally}");
    }
    Ok(tally)
}

async fn scan_file(pool: &EnginePool, definitions: &Definitions, path: &Path) -> Result<FileResult, ScanError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > Limits::default().max_file_size) {
        return Ok(FileResult::unseen(path, &Verdict::Unscannable { reason: Reason::TooLarge }));
    }
    let (verdict, report) = definitions.scan(pool, path).await?;
    let result = FileResult::unseen(path, &verdict);
    let Some(report) = report else { return Ok(result) };
    let targets = Targets::from_bits(report.targets).iter().collect();
    let unread = [report.encrypted, report.containers].concat();
    Ok(FileResult { targets, layers: report.layers, unread, ..result })
}

/// Something that a path led to.
pub(crate) enum Found {
    /// A file.
    File(PathBuf),
    /// Not a file, or unreadable; and the verdict of that.
    Other(PathBuf, Verdict),
}

/// What is under a path, in a stable order. A link that is named is followed; links inside a directory are not.
pub(crate) fn files_under(path: &Path) -> Vec<Found> {
    let other = |path: &Path, verdict| Found::Other(path.to_owned(), verdict);
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return vec![other(path, Verdict::Unscannable { reason: reason_of(&error) })],
    };
    if metadata.is_file() {
        return vec![Found::File(path.to_owned())];
    }
    if !metadata.is_dir() {
        return vec![other(path, Verdict::Unscannable { reason: Reason::NotAFile })];
    }
    let entries = WalkDir::new(path).sort_by_file_name().into_iter().filter_map(|entry| match entry {
        Ok(entry) if entry.file_type().is_dir() || entry.depth() == 0 => None,
        Ok(entry) if entry.file_type().is_file() => Some(Found::File(entry.into_path())),
        Ok(entry) => Some(other(entry.path(), Verdict::Skipped { reason: Reason::NotAFile })),
        Err(error) => {
            let reason = error.io_error().map_or(Reason::Unreadable, reason_of);
            Some(other(error.path().unwrap_or(path), Verdict::Unscannable { reason }))
        }
    });
    entries.collect()
}

fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::NotFound => Reason::NotFound,
        io::ErrorKind::PermissionDenied => Reason::AccessDenied,
        _ => Reason::Unreadable,
    }
}

/// One file's result, as `--json` prints it.
#[derive(Debug, Serialize)]
struct FileResult {
    path: String,
    verdict: &'static str,
    signatures: Vec<String>,
    reason: Option<&'static str>,
    /// Names of the encryption and of the containers that hid content.
    unread: Vec<String>,
    targets: Vec<u8>,
    layers: Vec<Layer>,
}

impl FileResult {
    fn unseen(path: &Path, verdict: &Verdict) -> Self {
        Self {
            path: path.to_string_lossy().into_owned(),
            verdict: verdict.name(),
            signatures: verdict.signatures().to_vec(),
            reason: verdict.reason().map(Reason::name),
            unread: Vec::new(),
            targets: Vec::new(),
            layers: Vec::new(),
        }
    }
}

impl fmt::Display for FileResult {
    /// One line; control characters of a file's name must not reach the terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", printable(&self.path), self.verdict.to_uppercase())?;
        for detail in self.signatures.iter().map(String::as_str).chain(self.reason) {
            write!(f, " {detail}")?;
        }
        if self.reason.is_some() && !self.unread.is_empty() {
            write!(f, " [{}]", printable(&self.unread.join(", ")))?;
        }
        if !self.layers.is_empty() {
            let targets: Vec<_> = self.targets.iter().map(u8::to_string).collect();
            write!(f, " (targets {}; layers {})", targets.join(","), self.layers.len())?;
        }
        Ok(())
    }
}

/// What all files together came to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    clean: u64,
    infected: u64,
    unscannable: u64,
    skipped: u64,
}

impl Tally {
    fn add(&mut self, result: &FileResult) {
        match result.verdict {
            "clean" => self.clean += 1,
            "infected" => self.infected += 1,
            "skipped" => self.skipped += 1,
            _ => self.unscannable += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clean, infected, unscannable, skipped } = self;
        write!(f, "{clean} clean, {infected} infected, {unscannable} not scannable, {skipped} skipped")
    }
}
