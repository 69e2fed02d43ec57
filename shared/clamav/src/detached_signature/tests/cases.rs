//! Signatures, right ones and those that are wrong in one way, each with what verifying it returns.

use super::*;

const EMAIL_PROTECTION: &str = "1.3.6.1.5.5.7.3.4";
const ANY_PURPOSE: &str = "2.5.29.37.0";
const POLICIES: &str = "2.5.29.32";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";

fn intermediates(count: usize) -> SigningCertificates {
    chain(|specs| {
        specs.splice(1..2, (0..count).map(|number| CertificateSpec::authority(&format!("Intermediate {number}"))));
    })
}

/// A signature of [`CONTENT`], and what is to be said of it.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) file: Vec<u8>,
    pub(super) root: SigningCertificates,
    pub(super) expected: Result<Detached, DetachedError>,
    /// Whether OpenSSL takes it.
    pub(super) openssl: bool,
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
        // OpenSSL settles for the first issuer of the right name, and so any certificate of that name can spoil a signature.
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

pub(super) fn cases() -> impl Iterator<Item = Case> {
    right_chains().into_iter().chain(wrong_chains()).chain(wrong_signed_data())
}
