//! Takes over a database that another client fetched: it is verified as if a mirror had served it.

use std::collections::BTreeMap;

use nacre_clamav::{
    archive::ArchiveLimits,
    cvd::{Cvd, VerifyError},
    database::{ContainerKind, DatabaseName},
};
use nacre_core::port::DefinitionsStore;

use super::{DatabaseUpdateError, DatabaseUpdater, StagedDatabase};

/// A file of another client's.
#[derive(Debug)]
pub struct Adopted {
    /// By its name.
    pub kind: ContainerKind,
    /// Its bytes.
    pub file: Vec<u8>,
    /// Whether it is a CLD that the other client made by CDIFFs.
    pub patched: bool,
}

impl<Store: DefinitionsStore> DatabaseUpdater<'_, Store> {
    /// Verifies and stages a file. A CLD that the other client made is packed anew, in our order of members, so that the same
    /// version has the same bytes whoever applied its CDIFFs. `signature` finds a detached signature by its name.
    ///
    /// # Errors
    /// [`DatabaseUpdateError`].
    pub fn adopt(
        &self,
        database: &DatabaseName,
        adopted: Adopted,
        signature: impl FnOnce(&str) -> Option<Vec<u8>>,
    ) -> Result<(StagedDatabase, BTreeMap<String, Vec<u8>>), DatabaseUpdateError> {
        let Adopted { kind, file, patched } = adopted;
        let verified = self.verify_whole(database, kind, &file)?;
        if patched {
            let (name, version) = (format!("{database}.cld"), verified.header.version.0.to_string());
            let members = Cvd::parse_as(kind, &file).map_err(VerifyError::from);
            let members = members.and_then(|cld| Ok(cld.unpack(ArchiveLimits::default())?));
            let members =
                members.map_err(|source| DatabaseUpdateError::Verify { file: name.clone(), version, source })?;
            let packed = self.pack(database, members);
            let (verified, file) = packed.map_err(|source| DatabaseUpdateError::Repack { file: name, source })?;
            return Ok((self.stage(&verified, &file)?, BTreeMap::new()));
        }
        let mut signed_files = BTreeMap::new();
        if kind == ContainerKind::Cvd {
            let sign = format!("{database}-{}.cvd.sign", verified.header.version.0);
            if let Some(signature) = signature(&sign) {
                signed_files.extend(self.vouched_for(sign, signature, &file)?);
            }
        }
        Ok((self.stage(&verified, &file)?, signed_files))
    }
}
