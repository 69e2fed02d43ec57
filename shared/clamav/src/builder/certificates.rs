//! Makes certificates, right or wrong in one way, and signs `.sign` files with them.

mod der;
mod key;

use std::sync::OnceLock;

use base64ct::{Base64, Encoding};
use x509_cert::der::pem::{self, LineEnding};

pub use self::key::KeyKind;
use self::{
    der::{name, oid, sequence, time, tlv},
    key::Key,
};
use crate::detached_signature::RootCertificate;

const DATA: &str = "1.2.840.113549.1.7.1";
const EMAIL_PROTECTION: &str = "1.3.6.1.5.5.7.3.4";

/// Bit of a key usage: signs content.
pub const DIGITAL_SIGNATURE: u8 = 0x80;

/// Bit of a key usage: signs content to commit itself to it.
pub const NON_REPUDIATION: u8 = 0x40;

/// Bit of a key usage: signs certificates.
pub const KEY_CERT_SIGN: u8 = 0x04;

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
    #[expect(clippy::expect_used, reason = "a test kit may insist on what its caller made")]
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
        let is = |wrong: Fault| fault == Some(wrong);
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
        let is = |wrong: Fault| fault == Some(wrong);
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
