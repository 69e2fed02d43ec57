//! Tests what libclamav makes of each file that signatures come in, before a set is loaded whole: it passes over what it cannot read
//! without a word, and dies on a name that is not in UTF-8.

use std::{fs, path::Path, str::FromStr};

use nacre_clamav::{archive::ArchiveLimits, cvd::Cvd, loose};
use nacre_engine_client::{
    EngineClient,
    loose_file::{self, TrialError},
};

use crate::{custom::CustomPart, database_test::DatabaseTestError, database_update::StagedDatabase};

/// What becomes of a loose file of which libclamav loads less than it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFault {
    /// The set with it is not published.
    #[default]
    Reject,
    /// The set is published without it.
    LeaveOut,
}

impl FromStr for OnFault {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reject" => Ok(Self::Reject),
            "leave-out" => Ok(Self::LeaveOut),
            _ => Err("`reject` or `leave-out`"),
        }
    }
}

/// A loose file with faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faulty {
    /// The file's name.
    pub(crate) name: String,
    /// Where it came from.
    pub(crate) source: String,
    /// What is wrong with it, line by line.
    pub(crate) faults: String,
}

/// The files with faults. Each is loaded alone: libclamav does not say of which file of a set it has passed over a part.
///
/// # Errors
/// [`DatabaseTestError`] when they cannot be tried.
pub(crate) async fn faulty(
    program: &Path,
    scratch: &Path,
    custom: &[CustomPart],
) -> Result<Vec<Faulty>, DatabaseTestError> {
    let mut files = Vec::new();
    if custom.is_empty() {
        return Ok(files);
    }
    let engine = EngineClient::start(program, scratch, 1).await.map_err(DatabaseTestError::Engine)?;
    for part in custom {
        let found = loose_file::faults(&engine, scratch, &part.entry.name, &part.bytes).await;
        let faults: Vec<_> = match found {
            Ok(faults) => faults.iter().map(ToString::to_string).collect(),
            Err(TrialError::Disk(error)) => return Err(DatabaseTestError::Disk(error)),
            Err(TrialError::Engine(error)) => return Err(DatabaseTestError::Engine(error)),
        };
        if !faults.is_empty() {
            let (name, source) = (part.entry.name.clone(), part.entry.source.clone());
            files.push(Faulty { name, source, faults: faults.join("; ") });
        }
    }
    Ok(files)
}

/// The first signature of a database whose name is not in UTF-8: its member, and the line.
///
/// # Errors
/// [`DatabaseTestError`] when the database cannot be read.
pub(crate) fn foreign_name(part: &StagedDatabase) -> Result<Option<String>, DatabaseTestError> {
    let file = fs::read(&part.path).map_err(DatabaseTestError::Disk)?;
    let unpacked = Cvd::parse_as(part.entry.kind, &file).map_err(DatabaseTestError::Header)?;
    let unpacked = unpacked.unpack(ArchiveLimits::default()).map_err(DatabaseTestError::Unpack)?;
    let mut members = unpacked.members.iter();
    Ok(members.find_map(|(name, bytes)| loose::foreign_name(name, bytes).map(|line| format!("{name}, line {line}"))))
}
