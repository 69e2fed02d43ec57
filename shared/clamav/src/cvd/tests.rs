//! Every way in which a container can be wrong, and the real ones that are right.

use proptest::prelude::*;

use super::*;
use crate::{
    builder::{CvdBuilder, shared_data},
    database::{DatabaseVersion, FunctionalityLevel},
    signing::SigningKeys,
};

fn builder() -> CvdBuilder {
    CvdBuilder::new("daily").version(7).member("daily.ndb", "Test.A:0:*:6162636465666768\n").member("daily.hdb", "x\n")
}

fn verify(file: &[u8]) -> Result<VerifiedCvd, VerifyError> {
    verify_as("daily", file, &SigningKeys::fixed().trust_anchors())
}

fn verify_as(name: &str, file: &[u8], anchors: &TrustAnchors) -> Result<VerifiedCvd, VerifyError> {
    Cvd::parse(file)?.verify(&DatabaseName::new(name).unwrap(), anchors, ArchiveLimits::default())
}

#[test]
fn what_was_signed_is_verified() {
    let file = builder().build(SigningKeys::fixed());
    let cvd = verify(&file).unwrap();
    assert_eq!((cvd.header.version, cvd.header.signatures, cvd.size), (DatabaseVersion(7), 2, file.len() as u64));
    assert_eq!(cvd.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["daily.hdb", "daily.ndb"]);
}

#[test]
fn a_damaged_or_truncated_file_is_refused() {
    let file = builder().build(SigningKeys::fixed());
    let mut flipped = file.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(verify(&flipped), Err(VerifyError::Md5 { .. })));
    assert!(matches!(verify(&file[..file.len() - 1]), Err(VerifyError::Md5 { .. })));
    assert!(matches!(verify(&file[..100]), Err(VerifyError::Header(HeaderError::Truncated(100)))));
}

#[test]
fn a_file_signed_by_others_is_refused() {
    let file = builder().build(SigningKeys::fixed());
    let error = verify_as("daily", &file, &TrustAnchors::clamav()).unwrap_err();
    assert!(matches!(error, VerifyError::Dsig { .. }));
    assert_eq!(error.to_string(), "the header's signature does not hold under the keys of clamav");
    let unsigned = builder().unsigned().build(SigningKeys::fixed());
    assert!(matches!(verify(&unsigned), Err(VerifyError::Unsigned)));
}

#[test]
fn an_info_signed_by_others_is_refused() {
    let file = builder().wrong_info_signature().build(SigningKeys::fixed());
    assert!(matches!(verify(&file), Err(VerifyError::InfoDsig { .. })));
}

#[test]
fn the_members_are_exactly_the_signed_ones() {
    let keys = SigningKeys::fixed();
    let missing = builder().drop_after_signing("daily.ndb").build(keys);
    assert!(matches!(verify(&missing), Err(VerifyError::Missing(names)) if names == "daily.ndb"));
    let unlicensed = builder().drop_after_signing("COPYING").build(keys);
    assert!(matches!(verify(&unlicensed), Err(VerifyError::Missing(names)) if names == "COPYING"));
    let unlisted = builder().add_after_signing("daily.ldb", "x\n").build(keys);
    assert!(matches!(verify(&unlisted), Err(VerifyError::Unlisted(names)) if names == "daily.ldb"));
    let changed = builder().drop_after_signing("daily.ndb").add_after_signing("daily.ndb", "y\n").build(keys);
    assert!(matches!(verify(&changed), Err(VerifyError::Member(name)) if name == "daily.ndb"));
    let twice = builder().add_after_signing("daily.ndb", "y\n").build(keys);
    assert!(matches!(verify(&twice), Err(VerifyError::Twice(name)) if name == "daily.ndb"));
}

#[test]
fn what_cannot_be_unpacked_within_limits_is_refused() {
    let file = builder().build(SigningKeys::fixed());
    let limits = ArchiveLimits { members: 3, ..ArchiveLimits::default() };
    let name = DatabaseName::new("daily").unwrap();
    let verdict = Cvd::parse(&file).unwrap().verify(&name, &SigningKeys::fixed().trust_anchors(), limits);
    assert!(matches!(verdict, Err(VerifyError::Archive(ArchiveError::TooMany(3)))));
}

#[test]
fn another_database_under_this_name_is_refused() {
    let file = CvdBuilder::new("main").member("main.ndb", "x\n").build(SigningKeys::fixed());
    assert!(matches!(verify(&file), Err(VerifyError::NoInfo(name)) if name == "daily.info"));
}

#[test]
fn header_and_info_must_agree() {
    let file = builder().header_version(8).build(SigningKeys::fixed());
    assert!(matches!(verify(&file), Err(VerifyError::Disagreement)));
}

#[test]
fn malformed_headers_have_errors_of_their_own() {
    let parse = |line: &str| {
        let mut bytes = line.as_bytes().to_vec();
        bytes.resize(HEADER_BYTES, b' ');
        CvdHeader::parse(&bytes).unwrap_err()
    };
    let good = "ClamAV-VDB:t:1:2:3:X:X:b:4";
    assert_eq!(parse(&good.replace("VDB", "XDB")), HeaderError::Magic);
    assert_eq!(parse(&good.replace(":4", "")), HeaderError::Fields(8));
    assert_eq!(parse(&good.replace(":1:", ":-1:")), HeaderError::Field("version"));
    assert_eq!(parse(&good.replace(":4", ":4x")), HeaderError::Field("build time"));
    assert_eq!(parse(&good.replace("X:X", "x:X")), HeaderError::Field("MD5"));
    assert_eq!(parse("ClamAV-VDB:\n"), HeaderError::NotPrintable);
}

#[test]
fn clamavs_own_test_databases_verify_under_clamavs_keys() {
    let Some(directory) = shared_data("freshclam") else { return };
    for version in 1..=3 {
        let file = std::fs::read(directory.join(format!("test-{version}.cvd"))).unwrap();
        let cvd = verify_as("test", &file, &TrustAnchors::clamav()).unwrap();
        assert_eq!(cvd.header.version, DatabaseVersion(version));
    }
}

proptest! {
    #[test]
    fn headers_survive_their_bytes(
        time in "[A-Za-z0-9 +-]{1,30}", version: u32, signatures: u32, level: u32, signed: bool, builder in "[a-z]{1,10}", stime: u64,
    ) {
        let header = CvdHeader {
            time, version: DatabaseVersion(version), signatures, functionality_level: FunctionalityLevel(level),
            md5: signed.then(|| "0a".repeat(16)), dsig: signed.then(|| "abc".into()), builder, stime,
        };
        prop_assert_eq!(CvdHeader::parse(&header.to_bytes()), Ok(header));
    }

    #[test]
    fn no_bytes_panic_the_verifier(bytes: Vec<u8>, at in 0_usize..2000, value: u8) {
        let _ = verify(&bytes);
        let mut file = builder().build(SigningKeys::fixed());
        let (at, header) = (at % file.len(), CvdHeader::parse(&file).unwrap());
        let changed = file[at] != value;
        file[at] = value;
        if let Ok(cvd) = verify(&file) {
            // Only the builder's name and the spelling of the time are vouched for by nothing.
            prop_assert!(!changed || at < HEADER_BYTES);
            prop_assert!(cvd.header.md5 == header.md5 && cvd.header.agrees_with(&header));
        }
    }
}
