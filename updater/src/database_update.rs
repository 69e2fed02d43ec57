//! Updates one database: executes the steps that [`crate::plan`] decides.

mod adopted;
mod cdiff_chain;
mod error;
mod full_download;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use nacre_clamav::{
    cvd::VerifiedCvd,
    database::{DatabaseName, DatabaseVersion},
    detached_signature::{self, Detached, DetachedError},
    trust_anchor::TrustAnchors,
};
use nacre_core::{generation::manifest::DatabaseEntry, port::DefinitionsStore, telemetry::error_chain};

pub use adopted::Adopted;
pub use error::{DatabaseUpdateError, UnusableResult};
pub use full_download::FullDatabase;

use crate::{
    mirror::{Advertised, Mirrors},
    plan::{FullDownloadReason, KeepReason, Step, after_full_download, first_step},
};

/// Most bytes of a `.sign` file; real ones have 9 KiB.
pub const MAX_SIGN_BYTES: usize = 64 << 10;

/// A verified database on the scratch disk.
#[derive(Debug)]
pub struct StagedDatabase {
    /// What it is.
    pub entry: DatabaseEntry,
    /// Where it is.
    pub path: PathBuf,
}

/// The result of updating one database.
#[derive(Debug, Default)]
pub struct DatabaseUpdate {
    /// The newer database; `None` when what is published stays.
    pub staged: Option<StagedDatabase>,
    /// Signed files for the flat prefix, which freshclam clients use as a mirror: CDIFFs and detached signatures, by name.
    pub signed_files: BTreeMap<String, Vec<u8>>,
    /// The database and its version where it is not the newest, in words; `None` when it is.
    pub not_current: Option<String>,
    /// Whether a newer version is announced that the mirrors do not have yet.
    pub cdiff_pending: bool,
}

impl DatabaseUpdate {
    pub(crate) fn finished(mut self, database: &DatabaseName, reason: KeepReason) -> Self {
        self.not_current = match reason {
            KeepReason::Newest => None,
            KeepReason::Stale { served } => Some(format!("{database} {}", served.0)),
            KeepReason::Announced { advertised } => {
                Some(format!("{database} {} (announced, not there yet)", advertised.0))
            }
        };
        self.cdiff_pending = matches!(reason, KeepReason::Announced { .. });
        self
    }
}

/// Updates databases.
#[derive(Debug)]
pub struct DatabaseUpdater<'a, Store> {
    /// Where they come from.
    pub mirrors: &'a Mirrors<'a, Store>,
    /// Where the published ones are.
    pub store: &'a Store,
    /// Whose signatures count.
    pub trust_anchors: &'a TrustAnchors,
    /// Whether detached signatures are checked where there are any.
    pub check_detached: bool,
    /// Most bytes of a whole database.
    pub max_database_bytes: usize,
    /// Where databases are staged: a directory of this run alone.
    pub scratch: &'a Path,
    /// Whether the run waits for a CDIFF that the mirrors do not have yet.
    pub wait_for_cdiff: bool,
    /// The time of the run.
    pub now: DateTime<Utc>,
}

/// What CDIFFs are applied to.
enum Base<'a> {
    /// The published database, not read yet.
    Published(&'a DatabaseEntry),
    /// A whole database that this run downloaded.
    Downloaded { entry: DatabaseEntry, file: Vec<u8> },
}

/// What a step of a full download gave.
struct FullDownload {
    /// `None` when the mirrors have nothing newer.
    newer: Option<(StagedDatabase, FullDatabase)>,
    next: Step,
}

impl<Store: DefinitionsStore> DatabaseUpdater<'_, Store> {
    /// Updates one database from what is published to what is advertised.
    ///
    /// # Errors
    /// [`DatabaseUpdateError`].
    pub async fn update(
        &self,
        database: &DatabaseName,
        published: Option<&DatabaseEntry>,
        advertised: Advertised,
    ) -> Result<DatabaseUpdate, DatabaseUpdateError> {
        let mut update = DatabaseUpdate::default();
        let mut reached = published.map(|entry| entry.version);
        let mut base = published.map(Base::Published);
        let mut step = first_step(reached, advertised.version);
        loop {
            step = match step {
                Step::Keep(reason) => return Ok(update.finished(database, reason)),
                // The steps below return the error of a failed step themselves.
                Step::Fail => return Ok(update),
                Step::Cdiff(_) => {
                    let Some(base) = base.take() else { return Ok(update) };
                    let chain = self.apply_cdiffs(database, &base, advertised.version).await?;
                    reached = chain.reached;
                    update.staged = chain.staged.or(update.staged);
                    update.signed_files.extend(chain.signed_files);
                    chain.next
                }
                Step::FullDownload(reason) => {
                    match self.download_in_full(database, reached, advertised, reason).await {
                        Ok(FullDownload { newer, next }) => {
                            if let Some((staged, full)) = newer {
                                base = Some(Base::Downloaded { entry: staged.entry.clone(), file: full.file });
                                update.staged = Some(staged);
                                update.signed_files.extend(full.signed_files);
                            }
                            next
                        }
                        // What CDIFFs gave is kept, whatever the mirror has of the whole.
                        Err(error) if update.staged.is_some() => {
                            tracing::warn!(
                                database = database.as_str(),
                                cause = error_chain(&error),
                                "whole database not taken"
                            );
                            Step::Keep(KeepReason::Announced { advertised: advertised.version })
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
        }
    }

    /// Downloads the whole database, and stages it where it is newer than what was `reached`.
    async fn download_in_full(
        &self,
        database: &DatabaseName,
        reached: Option<DatabaseVersion>,
        advertised: Advertised,
        reason: FullDownloadReason,
    ) -> Result<FullDownload, DatabaseUpdateError> {
        tracing::info!(database = database.as_str(), ?reason, "downloading the whole database");
        let full = self.fetch_full(database, advertised).await?;
        let next = after_full_download(reached, full.verified.header.version, advertised.version, reason);
        let is_stale = matches!(next, Step::Keep(KeepReason::Stale { .. }));
        let newer = if is_stale { None } else { Some((self.stage(&full.verified, &full.file)?, full)) };
        Ok(FullDownload { newer, next })
    }

    /// Checks a detached signature, where there is a root to check it by; returns whether it vouches for the content.
    fn check_detached(&self, signature: &[u8], content: &[u8]) -> Result<bool, DetachedError> {
        let Some(root) = self.trust_anchors.certificate.as_ref().filter(|_| self.check_detached) else {
            return Ok(false);
        };
        let level = detached_signature::FUNCTIONALITY_LEVEL;
        let verified = detached_signature::verify(signature, content, root, level, self.now)?;
        Ok(matches!(verified, Detached::Signed { .. }))
    }

    fn stage(&self, verified: &VerifiedCvd, file: &[u8]) -> Result<StagedDatabase, DatabaseUpdateError> {
        let entry = DatabaseEntry::of(verified);
        let path = self.scratch.join(format!("{}-{}", entry.file_name(), entry.version.0));
        fs::write(&path, file).map_err(|source| DatabaseUpdateError::Disk { path: path.clone(), source })?;
        Ok(StagedDatabase { entry, path })
    }
}
