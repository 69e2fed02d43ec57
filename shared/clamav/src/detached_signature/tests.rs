use std::{path::Path, process::Command};

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::builder::{
    certificates::{
        CertificateSpec, DIGITAL_SIGNATURE, Fault, KEY_CERT_SIGN, KeyKind, NON_REPUDIATION, SigningCertificates,
    },
    shared_data,
};

const CONTENT: &[u8] = b"ClamAV-VDB: whatever is in it";

const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";
const EMAIL_PROTECTION: &str = "1.3.6.1.5.5.7.3.4";
const ANY_PURPOSE: &str = "2.5.29.37.0";
const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
const NAME_CONSTRAINTS: &str = "2.5.29.30";
const POLICIES: &str = "2.5.29.32";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";

fn day(text: &str) -> DateTime<Utc> {
    format!("{text}T00:00:00Z").parse().unwrap()
}

fn today() -> DateTime<Utc> {
    day("2026-01-01")
}

fn check(file: &[u8], content: &[u8], root: &RootCertificate) -> Result<Detached, DetachedError> {
    verify(file, content, root, FUNCTIONALITY_LEVEL, today())
}

#[expect(clippy::unnecessary_wraps, reason = "it is what verifying returns")]
fn signed() -> Result<Detached, DetachedError> {
    Ok(Detached::Signed { signer: "Test Signer".into() })
}

fn wrong(source: SignedDataError) -> Result<Detached, DetachedError> {
    Err(DetachedError::Signature { line: 2, source })
}

fn no_chain(subject: &str, source: CertificateError) -> Result<Detached, DetachedError> {
    wrong(SignedDataError::Chain(ChainError::Certificate { subject: subject.into(), source }))
}

fn no_issuer(subject: &str, issuer: &str) -> Result<Detached, DetachedError> {
    let (subject, issuer) = (subject.into(), format!("CN={issuer}"));
    wrong(SignedDataError::Chain(ChainError::NoIssuer { subject, issuer }))
}

/// A chain that differs from the right one.
fn chain(change: impl FnOnce(&mut Vec<CertificateSpec>)) -> SigningCertificates {
    let mut specs = SigningCertificates::specs();
    change(&mut specs);
    SigningCertificates::issue(specs)
}

/// A chain whose n-th certificate differs from the right one.
fn with(at: usize, change: impl FnOnce(&mut CertificateSpec)) -> SigningCertificates {
    chain(|specs| change(&mut specs[at]))
}

fn intermediates(count: usize) -> SigningCertificates {
    chain(|specs| {
        specs.splice(1..2, (0..count).map(|number| CertificateSpec::authority(&format!("Intermediate {number}"))));
    })
}

/// A signature of [`CONTENT`], and what is to be said of it.
struct Case {
    name: String,
    file: Vec<u8>,
    root: SigningCertificates,
    expected: Result<Detached, DetachedError>,
    /// Whether OpenSSL takes it.
    openssl: bool,
}

fn case(name: &str, root: SigningCertificates, expected: Result<Detached, DetachedError>) -> Case {
    let openssl = expected.is_ok();
    Case { name: name.into(), file: root.sign(CONTENT), root, expected, openssl }
}

/// A case in which OpenSSL, and so ClamAV, says the opposite.
fn unlike_openssl(case: Case) -> Case {
    Case { openssl: !case.openssl, ..case }
}

fn right_chains() -> Vec<Case> {
    let of = |kind: KeyKind| chain(|specs| specs.iter_mut().for_each(|spec| spec.key = kind));
    let policies = || (POLICIES, true, vec![0x30, 0x06, 0x30, 0x04, 0x06, 0x02, 0x2a, 0x03]);
    let harmless = (SUBJECT_KEY_IDENTIFIER, false, vec![0x04, 0x01, 0x07]);
    let both = vec![CODE_SIGNING, EMAIL_PROTECTION];
    let bare = |spec: &mut CertificateSpec| (spec.usage, spec.purposes) = (None, None);
    let copied = SigningCertificates::generate();
    let copy = copied.certificates();
    let decoyed = SigningCertificates::generate();
    let (decoy, own) = (SigningCertificates::generate().certificates(), decoyed.certificates());
    let beside = SigningCertificates::generate();
    let stranger = with(1, |spec| spec.subject = "Other Intermediate".into()).certificates().remove(2);
    let strange = [vec![stranger], beside.certificates()].concat();
    vec![
        case("P-256", of(KeyKind::P256), signed()),
        case("P-384", of(KeyKind::P384), signed()),
        case("RSA, SHA-256", of(KeyKind::RsaSha256), signed()),
        case("RSA, SHA-512", of(KeyKind::RsaSha512), signed()),
        case("signer below the root", intermediates(0), signed()),
        case("three intermediates", intermediates(3), signed()),
        case("a signer's usage is commitment", with(2, |spec| spec.usage = Some(NON_REPUDIATION)), signed()),
        case("several purposes", with(2, |spec| spec.purposes = Some(both)), signed()),
        case("no usage and no purpose", chain(|specs| specs.iter_mut().for_each(bare)), signed()),
        case("a critical policy", with(1, |spec| spec.extensions.push(policies())), signed()),
        case("a harmless extension", with(2, |spec| spec.extensions.push(harmless)), signed()),
        case("path length that is kept", with(0, |spec| spec.constraints = Some((true, Some(1)))), signed()),
        case("path length nought", with(1, |spec| spec.constraints = Some((true, Some(0)))), signed()),
        case("a root of the first version", with(0, |spec| (spec.constraints, spec.usage) = (None, None)), signed()),
        case("the root comes along", copied.embedding(copy), signed()),
        case("another issuer's certificate of the same number", beside.embedding(strange), signed()),
        // OpenSSL settles for the first issuer of the right name, and so lets anybody's certificate spoil a signature.
        unlike_openssl(case("a decoy", decoyed.embedding([&decoy[1..2], &own[1..]].concat()), signed())),
        // Validity includes its last second (RFC 5280 §4.1.2.5), of which OpenSSL has another opinion.
        unlike_openssl(case("a signer in its last second", with(2, |spec| spec.years = (2000, 2026)), signed())),
        // OpenSSL takes a self-issued certificate without key identifiers for a root.
        unlike_openssl(case(
            "a self-issued intermediate does not count",
            chain(|specs| {
                specs[0].constraints = Some((true, Some(1)));
                specs.insert(2, CertificateSpec::authority("Test Intermediate"));
            }),
            signed(),
        )),
    ]
}

fn wrong_chains() -> Vec<Case> {
    use CertificateError as E;
    let signer = |error| no_chain("Test Signer", error);
    let intermediate = |error| no_chain("Test Intermediate", error);
    let root = |error| no_chain("Test Root", error);
    let extension = |name, critical, value: &[u8]| (name, critical, value.to_vec());
    let critical = E::CriticalExtension(NAME_CONSTRAINTS.parse().unwrap());
    let end = || extension(BASIC_CONSTRAINTS, true, &[0x30, 0x00]);
    let alone = SigningCertificates::generate();
    let only_signer = alone.certificates()[2..].to_vec();
    let empty = SigningCertificates::generate().embedding(Vec::new());
    let crowd = SigningCertificates::generate();
    let crowded = [crowd.certificates(), vec![crowd.certificates().remove(0); 6]].concat();
    vec![
        case("an expired signer", with(2, |spec| spec.years = (2000, 2025)), signer(E::Expired)),
        case("a signer of tomorrow", with(2, |spec| spec.years = (2027, 2100)), signer(E::NotYetValid)),
        case("an expired intermediate", with(1, |spec| spec.years = (2000, 2025)), intermediate(E::Expired)),
        case("an intermediate of tomorrow", with(1, |spec| spec.years = (2027, 2100)), intermediate(E::NotYetValid)),
        case("an expired root", with(0, |spec| spec.years = (2000, 2025)), root(E::Expired)),
        case("a root of tomorrow", with(0, |spec| spec.years = (2027, 2100)), root(E::NotYetValid)),
        case("an issuer that is no authority", with(1, |spec| spec.constraints = Some((false, None))), {
            intermediate(E::NotAuthority)
        }),
        case("an issuer that says nothing", with(1, |spec| spec.constraints = None), intermediate(E::NotAuthority)),
        case("an issuer for content", with(1, |spec| spec.usage = Some(DIGITAL_SIGNATURE)), {
            intermediate(E::NotForCertificates)
        }),
        case("a signer for certificates", with(2, |spec| spec.usage = Some(KEY_CERT_SIGN)), signer(E::NotForContent)),
        case("a signer of code", with(2, |spec| spec.purposes = Some(vec![CODE_SIGNING])), signer(E::Purpose)),
        case("a signer of anything", with(2, |spec| spec.purposes = Some(vec![ANY_PURPOSE])), signer(E::Purpose)),
        case("an issuer of code", with(1, |spec| spec.purposes = Some(vec![CODE_SIGNING])), intermediate(E::Purpose)),
        unlike_openssl(case(
            "an unheeded critical extension of the signer",
            with(2, |spec| spec.extensions.push(extension(NAME_CONSTRAINTS, true, &[0x30, 0x00]))),
            signer(critical.clone()),
        )),
        unlike_openssl(case(
            "an unheeded critical extension of the issuer",
            with(1, |spec| spec.extensions.push(extension(NAME_CONSTRAINTS, true, &[0x30, 0x00]))),
            intermediate(critical),
        )),
        case(
            "an unknown critical extension",
            with(2, |spec| spec.extensions.push(extension("1.2.3.4", true, &[0x05, 0x00]))),
            signer(E::CriticalExtension("1.2.3.4".parse().unwrap())),
        ),
        case("an extension twice", with(1, |spec| spec.extensions.push(end())), intermediate(E::Extensions)),
        case(
            "an extension that cannot be read",
            with(1, |spec| {
                spec.constraints = None;
                spec.extensions.push(extension(BASIC_CONSTRAINTS, true, &[0x30, 0x01]));
            }),
            intermediate(E::Extensions),
        ),
        case(
            "too long a path below the root",
            with(0, |spec| spec.constraints = Some((true, Some(0)))),
            root(E::PathLength),
        ),
        case(
            "too long a path below an intermediate",
            chain(|specs| {
                specs[1].constraints = Some((true, Some(0)));
                specs.insert(2, CertificateSpec::authority("Second Intermediate"));
            }),
            intermediate(E::PathLength),
        ),
        unlike_openssl(case(
            "four intermediates",
            intermediates(4),
            wrong(SignedDataError::Chain(ChainError::TooLong)),
        )),
        case(
            "an issuer that is not there",
            alone.embedding(only_signer),
            no_issuer("Test Signer", "Test Intermediate"),
        ),
        case(
            "another issuer's name",
            with(2, |spec| spec.issuer = Some("Nobody".into())),
            no_issuer("Test Signer", "Nobody"),
        ),
        case("no certificate", empty, wrong(SignedDataError::NoSigner)),
        unlike_openssl(case(
            "nine certificates",
            crowd.embedding(crowded),
            wrong(SignedDataError::TooManyCertificates),
        )),
    ]
}

fn wrong_signed_data() -> Vec<Case> {
    use Fault as F;
    use SignedDataError as E;
    let faults = [
        (F::OtherContentInfo, E::ContentType, false),
        (F::Version, E::Version(3), true),
        (F::SignerVersion, E::Version(3), true),
        (F::Attached, E::Attached, true),
        (F::OtherContent, E::ContentType, true),
        (F::OtherContentType, E::ContentType, true),
        (F::NoAttributes, E::NoSignedAttributes, true),
        (F::NoContentType, E::SignedAttributes, false),
        (F::NoDigest, E::SignedAttributes, false),
        (F::TwoDigests, E::SignedAttributes, false),
        (F::WrongDigest, E::Content, false),
        (F::WeakDigest, E::DigestAlgorithm, false),
        (F::WeakSignature, E::SignatureAlgorithm, true),
        (F::OtherDigest, E::SignatureAlgorithm, true),
        (F::OtherAnnouncement, E::DigestAlgorithm, false),
        (F::WrongSignature, E::Signature, false),
        (F::NoSigner, E::Signers(0), false),
        (F::TwoSigners, E::Signers(2), true),
        (F::OtherSerial, E::NoSigner, false),
    ];
    let faults = faults.map(|(fault, error, openssl)| {
        let root = SigningCertificates::generate();
        let file = root.sign_wrong(CONTENT, fault);
        Case { name: format!("{fault:?}"), file, root, expected: wrong(error), openssl }
    });
    faults.into()
}

fn cases() -> impl Iterator<Item = Case> {
    right_chains().into_iter().chain(wrong_chains()).chain(wrong_signed_data())
}

#[test]
fn only_a_signature_that_is_right_in_every_way_vouches() {
    for (case, number) in cases().zip(0..) {
        let actual = check(&case.file, CONTENT, &case.root.root());
        assert_eq!(actual, case.expected, "{number}: {}", case.name);
    }
}

#[test]
fn a_signature_vouches_for_its_own_content_only() {
    let certificates = SigningCertificates::fixed();
    let (file, root) = (certificates.sign(CONTENT), certificates.root());
    assert_eq!(check(&file, CONTENT, &root), signed());
    assert_eq!(check(&file, b"other content", &root), wrong(SignedDataError::Content));
    assert_eq!(check(&certificates.sign(b""), b"", &root), signed());
}

#[test]
fn a_sha_256_does_for_the_content() {
    let sha256 = |content: &[u8]| <[u8; 32]>::from(Sha256::digest(content));
    let check = |certificates: &SigningCertificates, digest: &[u8; 32]| {
        verify_sha256(&certificates.sign(CONTENT), digest, &certificates.root(), FUNCTIONALITY_LEVEL, today())
    };
    let certificates = SigningCertificates::fixed();
    assert_eq!(check(certificates, &sha256(CONTENT)), signed());
    assert_eq!(check(certificates, &sha256(b"other content")), wrong(SignedDataError::Content));
    let longer = with(2, |spec| spec.key = KeyKind::P384);
    assert_eq!(check(&longer, &sha256(CONTENT)), wrong(SignedDataError::NotSha256));
}

#[test]
fn another_root_of_the_same_name_is_another_root() {
    let certificates = SigningCertificates::fixed();
    let other = SigningCertificates::generate();
    let expected = no_chain("Test Intermediate", CertificateError::Signature);
    assert_eq!(check(&certificates.sign(CONTENT), CONTENT, &other.root()), expected);
    // Not even when the whole of the other chain comes along, its root too.
    let along = SigningCertificates::generate();
    let all = along.certificates();
    let expected = no_chain("Test Root", CertificateError::Signature);
    assert_eq!(check(&along.embedding(all).sign(CONTENT), CONTENT, &other.root()), expected);
}

#[test]
fn authorities_that_issue_each_other_lead_nowhere() {
    // Two certificates of one name and key can follow each other forever, were one taken twice.
    let looped = chain(|specs| {
        specs[0].subject = "Elsewhere".into();
        specs[1].issuer = Some("Test Intermediate".into());
    });
    let expected = no_issuer("Test Intermediate", "Test Intermediate");
    assert_eq!(check(&looped.sign(CONTENT), CONTENT, &looped.root()), expected);
}

#[test]
fn a_root_must_be_one_that_others_may_chain_to() {
    use CertificateError as E;
    let root = |change: fn(&mut CertificateSpec)| RootCertificate::from_pem(&with(0, change).root_pem()).map(|_| ());
    assert_eq!(root(|_| ()), Ok(()));
    assert_eq!(root(|spec| spec.constraints = Some((false, None))), Err(E::NotAuthority));
    assert_eq!(root(|spec| spec.constraints = None), Err(E::NotAuthority));
    assert_eq!(root(|spec| spec.usage = Some(DIGITAL_SIGNATURE)), Err(E::NotForCertificates));
    assert_eq!(root(|spec| spec.purposes = Some(vec![CODE_SIGNING])), Err(E::Purpose));
    let unknown = root(|spec| spec.extensions.push((NAME_CONSTRAINTS, true, vec![0x30, 0x00])));
    assert_eq!(unknown, Err(E::CriticalExtension(NAME_CONSTRAINTS.parse().unwrap())));

    let pem = SigningCertificates::fixed().root_pem();
    assert_eq!(RootCertificate::from_pem(&pem).map(|root| root.to_pem()), Ok(pem.clone()));
    let bulk = |bytes| with(0, |spec| spec.extensions.push((SUBJECT_KEY_IDENTIFIER, false, vec![0; bytes]))).root_pem();
    assert!(RootCertificate::from_pem(&bulk(11 << 10)).is_ok());
    let (label, long) = (pem.replace("CERTIFICATE", "PUBLIC KEY"), bulk(12 << 10));
    for text in ["", "certificate", &label, &long, &pem.repeat(2)] {
        assert_eq!(RootCertificate::from_pem(text), Err(E::Pem), "{text}");
    }
    let shape = RootCertificate::from_pem(&pem.replace("MII", "MIH"));
    assert!(matches!(shape, Err(E::Shape(_) | E::Pem)), "{shape:?}");
}

#[test]
fn a_certificate_names_one_good_algorithm() {
    // ecdsa-with-SHA256 is named inside of what is signed and, last, outside of it; its last byte says which SHA.
    let name = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let changed = |kind: u8, inside: bool| {
        let certificates = SigningCertificates::generate();
        let mut all = certificates.certificates();
        let signer = all.last_mut().unwrap();
        let named: Vec<usize> = (0..signer.len()).filter(|at| signer[*at..].starts_with(&name)).collect();
        let [within, outside] = named[..] else { panic!("named {} times", named.len()) };
        signer[outside + name.len() - 1] = kind;
        if inside {
            signer[within + name.len() - 1] = kind;
        }
        let certificates = certificates.embedding(all);
        check(&certificates.sign(CONTENT), CONTENT, &certificates.root())
    };
    let (sha_224, sha_384) = (1, 3);
    assert_eq!(changed(sha_224, true), no_chain("Test Signer", CertificateError::Algorithm));
    assert_eq!(changed(sha_384, false), no_chain("Test Signer", CertificateError::Algorithm));
    assert_eq!(changed(sha_384, true), no_chain("Test Signer", CertificateError::Signature));
}

#[test]
fn a_signature_is_for_the_levels_that_it_names() {
    let level = |window: &str, level: u32| {
        let certificates = SigningCertificates::generate().window(window);
        verify(&certificates.sign(CONTENT), CONTENT, &certificates.root(), FunctionalityLevel(level), today())
    };
    for (window, least, greatest) in [("230:", 230, u32::MAX), ("0:240", 0, 240), ("233:233", 233, 233)] {
        assert_eq!(level(window, least), signed(), "{window}");
        assert_eq!(level(window, greatest), signed(), "{window}");
        if let Some(below) = least.checked_sub(1) {
            assert_eq!(level(window, below), Ok(Detached::NotForUs), "{window}");
        }
        if let Some(above) = greatest.checked_add(1) {
            assert_eq!(level(window, above), Ok(Detached::NotForUs), "{window}");
        }
    }
    assert_eq!(level("240:230", 235), Ok(Detached::NotForUs));
}

#[test]
fn every_line_for_us_must_hold() {
    let certificates = SigningCertificates::fixed();
    let root = certificates.root();
    let right = certificates.line(&certificates.signature(CONTENT, None));
    let wrong = certificates.line(&certificates.signature(b"other content", None));
    let check = |lines: &str| check(format!("#clamsign-1.0\n{lines}").as_bytes(), CONTENT, &root);
    let fails = |line| Err(DetachedError::Signature { line, source: SignedDataError::Content });

    assert_eq!(check(&right), signed());
    assert_eq!(check(&right.replace('\n', "\r\n")), signed());
    assert_eq!(check(&format!("# a comment\n\n{right}\n#{wrong}")), signed());
    assert_eq!(check(&format!("{right}{right}")), signed());
    assert_eq!(check(&format!("{right}{wrong}")), fails(3));
    assert_eq!(check(&format!("{wrong}{right}")), fails(2));
    // Neither what is over nor what is to come is ours to judge.
    assert_eq!(check(&format!("1:200:md5:?\n{right}500::other:what:ever\n")), signed());
    assert_eq!(check("500::other:what:ever\n"), Ok(Detached::NotForUs));
    assert_eq!(check(&right.repeat(4)), signed());
    assert_eq!(check(&right.repeat(5)), Err(DetachedError::TooManySignatures(5)));
}

#[test]
fn a_broken_file_is_refused() {
    let certificates = SigningCertificates::fixed();
    let right = String::from_utf8(certificates.sign(CONTENT)).unwrap();
    let line = |line: &str| format!("#clamsign-1.0\n{line}\n");
    for (file, error) in [
        (String::new(), DetachedError::FirstLine),
        (right.replace("1.0", "1.1"), DetachedError::FirstLine),
        (format!("\n{right}"), DetachedError::FirstLine),
        (line(""), DetachedError::NoSignature),
        (line("# 230::pkcs7-pem:AAAA"), DetachedError::NoSignature),
        (right.clone() + "nonsense", DetachedError::Line(3)),
        (line("230"), DetachedError::Line(2)),
        (line("230:"), DetachedError::Line(2)),
        (line("::pkcs7-pem:AAAA"), DetachedError::Line(2)),
        (line("+230::pkcs7-pem:AAAA"), DetachedError::Line(2)),
        (line("230:x:pkcs7-pem:AAAA"), DetachedError::Line(2)),
        (line("4294967296::pkcs7-pem:AAAA"), DetachedError::Line(2)),
        (line("230::pkcs7:AAAA"), DetachedError::Format(2)),
        (line("230::pkcs7-pem"), DetachedError::Format(2)),
        (line("230::pkcs7-pem:AAA"), DetachedError::Base64(2)),
        (line("230::pkcs7-pem:AAA*"), DetachedError::Base64(2)),
        (right.replace("\n230", "\u{a0}\n230"), DetachedError::NotText),
        (right.clone() + &"#".repeat(64 << 10), DetachedError::TooLarge(right.len() + (64 << 10))),
    ] {
        assert_eq!(check(file.as_bytes(), CONTENT, &certificates.root()), Err(error), "{file}");
    }
    for nothing in ["", "AAAA", "MAA=", "MIAAAA=="] {
        let refused = check(line(&format!("230::pkcs7-pem:{nothing}")).as_bytes(), CONTENT, &certificates.root());
        let Err(DetachedError::Signature { line: 2, source: SignedDataError::Shape(_) }) = refused else {
            panic!("{nothing}: {refused:?}")
        };
    }
}

#[test]
fn nothing_follows_signed_data() {
    let certificates = SigningCertificates::fixed();
    let signature = certificates.signature(CONTENT, None);
    let longer = certificates.file(&[signature.as_slice(), &[0x05, 0x00]].concat());
    assert!(check(&longer, CONTENT, &certificates.root()).is_err());
    let shorter = certificates.file(&signature[..signature.len() - 1]);
    assert!(check(&shorter, CONTENT, &certificates.root()).is_err());
}

#[test]
fn no_byte_of_a_signature_can_be_changed() {
    let masks: [(_, &[u8]); 2] = [(KeyKind::P256, &[0x01, 0x20, 0x80, 0xff]), (KeyKind::RsaSha256, &[0x01])];
    for (kind, masks) in masks {
        let certificates = chain(|specs| specs.iter_mut().for_each(|spec| spec.key = kind));
        let (root, der) = (certificates.root(), certificates.signature(CONTENT, None));
        for (at, mask) in (0..der.len()).flat_map(|at| masks.iter().map(move |mask| (at, *mask))) {
            let mut changed = der.clone();
            changed[at] ^= mask;
            assert!(check(&certificates.file(&changed), CONTENT, &root).is_err(), "byte {at} of {kind:?} ^ {mask:#x}");
        }
    }
}

#[test]
fn no_digit_of_a_signature_can_be_changed() {
    let certificates = SigningCertificates::fixed();
    let (root, file) = (certificates.root(), certificates.sign(CONTENT));
    let begin = file.iter().rposition(|byte| *byte == b':').unwrap() + 1;
    for at in begin..file.len() - 1 {
        for digit in *b"A9/=" {
            let mut changed = file.clone();
            changed[at] = digit;
            assert_eq!(check(&changed, CONTENT, &root).is_ok(), changed == file, "byte {at} to {digit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_panic_the_verifier(bytes: Vec<u8>, lines in "[0-9:#a-z=\n-]{0,80}") {
        let certificates = SigningCertificates::fixed();
        let root = certificates.root();
        for file in [bytes.clone(), format!("#clamsign-1.0\n{lines}").into_bytes(), certificates.file(&bytes)] {
            let said = check(&file, CONTENT, &root);
            prop_assert!(said.is_err() || said == Ok(Detached::NotForUs));
        }
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(RootCertificate::from_pem(&text).is_err());
    }

    #[test]
    fn no_splice_of_a_signature_holds(cut: prop::sample::Index, length in 0_usize..40, patch: Vec<u8>) {
        let certificates = SigningCertificates::fixed();
        let der = certificates.signature(CONTENT, None);
        let begin = cut.index(der.len());
        let end = (begin + length).min(der.len());
        let spliced = [&der[..begin], &patch, &der[end..]].concat();
        let verified = check(&certificates.file(&spliced), CONTENT, &certificates.root());
        prop_assert_eq!(verified.is_ok(), spliced == der);
    }

    #[test]
    fn whatever_is_signed_verifies(content: Vec<u8>, other: Vec<u8>) {
        let certificates = SigningCertificates::fixed();
        let (root, file) = (certificates.root(), certificates.sign(&content));
        prop_assert_eq!(check(&file, &content, &root), signed());
        prop_assert_eq!(check(&file, &other, &root).is_ok(), content == other);
    }
}

/// Whether OpenSSL takes a signature as ClamAV has it do.
fn openssl_takes(directory: &Path, file: &[u8], content: &[u8], root_pem: &str) -> bool {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let text = file.rsplit(|byte| *byte == b':').next().unwrap();
    let der = Base64::decode_vec(std::str::from_utf8(text).unwrap().trim()).unwrap();
    for (name, bytes) in [("s.der", der.as_slice()), ("content", content), ("root.pem", root_pem.as_bytes())] {
        std::fs::write(path(name), bytes).unwrap();
    }
    let mut command = Command::new("openssl");
    command.args(["cms", "-verify", "-binary", "-inform", "DER", "-attime", &today().timestamp().to_string()]);
    command.args(["-in", &path("s.der"), "-content", &path("content"), "-CAfile", &path("root.pem")]);
    command.args(["-out", &path("out")]).output().unwrap().status.success()
}

#[test]
fn openssl_says_the_same_but_where_we_know_of_it() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let takes =
        |case: &Case, content: &[u8]| openssl_takes(directory.path(), &case.file, content, &case.root.root_pem());
    let cases: Vec<Case> = cases().collect();
    let surprises = cases.iter().filter(|case| takes(case, CONTENT) != case.openssl);
    assert_eq!(surprises.map(|case| (&case.name, &case.expected)).collect::<Vec<_>>(), []);
    let careless = cases.iter().filter(|case| takes(case, b"other content"));
    assert_eq!(careless.map(|case| &case.name).collect::<Vec<_>>(), [""; 0]);
}

fn shared(name: &str) -> Option<Vec<u8>> {
    shared_data(name).map(|path| std::fs::read(path).unwrap())
}

#[test]
fn clamavs_own_test_signatures_verify_while_their_root_is_valid() {
    let Some(root) = shared("certs/clamav-test-root.crt") else { return };
    let root = RootCertificate::from_pem(std::str::from_utf8(&root).unwrap()).unwrap();
    let names = ["test-1.cvd", "test-2.cvd", "test-3.cvd", "test-2.cdiff", "test-3.cdiff"];
    for name in names.map(|name| format!("freshclam/{name}")) {
        let (Some(content), Some(file)) = (shared(&name), shared(&format!("{name}.sign"))) else { return };
        let at = |root: &RootCertificate, day| verify(&file, &content, root, FUNCTIONALITY_LEVEL, day);
        let signer = "ClamAV TEST CVD Signing Cert".into();
        assert_eq!(at(&root, today()), Ok(Detached::Signed { signer }), "{name}");
        let expired = no_chain("ClamAV TEST Root CA", CertificateError::Expired);
        assert_eq!(at(&root, day("2030-01-01")), expired, "{name}");
        assert!(at(&RootCertificate::clamav(), today()).is_err(), "{name}");
        assert!(verify(&file, b"other content", &root, FUNCTIONALITY_LEVEL, today()).is_err(), "{name}");
        let old = verify(&file, &content, &root, FunctionalityLevel(216), today());
        assert_eq!(old, Ok(Detached::NotForUs), "ClamAV 1.4 knows nothing of {name}");
    }
}
