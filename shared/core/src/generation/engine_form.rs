//! The form in which an engine loads a verified container.
//!
//! libclamav checks `.cvd` and `.cld` against ClamAV's keys, which are built into it, and the signature in an `.info`
//! wherever it finds one. What was verified under other anchors is therefore handed over as `.cud`, without signatures:
//! unsigned in libclamav's eyes, so that its signatures' names end in `.UNOFFICIAL` and its bytecode is not run.

use std::borrow::Cow;

use nacre_clamav::{
    archive::ArchiveLimits,
    cvd::{Cvd, CvdHeader, HeaderError},
    unpacked::UnpackError,
};

use super::manifest::DatabaseEntry;

/// Why a container has no form for an engine; one that was verified always has.
#[derive(Debug, thiserror::Error)]
pub enum EngineFormError {
    /// The header is not one.
    #[error("the header is not valid")]
    Header(#[from] HeaderError),
    /// The payload cannot be unpacked.
    #[error("the database cannot be unpacked")]
    Unpack(#[from] UnpackError),
}

/// File name and content of a verified container as an engine loads it: as it is when ClamAV signed it, else unsigned.
///
/// # Errors
/// [`EngineFormError`].
pub fn engine_form<'a>(
    database: &DatabaseEntry,
    file: &'a [u8],
    signed_by_clamav: bool,
) -> Result<(String, Cow<'a, [u8]>), EngineFormError> {
    if signed_by_clamav {
        return Ok((database.file_name(), Cow::Borrowed(file)));
    }
    let cvd = Cvd::parse(file)?;
    let mut unpacked = cvd.unpack(ArchiveLimits::default())?;
    if let Some(info) = unpacked.members.get_mut(&format!("{}.info", database.name)) {
        *info = without_signature(info).into();
    }
    let header = CvdHeader { md5: None, dsig: None, ..cvd.header().clone() };
    Ok((format!("{}.cud", database.name), Cow::Owned(unpacked.after(&header, &database.name))))
}

/// An `.info` up to its signature.
fn without_signature(info: &[u8]) -> Vec<u8> {
    let lines = info.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"DSIG:"));
    lines.flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nacre_clamav::{builder::CvdBuilder, database::DatabaseName, signing::SigningKeys};

    #[test]
    fn the_unsigned_form_has_the_same_members_and_no_signature() {
        let keys = SigningKeys::fixed();
        let file = CvdBuilder::new("daily").version(3).member("daily.ndb", "A:0:*:6161616161\n").build(keys);
        let name = DatabaseName::new("daily").unwrap();
        let verified =
            Cvd::parse(&file).unwrap().verify(&name, &keys.trust_anchors(), ArchiveLimits::default()).unwrap();
        let entry = DatabaseEntry::of(&verified);

        let (as_it_is, bytes) = engine_form(&entry, &file, true).unwrap();
        assert_eq!((as_it_is.as_str(), &*bytes), ("daily.cvd", file.as_slice()));

        let (unsigned, bytes) = engine_form(&entry, &file, false).unwrap();
        assert_eq!(unsigned, "daily.cud");
        let cvd = Cvd::parse(&bytes).unwrap();
        assert_eq!((cvd.header().version, &cvd.header().dsig), (verified.header.version, &None));
        let unpacked = cvd.unpack(ArchiveLimits::default()).unwrap();
        assert_eq!(unpacked.members.keys().collect::<Vec<_>>(), ["COPYING", "daily.info", "daily.ndb"]);
        assert!(!std::str::from_utf8(&unpacked.members["daily.info"]).unwrap().contains("DSIG"));
    }

    #[test]
    fn the_unsigned_form_begins_as_libclamav_knows_a_plain_payload() {
        let keys = SigningKeys::fixed();
        let last = CvdBuilder::new("daily").member("daily.ndb", "A:0:*:6161616161\n").drop_after_signing("COPYING");
        let file = last.add_after_signing("COPYING", "Made for a test.\n").build(keys);
        let name = DatabaseName::new("daily").unwrap();
        let verified =
            Cvd::parse(&file).unwrap().verify(&name, &keys.trust_anchors(), ArchiveLimits::default()).unwrap();
        let (_, bytes) = engine_form(&DatabaseEntry::of(&verified), &file, false).unwrap();
        assert!(Cvd::parse(&bytes).unwrap().payload().starts_with(b"COPYING"));
    }
}
