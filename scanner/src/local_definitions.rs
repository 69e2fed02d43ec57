//! What is published, followed, and brought to local directories that engines can load.

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use nacre_clamav::{
    context::{self, is_bytecode, is_context},
    delta::{Delta, SignatureFile},
    trust_anchor::TrustAnchors,
    unpacked::UnpackError,
};
use nacre_core::{
    generation::{
        Generation,
        engine_form::{EngineFormError, engine_form},
        manifest::{CustomEntry, DatabaseEntry, Manifest},
        published::{PointerRead, PublishedError, read_body, read_custom, read_entry, read_manifest, read_pointer},
    },
    port::DefinitionsStore,
    rescan::conclude::delta_files,
};
use nacre_engine_client::claimed_directory::ClaimedDirectory;

/// One generation on local disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDefinitions {
    /// Which.
    pub generation: Generation,
    /// When the newest of its databases was built.
    pub built: DateTime<Utc>,
    /// The directory that an engine loads.
    pub directory: PathBuf,
}

/// How long it took to have a generation on local disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchTimes {
    /// To read its databases, their digests checked.
    pub fetch: Duration,
    /// To bring them into the form that the engine loads, and to write them.
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
    /// A body that is the published one cannot be brought into the engine's form.
    #[error("{key} cannot be unpacked")]
    Form {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: EngineFormError,
    },
    /// A context that is the published one cannot be unpacked.
    #[error("{key} cannot be unpacked")]
    Context {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// The manifest's databases were verified with other keys than this scanner trusts.
    #[error(
        "the definitions are signed by {found}, not by {trusted}: set NACRE_TRUST_ANCHORS to the same keys as the updater's"
    )]
    Untrusted {
        /// Whose keys the manifest names.
        found: String,
        /// Whose keys are trusted here.
        trusted: String,
    },
    /// The local disk failed.
    #[error("the definitions could not be kept in {path}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Follows the pointer.
#[derive(Debug)]
pub struct Follower {
    trusted: TrustAnchors,
    current: Option<(String, Arc<Manifest>)>,
}

impl Follower {
    /// Follows what was verified with these anchors.
    pub fn new(trusted: TrustAnchors) -> Self {
        Self { trusted, current: None }
    }

    /// The published manifest: one conditional GET when it is the one of the last call.
    ///
    /// # Errors
    /// [`DefinitionsError`].
    pub async fn follow(&mut self, store: &impl DefinitionsStore) -> Result<Arc<Manifest>, DefinitionsError> {
        let known = self.current.as_ref().map(|(etag, _)| etag.as_str());
        let (pointer, etag) = match (read_pointer(store, known).await?, &self.current) {
            (PointerRead::Unchanged, Some((_, manifest))) => return Ok(Arc::clone(manifest)),
            (PointerRead::Read { pointer, etag }, _) => (pointer, etag),
            (PointerRead::Unchanged | PointerRead::Missing, _) => return Err(DefinitionsError::NonePublished),
        };
        let manifest = Arc::new(read_manifest(store, &pointer).await?);
        if manifest.trust_anchor != self.trusted.identity() {
            let (found, trusted) = (manifest.trust_anchor.clone(), self.trusted.identity());
            return Err(DefinitionsError::Untrusted { found, trusted });
        }
        self.current = Some((etag, Arc::clone(&manifest)));
        Ok(manifest)
    }
}

/// Brings generations to local disk, and what delta engines load.
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

    /// How long the last fetch took; `None` when there was none since this was last asked.
    pub fn take_times(&mut self) -> Option<FetchTimes> {
        self.times.take()
    }

    /// The databases of a generation, fetched unless they are there; those of another are removed.
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
            // The engine that loaded it has no more use for the files.
            let _ = fs::remove_dir_all(old.directory);
        }
        Ok(definitions)
    }

    /// What a delta engine loads for records of the generation `from`, in a directory of its own.
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
        for context in &manifest.contexts {
            let packed = read_entry(store, &context.body).await?;
            let files = context::unpack(&packed);
            newer.extend(
                files.map_err(|source| DefinitionsError::Context { key: context.body.object_key.clone(), source })?,
            );
        }
        // Of the others, a delta engine has what was added: they may be large.
        let needed = |custom: &&CustomEntry| is_context(&custom.name);
        for custom in manifest.custom.iter().filter(needed) {
            let (name, bytes) = (custom.name.clone(), read_custom(store, custom).await?.into());
            newer.push(SignatureFile { official: false, name, bytes });
        }
        let mut files = delta_files(delta, newer);
        let with_bytecode = |database: &&DatabaseEntry| database.members.iter().any(|member| is_bytecode(&member.name));
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

    /// Fetches every database into a directory of its own and gives it its name only when complete, so that a crash never
    /// leaves half a generation that looks whole.
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
