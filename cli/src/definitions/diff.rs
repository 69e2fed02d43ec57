//! `nacre definitions diff`: which lines one version of a database has, and another has not.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    process::ExitCode,
};

use clap::Args;
use nacre_shared::definitions::{
    archive::ArchiveLimits,
    cdiff::{self, ApplyError, Cdiff, CdiffError, NoScript},
    cvd::{COPYING, Cvd, CvdHeader, HeaderError, VerifyError},
    database::{ContainerKind, DatabaseName, DatabaseVersion, InvalidDatabaseName},
    signing::SigningKeys,
    unpacked::{UnpackError, Unpacked},
};
use serde::Serialize;

use super::{
    failed,
    file_kind::{FileKind, database_of, extension},
    keys::{KeysError, signing_keys},
    loose::{self, Loose, LooseError},
    print, print_json,
    source::{Files, Location, SourceError},
};

/// Compare two databases, or directories of loose signature files, line by line.
///
/// Lines are compared as a set in which each may be there several times: their order says nothing. COPYING and .info are left
/// out. Nothing is verified, but what a CDIFF is made of.
///
/// Exit status: 0 whatever was found, 2 when something cannot be read or written.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The elder database: .cvd, .cld, .cud or a local directory
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
    #[error("the name of {0} tells no database")]
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
    match compare(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed("diff", &error, 2),
    }
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

/// What was found, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Comparison<'a> {
    old: Described,
    new: Described,
    members_added: Vec<&'a str>,
    members_removed: Vec<&'a str>,
    /// The members that differ, those that were added or removed among them.
    members: BTreeMap<&'a str, MemberChange<'a>>,
    /// The CDIFF that was written.
    cdiff: Option<String>,
}

#[derive(Debug, Serialize)]
struct Described {
    path: String,
    version: Option<u32>,
}

#[derive(Debug, Serialize)]
struct MemberChange<'a> {
    added: usize,
    removed: usize,
    lines_added: Vec<Cow<'a, str>>,
    lines_removed: Vec<Cow<'a, str>>,
}

impl<'a> Comparison<'a> {
    fn of(old: (&Side, &'a Unpacked<'_>), new: (&Side, &'a Unpacked<'_>), cdiff: Option<&Location>) -> Self {
        let described = |side: &Side| Described { path: side.location.to_string(), version: side.version() };
        let names = |unpacked: &'a Unpacked<'_>| -> BTreeSet<&'a str> {
            let told = |name: &&str| *name != COPYING && extension(name) != "info";
            unpacked.members.keys().map(String::as_str).filter(told).collect()
        };
        let (old_names, new_names) = (names(old.1), names(new.1));
        let bytes = |unpacked: &'a Unpacked<'_>, name: &str| unpacked.members.get(name).map(|bytes| &**bytes);
        let change = |name: &&'a str| {
            let (old, new) = (bytes(old.1, name), bytes(new.1, name));
            (old != new).then(|| (*name, MemberChange::between(old.unwrap_or_default(), new.unwrap_or_default())))
        };
        Self {
            members_added: new_names.difference(&old_names).copied().collect(),
            members_removed: old_names.difference(&new_names).copied().collect(),
            members: old_names.union(&new_names).filter_map(change).collect(),
            old: described(old.0),
            new: described(new.0),
            cdiff: cdiff.map(Location::to_string),
        }
    }

    /// What people read.
    fn lines(&self) -> Vec<String> {
        let side = |described: &Described, sign| {
            let version = described.version.map(|version| format!(" version {version}")).unwrap_or_default();
            format!("{sign} {}{version}", described.path)
        };
        let mut lines = vec![side(&self.old, "---"), side(&self.new, "+++")];
        for (name, MemberChange { added, removed, .. }) in &self.members {
            let remark = match () {
                () if self.members_added.contains(name) => ", a new member",
                () if self.members_removed.contains(name) => ", a member that is gone",
                () if *added == 0 && *removed == 0 => ", the same lines in another order or form",
                () => "",
            };
            lines.push(format!("{name}: {added} added, {removed} removed{remark}"));
        }
        if self.members.is_empty() {
            lines.push("no differences".into());
        }
        lines.extend(self.cdiff.iter().map(|cdiff| format!("{cdiff}: written")));
        lines
    }
}

impl<'a> MemberChange<'a> {
    fn between(old: &'a [u8], new: &'a [u8]) -> Self {
        let (lines_added, lines_removed) = (only_in(new, old), only_in(old, new));
        Self { added: lines_added.len(), removed: lines_removed.len(), lines_added, lines_removed }
    }
}

/// The lines of one text that another has not, or not as often; in their order.
fn only_in<'a>(text: &'a [u8], other: &[u8]) -> Vec<Cow<'a, str>> {
    let mut spare: HashMap<&[u8], usize> = HashMap::new();
    for line in lines(other) {
        *spare.entry(line).or_default() += 1;
    }
    let mut is_spare = |line: &&[u8]| match spare.get_mut(*line) {
        Some(count @ 1..) => {
            *count -= 1;
            true
        }
        _ => false,
    };
    lines(text).filter(|line| !is_spare(line)).map(String::from_utf8_lossy).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_a_multiset() {
        assert_eq!(only_in(b"a\nb\na\na\n", b"a\nc\n"), ["b", "a", "a"]);
        assert_eq!(only_in(b"a\nb", b"b\na\n"), [""; 0], "neither order nor the last line feed counts");
        assert_eq!(only_in(b"a\n\n\xff\n", b"a\n"), ["", "\u{fffd}"]);
        assert_eq!(only_in(b"", b"a\n"), [""; 0]);
    }
}
