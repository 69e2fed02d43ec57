//! Builds the scan sets of databases, from the disk to the disk: no database is unpacked in memory as a whole.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    path::Path,
};

use nacre_clamav::{
    archive::{self, ArchiveError, ArchiveLimits},
    context::is_bytecode,
    cvd::{COPYING, Cvd, HeaderError},
    signature::Kind,
};
use nacre_core::generation::manifest::{BodyEntry, ScanSetEntry};
use nacre_scan_set::{
    builder::{BuildError, Built, SetBuilder},
    line::Class,
    mini::is_ignore_list,
};

use crate::database_update::StagedDatabase;

/// Why a database has no scan set.
#[derive(Debug, thiserror::Error)]
pub enum ScanSetError {
    /// The database, or a file of the set, cannot be read or written.
    #[error("the scratch disk failed")]
    Disk(#[source] io::Error),
    /// A verified database has no header.
    #[error("it has no header")]
    Header(#[from] HeaderError),
    /// A verified database cannot be unpacked.
    #[error("it cannot be unpacked")]
    Unpack(#[from] ArchiveError),
    /// The set could not be built.
    #[error("its scan set could not be built")]
    Build(#[from] BuildError),
}

/// A scan set on disk, all but its filter.
#[derive(Debug)]
pub struct BuiltScanSet {
    /// As the manifest has it.
    pub entry: ScanSetEntry,
    /// What libclamav loads.
    pub body: File,
    /// The filter.
    pub filter: Vec<u8>,
    /// The lines behind it.
    pub shards: File,
}

/// Builds the scan set of a database; `None` where it would gain nothing, or where the database has bytecode: libclamav runs that only
/// from a container that it can verify, so such a database is loaded whole. So is one with an ignore list behind digests, which would not
/// reach these.
///
/// # Errors
/// [`ScanSetError`].
pub fn build(part: &StagedDatabase, scratch: &Path) -> Result<Option<BuiltScanSet>, ScanSetError> {
    let members = &part.entry.members;
    let has_digests = members.iter().any(|member| Class::of_file(&member.name).is_some());
    if !has_digests || members.iter().any(|member| is_bytecode(&member.name)) {
        return Ok(None);
    }
    let file = fs::read(&part.path).map_err(ScanSetError::Disk)?;
    let cvd = Cvd::parse_as(part.entry.kind, &file)?;
    let scratch_file = || tempfile::tempfile_in(scratch);
    let body = scratch_file().map_err(ScanSetError::Disk)?;
    let mut builder = SetBuilder::new(scratch_file, body).map_err(ScanSetError::Disk)?;
    let mut has_digests = false;
    for member in archive::members(cvd.payload(), ArchiveLimits::default()) {
        let member = member?;
        if has_digests && is_ignore_list(&member.name) {
            return Ok(None);
        }
        has_digests |= Class::of_file(&member.name).is_some();
        if member.name != COPYING && Kind::of(&member.name) != Kind::Nothing {
            builder.add(&member.name, &member.bytes)?;
        }
    }
    drop(file);
    let mut shards = scratch_file().map_err(ScanSetError::Disk)?;
    let Built { mut body, filter, lines, .. } = builder.finish(&mut shards)?;
    let describe =
        |file: &mut File| read_back(file).map(|bytes| BodyEntry::of_scan_set(&bytes)).map_err(ScanSetError::Disk);
    let entry = ScanSetEntry {
        database: part.entry.name.clone(),
        of: part.entry.sha256,
        body: describe(&mut body)?,
        filter: BodyEntry::of_scan_set(&filter),
        shards: describe(&mut shards)?,
        lines,
    };
    Ok(Some(BuiltScanSet { entry, body, filter, shards }))
}

/// Reads a file of a set from its start.
///
/// # Errors
/// The disk's.
pub fn read_back(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
