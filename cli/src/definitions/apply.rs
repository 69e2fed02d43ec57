//! `nacre definitions apply`: updates a database by CDIFFs, as freshclam does.

use std::process::ExitCode;

use clap::Args;
use nacre_clamav::{
    archive::ArchiveLimits,
    cdiff::{self, ApplyError, Cdiff, CdiffError},
    cvd::{Cvd, HeaderError, VerifiedCvd, VerifyError},
    database::{ContainerKind, DatabaseName, DatabaseVersion, InvalidDatabaseName},
    trust_anchor::TrustAnchors,
    unpacked::{CldError, UnpackError},
};

use super::{
    file_kind::{FileKind, database_of},
    keys::{KeysArgument, KeysError},
    source::{Files, Location, SourceError},
};
use crate::output::{conclude, print};

/// Update a database by CDIFFs.
///
/// Base and CDIFFs must verify, and so must the result: the .info that the last CDIFF wrote vouches for every byte of it.
///
/// Exit status: 0 when the result was written, 2 when not.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The .cld to write
    #[arg(long, value_name = "OUT.cld")]
    to: Location,
    /// The database to begin with: .cvd or .cld
    #[arg(value_name = "BASE")]
    base: Location,
    /// The CDIFFs to the versions that follow, each to the next one
    #[arg(required = true, value_name = "CDIFF")]
    cdiffs: Vec<Location>,
    #[command(flatten)]
    keys: KeysArgument,
}

/// Why there is no result; each with what to do.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("there are no keys to verify by")]
    Keys(#[from] KeysError),
    #[error("{0} would not be known for what it is: let its name end in .cld")]
    OutName(Location),
    #[error("{0} cannot be updated: BASE is a .cvd or .cld")]
    BaseKind(Location),
    #[error("the name of {0} is not that of a database: give the file its name back, such as daily.cvd")]
    BaseName(Location, #[source] InvalidDatabaseName),
    #[error("{0} cannot be read")]
    Read(Location, #[source] SourceError),
    #[error("{0} does not verify: fetch it again")]
    Base(Location, #[source] VerifyError),
    #[error("{0} cannot be unpacked: fetch it again")]
    Unpack(Location, #[source] UnpackError),
    #[error("there is no version after {0}'s")]
    LastVersion(Location),
    #[error("{file} cannot follow version {from}: give every CDIFF from {to} on, in order", to = from.saturating_add(1))]
    Order {
        file: Location,
        from: u32,
        #[source]
        source: CdiffError,
    },
    #[error("{file}, to version {version}, cannot be used: fetch it again, or the whole database")]
    Cdiff {
        file: Location,
        version: u32,
        #[source]
        source: CdiffError,
    },
    #[error("{file}, to version {version}, does not fit the database: fetch the whole database")]
    Apply {
        file: Location,
        version: u32,
        #[source]
        source: ApplyError,
    },
    #[error("the result, version {version}, is not a valid database: fetch the whole database")]
    Pack {
        version: u32,
        #[source]
        source: CldError,
    },
    #[error("the result, version {version}, does not verify: fetch the whole database")]
    Result {
        version: u32,
        #[source]
        source: VerifyError,
    },
    #[error("the result is version {found} instead of {expected}: fetch the whole database")]
    Version { expected: u32, found: u32 },
    #[error("{0} cannot be written")]
    Write(Location, #[source] SourceError),
    #[error("the result was written, but standard output cannot be")]
    Output(#[from] std::io::Error),
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("definitions apply", update(arguments).await)
}

async fn update(arguments: &Arguments) -> Result<(), CommandError> {
    let Arguments { to, base, cdiffs, keys } = arguments;
    let files = Files::default();
    if FileKind::of(to.file_name()) != FileKind::Container(ContainerKind::Cld) {
        return Err(CommandError::OutName(to.clone()));
    }
    let FileKind::Container(kind @ (ContainerKind::Cvd | ContainerKind::Cld)) = FileKind::of(base.file_name()) else {
        return Err(CommandError::BaseKind(base.clone()));
    };
    let name = database_of(base.file_name()).map_err(|error| CommandError::BaseName(base.clone(), error))?;
    let anchors = keys.trust_anchors(&files).await?;
    let limits = ArchiveLimits::default();

    let file = read(&files, base).await?;
    let broken = |error: VerifyError| CommandError::Base(base.clone(), error);
    let verified = verify(kind, &file, &name, &anchors).map_err(broken)?;
    let cvd = Cvd::parse_as(kind, &file).map_err(|error: HeaderError| broken(error.into()))?;
    let mut unpacked = cvd.unpack(limits).map_err(|error| CommandError::Unpack(base.clone(), error))?;
    let mut version = verified.header.version.0;
    for location in cdiffs {
        let file = read(&files, location).await?;
        let next = version.checked_add(1).ok_or_else(|| CommandError::LastVersion(base.clone()))?;
        let parsed = Cdiff::parse(&file).and_then(|cdiff| cdiff.verify(DatabaseVersion(next), &anchors));
        let cdiff = parsed.map_err(|source| match source {
            CdiffError::Version { .. } => CommandError::Order { file: location.clone(), from: version, source },
            source => CommandError::Cdiff { file: location.clone(), version: next, source },
        })?;
        let applied = cdiff::apply(&unpacked, &cdiff.script, limits);
        unpacked = applied.map_err(|source| CommandError::Apply { file: location.clone(), version: next, source })?;
        version = next;
    }

    let cld = unpacked.to_cld(&name).map_err(|source| CommandError::Pack { version, source })?;
    let result = verify(ContainerKind::Cld, &cld, &name, &anchors);
    let header = result.map_err(|source| CommandError::Result { version, source })?.header;
    if header.version.0 != version {
        return Err(CommandError::Version { expected: version, found: header.version.0 });
    }
    files.write(to, cld).await.map_err(|error| CommandError::Write(to.clone(), error))?;
    let signed = anchors.identity();
    Ok(print(&format!("{to}: {name} version {version}, {} signatures, signed by {signed}", header.signatures))?)
}

async fn read(files: &Files, location: &Location) -> Result<Vec<u8>, CommandError> {
    files.read(location).await.map_err(|error| CommandError::Read(location.clone(), error))
}

fn verify(
    kind: ContainerKind,
    file: &[u8],
    name: &DatabaseName,
    anchors: &TrustAnchors,
) -> Result<VerifiedCvd, VerifyError> {
    Cvd::parse_as(kind, file)?.verify(name, anchors, ArchiveLimits::default())
}
