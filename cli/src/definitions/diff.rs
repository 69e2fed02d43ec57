//! `nacre definitions diff`: which lines one version of a database has, and another has not.

mod comparison;

use std::{borrow::Cow, io, process::ExitCode};

use clap::Args;
use nacre_clamav::{
    archive::ArchiveLimits,
    cdiff::{self, ApplyError, Cdiff, CdiffError, NoScript},
    cvd::{Cvd, CvdHeader, HeaderError, VerifyError},
    database::{ContainerKind, DatabaseName, DatabaseVersion, InvalidDatabaseName},
    signing::SigningKeys,
    unpacked::{UnpackError, Unpacked},
};

use self::comparison::Comparison;
use super::{
    file_kind::{FileKind, database_of},
    keys::{KeysError, signing_keys},
    loose::{self, Loose, LooseError},
    source::{Files, Location, SourceError},
};
use crate::output::{conclude, print, print_json};

/// Compare two databases, or directories of loose signature files, line by line.
///
/// Lines are compared as a set in which each may be there several times: their order says nothing. COPYING and .info are left
/// out. Nothing is verified, but what a CDIFF is made of.
///
/// Exit status: 0 whatever was found, 2 when something cannot be read or written.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The older database: .cvd, .cld, .cud or a local directory
    #[arg(value_name = "OLD")]
    old: Location,
    /// The newer one
    #[arg(value_name = "NEW")]
    new: Location,
    /// Print one JSON object, with the lines themselves
    #[arg(long)]
    json: bool,
    /// Write a signed CDIFF that leads from OLD to NEW, the next version; both must be signed with the same key
    #[arg(long, value_name = "OUT", requires = "key")]
    cdiff: Option<Location>,
    /// Key file to sign the CDIFF with
    #[arg(long, value_name = "KEYFILE", requires = "cdiff")]
    key: Option<Location>,
}

/// Why there is no comparison; each with what to do.
#[derive(Debug, thiserror::Error)]
enum DiffError {
    #[error("{0} cannot be read")]
    Read(Location, #[source] SourceError),
    #[error("{0} is neither a directory nor a .cvd, .cld or .cud")]
    Kind(Location),
    #[error("{0} is no container")]
    Header(Location, #[source] HeaderError),
    #[error("{0} cannot be read")]
    Unpack(Location, #[source] UnpackError),
    #[error("{0} cannot be compared")]
    Loose(Location, #[source] LooseError),
    #[error("there is no key to sign with")]
    Keys(#[from] KeysError),
    #[error("{0} is no container, so that no CDIFF can begin or end there: build one first")]
    NoContainer(Location),
    #[error("the name of {0} is not that of a database")]
    Name(Location, #[source] InvalidDatabaseName),
    #[error("{0} does not verify, so that a CDIFF would be of no use: build it with the same key")]
    Verify(Location, #[source] VerifyError),
    #[error("a CDIFF stays with one database, and these are {0} and {1}")]
    Names(DatabaseName, DatabaseName),
    #[error("a CDIFF leads from one version to the next, not from {old} to {new}: build NEW with --version {}", old.saturating_add(1))]
    Versions { old: u32, new: u32 },
    #[error("no CDIFF can be written")]
    Script(#[from] NoScript),
    #[error("the CDIFF does not verify")]
    Cdiff(#[from] CdiffError),
    #[error("the CDIFF cannot be applied")]
    Apply(#[from] ApplyError),
    #[error("the CDIFF does not lead to NEW")]
    Differs,
    #[error("{0} cannot be written")]
    Write(Location, #[source] SourceError),
    #[error("the comparison cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("definitions diff", compare(arguments).await)
}

async fn compare(arguments: &Arguments) -> Result<(), DiffError> {
    let files = Files::default();
    let (old, new) = (Side::read(&files, &arguments.old).await?, Side::read(&files, &arguments.new).await?);
    let (old_members, new_members) = (old.unpack()?, new.unpack()?);
    if let Some((out, key)) = arguments.cdiff.as_ref().zip(arguments.key.as_ref()) {
        let keys = signing_keys(&files, key).await?;
        let versions = (old.verified(&keys)?, new.verified(&keys)?);
        let file = cdiff_between(versions, &old_members, &new_members, &keys)?;
        files.write(out, file).await.map_err(|error| DiffError::Write(out.clone(), error))?;
    }
    let comparison = Comparison::of((&old, &old_members), (&new, &new_members), arguments.cdiff.as_ref());
    if arguments.json {
        return Ok(print_json(&comparison)?);
    }
    Ok(comparison.lines().iter().try_for_each(|line| print(line))?)
}

/// One of the two that are compared, read.
struct Side {
    location: Location,
    content: Content,
}

enum Content {
    Container(ContainerKind, Vec<u8>),
    Directory(Loose),
}

impl Side {
    async fn read(files: &Files, location: &Location) -> Result<Self, DiffError> {
        let location = location.clone();
        if let Location::Local(path) = &location
            && path.is_dir()
        {
            let loose = loose::read(files, path).await;
            let loose = loose.map_err(|error| DiffError::Loose(location.clone(), error))?;
            return Ok(Self { location, content: Content::Directory(loose) });
        }
        let FileKind::Container(kind) = FileKind::of(location.file_name()) else {
            return Err(DiffError::Kind(location));
        };
        match files.read(&location).await {
            Ok(file) => Ok(Self { location, content: Content::Container(kind, file) }),
            Err(error) => Err(DiffError::Read(location, error)),
        }
    }

    fn unpack(&self) -> Result<Unpacked<'_>, DiffError> {
        match &self.content {
            Content::Container(kind, file) => {
                let cvd =
                    Cvd::parse_as(*kind, file).map_err(|error| DiffError::Header(self.location.clone(), error))?;
                let unpacked = cvd.unpack(ArchiveLimits::default());
                unpacked.map_err(|error| DiffError::Unpack(self.location.clone(), error))
            }
            Content::Directory(loose) => {
                let borrowed = |(name, bytes): (&String, &'_ Vec<u8>)| (name.clone(), Cow::Owned(bytes.clone()));
                Ok(Unpacked { members: loose.signatures.iter().map(borrowed).collect() })
            }
        }
    }

    /// The version, of a container that was read.
    fn version(&self) -> Option<u32> {
        match &self.content {
            Content::Container(_, file) => CvdHeader::parse(file).ok().map(|header| header.version.0),
            Content::Directory(_) => None,
        }
    }

    /// Name and version of a container that is signed with these keys.
    fn verified(&self, keys: &SigningKeys) -> Result<(DatabaseName, DatabaseVersion), DiffError> {
        let location = || self.location.clone();
        let Content::Container(kind, file) = &self.content else {
            return Err(DiffError::NoContainer(location()));
        };
        let name = database_of(self.location.file_name()).map_err(|error| DiffError::Name(location(), error))?;
        let cvd = Cvd::parse_as(*kind, file).map_err(|error| DiffError::Header(location(), error))?;
        let verified = cvd.verify(&name, &keys.trust_anchors(), ArchiveLimits::default());
        let verified = verified.map_err(|error| DiffError::Verify(location(), error))?;
        Ok((name, verified.header.version))
    }
}

/// Writes the CDIFF, and makes sure that it does what it is for.
fn cdiff_between(
    versions: ((DatabaseName, DatabaseVersion), (DatabaseName, DatabaseVersion)),
    old: &Unpacked<'_>,
    new: &Unpacked<'_>,
    keys: &SigningKeys,
) -> Result<Vec<u8>, DiffError> {
    let ((old_name, old_version), (new_name, version)) = versions;
    if old_name != new_name {
        return Err(DiffError::Names(old_name, new_name));
    }
    if old_version.0.checked_add(1) != Some(version.0) {
        return Err(DiffError::Versions { old: old_version.0, new: version.0 });
    }
    let file = keys.cdiff(version, &cdiff::between(old, new)?);
    let verified = Cdiff::parse(&file)?.verify(version, &keys.trust_anchors())?;
    let applied = cdiff::apply(old, &verified.script, ArchiveLimits::default())?;
    if applied == *new { Ok(file) } else { Err(DiffError::Differs) }
}
