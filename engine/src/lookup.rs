//! Looks up what libclamav matches on in the filters of scan sets.
//!
//! An engine that was loaded without ClamAV's digests proposes what they may match: every layer, whatever libclamav derives from one, and
//! every section of a program is looked up as it comes, past the report's caps as well. The client compares and decides.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nacre_engine_protocol::{FILTER_EXTENSION, Failure, FailureCode, MAX_PROPOSALS, Proposal, Proposed};
use nacre_scan_set::{
    filter::{Filter, FilterError},
    line::Kind,
    propose::{self, Digests, Filters},
};

use crate::ffi::system;

/// The filters beside the databases of a loaded engine.
#[derive(Clone, Debug)]
pub(crate) struct LoadedFilters {
    names: Vec<String>,
    filters: Filters<'static>,
}

/// Looks up the contents of one object.
#[derive(Debug)]
pub(crate) struct Lookup {
    filters: LoadedFilters,
    found: BTreeSet<propose::Proposal>,
    /// Number of contents that could not be read, and of proposals past the cap.
    unlooked: u64,
}

/// Why a filter cannot be used.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no filter: {source}", path.display())]
    Parse { path: PathBuf, source: FilterError },
}

impl LoadedFilters {
    /// Reads the filters of a directory.
    ///
    /// # Errors
    /// [`FailureCode::LoadFailed`]: without one of its filters an engine would call known malware clean.
    pub(crate) fn load(directory: &Path) -> Result<Self, Failure> {
        read_all(directory).map_err(|error| Failure { code: FailureCode::LoadFailed, message: error.to_string() })
    }

    /// A lookup for one object; `None` when there are no filters.
    pub(crate) fn lookup(&self) -> Option<Lookup> {
        let is_needed = !self.names.is_empty();
        is_needed.then(|| Lookup { filters: self.clone(), found: BTreeSet::new(), unlooked: 0 })
    }
}

fn read_all(directory: &Path) -> Result<LoadedFilters, LoadError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Read { path, source }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        if path.extension().is_some_and(|extension| extension == FILTER_EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut names, mut filters) = (Vec::new(), Vec::new());
    for path in paths {
        // Mapped as long as the process lives, as clients load one set in a process: only what is asked for is read.
        let bytes = File::open(&path).and_then(|file| system::map(&file)).map_err(failed(&path))?;
        let filter = Filter::parse(bytes);
        names.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        filters.push(filter.map_err(|source| LoadError::Parse { path, source })?);
    }
    Ok(LoadedFilters { names, filters: Filters(filters) })
}

impl Lookup {
    /// Looks up a layer, and its sections if it is a program.
    pub(crate) fn layer(&mut self, content: &[u8], digests: &Digests) {
        self.content(content.len() as u64, digests);
        let Self { filters, found, unlooked } = self;
        filters.filters.propose_sections(content, |proposal| keep(found, unlooked, proposal));
    }

    /// Looks up content that libclamav matches on.
    pub(crate) fn content(&mut self, size: u64, digests: &Digests) {
        let Self { filters, found, unlooked } = self;
        filters.filters.propose_file(size, digests, |proposal| keep(found, unlooked, proposal));
    }

    /// Records content that cannot be looked up.
    pub(crate) fn cannot_look_up(&mut self) {
        self.unlooked += 1;
    }

    /// What was proposed, and the number of contents and proposals that are not among it.
    pub(crate) fn finish(self) -> (Vec<Proposal>, u64) {
        let named = |proposal: &propose::Proposal| {
            let candidate = &proposal.candidate;
            Proposal {
                filter: self.filters.names.get(proposal.filter).cloned().unwrap_or_default(),
                of: match candidate.kind {
                    Kind::File => Proposed::File,
                    Kind::Section => Proposed::Section,
                },
                digest: hex::encode(candidate.digest.bytes()),
                size: candidate.size,
            }
        };
        (self.found.iter().map(named).collect(), self.unlooked)
    }
}

/// Attack: sections and members made so that the filter, which anyone may download, does not rule them out.
fn keep(found: &mut BTreeSet<propose::Proposal>, unlooked: &mut u64, proposal: propose::Proposal) {
    if found.len() < MAX_PROPOSALS {
        found.insert(proposal);
    } else if !found.contains(&proposal) {
        *unlooked += 1;
    }
}

#[cfg(test)]
mod tests {
    use nacre_scan_set::key::{Candidate, Digest};

    use super::*;

    #[test]
    fn proposals_past_the_cap_are_counted_and_not_lost() {
        let (mut found, mut unlooked) = (BTreeSet::new(), 0);
        let proposal = |number: usize| {
            let size = u32::try_from(number).ok();
            let candidate = Candidate { kind: Kind::Section, digest: Digest::Md5([0; 16]), size };
            propose::Proposal { filter: 0, candidate }
        };
        for number in 0..MAX_PROPOSALS + 2 {
            keep(&mut found, &mut unlooked, proposal(number));
        }
        // Known already.
        keep(&mut found, &mut unlooked, proposal(0));
        assert_eq!((found.len(), unlooked), (MAX_PROPOSALS, 2));
    }

    #[test]
    fn a_damaged_filter_fails_the_load() {
        let directory = tempfile::tempdir().unwrap();
        assert!(LoadedFilters::load(directory.path()).unwrap().lookup().is_none());
        fs::write(directory.path().join(format!("main.{FILTER_EXTENSION}")), "no filter").unwrap();
        assert_eq!(LoadedFilters::load(directory.path()).unwrap_err().code, FailureCode::LoadFailed);
    }
}
