//! `nacre definitions inspect`: what is in a file, whether a signature vouches for it or not.

mod container;
mod script;

use std::{io, process::ExitCode};

use clap::Args;
use nacre_clamav::{cvd::count_signatures, digest::Sha256Digest, trust_anchor::TrustAnchors};
use nacre_core::telemetry::error_chain;
use serde::Serialize;

use self::{container::Container, script::Script};
use super::{
    file_kind::FileKind,
    source::{Files, Location, SourceError},
};
use crate::output::{conclude, print, print_json};

/// Show what is in a database, a CDIFF or a file of signatures.
///
/// Says whether ClamAV's signatures hold, and shows what there is when they do not; `verify` is for decisions.
///
/// Exit status: 0 when the file was read, 2 when not.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file: .cvd, .cld, .cud, .cdiff, or loose signatures under any other name
    #[arg(value_name = "FILE")]
    file: Location,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("{0} cannot be read")]
    Read(Location, #[source] SourceError),
    #[error("the report cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("definitions inspect", inspect(arguments).await)
}

async fn inspect(arguments: &Arguments) -> Result<(), InspectError> {
    let Arguments { file: location, json } = arguments;
    let read = Files::default().read(location).await;
    let file = read.map_err(|error| InspectError::Read(location.clone(), error))?;
    let name = location.file_name();
    let content = match FileKind::of(name) {
        FileKind::Container(kind) => Content::Container(Container::of(kind, name, &file)),
        FileKind::Cdiff => Content::Cdiff(Script::of(name, &file)),
        FileKind::Other => Content::Loose { lines: lines(&file), signatures: count_signatures(&file) },
    };
    let report = Report { file: location.to_string(), size: file.len(), sha256: Sha256Digest::of(&file), content };
    if *json {
        return Ok(print_json(&report)?);
    }
    Ok(report.lines().iter().try_for_each(|line| print(line))?)
}

/// What was found, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    size: usize,
    sha256: Sha256Digest,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Content {
    Container(Container),
    Cdiff(Script),
    Loose { lines: usize, signatures: usize },
}

/// What a verification came to: by ClamAV's keys.
#[derive(Debug, Serialize)]
struct Verification {
    holds: bool,
    keys: String,
    reason: Option<String>,
}

impl Verification {
    fn of<E: std::error::Error>(result: Result<(), E>, anchors: &TrustAnchors) -> Self {
        let reason = result.err().map(|error| error_chain(&error));
        Self { holds: reason.is_none(), keys: anchors.identity(), reason }
    }

    fn line(&self) -> String {
        match &self.reason {
            None => format!("  signed   by {}", self.keys),
            Some(reason) => format!("  signed   not by {}: {reason}", self.keys),
        }
    }
}

impl Report {
    /// What people read.
    fn lines(&self) -> Vec<String> {
        let kind = match &self.content {
            Content::Container(container) => container.kind.extension().to_uppercase(),
            Content::Cdiff(_) => "CDIFF".into(),
            Content::Loose { .. } => "loose signatures".into(),
        };
        let first = format!("{}: {kind}, {} bytes, SHA-256 {}", self.file, self.size, self.sha256);
        let rest = match &self.content {
            Content::Container(container) => container.lines(),
            Content::Cdiff(script) => script.lines(),
            Content::Loose { lines, signatures } => vec![format!("  content  {lines} lines, {signatures} signatures")],
        };
        [vec![first], rest].concat()
    }
}

/// Lines, the last one with or without its line feed.
fn lines(bytes: &[u8]) -> usize {
    bytes.split_inclusive(|byte| *byte == b'\n').count()
}
