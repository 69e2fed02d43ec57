//! `nacre definitions build`: packs loose signature files into a database of one's own.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf, process::ExitCode};

use chrono::{DateTime, Utc};
use clap::Args;
use nacre_aws::SystemClock;
use nacre_clamav::{
    archive::ArchiveLimits,
    cvd::{COPYING, Cvd, CvdHeader, HeaderError, VerifyError, count_signatures},
    database::{ContainerKind, DatabaseName, DatabaseVersion, FunctionalityLevel, InvalidDatabaseName},
    signing::{SigningKeys, info_content},
    unpacked::{CldError, UnpackError, Unpacked},
};
use nacre_core::port::Clock;

use super::{
    file_kind::{FileKind, database_of, extension},
    keys::{KeysError, signing_keys},
    loose::{self, LooseError},
    parse_date,
    source::{Files, Location, SourceError},
};
use crate::output::{conclude, print};

/// The extension of compiled bytecode: one signature in each file, under a name of its own.
const BYTECODE: &str = "cbc";

/// Pack loose signature files into a signed CVD, or with --unsigned into a CUD.
///
/// The files become members NAME.ext, whatever they are called; only compiled bytecode (.cbc) keeps its names. COPYING is taken
/// along, an .info is made anew. The result is verified before it is written.
///
/// Exit status: 0 when the database was written, 2 when not.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Directory of loose signature files, and nothing else
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The database to write: .cvd, or .cud with --unsigned
    #[arg(value_name = "OUT")]
    out: Location,
    /// Key file to sign with; `nacre definitions keygen` makes one
    #[arg(long, value_name = "KEYFILE", required_unless_present = "unsigned")]
    key: Option<Location>,
    /// Name of the database [default: OUT's name up to its first - or .]
    #[arg(long)]
    name: Option<String>,
    /// Version of the database
    #[arg(long, value_name = "N", default_value_t = 1)]
    version: u32,
    /// Functionality level that the signatures need
    #[arg(long, value_name = "N", default_value_t = 90)]
    flevel: u32,
    /// Who builds it: 1 to 40 printable ASCII characters, without spaces and colons
    #[arg(long, value_name = "NAME", default_value = "nacre", value_parser = parse_builder)]
    builder: String,
    /// Time of the build: YYYY-MM-DD or RFC 3339 [default: now]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    at: Option<DateTime<Utc>>,
    /// Sign nothing: ClamAV loads such a database, Nacre does not
    #[arg(long, conflicts_with = "key")]
    unsigned: bool,
}

/// A builder's name that fits no header.
#[derive(Debug, thiserror::Error)]
#[error("a builder is 1 to 40 printable ASCII characters, without spaces and colons")]
struct InvalidBuilder;

fn parse_builder(text: &str) -> Result<String, InvalidBuilder> {
    let allowed = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if allowed && (1..=40).contains(&text.len()) { Ok(text.to_owned()) } else { Err(InvalidBuilder) }
}

/// Why there is no database; each with what to do.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error("{out} would not be known for what it is: let its name end in .{extension}")]
    OutName { out: Location, extension: &'static str },
    #[error("the database has no name: give one with --name")]
    Name(#[from] InvalidDatabaseName),
    #[error("there are no keys to sign with")]
    Keys(#[from] KeysError),
    #[error("the signature files cannot be taken")]
    Loose(#[from] LooseError),
    #[error("{0} holds no files of signatures")]
    Empty(PathBuf),
    #[error("{one} and {other} would both become {member}: join them")]
    Collision { one: String, other: String, member: String },
    #[error("the result is no database")]
    Pack(#[from] CldError),
    #[error("the result does not verify")]
    Verify(#[from] VerifyError),
    #[error("the result cannot be read again")]
    Header(#[from] HeaderError),
    #[error("the result cannot be unpacked again")]
    Unpack(#[from] UnpackError),
    #[error("the result unpacks to other members than were packed")]
    Differs,
    #[error("{0} cannot be written")]
    Write(Location, #[source] SourceError),
    #[error("the database was written, but standard output cannot be")]
    Output(#[from] std::io::Error),
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("definitions build", build(arguments).await)
}

async fn build(arguments: &Arguments) -> Result<(), BuildError> {
    let Arguments { directory, out, key, name, version, flevel, builder, at, .. } = arguments;
    let kind = if key.is_some() { ContainerKind::Cvd } else { ContainerKind::Cud };
    if FileKind::of(out.file_name()) != FileKind::Container(kind) {
        return Err(BuildError::OutName { out: out.clone(), extension: kind.extension() });
    }
    let name = name.as_ref().map_or_else(|| database_of(out.file_name()), DatabaseName::new)?;
    let files = Files::default();
    let keys = match key {
        Some(key) => Some(signing_keys(&files, key).await?),
        None => None,
    };
    let loose = loose::read(&files, directory).await?;
    if loose.signatures.is_empty() {
        return Err(BuildError::Empty(directory.clone()));
    }
    let members = renamed(loose.signatures, &name)?;
    let signatures = members.iter().map(|(member, bytes)| signatures_in(member, bytes)).sum();
    let built = at.unwrap_or_else(|| SystemClock.now());
    let version = DatabaseVersion(*version);
    let header = CvdHeader::new(version, signatures, FunctionalityLevel(*flevel), builder, built);
    let copying = loose.copying.unwrap_or_else(|| format!("Built by {builder} with Nacre.\n").into_bytes());
    let mut unpacked = Unpacked { members };
    unpacked.members.insert(COPYING.into(), copying.into());

    let (file, signed) = match keys {
        Some(keys) => {
            (signed(&keys, &header, &name, unpacked)?, format!("signed by {}", keys.trust_anchors().identity()))
        }
        None => (unsigned(&header, &name, unpacked)?, "not signed".into()),
    };
    files.write(out, file).await.map_err(|error| BuildError::Write(out.clone(), error))?;
    Ok(print(&format!("{out}: {name} version {}, {signatures} signatures, {signed}", version.0))?)
}

/// Names the members after the database, by which libclamav and Nacre know whose they are.
fn renamed(
    files: BTreeMap<String, Vec<u8>>,
    name: &DatabaseName,
) -> Result<BTreeMap<String, Cow<'static, [u8]>>, BuildError> {
    let (mut members, mut origins) = (BTreeMap::new(), BTreeMap::new());
    for (file, bytes) in files {
        let member = match extension(&file) {
            BYTECODE => file.clone(),
            extension => format!("{name}.{extension}"),
        };
        if let Some(one) = origins.insert(member.clone(), file.clone()) {
            return Err(BuildError::Collision { one, other: file, member });
        }
        members.insert(member, bytes.into());
    }
    Ok(members)
}

fn signatures_in(member: &str, bytes: &[u8]) -> usize {
    if extension(member) == BYTECODE { 1 } else { count_signatures(bytes) }
}

fn signed(
    keys: &SigningKeys,
    header: &CvdHeader,
    name: &DatabaseName,
    mut unpacked: Unpacked<'_>,
) -> Result<Vec<u8>, BuildError> {
    let info = keys.info(header, name, &unpacked).into_bytes();
    unpacked.members.insert(format!("{name}.info"), info.into());
    let file = keys.cvd(header, unpacked.in_order(name).into_iter(), 9);
    Cvd::parse(&file)?.verify(name, &keys.trust_anchors(), ArchiveLimits::default())?;
    Ok(file)
}

/// A CUD has the form of a CLD: its header has no signature, and its members are not compressed.
fn unsigned(header: &CvdHeader, name: &DatabaseName, mut unpacked: Unpacked<'_>) -> Result<Vec<u8>, BuildError> {
    let info = info_content(header, name, &unpacked).into_bytes();
    unpacked.members.insert(format!("{name}.info"), info.into());
    let file = unpacked.to_cld(name)?;
    let again = Cvd::parse_as(ContainerKind::Cud, &file)?.unpack(ArchiveLimits::default())?;
    if again == unpacked { Ok(file) } else { Err(BuildError::Differs) }
}
