//! The published generation, fetched and checked, in a local directory that an engine can load.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use nacre_shared::{
    claimed_directory::ClaimedDirectory,
    definitions::{
        engine_form::{EngineFormError, engine_form},
        manifest::{Generation, Manifest},
        trust_anchor::TrustAnchors,
    },
    port::DefinitionsStore,
    published::{PointerRead, PublishedError, read_body, read_custom, read_manifest, read_pointer},
};

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

/// Follows the published generation.
#[derive(Debug)]
pub struct DefinitionsFollower {
    /// Of this process alone: where sandboxes share a disk, as on the local stack, they must not share a directory.
    root: ClaimedDirectory,
    trusted: TrustAnchors,
    current: Option<(String, LocalDefinitions)>,
    times: Option<FetchTimes>,
}

impl DefinitionsFollower {
    /// Follows into a directory under `path`, trusting what was verified with these anchors.
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

    /// Whether these definitions are the published ones, by one conditional GET.
    ///
    /// # Errors
    /// [`DefinitionsError`].
    pub async fn is_published(
        &self,
        definitions: &LocalDefinitions,
        store: &impl DefinitionsStore,
    ) -> Result<bool, DefinitionsError> {
        match &self.current {
            Some((etag, current)) if current == definitions => {
                Ok(matches!(read_pointer(store, Some(etag)).await?, PointerRead::Unchanged))
            }
            _ => Ok(false),
        }
    }

    /// The published generation, fetched when it is not the one of the last call: one conditional GET otherwise.
    ///
    /// # Errors
    /// [`DefinitionsError`].
    pub async fn follow(&mut self, store: &impl DefinitionsStore) -> Result<LocalDefinitions, DefinitionsError> {
        let known = self.current.as_ref().map(|(etag, _)| etag.as_str());
        let (pointer, etag) = match (read_pointer(store, known).await?, &self.current) {
            (PointerRead::Unchanged, Some((_, definitions))) => return Ok(definitions.clone()),
            (PointerRead::Read { pointer, etag }, _) => (pointer, etag),
            (PointerRead::Unchanged | PointerRead::Missing, _) => return Err(DefinitionsError::NonePublished),
        };
        let manifest = read_manifest(store, &pointer).await?;
        if manifest.trust_anchor != self.trusted.identity() {
            let (found, trusted) = (manifest.trust_anchor.clone(), self.trusted.identity());
            return Err(DefinitionsError::Untrusted { found, trusted });
        }
        let directory = self.root.path().join(manifest.generation.0.to_string());
        self.times = Some(self.fill(store, &manifest, &directory).await?);
        let definitions =
            LocalDefinitions { generation: manifest.generation, built: manifest.newest_built(), directory };
        if let Some((_, old)) = self.current.replace((etag, definitions.clone()))
            && old.directory != definitions.directory
        {
            // The engine that loaded it has no more use for the files.
            let _ = fs::remove_dir_all(old.directory);
        }
        Ok(definitions)
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
            let formed = engine_form(database, &body, self.trusted.is_clamav());
            let (file_name, bytes) = formed.map_err(|source| {
                let key = database.object_key.clone();
                DefinitionsError::Form { key, source }
            })?;
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
