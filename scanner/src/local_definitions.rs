//! Published definitions on local disk, in the form that engines load.

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
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
        manifest::{CustomEntry, DatabaseEntry, Manifest},
        published::{PublishedError, read_body, read_custom, read_entry},
    },
    port::DefinitionsStore,
    rescan::conclude::delta_files,
};
use nacre_engine_client::claimed_directory::ClaimedDirectory;

/// One generation on local disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDefinitions {
    /// Its number.
    pub generation: Generation,
    /// When the newest of its databases was built.
    pub built: DateTime<Utc>,
    /// The directory that an engine loads.
    pub directory: PathBuf,
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
        Ok(Self { root, trusted, current: None, times: None })
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
        self.times = Some(self.fill(store, manifest, &directory).await?);
        let definitions =
            LocalDefinitions { generation: manifest.generation, built: manifest.newest_built(), directory };
        if let Some(old) = self.current.replace(definitions.clone()) {
            // The engine that loaded it does not read the files again.
            let _ = fs::remove_dir_all(old.directory);
        }
        Ok(definitions)
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
    ) -> Result<FetchTimes, DefinitionsError> {
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |source| DefinitionsError::Disk { path, source }
        };
        let partial = directory.with_extension("partial");
        for leftover in [&partial, directory] {
            match fs::remove_dir_all(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(leftover)(error)),
                _ => {}
            }
        }
        fs::create_dir_all(&partial).map_err(disk(&partial))?;
        let mut times = FetchTimes::default();
        for database in &manifest.databases {
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
        Ok(times)
    }
}
