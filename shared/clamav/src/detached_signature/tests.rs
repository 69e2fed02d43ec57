mod cases;
mod files;
mod hostility;
mod openssl;

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
const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
const NAME_CONSTRAINTS: &str = "2.5.29.30";

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

#[test]
fn only_a_signature_that_is_right_in_every_way_vouches() {
    for (case, number) in cases::cases().zip(0..) {
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
