//! Published definitions on local disk, in the form that engines load.

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use nacre_clamav::{
    context::{self, is_bytecode, may_have_part},
    database::DatabaseName,
    delta::{Delta, SignatureFile},
    trust_anchor::TrustAnchors,
    unpacked::UnpackError,
};
use nacre_core::{
    generation::{
        Generation,
        engine_form::{EngineFormError, engine_form},
        manifest::{CustomEntry, DatabaseEntry, Manifest, ScanSetEntry},
        published::{PublishedError, read_body, read_custom, read_entry},
    },
    port::DefinitionsStore,
    rescan::conclude::delta_files,
};
use nacre_scan_set::body::BodyError;

use crate::{
    claimed_directory::ClaimedDirectory,
    scan_sets::{ScanSets, layout::lay_out},
};

/// One generation on local disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDefinitions {
    /// Its number.
    pub generation: Generation,
    /// When the newest of its databases was built.
    pub built: DateTime<Utc>,
    /// The directory that an engine loads.
    pub directory: PathBuf,
    /// The scan sets in it, if it has any: then a report of its engine proposes, and does not decide.
    pub scan_sets: Option<Arc<ScanSets>>,
}

/// How long it took to write a generation to local disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchTimes {
    /// Download of its databases, with their digests checked.
    pub fetch: Duration,
    /// Conversion to the form that engines load, and writing.
    pub lay_out: Duration,
}

/// Why the published definitions cannot be used. Nothing is scanned without them.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// Nothing was ever published.
    #[error("no definitions are published yet: run the updater")]
    NonePublished,
    /// What is published cannot be read.
    #[error("the published definitions cannot be read")]
    Published(#[from] PublishedError),
    /// A published body cannot be converted to the engine's form.
    #[error("{key} cannot be unpacked")]
    Form {
        /// The key.
        key: String,
        /// The cause.
        #[source]
        source: EngineFormError,
    },
    /// The body of a published scan set cannot be unpacked.
    #[error("{key} cannot be unpacked")]
    ScanSet {
        /// The key.
        key: String,
        /// The cause.
        #[source]
        source: BodyError,
    },
    /// A published context cannot be unpacked.
    #[error("{key} cannot be unpacked")]
    Context {
        /// The key.
        key: String,
        /// The cause.
        #[source]
        source: UnpackError,
    },
    /// The manifest's databases were verified with other keys than this scanner trusts.
    #[error(
        "the definitions are signed by {found}, not by {trusted}: set NACRE_TRUST_ANCHORS to the same keys as the updater's"
    )]
    Untrusted {
        /// The identity of the manifest's keys.
        found: String,
        /// The identity of the trusted keys.
        trusted: String,
    },
    /// The local disk failed.
    #[error("the definitions could not be written to {path}")]
    Disk {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Writes generations, and the files of delta engines, to local disk.
#[derive(Debug)]
pub struct LocalDisk {
    /// Of this process alone: where sandboxes share a disk, as on the local stack, they must not share a directory.
    root: ClaimedDirectory,
    trusted: TrustAnchors,
    /// Whether scan sets are laid out where there are any, instead of whole databases.
    by_scan_sets: bool,
    current: Option<LocalDefinitions>,
    times: Option<FetchTimes>,
}

impl LocalDisk {
    /// Keeps directories under `path`; databases are those that were verified with these anchors.
    ///
    /// # Errors
    /// [`DefinitionsError::Disk`] when the directory cannot be made.
    pub fn new(path: &Path, trusted: TrustAnchors) -> Result<Self, DefinitionsError> {
        let root = fs::create_dir_all(path).and_then(|()| ClaimedDirectory::new(path, "nacre-"));
        let root = root.map_err(|source| DefinitionsError::Disk { path: path.to_owned(), source })?;
        Ok(Self { root, trusted, by_scan_sets: false, current: None, times: None })
    }

    /// Lays out scan sets where there are any: a report of an engine that has loaded them does not decide without
    /// [`LocalDefinitions::scan_sets`].
    #[must_use]
    pub fn with_scan_sets(self, by_scan_sets: bool) -> Self {
        Self { by_scan_sets, ..self }
    }

    /// Returns the times of the last download, once.
    pub fn take_times(&mut self) -> Option<FetchTimes> {
        self.times.take()
    }

    /// Returns the databases of a generation, downloaded unless they are on disk; those of another are removed.
    ///
    /// # Errors
    /// [`DefinitionsError`].
    pub async fn definitions(
        &mut self,
        store: &impl DefinitionsStore,
        manifest: &Manifest,
    ) -> Result<LocalDefinitions, DefinitionsError> {
        if let Some(current) = self.current.as_ref().filter(|current| current.generation == manifest.generation) {
            return Ok(current.clone());
        }
        let directory = self.root.path().join(manifest.generation.0.to_string());
        let (times, sets) = self.fill(store, manifest, &directory).await?;
        self.times = Some(times);
        let custom = manifest.custom.iter().map(|custom| custom.name.clone()).collect();
        let official = self.is_signed_by_clamav();
        let scan_sets = (!sets.is_empty()).then(|| Arc::new(ScanSets::new(directory.clone(), sets, custom, official)));
        let definitions =
            LocalDefinitions { generation: manifest.generation, built: manifest.newest_built(), directory, scan_sets };
        if let Some(old) = self.current.replace(definitions.clone())
            // They remove it once no scan needs it any more.
            && old.scan_sets.is_none()
        {
            // The engine that loaded it does not read the files again.
            let _ = fs::remove_dir_all(old.directory);
        }
        Ok(definitions)
    }

    /// Has the next generation that is asked for downloaded, whatever is on disk.
    pub fn forget(&mut self) {
        self.current = None;
    }

    /// Writes the files that a delta engine loads for records of the generation `from`, in a directory of its own.
    ///
    /// # Errors
    /// [`DefinitionsError`].
    pub async fn delta(
        &self,
        store: &impl DefinitionsStore,
        manifest: &Manifest,
        from: Generation,
        delta: &Delta,
    ) -> Result<PathBuf, DefinitionsError> {
        let mut newer = Vec::new();
        let with_bytecode = |database: &&DatabaseEntry| database.members.iter().any(|member| is_bytecode(&member.name));
        let is_whole =
            |name: &DatabaseName| manifest.databases.iter().any(|entry| entry.name == *name && with_bytecode(&entry));
        for context in manifest.contexts.iter().filter(|context| !is_whole(&context.database)) {
            let packed = read_entry(store, &context.body).await?;
            let files = context::unpack(&packed, &format!("{}.cvd", context.database));
            newer.extend(
                files.map_err(|source| DefinitionsError::Context { key: context.body.object_key.clone(), source })?,
            );
        }
        // Of other files, which may be large, a delta engine loads the added lines only.
        let needed = |custom: &&CustomEntry| may_have_part(&custom.name);
        for custom in manifest.custom.iter().filter(needed) {
            newer.push(SignatureFile::loose(custom.name.clone(), read_custom(store, custom).await?));
        }
        let mut files = delta_files(delta, newer);
        for database in manifest.databases.iter().filter(with_bytecode) {
            let body = read_body(store, database).await?;
            let (name, bytes) = self.formed(database, &body)?;
            files.insert(name, bytes.into_owned());
        }
        let directory = self.root.path().join(format!("delta-{}-{}", from.0, manifest.generation.0));
        let disk = |source| DefinitionsError::Disk { path: directory.clone(), source };
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(error)),
            _ => {}
        }
        fs::create_dir_all(&directory).map_err(disk)?;
        for (name, bytes) in files {
            fs::write(directory.join(name), bytes).map_err(disk)?;
        }
        Ok(directory)
    }

    /// Whether the databases' signatures are ClamAV's own, so that engines load them as official.
    pub fn is_signed_by_clamav(&self) -> bool {
        self.trusted.is_clamav()
    }

    fn formed<'a>(
        &self,
        database: &DatabaseEntry,
        body: &'a [u8],
    ) -> Result<(String, Cow<'a, [u8]>), DefinitionsError> {
        engine_form(database, body, self.trusted.is_clamav()).map_err(|source| {
            let key = database.object_key.clone();
            DefinitionsError::Form { key, source }
        })
    }

    /// Downloads every database into a directory of its own that gets its name only when complete, so that a crash never leaves
    /// half a generation under the name of a whole one.
    async fn fill(
        &self,
        store: &impl DefinitionsStore,
        manifest: &Manifest,
        directory: &Path,
    ) -> Result<(FetchTimes, Vec<ScanSetEntry>), DefinitionsError> {
        let partial = directory.with_extension("partial");
        for leftover in [&partial, directory] {
            match fs::remove_dir_all(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(leftover)(error)),
                _ => {}
            }
        }
        fs::create_dir_all(&partial).map_err(disk(&partial))?;
        let mut times = FetchTimes::default();
        let mut sets = Vec::new();
        if self.by_scan_sets {
            let started = Instant::now();
            let published = manifest.databases.iter().filter_map(|database| manifest.scan_set(database).cloned());
            sets = lay_out(store, &published.collect::<Vec<_>>(), self.is_signed_by_clamav(), &partial).await?;
            times.fetch += started.elapsed();
        }
        let is_whole = |database: &&DatabaseEntry| sets.iter().all(|set| set.database != database.name);
        for database in manifest.databases.iter().filter(is_whole) {
            let started = Instant::now();
            let body = read_body(store, database).await?;
            times.fetch += started.elapsed();
            let started = Instant::now();
            let (file_name, bytes) = self.formed(database, &body)?;
            let path = partial.join(file_name);
            fs::write(&path, bytes).map_err(disk(&path))?;
            times.lay_out += started.elapsed();
        }
        for custom in &manifest.custom {
            let path = partial.join(&custom.name);
            fs::write(&path, read_custom(store, custom).await?).map_err(disk(&path))?;
        }
        fs::rename(&partial, directory).map_err(disk(directory))?;
        Ok((times, sets))
    }
}

/// The error of a path on the local disk.
pub(crate) fn disk(path: &Path) -> impl Fn(io::Error) -> DefinitionsError + use<> {
    let path = path.to_owned();
    move |source| DefinitionsError::Disk { path: path.clone(), source }
}
