//! `nacre definitions inspect`: what is in a file, whether anybody vouches for it or not.

use std::{collections::BTreeMap, io, process::ExitCode};

use clap::Args;
use nacre_shared::{
    definitions::{
        archive::ArchiveLimits,
        cdiff::{Cdiff, Command, commands},
        cvd::{COPYING, Cvd, CvdHeader, VerifyError, count_signatures},
        database::ContainerKind,
        info::Listing,
        manifest::sha256_hex,
        trust_anchor::TrustAnchors,
        unpacked::Unpacked,
    },
    telemetry::error_chain,
};
use serde::Serialize;

use super::{
    build_time, failed,
    file_kind::{FileKind, database_of, extension, version_of_cdiff},
    print, print_json,
    source::{Files, Location, SourceError},
};

/// Tell what is in a database, a CDIFF or a file of signatures.
///
/// Says whether ClamAV's signatures hold, and tells what there is when they do not; `verify` is for decisions.
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

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("{0} cannot be read")]
    Read(Location, #[source] SourceError),
    #[error("the report cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    match inspect(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed("inspect", &error, 2),
    }
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
    let report = Report { file: location.to_string(), size: file.len(), sha256: sha256_hex(&file), content };
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
    sha256: String,
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
    /// Why it does not hold.
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

#[derive(Debug, Serialize)]
struct Container {
    // Not under its own name: the report's `kind` is beside it.
    #[serde(rename = "container")]
    kind: ContainerKind,
    header: Option<Header>,
    payload: Payload,
    members: Vec<Member>,
    /// Members that the `.info` lists and that are not there.
    missing: Vec<String>,
    /// Why the members, or the `.info`, cannot be read.
    unreadable: Option<String>,
    verification: Verification,
}

#[derive(Debug, Serialize)]
struct Header {
    time: String,
    version: u32,
    signatures: u32,
    functionality_level: u32,
    md5: Option<String>,
    dsig: Option<String>,
    builder: String,
    stime: u64,
    built: String,
}

#[derive(Debug, Serialize)]
struct Payload {
    form: &'static str,
    bytes: usize,
}

#[derive(Debug, Serialize)]
struct Member {
    name: String,
    size: usize,
    lines: usize,
    sha256: String,
    info: Listed,
}

/// What the `.info` says of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Listed {
    Matches,
    Differs,
    Absent,
    /// `COPYING` and the `.info` itself are in no `.info`.
    NotNeeded,
}

impl Listed {
    fn phrase(self) -> &'static str {
        match self {
            Self::Matches => ", as .info lists it",
            Self::Differs => ", OTHER than .info lists it",
            Self::Absent => ", NOT LISTED in .info",
            Self::NotNeeded => "",
        }
    }
}

impl Container {
    fn of(kind: ContainerKind, name: &str, file: &[u8]) -> Self {
        let anchors = TrustAnchors::clamav();
        let limits = ArchiveLimits::default();
        let header = CvdHeader::parse(file).ok();
        let cvd = Cvd::parse_as(kind, file);
        let payload = cvd.as_ref().map(Cvd::payload).unwrap_or_default();
        let form = if payload.starts_with(COPYING.as_bytes()) { "plain" } else { "gzip" };
        let unpacked = cvd.as_ref().map(|cvd| cvd.unpack(limits).map_err(|error| error_chain(&error)));
        let (unpacked, unreadable) = match unpacked {
            Ok(Ok(unpacked)) => (unpacked, None),
            Ok(Err(unreadable)) => (Unpacked::default(), Some(unreadable)),
            // The verification tells it.
            Err(_) => (Unpacked::default(), None),
        };
        let listing = listing_of(&unpacked);
        let unlisted = listing.as_ref().and_then(|listing| listing.as_ref().err()).cloned();
        let listing = listing.and_then(Result::ok);
        let missing = listing.iter().flat_map(|listing| listing.members.keys());
        let missing = missing.filter(|name| !unpacked.members.contains_key(**name)).map(|&name| name.to_owned());
        let verified = match (cvd, database_of(name)) {
            (Err(error), _) => Err(VerifyError::from(error)),
            (Ok(cvd), Ok(name)) => cvd.verify(&name, &anchors, limits).map(drop),
            (Ok(_), Err(_)) => Err(VerifyError::NoInfo(format!("{name}.info"))),
        };
        Self {
            kind,
            header: header.map(Header::of),
            payload: Payload { form, bytes: payload.len() },
            members: unpacked.members.iter().map(|(name, bytes)| Member::of(name, bytes, listing.as_ref())).collect(),
            missing: missing.collect(),
            unreadable: unreadable.or(unlisted),
            verification: Verification::of(verified, &anchors),
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Header { version, signatures, functionality_level, builder, built, time, .. }) = &self.header {
            lines.push(format!(
                "  header   version {version}, {signatures} signatures, functionality level {functionality_level}"
            ));
            lines.push(format!("  built    {built} ({time}) by {builder}"));
        }
        if let Some(Header { md5: Some(md5), .. }) = &self.header {
            lines.push(format!("  MD5      {md5}"));
        }
        lines.push(format!("  payload  {}, {} bytes", self.payload.form, self.payload.bytes));
        for Member { name, size, lines: count, sha256, info } in &self.members {
            lines.push(format!("  member   {name}, {size} bytes, {count} lines, SHA-256 {sha256}{}", info.phrase()));
        }
        lines.extend(self.missing.iter().map(|name| format!("  member   {name} is MISSING: .info lists it")));
        lines.extend(self.unreadable.iter().map(|reason| format!("  content  cannot be read: {reason}")));
        lines.push(self.verification.line());
        lines
    }
}

/// The listing of the only `.info`, or why it is none; `None` when there is no `.info`.
fn listing_of<'u>(unpacked: &'u Unpacked<'_>) -> Option<Result<Listing<'u>, String>> {
    let (name, bytes) = unpacked.members.iter().find(|(name, _)| extension(name) == "info")?;
    Some(Listing::parse(bytes).map_err(|error| format!("{name}: {}", error_chain(&error))))
}

impl Header {
    fn of(header: CvdHeader) -> Self {
        let built = build_time(&header);
        let CvdHeader { time, version, signatures, functionality_level, md5, dsig, builder, stime } = header;
        let (version, functionality_level) = (version.0, functionality_level.0);
        Self { time, version, signatures, functionality_level, md5, dsig, builder, stime, built }
    }
}

impl Member {
    fn of(name: &str, bytes: &[u8], listing: Option<&Listing<'_>>) -> Self {
        let sha256 = sha256_hex(bytes);
        let listed = listing.and_then(|listing| listing.members.get(name));
        let info = match listed {
            _ if name == COPYING || extension(name) == "info" => Listed::NotNeeded,
            None => Listed::Absent,
            Some(listed) if listed.size == bytes.len() as u64 && listed.sha256 == sha256 => Listed::Matches,
            Some(_) => Listed::Differs,
        };
        Self { name: name.to_owned(), size: bytes.len(), lines: lines(bytes), sha256, info }
    }
}

#[derive(Debug, Serialize)]
struct Script {
    version: Option<u32>,
    // Not under its own name: the file's `size` is beside it.
    #[serde(rename = "script_bytes")]
    size: Option<u64>,
    /// How often each command is there.
    commands: BTreeMap<&'static str, usize>,
    /// Of which, by the file that they change.
    files: BTreeMap<String, BTreeMap<&'static str, usize>>,
    /// Why the script, or a line of it, cannot be read.
    unreadable: Option<String>,
    verification: Verification,
}

impl Script {
    fn of(name: &str, file: &[u8]) -> Self {
        let anchors = TrustAnchors::clamav();
        let cdiff = Cdiff::parse(file);
        let parsed = cdiff.as_ref().ok().copied();
        let verified = cdiff.and_then(|cdiff| cdiff.verify(version_of_cdiff(name).unwrap_or(cdiff.version), &anchors));
        let mut script = Self {
            version: parsed.map(|cdiff| cdiff.version.0),
            size: parsed.map(|cdiff| cdiff.script_bytes),
            commands: BTreeMap::new(),
            files: BTreeMap::new(),
            unreadable: None,
            verification: Verification::of(verified.map(drop), &anchors),
        };
        match parsed.map(|cdiff| cdiff.script()) {
            Some(Ok(bytes)) => script.count(&bytes),
            Some(Err(error)) => script.unreadable = Some(error_chain(&error)),
            // The verification tells it.
            None => {}
        }
        script
    }

    fn count(&mut self, script: &[u8]) {
        let mut open = None;
        for (line, command) in commands(script) {
            let command = match command {
                Ok(command) => command,
                Err(error) => {
                    self.unreadable.get_or_insert_with(|| format!("line {line}: {error}"));
                    continue;
                }
            };
            let (kind, file) = match command {
                Command::Open(name) => {
                    open = Some(name);
                    ("OPEN", open)
                }
                Command::Add(_) => ("ADD", open),
                Command::Del { .. } => ("DEL", open),
                Command::Xchg { .. } => ("XCHG", open),
                Command::Close => ("CLOSE", open.take()),
                Command::Move { from, .. } => ("MOVE", Some(from)),
                Command::Unlink(name) => ("UNLINK", Some(name)),
            };
            *self.commands.entry(kind).or_default() += 1;
            if let Some(file) = file {
                *self.files.entry(file.to_owned()).or_default().entry(kind).or_default() += 1;
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let told = |counts: &BTreeMap<&str, usize>| {
            let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            counts.join(", ")
        };
        let mut lines = Vec::new();
        if let Some((version, bytes)) = self.version.zip(self.size) {
            lines.push(format!("  header   to version {version}, {bytes} bytes of script"));
        }
        lines.push(format!("  script   {}", told(&self.commands)));
        lines.extend(self.files.iter().map(|(name, counts)| format!("  file     {name}: {}", told(counts))));
        lines.extend(self.unreadable.iter().map(|reason| format!("  script   cannot be read: {reason}")));
        lines.push(self.verification.line());
        lines
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
