//! Brings one database up to date: follows the plan, downloads, verifies, patches.

mod error;

use std::{collections::BTreeMap, fs, path::PathBuf};

use chrono::{DateTime, Utc};
use nacre_clamav::{
    archive::ArchiveLimits,
    cdiff::{Cdiff, CdiffError, apply},
    cvd::{Cvd, VerifiedCvd, VerifyError},
    database::{ContainerKind, DatabaseName, DatabaseVersion},
    detached_signature::{self, Detached, DetachedError},
    trust_anchor::TrustAnchors,
    unpacked::Unpacked,
};
use nacre_core::{
    generation::{
        manifest::DatabaseEntry,
        published::{PublishedError, read_body},
    },
    port::{DefinitionsStore, StoreError},
    telemetry::error_chain,
};

pub use error::BringError;
use error::{UnusableCdiff, UnusableResult};

use crate::{
    mirror::{Advertised, MirrorError, Mirrors},
    plan::{CdiffOutcome, Keep, Progress, Step, Whole, after_cdiff, after_whole, first_step},
};

/// Most bytes of a CDIFF: a gzipped script of [`nacre_clamav::cdiff::MAX_SCRIPT_BYTES`] has fewer.
const MAX_CDIFF_BYTES: usize = 128 << 20;

/// Most bytes of a `.sign` file; real ones have 9 KiB.
const MAX_SIGN_BYTES: usize = 64 << 10;

/// A verified database on the scratch disk.
#[derive(Debug)]
pub struct Part {
    /// What it is.
    pub entry: DatabaseEntry,
    /// Where it is.
    pub path: PathBuf,
}

/// What bringing one database came to.
#[derive(Debug, Default)]
pub struct Brought {
    /// The newer database; `None` when what is published stays.
    pub part: Option<Part>,
    /// Signed files for the mirror that we are to others: CDIFFs and detached signatures, by name.
    pub signed_files: BTreeMap<String, Vec<u8>>,
    /// Why nothing newer is published; `None` when it is the newest.
    pub held: Option<String>,
    /// Whether a newer version is announced that the mirrors have not got yet.
    pub awaited: bool,
}

impl Brought {
    fn keep(&mut self, database: &DatabaseName, keep: Keep) {
        self.held = match keep {
            Keep::Newest => None,
            Keep::Stale { served } => Some(format!("{database} {}", served.0)),
            Keep::Announced { advertised } => Some(format!("{database} {} (announced, not there yet)", advertised.0)),
        };
        self.awaited = matches!(keep, Keep::Announced { .. });
    }
}

/// Brings databases up to date.
#[derive(Debug)]
pub struct Bringer<'a, Store> {
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
    /// Where parts are put: a directory of this run alone.
    pub scratch: &'a std::path::Path,
    /// Whether it is worth waiting for a CDIFF that the mirrors have not got yet.
    pub patient: bool,
    /// The time of the run.
    pub now: DateTime<Utc>,
}

/// Members between two scripts.
struct Patched<'a> {
    members: Unpacked<'a>,
    reached: DatabaseVersion,
}

/// A CDIFF whose signatures are good, which says nothing yet of what it makes of a database.
struct SignedCdiff {
    script: Vec<u8>,
    /// The CDIFF and its detached signature, by name.
    files: BTreeMap<String, Vec<u8>>,
}

impl<Store: DefinitionsStore> Bringer<'_, Store> {
    /// Brings one database from what is published to what is advertised.
    ///
    /// # Errors
    /// [`BringError`].
    pub async fn bring(
        &self,
        database: &DatabaseName,
        published: Option<&DatabaseEntry>,
        advertised: Advertised,
    ) -> Result<Brought, BringError> {
        let version = published.map(|entry| entry.version);
        let mut brought = Brought::default();
        match first_step(version, advertised.version) {
            Step::Keep(keep) => brought.keep(database, keep),
            Step::Whole(why) => self.whole(database, version, advertised, why, &mut brought).await?,
            Step::Cdiff(_) => {
                if let Some(entry) = published {
                    self.patch_published(database, entry, advertised, &mut brought).await?;
                }
            }
            Step::Fail => {}
        }
        Ok(brought)
    }

    /// Patches what is published; downloads the whole where that is the way on.
    async fn patch_published(
        &self,
        database: &DatabaseName,
        entry: &DatabaseEntry,
        advertised: Advertised,
        brought: &mut Brought,
    ) -> Result<(), BringError> {
        let first = DatabaseVersion(entry.version.0 + 1);
        // The first CDIFF before the base: where there is none, the base need not be read.
        let first = self.cdiff(database, first).await;
        let mut base = Vec::new();
        if matches!(first, Ok(Ok(_))) {
            base = match read_body(self.store, entry).await {
                Ok(base) => base,
                // A body that was lost heals by the whole.
                Err(
                    error @ (PublishedError::Altered { .. }
                    | PublishedError::Store { source: StoreError::NotFound, .. }),
                ) => {
                    tracing::error!(cause = error_chain(&error), "published database lost; downloading the whole");
                    return self.whole(database, None, advertised, Whole::Unusable, brought).await;
                }
                Err(source) => return Err(BringError::Published { database: database.to_string(), source }),
            };
        }
        let (part, step) = self.patch(database, entry, &base, Some(first), advertised, false, brought).await?;
        drop(base);
        brought.part = part;
        match step {
            Step::Keep(keep) => brought.keep(database, keep),
            Step::Whole(why) => {
                let reached = brought.part.as_ref().map_or(entry.version, |part| part.entry.version);
                match self.whole(database, Some(reached), advertised, why, brought).await {
                    // What CDIFFs gave is kept, whatever the mirror has of the whole.
                    Err(error) if brought.part.is_some() => {
                        tracing::warn!(
                            database = database.as_str(),
                            cause = error_chain(&error),
                            "whole database not taken"
                        );
                        brought.keep(database, Keep::Announced { advertised: advertised.version });
                    }
                    outcome => outcome?,
                }
            }
            Step::Cdiff(_) | Step::Fail => {}
        }
        Ok(())
    }

    /// Applies CDIFFs to a base for as long as the plan wants them; answers what they made, and the step after.
    #[expect(clippy::too_many_arguments, reason = "one call for a published base, one for a fresh CVD")]
    async fn patch(
        &self,
        database: &DatabaseName,
        base: &DatabaseEntry,
        file: &[u8],
        mut first: Option<Result<Result<SignedCdiff, UnusableCdiff>, MirrorError>>,
        advertised: Advertised,
        whole_taken: bool,
        brought: &mut Brought,
    ) -> Result<(Option<Part>, Step), BringError> {
        let mut patched = Patched { members: Unpacked::default(), reached: base.version };
        let mut files = BTreeMap::new();
        let patient = self.patient && !self.mirrors.private;
        if !file.is_empty() {
            patched.members = unpack(base, file).map_err(|source| invalid(database, base, source))?;
        }
        let mut step = Step::Cdiff(DatabaseVersion(base.version.0 + 1));
        while let Step::Cdiff(version) = step {
            let script = match first.take() {
                Some(first) => first,
                None => self.cdiff(database, version).await,
            };
            let outcome = match script {
                Ok(Ok(cdiff)) => match apply(&patched.members, &cdiff.script, ArchiveLimits::default()) {
                    Ok(members) => {
                        patched = Patched { members, reached: version };
                        files.extend(cdiff.files);
                        CdiffOutcome::Applied
                    }
                    Err(error) => unusable(database, version, &error.into()),
                },
                Ok(Err(UnusableCdiff::Cdiff(CdiffError::Empty))) => CdiffOutcome::Empty,
                Ok(Err(error)) => unusable(database, version, &error),
                Err(MirrorError::Missing { .. }) => CdiffOutcome::Missing,
                Err(source) => {
                    let (reached, published) = (patched.reached, base.version);
                    let progress =
                        Progress { published, reached, advertised: advertised.version, whole_taken, patient };
                    if after_cdiff(progress, CdiffOutcome::Unreachable) == Step::Fail {
                        return Err(BringError::Mirror { database: database.to_string(), source });
                    }
                    CdiffOutcome::Unreachable
                }
            };
            let (reached, published) = (patched.reached, base.version);
            let advertised = advertised.version;
            step = after_cdiff(Progress { published, reached, advertised, whole_taken, patient }, outcome);
        }
        if patched.reached == base.version {
            return Ok((None, step));
        }
        match self.cld(database, patched) {
            Ok((verified, bytes)) => {
                // Only what made what its makers signed is handed on: a CDIFF does not say whose it is.
                brought.signed_files.extend(files);
                Ok((Some(self.keep(&verified, &bytes)?), step))
            }
            Err(error) => {
                // Each script was signed, and yet they do not make the database that its makers signed.
                tracing::warn!(
                    database = database.as_str(),
                    cause = error_chain(&error),
                    "patched database is not valid"
                );
                let stays = Step::Keep(Keep::Announced { advertised: advertised.version });
                Ok((None, if whole_taken { stays } else { Step::Whole(Whole::Unusable) }))
            }
        }
    }

    /// Downloads the whole database, and patches it on where it is behind the announcement.
    async fn whole(
        &self,
        database: &DatabaseName,
        reached: Option<DatabaseVersion>,
        advertised: Advertised,
        why: Whole,
        brought: &mut Brought,
    ) -> Result<(), BringError> {
        tracing::info!(database = database.as_str(), reason = ?why, "downloading the whole database");
        let (verified, bytes) = self.fetch_whole(database, advertised.kind, advertised.version, brought).await?;
        let step = after_whole(reached, verified.header.version, advertised.version, why);
        if let Step::Keep(keep @ Keep::Stale { .. }) = step {
            brought.keep(database, keep);
            return Ok(());
        }
        let entry = DatabaseEntry::of(&verified);
        brought.part = Some(self.keep(&verified, &bytes)?);
        match step {
            Step::Cdiff(_) => {
                let (part, step) = self.patch(database, &entry, &bytes, None, advertised, true, brought).await?;
                brought.part = part.or(brought.part.take());
                if let Step::Keep(keep) = step {
                    brought.keep(database, keep);
                }
            }
            Step::Keep(keep) => brought.keep(database, keep),
            Step::Whole(_) | Step::Fail => {}
        }
        Ok(())
    }

    /// Downloads and verifies a whole database, with its detached signature where there is one: from the first mirror that has
    /// this version or a newer one, valid; otherwise the newest that any has.
    ///
    /// # Errors
    /// [`BringError`].
    pub async fn fetch_whole(
        &self,
        database: &DatabaseName,
        kind: ContainerKind,
        wanted: DatabaseVersion,
        brought: &mut Brought,
    ) -> Result<(VerifiedCvd, Vec<u8>), BringError> {
        let (mut best, mut failure): (Option<(VerifiedCvd, Vec<u8>)>, Option<BringError>) = (None, None);
        for mirror in 0..self.mirrors.count() {
            match self.fetch_whole_from(mirror, database, kind, brought).await {
                Ok((verified, bytes)) if verified.header.version >= wanted => return Ok((verified, bytes)),
                Ok((verified, bytes)) => {
                    best = best
                        .filter(|best| best.0.header.version >= verified.header.version)
                        .or(Some((verified, bytes)));
                }
                // A mirror that does not answer must not hide what another one serves.
                Err(BringError::Mirror { .. }) if matches!(failure, Some(ref error) if !error.is_missing()) => {}
                Err(error) => failure = Some(error),
            }
        }
        let none = || BringError::Mirror {
            database: database.to_string(),
            source: MirrorError::Missing { file: format!("{database}.{}", kind.extension()) },
        };
        best.ok_or_else(|| failure.unwrap_or_else(none))
    }

    async fn fetch_whole_from(
        &self,
        mirror: usize,
        database: &DatabaseName,
        kind: ContainerKind,
        brought: &mut Brought,
    ) -> Result<(VerifiedCvd, Vec<u8>), BringError> {
        let file = format!("{database}.{}", kind.extension());
        let no_answer = |source| BringError::Mirror { database: database.to_string(), source };
        let bytes = self.mirrors.fetch_from(mirror, &file, self.max_database_bytes).await.map_err(no_answer)?;
        let refused = |version: String| {
            let file = file.clone();
            move |source| BringError::Verify { file, version, source }
        };
        let cvd = Cvd::parse_as(kind, &bytes).map_err(|error| refused("unknown".into())(error.into()))?;
        let version = cvd.header().version;
        let verified = cvd
            .verify(database, self.trust_anchors, ArchiveLimits::default())
            .map_err(refused(version.0.to_string()))?;
        if kind == ContainerKind::Cvd {
            let sign = format!("{database}-{}.cvd.sign", version.0);
            if let Some(signature) = self.mirrors.fetch_optional(&sign, MAX_SIGN_BYTES).await.map_err(no_answer)? {
                let checked = self.check_detached(&signature, &bytes);
                // What nobody here has verified is handed on to nobody.
                if checked.map_err(|source| BringError::Detached { file: sign.clone(), source })? {
                    brought.signed_files.insert(sign, signature);
                }
            }
        }
        Ok((verified, bytes))
    }

    /// Downloads one CDIFF and verifies its signatures.
    async fn cdiff(
        &self,
        database: &DatabaseName,
        version: DatabaseVersion,
    ) -> Result<Result<SignedCdiff, UnusableCdiff>, MirrorError> {
        let file = format!("{database}-{}.cdiff", version.0);
        let bytes = self.mirrors.fetch(&file, MAX_CDIFF_BYTES).await?;
        let verified = match Cdiff::parse(&bytes).and_then(|cdiff| cdiff.verify(version, self.trust_anchors)) {
            Ok(verified) => verified,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut files = BTreeMap::new();
        let sign = format!("{file}.sign");
        if let Some(signature) = self.mirrors.fetch_optional(&sign, MAX_SIGN_BYTES).await? {
            match self.check_detached(&signature, &bytes) {
                Ok(true) => drop(files.insert(sign, signature)),
                Ok(false) => {}
                Err(error) => return Ok(Err(error.into())),
            }
        }
        files.insert(file, bytes);
        Ok(Ok(SignedCdiff { script: verified.script, files }))
    }

    /// Checks a detached signature that is there, where there is a root to check it by; tells whether it vouches for the content.
    fn check_detached(&self, signature: &[u8], content: &[u8]) -> Result<bool, DetachedError> {
        let Some(root) = self.trust_anchors.certificate.as_ref().filter(|_| self.check_detached) else {
            return Ok(false);
        };
        let level = detached_signature::FUNCTIONALITY_LEVEL;
        let verified = detached_signature::verify(signature, content, root, level, self.now)?;
        Ok(matches!(verified, Detached::Signed { .. }))
    }

    /// Packs what scripts made, and verifies it as if it had come from a mirror.
    fn cld(&self, database: &DatabaseName, patched: Patched<'_>) -> Result<(VerifiedCvd, Vec<u8>), UnusableResult> {
        let cld = patched.members.to_cld(database)?;
        // Before the check, which takes its own time: the members may be as large as the database.
        drop(patched);
        let cvd = Cvd::parse_as(ContainerKind::Cld, &cld).map_err(VerifyError::from)?;
        let verified = cvd.verify(database, self.trust_anchors, ArchiveLimits::default())?;
        Ok((verified, cld))
    }

    fn keep(&self, verified: &VerifiedCvd, bytes: &[u8]) -> Result<Part, BringError> {
        let entry = DatabaseEntry::of(verified);
        let path = self.scratch.join(format!("{}-{}", entry.file_name(), entry.version.0));
        fs::write(&path, bytes).map_err(|source| BringError::Disk { path: path.clone(), source })?;
        Ok(Part { entry, path })
    }
}

fn unpack<'a>(base: &DatabaseEntry, file: &'a [u8]) -> Result<Unpacked<'a>, VerifyError> {
    Ok(Cvd::parse_as(base.kind, file)?.unpack(ArchiveLimits::default())?)
}

fn invalid(database: &DatabaseName, base: &DatabaseEntry, source: VerifyError) -> BringError {
    let file = format!("{database}.{}", base.kind.extension());
    BringError::Verify { file, version: base.version.0.to_string(), source }
}

fn unusable(database: &DatabaseName, version: DatabaseVersion, error: &UnusableCdiff) -> CdiffOutcome {
    let (database, version) = (database.as_str(), version.0);
    tracing::warn!(database, version, cause = error_chain(error), "CDIFF cannot be used");
    CdiffOutcome::Unusable
}
