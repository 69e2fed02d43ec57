//! Downloads and verifies whole databases.

use std::collections::BTreeMap;

use nacre_clamav::{
    archive::ArchiveLimits,
    cvd::{Cvd, VerifiedCvd},
    database::{ContainerKind, DatabaseName},
};
use nacre_core::port::DefinitionsStore;

use super::{DatabaseUpdateError, DatabaseUpdater, MAX_SIGN_BYTES};
use crate::mirror::{Advertised, MirrorError};

/// A whole database, verified.
#[derive(Debug)]
pub struct FullDatabase {
    /// What it is.
    pub verified: VerifiedCvd,
    /// Its bytes.
    pub file: Vec<u8>,
    /// Its detached signature, by name, where there is one that was checked.
    pub signed_files: BTreeMap<String, Vec<u8>>,
}

impl<Store: DefinitionsStore> DatabaseUpdater<'_, Store> {
    /// Downloads and verifies a whole database, with its detached signature where there is one: from the first mirror that has
    /// the advertised version or a newer one, valid; otherwise the newest that any has.
    ///
    /// # Errors
    /// [`DatabaseUpdateError`].
    pub async fn fetch_full(
        &self,
        database: &DatabaseName,
        advertised: Advertised,
    ) -> Result<FullDatabase, DatabaseUpdateError> {
        let (mut best, mut failure): (Option<FullDatabase>, Option<DatabaseUpdateError>) = (None, None);
        for mirror in 0..self.mirrors.count() {
            match self.fetch_full_from(mirror, database, advertised.kind).await {
                Ok(full) if full.verified.header.version >= advertised.version => return Ok(full),
                Ok(full) => {
                    let version = full.verified.header.version;
                    best = best.filter(|best| best.verified.header.version >= version).or(Some(full));
                }
                // A mirror that does not respond must not hide what another one serves.
                Err(DatabaseUpdateError::Mirror { .. }) if matches!(failure, Some(ref error) if !error.is_missing()) => {
                }
                Err(error) => failure = Some(error),
            }
        }
        let none = || DatabaseUpdateError::Mirror {
            database: database.to_string(),
            source: MirrorError::Missing { file: format!("{database}.{}", advertised.kind.extension()) },
        };
        best.ok_or_else(|| failure.unwrap_or_else(none))
    }

    async fn fetch_full_from(
        &self,
        mirror: usize,
        database: &DatabaseName,
        kind: ContainerKind,
    ) -> Result<FullDatabase, DatabaseUpdateError> {
        let name = format!("{database}.{}", kind.extension());
        let not_fetched = |source| DatabaseUpdateError::Mirror { database: database.to_string(), source };
        let file = self.mirrors.fetch_from(mirror, &name, self.max_database_bytes).await.map_err(not_fetched)?;
        let verified = self.verify_whole(database, kind, &file)?;
        let version = verified.header.version;
        let mut signed_files = BTreeMap::new();
        if kind == ContainerKind::Cvd {
            let sign = format!("{database}-{}.cvd.sign", version.0);
            if let Some(signature) = self.mirrors.fetch_optional(&sign, MAX_SIGN_BYTES).await.map_err(not_fetched)? {
                signed_files.extend(self.vouched_for(sign, signature, &file)?);
            }
        }
        Ok(FullDatabase { verified, file, signed_files })
    }

    /// Verifies a whole database as its makers signed it.
    pub(super) fn verify_whole(
        &self,
        database: &DatabaseName,
        kind: ContainerKind,
        file: &[u8],
    ) -> Result<VerifiedCvd, DatabaseUpdateError> {
        let invalid = |version: String| {
            let file = format!("{database}.{}", kind.extension());
            move |source| DatabaseUpdateError::Verify { file, version, source }
        };
        let cvd = Cvd::parse_as(kind, file).map_err(|error| invalid("unknown".into())(error.into()))?;
        let version = cvd.header().version;
        cvd.verify(database, self.trust_anchors, ArchiveLimits::default()).map_err(invalid(version.0.to_string()))
    }

    /// A detached signature to pass on, by name; `None` when nobody here can verify it.
    pub(super) fn vouched_for(
        &self,
        file: String,
        signature: Vec<u8>,
        content: &[u8],
    ) -> Result<Option<(String, Vec<u8>)>, DatabaseUpdateError> {
        match self.check_detached(&signature, content) {
            Ok(vouched) => Ok(vouched.then_some((file, signature))),
            Err(source) => Err(DatabaseUpdateError::Detached { file, source }),
        }
    }
}
