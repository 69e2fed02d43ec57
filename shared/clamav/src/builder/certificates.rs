//! Makes certificates, right or wrong in one way, and signs `.sign` files with them.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA512, RsaEncoding,
    },
};
use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::der::{
    Encode,
    asn1::ObjectIdentifier,
    pem::{self, LineEnding},
};

use crate::detached_signature::RootCertificate;

const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
const SHA_384: &str = "2.16.840.1.101.3.4.2.2";
const SHA_512: &str = "2.16.840.1.101.3.4.2.3";
const DATA: &str = "1.2.840.113549.1.7.1";
const EMAIL_PROTECTION: &str = "1.3.6.1.5.5.7.3.4";

/// Bit of a key usage: signs content.
pub const DIGITAL_SIGNATURE: u8 = 0x80;

/// Bit of a key usage: signs content to commit itself to it.
pub const NON_REPUDIATION: u8 = 0x40;

/// Bit of a key usage: signs certificates.
pub const KEY_CERT_SIGN: u8 = 0x04;

/// Kind of a key, with the digest that it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256.
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
    /// RSA of 2,048 bits with SHA-256.
    RsaSha256,
    /// RSA of 2,048 bits with SHA-512.
    RsaSha512,
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// Common name of its owner.
    pub subject: String,
    /// Common name of the issuer, when it is not the true one.
    pub issuer: Option<String>,
    /// First and last year of its validity.
    pub years: (u16, u16),
    /// Whether it may issue others, and how many authorities may be below it; `None` leaves the extension out.
    pub constraints: Option<(bool, Option<u8>)>,
    /// Bits of the key usage; `None` leaves the extension out.
    pub usage: Option<u8>,
    /// Purposes of the extended key usage; `None` leaves the extension out.
    pub purposes: Option<Vec<&'static str>>,
    /// Further extensions, by identifier, with whether they are critical and what they say.
    pub extensions: Vec<(&'static str, bool, Vec<u8>)>,
    /// The key that it is for.
    pub key: KeyKind,
}

impl CertificateSpec {
    /// A certificate that may issue others.
    pub fn authority(subject: &str) -> Self {
        Self { constraints: Some((true, None)), usage: Some(KEY_CERT_SIGN), purposes: None, ..Self::signer(subject) }
    }

    /// A certificate that may sign content.
    pub fn signer(subject: &str) -> Self {
        Self {
            subject: subject.into(),
            issuer: None,
            years: (2000, 2100),
            constraints: Some((false, None)),
            usage: Some(DIGITAL_SIGNATURE),
            purposes: Some(vec![EMAIL_PROTECTION]),
            extensions: Vec::new(),
            key: KeyKind::P256,
        }
    }

    fn encode(&self, issuer: &str, key: &Key, issuer_key: &Key, serial: u8) -> Vec<u8> {
        let flag = |critical: bool| if critical { tlv(0x01, &[&[0xff]]) } else { Vec::new() };
        let extension =
            |name: &str, critical: bool, value: &[u8]| sequence(&[&oid(name), &flag(critical), &tlv(0x04, &[value])]);
        let mut extensions = Vec::new();
        if let Some((authority, below)) = self.constraints {
            let below = below.map(|below| tlv(0x02, &[&[below]])).unwrap_or_default();
            extensions.push(extension("2.5.29.19", true, &sequence(&[&flag(authority), &below])));
        }
        if let Some(usage) = self.usage {
            let unused = u8::try_from(usage.trailing_zeros().min(7)).unwrap_or_default();
            extensions.push(extension("2.5.29.15", true, &tlv(0x03, &[&[unused, usage]])));
        }
        if let Some(purposes) = &self.purposes {
            let purposes: Vec<u8> = purposes.iter().flat_map(|purpose| oid(purpose)).collect();
            extensions.push(extension("2.5.29.37", true, &sequence(&[&purposes])));
        }
        extensions.extend(self.extensions.iter().map(|(name, critical, value)| extension(name, *critical, value)));

        // A certificate without extensions is one of X.509's first version.
        let (version, extensions) = if extensions.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            (tlv(0xa0, &[&tlv(0x02, &[&[2]])]), tlv(0xa3, &[&sequence(&[&extensions.concat()])]))
        };
        let validity = sequence(&[&time(self.years.0), &time(self.years.1)]);
        let algorithm = issuer_key.signature_algorithm();
        let signed = sequence(&[
            &version,
            &tlv(0x02, &[&[serial]]),
            &algorithm,
            &name(self.issuer.as_deref().unwrap_or(issuer)),
            &validity,
            &name(&self.subject),
            &key.public(),
            &extensions,
        ]);
        let signature = tlv(0x03, &[&[0], &issuer_key.sign(&signed)]);
        sequence(&[&signed, &algorithm, &signature])
    }
}

/// A way in which a signature is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The version of the signed data is 3.
    Version,
    /// The version of the signer's part is 3.
    SignerVersion,
    /// The whole is another kind of content than signed data.
    OtherContentInfo,
    /// Content of its own.
    Attached,
    /// The content is said to be other than data outside the signed attributes.
    OtherContent,
    /// The content is said to be other than data inside the signed attributes.
    OtherContentType,
    /// No signed attributes: the signature is of the content itself.
    NoAttributes,
    /// No content type in the signed attributes.
    NoContentType,
    /// No message digest in the signed attributes.
    NoDigest,
    /// Two message digests in the signed attributes.
    TwoDigests,
    /// The message digest of other content.
    WrongDigest,
    /// A SHA-1 where a better digest should be.
    WeakDigest,
    /// SHA-1 with RSA or ECDSA where a better algorithm should be.
    WeakSignature,
    /// The digest of the signature algorithm is another than that of the content.
    OtherDigest,
    /// The announced digests are not the signer's.
    OtherAnnouncement,
    /// The signature is of other attributes.
    WrongSignature,
    /// No signer.
    NoSigner,
    /// The same signer twice.
    TwoSigners,
    /// The certificate that the signer names is not there.
    OtherSerial,
}

/// Certificates from a root to a signer, with their keys.
#[derive(Debug)]
pub struct SigningCertificates {
    chain: Vec<Issued>,
    embedded: Vec<Vec<u8>>,
    window: String,
}

#[derive(Debug)]
struct Issued {
    spec: CertificateSpec,
    key: Key,
    der: Vec<u8>,
}

impl SigningCertificates {
    /// A right chain: root, intermediate and signer.
    pub fn specs() -> Vec<CertificateSpec> {
        let authority = CertificateSpec::authority;
        vec![authority("Test Root"), authority("Test Intermediate"), CertificateSpec::signer("Test Signer")]
    }

    /// Issues certificates: the first for itself, each other by the one before it. The last one signs.
    pub fn issue(specs: Vec<CertificateSpec>) -> Self {
        let mut chain: Vec<Issued> = Vec::new();
        for (spec, serial) in specs.into_iter().zip(1..) {
            let key = Key::generate(spec.key);
            let der = match chain.last() {
                Some(issuer) => spec.encode(&issuer.spec.subject, &key, &issuer.key, serial),
                None => spec.encode(&spec.subject, &key, &key, serial),
            };
            chain.push(Issued { spec, key, der });
        }
        let embedded = chain.iter().skip(1).rev().map(|issued| issued.der.clone()).collect();
        Self { chain, embedded, window: "230:".into() }
    }

    /// Makes a right chain with fresh keys.
    pub fn generate() -> Self {
        Self::issue(Self::specs())
    }

    /// A right chain that is made once in a process: the same for all of its tests.
    pub fn fixed() -> &'static Self {
        static CERTIFICATES: OnceLock<SigningCertificates> = OnceLock::new();
        CERTIFICATES.get_or_init(Self::generate)
    }

    /// Replaces the certificates that signatures carry: signer and intermediates of themselves.
    #[must_use]
    pub fn embedding(self, embedded: Vec<Vec<u8>>) -> Self {
        Self { embedded, ..self }
    }

    /// Replaces the functionality levels that signatures are for: `230:` of itself.
    #[must_use]
    pub fn window(self, window: &str) -> Self {
        Self { window: window.into(), ..self }
    }

    /// The DER of all certificates, the root first and the signer last.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|issued| issued.der.clone()).collect()
    }

    /// The PEM of the root, even of one that none may chain to.
    pub fn root_pem(&self) -> String {
        let der = self.chain.first().map(|root| root.der.as_slice()).unwrap_or_default();
        pem::encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
    }

    /// The root.
    ///
    /// # Panics
    /// When it was issued wrong.
    #[expect(clippy::expect_used, reason = "a test kit may insist on what its caller asked for")]
    pub fn root(&self) -> RootCertificate {
        RootCertificate::from_pem(&self.root_pem()).expect("a root certificate")
    }

    /// Signs content: a whole `.sign` file.
    pub fn sign(&self, content: &[u8]) -> Vec<u8> {
        self.file(&self.signature(content, None))
    }

    /// As [`Self::sign`], wrong in one way.
    pub fn sign_wrong(&self, content: &[u8], fault: Fault) -> Vec<u8> {
        self.file(&self.signature(content, Some(fault)))
    }

    /// The `.sign` file around the DER of a signature.
    pub fn file(&self, signature: &[u8]) -> Vec<u8> {
        format!("#clamsign-1.0\n{}", self.line(signature)).into_bytes()
    }

    /// The line of a `.sign` file around the DER of a signature.
    pub fn line(&self, signature: &[u8]) -> String {
        format!("{}:pkcs7-pem:{}\n", self.window, Base64::encode_string(signature))
    }

    /// The DER of a signature, wrong in one way if at all.
    pub fn signature(&self, content: &[u8], fault: Option<Fault>) -> Vec<u8> {
        let is = |asked: Fault| fault == Some(asked);
        let either = |wrong: Fault, then: &str, otherwise: &str| oid(if is(wrong) { then } else { otherwise });
        let version = |wrong: Fault| tlv(0x02, &[&[if is(wrong) { 3 } else { 1 }]]);
        let signer = self.signer(content, fault);
        let signers = if is(Fault::NoSigner) { Vec::new() } else { signer.clone() };
        let second = if is(Fault::TwoSigners) { signer } else { Vec::new() };
        let announced = if is(Fault::OtherAnnouncement) { Vec::new() } else { self.digest_algorithm(fault) };
        let attached = tlv(0xa0, &[&tlv(0x04, &[content])]);
        let signed_data = sequence(&[
            &version(Fault::Version),
            &tlv(0x31, &[&announced]),
            &sequence(&[
                &either(Fault::OtherContent, "1.2.840.113549.1.7.5", DATA),
                if is(Fault::Attached) { &attached } else { &[] },
            ]),
            &tlv(0xa0, &[&self.embedded.concat()]),
            &tlv(0x31, &[&signers, &second]),
        ]);
        let kind = either(Fault::OtherContentInfo, "1.2.840.113549.1.7.3", "1.2.840.113549.1.7.2");
        sequence(&[&kind, &tlv(0xa0, &[&signed_data])])
    }

    fn signer(&self, content: &[u8], fault: Option<Fault>) -> Vec<u8> {
        let is = |asked: Fault| fault == Some(asked);
        let [.., issuer, signer] = self.chain.as_slice() else { return Vec::new() };
        let attribute = |name: &str, value: &[u8]| sequence(&[&oid(name), &tlv(0x31, &[value])]);
        let other = [content, b"x"].concat();
        let digest = signer.key.digest(if is(Fault::WrongDigest) { &other } else { content });
        let digest = attribute("1.2.840.113549.1.9.4", &tlv(0x04, &[&digest]));
        let content_type = oid(if is(Fault::OtherContentType) { "1.2.840.113549.1.7.5" } else { DATA });
        let content_type = attribute("1.2.840.113549.1.9.3", &content_type);
        let signing_time = attribute("1.2.840.113549.1.9.5", &time(2020));
        let attributes = [
            if is(Fault::NoContentType) { &[] } else { content_type.as_slice() },
            &signing_time,
            if is(Fault::NoDigest) { &[] } else { &digest },
            if is(Fault::TwoDigests) { &digest } else { &[] },
        ];
        let message = if is(Fault::NoAttributes) { content.to_vec() } else { tlv(0x31, &attributes) };
        let signature = signer.key.sign(if is(Fault::WrongSignature) { &other } else { &message });
        let serial = u8::try_from(self.chain.len()).unwrap_or_default();
        let serial = if is(Fault::OtherSerial) { 0 } else { serial };
        let issuer = signer.spec.issuer.as_deref().unwrap_or(&issuer.spec.subject);
        let attributes = tlv(0xa0, &attributes);
        sequence(&[
            &tlv(0x02, &[&[if is(Fault::SignerVersion) { 3 } else { 1 }]]),
            &sequence(&[&name(issuer), &tlv(0x02, &[&[serial]])]),
            &self.digest_algorithm(fault),
            if is(Fault::NoAttributes) { &[] } else { &attributes },
            &signer.key.signer_algorithm(fault),
            &tlv(0x04, &[&signature]),
        ])
    }

    fn digest_algorithm(&self, fault: Option<Fault>) -> Vec<u8> {
        let digest = self.chain.last().map(|signer| signer.key.digest_algorithm()).unwrap_or_default();
        sequence(&[&oid(if fault == Some(Fault::WeakDigest) { "1.3.14.3.2.26" } else { digest })])
    }
}

/// A key pair of some kind.
#[derive(Debug)]
enum Key {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    RsaSha256(RsaKeyPair),
    RsaSha512(RsaKeyPair),
}

impl Key {
    #[expect(clippy::expect_used, reason = "keys of these sizes can be made")]
    fn generate(kind: KeyKind) -> Self {
        let curve = |algorithm| EcdsaKeyPair::generate(algorithm).expect("a key");
        let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        match kind {
            KeyKind::P256 => Self::P256(curve(&ECDSA_P256_SHA256_ASN1_SIGNING)),
            KeyKind::P384 => Self::P384(curve(&ECDSA_P384_SHA384_ASN1_SIGNING)),
            KeyKind::RsaSha256 => Self::RsaSha256(rsa()),
            KeyKind::RsaSha512 => Self::RsaSha512(rsa()),
        }
    }

    /// Its public side, as certificates carry it.
    #[expect(clippy::expect_used, reason = "encoding to memory cannot fail")]
    fn public(&self) -> Vec<u8> {
        match self {
            Self::P256(key) | Self::P384(key) => key.public_key().as_der().expect("memory").as_ref().to_vec(),
            Self::RsaSha256(key) | Self::RsaSha512(key) => key.public_key().as_der().expect("memory").as_ref().to_vec(),
        }
    }

    #[expect(clippy::expect_used, reason = "a whole key can sign")]
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |key: &RsaKeyPair, encoding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, message, &mut signature).expect("a signature");
            signature
        };
        match self {
            Self::P256(key) | Self::P384(key) => key.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Self::RsaSha256(key) => rsa(key, &RSA_PKCS1_SHA256),
            Self::RsaSha512(key) => rsa(key, &RSA_PKCS1_SHA512),
        }
    }

    fn digest(&self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(_) | Self::RsaSha256(_) => Sha256::digest(content).to_vec(),
            Self::P384(_) => Sha384::digest(content).to_vec(),
            Self::RsaSha512(_) => Sha512::digest(content).to_vec(),
        }
    }

    fn digest_algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) | Self::RsaSha256(_) => SHA_256,
            Self::P384(_) => SHA_384,
            Self::RsaSha512(_) => SHA_512,
        }
    }

    /// The algorithm of what it signs, as certificates name it.
    fn signature_algorithm(&self) -> Vec<u8> {
        let null = tlv(0x05, &[]);
        match self {
            Self::P256(_) => sequence(&[&oid("1.2.840.10045.4.3.2")]),
            Self::P384(_) => sequence(&[&oid("1.2.840.10045.4.3.3")]),
            Self::RsaSha256(_) => sequence(&[&oid("1.2.840.113549.1.1.11"), &null]),
            Self::RsaSha512(_) => sequence(&[&oid("1.2.840.113549.1.1.13"), &null]),
        }
    }

    /// The algorithm of what it signs, as signed data names it: as OpenSSL does, RSA without its digest.
    fn signer_algorithm(&self, fault: Option<Fault>) -> Vec<u8> {
        match (fault, self) {
            (Some(Fault::WeakSignature), Self::P256(_) | Self::P384(_)) => sequence(&[&oid("1.2.840.10045.4.1")]),
            (Some(Fault::WeakSignature), _) => sequence(&[&oid("1.2.840.113549.1.1.5"), &tlv(0x05, &[])]),
            (Some(Fault::OtherDigest), _) => sequence(&[&oid("1.2.840.10045.4.3.4")]),
            (_, Self::RsaSha256(_) | Self::RsaSha512(_)) => sequence(&[&oid("1.2.840.113549.1.1.1"), &tlv(0x05, &[])]),
            (_, Self::P256(_) | Self::P384(_)) => self.signature_algorithm(),
        }
    }
}

/// DER of one value from the parts of its content.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let length = match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![short],
        _ => [vec![0x80 | u8::try_from(bytes.len()).unwrap_or_default()], bytes].concat(),
    };
    [vec![tag], length, content].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

fn oid(name: &str) -> Vec<u8> {
    ObjectIdentifier::new(name).ok().and_then(|name| name.to_der().ok()).unwrap_or_default()
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid("2.5.4.3"), &tlv(0x0c, &[common_name.as_bytes()])]);
    sequence(&[&tlv(0x31, &[&attribute])])
}

/// The beginning of a year; from 2050 on it is written in full.
fn time(year: u16) -> Vec<u8> {
    if year < 2050 {
        tlv(0x17, &[format!("{:02}0101000000Z", year % 100).as_bytes()])
    } else {
        tlv(0x18, &[format!("{year}0101000000Z").as_bytes()])
    }
}
