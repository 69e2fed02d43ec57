//! The files of mini engines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use nacre_clamav::{
    archive::ArchiveLimits,
    context::to_cud,
    cvd::{COPYING, Cvd},
    delta::SignatureFile,
    signature::Kind,
    unpacked::members_in_order,
};
use nacre_core::generation::manifest::ScanSetEntry;
use nacre_engine_protocol::FILTER_EXTENSION;
use nacre_scan_set::{
    mini::{self, is_ignore_list},
    shard::Hit,
};

use super::DecideError;

/// Stem of the names of the files of hits, inside the container of their database.
const HITS: &str = "nacre-hits";

pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> DecideError + use<> {
    let path = path.to_owned();
    move |source| DecideError::Disk { path: path.clone(), source }
}

/// What every mini engine of a directory needs of it.
#[derive(Debug)]
pub(super) struct Context {
    /// Where loose files and whole databases are.
    directory: PathBuf,
    /// Of each scan set its files, in the order of its database.
    databases: BTreeMap<String, Vec<SignatureFile<'static>>>,
}

impl Context {
    /// Reads the bodies of scan sets that were laid out in `directory`, and puts all other files of context into `work`.
    pub(super) fn write(directory: &Path, work: &Path, sets: &[ScanSetEntry]) -> Result<Self, DecideError> {
        let context = work.join("context");
        // What an attempt that failed has left.
        match fs::remove_dir_all(&context) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&context)(error)),
            _ => {}
        }
        fs::create_dir_all(&context).map_err(failed(&context))?;
        let mut databases: BTreeMap<String, Vec<SignatureFile<'static>>> =
            sets.iter().map(|set| (set.database.to_string(), Vec::new())).collect();
        for entry in fs::read_dir(directory).map_err(failed(directory))? {
            let path = entry.map_err(failed(directory))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
            let to = context.join(name);
            match extension {
                FILTER_EXTENSION => {}
                "cud" if databases.contains_key(stem) => {
                    databases.insert(stem.to_owned(), context_of(&path, stem)?);
                }
                // A database without a scan set is loaded whole: its bytecode runs from its container only.
                "cvd" | "cld" | "cud" => fs::hard_link(&path, &to).map_err(failed(&to))?,
                _ => {
                    let bytes = fs::read(&path).map_err(failed(&path))?;
                    if let Some(needed) = mini::context_of(name, &bytes) {
                        fs::write(&to, needed).map_err(failed(&to))?;
                    }
                }
            }
        }
        Ok(Self { directory: context, databases })
    }

    /// Writes a mini engine's directory. The hits of a database are loaded where its digests would be, so that an ignore list of
    /// another database reaches them as it reaches those.
    pub(super) fn write_mini(
        &self,
        directory: &Path,
        hits: &BTreeMap<String, BTreeSet<Hit>>,
    ) -> Result<(), DecideError> {
        fs::create_dir_all(directory).map_err(failed(directory))?;
        for entry in fs::read_dir(&self.directory).map_err(failed(&self.directory))? {
            let entry = entry.map_err(failed(&self.directory))?;
            let to = directory.join(entry.file_name());
            fs::hard_link(entry.path(), &to).map_err(failed(&to))?;
        }
        for (database, context) in &self.databases {
            let of_hits = hits.get(database).map(|hits| mini::files_of(HITS, hits)).unwrap_or_default();
            let mut files = context.clone();
            let behind = files.iter().rposition(|file| is_ignore_list(&file.name)).map_or(0, |last| last + 1);
            let of_hits = of_hits.into_iter().map(|(name, bytes)| SignatureFile::member(database, true, name, bytes));
            files.splice(behind..behind, of_hits);
            if let Some((name, bytes)) = to_cud(database, &files).filter(|_| !files.is_empty()) {
                let to = directory.join(name);
                fs::write(&to, bytes).map_err(failed(&to))?;
            }
        }
        for (name, bytes) in mini::fillers() {
            let to = directory.join(name);
            fs::write(&to, bytes).map_err(failed(&to))?;
        }
        Ok(())
    }
}

/// What a mini engine needs of a body.
fn context_of(path: &Path, database: &str) -> Result<Vec<SignatureFile<'static>>, DecideError> {
    let bytes = fs::read(path).map_err(failed(path))?;
    let unreadable = |source| DecideError::Body { database: database.to_owned(), source };
    let cvd = Cvd::parse(&bytes).map_err(|error| unreadable(error.into()))?;
    let members = members_in_order(cvd.payload(), ArchiveLimits::default());
    let members = members.map_err(|error| unreadable(error.into()))?;
    let is_signatures = |name: &str| name != COPYING && Kind::of(name) != Kind::Nothing;
    let needed = members.into_iter().filter(|(name, _)| is_signatures(name)).filter_map(|(name, bytes)| {
        let needed = mini::context_of(&name, &bytes)?;
        Some(SignatureFile::member(database, true, name, needed))
    });
    Ok(needed.collect())
}
