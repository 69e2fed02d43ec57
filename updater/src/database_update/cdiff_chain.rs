//! Applies CDIFFs to a database, one after the other, for as long as the plan has a next one.

use std::{borrow::Cow, collections::BTreeMap};

use nacre_clamav::{
    archive::ArchiveLimits,
    cdiff::{Cdiff, CdiffError, apply},
    cvd::{Cvd, VerifiedCvd, VerifyError},
    database::{ContainerKind, DatabaseName, DatabaseVersion},
    unpacked::Unpacked,
};
use nacre_core::{
    generation::{manifest::DatabaseEntry, published::read_body},
    port::DefinitionsStore,
    telemetry::error_chain,
};

use super::{
    Base, DatabaseUpdateError, DatabaseUpdater, MAX_SIGN_BYTES, StagedDatabase,
    error::{UnusableCdiff, UnusableResult},
};
use crate::{
    mirror::MirrorError,
    plan::{CdiffOutcome, FullDownloadReason, KeepReason, Progress, Step, after_cdiff},
};

/// Most bytes of a CDIFF: a gzipped script of [`nacre_clamav::cdiff::MAX_SCRIPT_BYTES`] has fewer.
const MAX_CDIFF_BYTES: usize = 128 << 20;

/// What a chain of CDIFFs gave.
pub(super) struct CdiffChain {
    /// The patched database; `None` when no CDIFF was applied, or the result is not valid.
    pub(super) staged: Option<StagedDatabase>,
    /// The applied CDIFFs and their detached signatures, by name.
    pub(super) signed_files: BTreeMap<String, Vec<u8>>,
    /// The version that there is now; `None` when the published database is lost.
    pub(super) reached: Option<DatabaseVersion>,
    /// The step after the chain.
    pub(super) next: Step,
}

/// What came of fetching one CDIFF.
enum CdiffFetch {
    /// Its signatures are good, which says nothing yet of what it makes of a database.
    Signed(SignedCdiff),
    /// It has no bytes.
    Empty,
    /// It is not valid.
    Unusable(UnusableCdiff),
    /// No mirror has it.
    Missing,
    /// No mirror could be asked.
    Unreachable(MirrorError),
}

struct SignedCdiff {
    script: Vec<u8>,
    /// The CDIFF and its detached signature, by name.
    files: BTreeMap<String, Vec<u8>>,
}

impl<Store: DefinitionsStore> DatabaseUpdater<'_, Store> {
    /// Applies CDIFFs to a base for as long as the plan has a next one.
    pub(super) async fn apply_cdiffs(
        &self,
        database: &DatabaseName,
        base: &Base<'_>,
        advertised: DatabaseVersion,
    ) -> Result<CdiffChain, DatabaseUpdateError> {
        let (entry, whole_taken) = match base {
            Base::Published(entry) => (*entry, false),
            Base::Downloaded { entry, .. } => (entry, true),
        };
        let first = DatabaseVersion(entry.version.0 + 1);
        // The first CDIFF before the base: where there is none, the base need not be read.
        let mut fetched = Some(self.fetch_cdiff(database, first).await);
        let file;
        let mut members = Unpacked::default();
        if matches!(fetched, Some(CdiffFetch::Signed(_))) {
            let Some(found) = self.read_base(database, base).await? else {
                let (staged, signed_files, next) =
                    (None, BTreeMap::new(), Step::FullDownload(FullDownloadReason::Unusable));
                return Ok(CdiffChain { staged, signed_files, reached: None, next });
            };
            file = found;
            members = unpack(entry, &file).map_err(|source| DatabaseUpdateError::Verify {
                file: format!("{database}.{}", entry.kind.extension()),
                version: entry.version.0.to_string(),
                source,
            })?;
        }
        let (mut reached, mut signed_files, mut unreachable) = (entry.version, BTreeMap::new(), None);
        let wait_for_cdiff = self.wait_for_cdiff && !self.mirrors.private;
        let mut next = Step::Cdiff(first);
        while let Step::Cdiff(version) = next {
            let fetched = match fetched.take() {
                Some(first) => first,
                None => self.fetch_cdiff(database, version).await,
            };
            let outcome = match fetched {
                CdiffFetch::Signed(cdiff) => match apply(&members, &cdiff.script, ArchiveLimits::default()) {
                    Ok(patched) => {
                        (members, reached) = (patched, version);
                        signed_files.extend(cdiff.files);
                        CdiffOutcome::Applied
                    }
                    Err(error) => unusable(database, version, &error.into()),
                },
                CdiffFetch::Empty => CdiffOutcome::Empty,
                CdiffFetch::Unusable(error) => unusable(database, version, &error),
                CdiffFetch::Missing => CdiffOutcome::Missing,
                CdiffFetch::Unreachable(error) => {
                    unreachable = Some(error);
                    CdiffOutcome::Unreachable
                }
            };
            let progress = Progress { published: entry.version, reached, advertised, whole_taken, wait_for_cdiff };
            next = after_cdiff(progress, outcome);
        }
        if let (Step::Fail, Some(source)) = (next, unreachable) {
            return Err(DatabaseUpdateError::Mirror { database: database.to_string(), source });
        }
        let unchanged =
            |next| CdiffChain { staged: None, signed_files: BTreeMap::new(), reached: Some(entry.version), next };
        if reached == entry.version {
            return Ok(unchanged(next));
        }
        match self.pack(database, members) {
            // Only CDIFFs that led to a signed database are passed on: a CDIFF does not say whose it is.
            Ok((verified, cld)) => {
                let staged = Some(self.stage(&verified, &cld)?);
                Ok(CdiffChain { staged, signed_files, reached: Some(verified.header.version), next })
            }
            Err(error) => {
                // Each script was signed, and yet they do not make the database that its makers signed.
                tracing::warn!(
                    database = database.as_str(),
                    cause = error_chain(&error),
                    "patched database is not valid"
                );
                let announced = Step::Keep(KeepReason::Announced { advertised });
                Ok(unchanged(if whole_taken { announced } else { Step::FullDownload(FullDownloadReason::Unusable) }))
            }
        }
    }

    /// The file of a base; `None` when it is published and lost, which a full download heals.
    async fn read_base<'b>(
        &self,
        database: &DatabaseName,
        base: &'b Base<'_>,
    ) -> Result<Option<Cow<'b, [u8]>>, DatabaseUpdateError> {
        let entry = match base {
            Base::Published(entry) => entry,
            Base::Downloaded { file, .. } => return Ok(Some(file.into())),
        };
        match read_body(self.store, entry).await {
            Ok(file) => Ok(Some(file.into())),
            Err(error) if error.is_lost_body() => {
                tracing::error!(cause = error_chain(&error), "published database lost; downloading the whole");
                Ok(None)
            }
            Err(source) => Err(DatabaseUpdateError::Published { database: database.to_string(), source }),
        }
    }

    /// Downloads one CDIFF and verifies its signatures.
    async fn fetch_cdiff(&self, database: &DatabaseName, version: DatabaseVersion) -> CdiffFetch {
        let name = format!("{database}-{}.cdiff", version.0);
        let bytes = match self.mirrors.fetch(&name, MAX_CDIFF_BYTES).await {
            Ok(bytes) => bytes,
            Err(MirrorError::Missing { .. }) => return CdiffFetch::Missing,
            Err(error) => return CdiffFetch::Unreachable(error),
        };
        let verified = match Cdiff::parse(&bytes).and_then(|cdiff| cdiff.verify(version, self.trust_anchors)) {
            Ok(verified) => verified,
            Err(CdiffError::Empty) => return CdiffFetch::Empty,
            Err(error) => return CdiffFetch::Unusable(error.into()),
        };
        let mut files = BTreeMap::new();
        let sign = format!("{name}.sign");
        match self.mirrors.fetch_optional(&sign, MAX_SIGN_BYTES).await {
            Ok(Some(signature)) => match self.check_detached(&signature, &bytes) {
                Ok(true) => drop(files.insert(sign, signature)),
                Ok(false) => {}
                Err(error) => return CdiffFetch::Unusable(error.into()),
            },
            Ok(None) => {}
            Err(error) => return CdiffFetch::Unreachable(error),
        }
        files.insert(name, bytes);
        CdiffFetch::Signed(SignedCdiff { script: verified.script, files })
    }

    /// Packs what scripts made, and verifies it as if it had come from a mirror.
    pub(super) fn pack(
        &self,
        database: &DatabaseName,
        members: Unpacked<'_>,
    ) -> Result<(VerifiedCvd, Vec<u8>), UnusableResult> {
        let cld = members.to_cld(database)?;
        // Before the check, which takes its own time: the members may be as large as the database.
        drop(members);
        let cvd = Cvd::parse_as(ContainerKind::Cld, &cld).map_err(VerifyError::from)?;
        let verified = cvd.verify(database, self.trust_anchors, ArchiveLimits::default())?;
        Ok((verified, cld))
    }
}

fn unpack<'a>(base: &DatabaseEntry, file: &'a [u8]) -> Result<Unpacked<'a>, VerifyError> {
    Ok(Cvd::parse_as(base.kind, file)?.unpack(ArchiveLimits::default())?)
}

fn unusable(database: &DatabaseName, version: DatabaseVersion, error: &UnusableCdiff) -> CdiffOutcome {
    let (database, version) = (database.as_str(), version.0);
    tracing::warn!(database, version, cause = error_chain(error), "CDIFF cannot be used");
    CdiffOutcome::Unusable
}
