//! Certificates, the root that is pinned, and the chain between a signer and it.
//!
//! Source: RFC 5280 §6.1, as far as it is needed; OpenSSL's purpose `smimesign`, by which ClamAV has its chains checked.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use x509_cert::{
    TbsCertificate,
    der::{
        self, Decode, Reader, SliceReader,
        asn1::{BitStringRef, ObjectIdentifier},
        oid::AssociatedOid,
        pem::{self, LineEnding},
        referenced::OwnedToRef,
    },
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage},
    name::Name,
    spki::AlgorithmIdentifierOwned,
};

use super::algorithm::SignatureAlgorithm;

/// ClamAV's own root, "Cisco Software Identity Root CA RSA 4096 SHA512 2099", as its releases install it.
const CLAMAV_ROOT: &str = include_str!("../clamav_root.pem");

/// Longest text of a root certificate that is read.
const MAX_PEM_BYTES: usize = 16 << 10;

/// Most certificates between a signer and the root. ClamAV's chains have one.
const MAX_INTERMEDIATES: usize = 3;

/// Extensions that may be critical, for they are checked here; the last one requires nothing of a verifier without a policy.
const KNOWN_EXTENSIONS: [ObjectIdentifier; 4] =
    [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, ObjectIdentifier::new_unwrap("2.5.29.32")];

/// The purpose that every extended key usage in a chain must name.
const EMAIL_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4");

/// Why a certificate is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not the text of one certificate.
    #[error("it is not one certificate in PEM of at most 16 KiB")]
    Pem,
    /// Not the DER of a certificate.
    #[error("it is not the DER of a certificate")]
    Shape(#[from] der::Error),
    /// An algorithm that is weak, unknown, or another one inside than outside.
    #[error("it is signed with an algorithm that is not accepted")]
    Algorithm,
    /// Its issuer's key did not sign it.
    #[error("its signature does not hold under the key of its issuer")]
    Signature,
    /// An extension is there twice or cannot be read.
    #[error("its extensions are not valid")]
    Extensions,
    /// An extension that must be heeded, and that we do not know.
    #[error("its critical extension {0} is not known")]
    CriticalExtension(ObjectIdentifier),
    /// Before its validity.
    #[error("it is not valid yet")]
    NotYetValid,
    /// After its validity.
    #[error("it has expired")]
    Expired,
    /// Its extended key usage is for something else.
    #[error("it is not for signed messages")]
    Purpose,
    /// It is not one that may issue others.
    #[error("it is not of a certificate authority")]
    NotAuthority,
    /// Its key usage has no signing of certificates.
    #[error("its key may not sign certificates")]
    NotForCertificates,
    /// Its key usage has no signing of content.
    #[error("its key may not sign content")]
    NotForContent,
    /// More authorities below it than it allows.
    #[error("too many authorities are below it")]
    PathLength,
}

/// Why a signer's certificate does not lead to the root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A certificate on the way is not what it should be.
    #[error("the certificate of {subject} is not acceptable")]
    Certificate {
        subject: String,
        #[source]
        source: CertificateError,
    },
    /// The chain ends before the root.
    #[error("{issuer}, which issued the certificate of {subject}, is neither the root nor among the certificates")]
    NoIssuer {
        /// Whose certificate ends the chain.
        subject: String,
        /// Who would be next.
        issuer: String,
    },
    /// More certificates on the way than we follow.
    #[error("the chain has more than 3 certificates between signer and root")]
    TooLong,
}

/// A certificate as it was read; it proves nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    der: Vec<u8>,
    /// The signed part exactly as it came, for another encoding of it would have another digest.
    signed: Vec<u8>,
    content: TbsCertificate,
    algorithm: AlgorithmIdentifierOwned,
    signature: Vec<u8>,
}

impl Certificate {
    /// Reads the DER of one certificate.
    pub(super) fn from_der(bytes: &[u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(bytes)?;
        let (signed, algorithm, signature) = reader.sequence(|reader| {
            let signed = reader.tlv_bytes()?;
            let algorithm = AlgorithmIdentifierOwned::decode(reader)?;
            let signature = BitStringRef::decode(reader)?;
            // A signature is of whole bytes: any other is left empty, and so refused with the wrong ones.
            der::Result::Ok((signed, algorithm, signature.as_bytes().unwrap_or_default()))
        })?;
        reader.finish()?;
        Ok(Self {
            der: bytes.to_vec(),
            signed: signed.to_vec(),
            content: TbsCertificate::from_der(signed)?,
            algorithm,
            signature: signature.to_vec(),
        })
    }

    /// What is in it.
    pub(super) fn content(&self) -> &TbsCertificate {
        &self.content
    }

    /// The common name of its owner, or the whole name where there is none.
    pub(super) fn owner(&self) -> String {
        let name = self.content.subject();
        let common = name.common_name().ok().flatten();
        common.map_or_else(|| name.to_string(), |common| common.value().into_owned())
    }

    fn subject(&self) -> &Name {
        self.content.subject()
    }

    fn is_self_issued(&self) -> bool {
        self.content.subject() == self.content.issuer()
    }

    fn failed(&self, source: CertificateError) -> ChainError {
        ChainError::Certificate { subject: self.owner(), source }
    }

    /// Whether that issuer's key signed this.
    fn check_signature(&self, issuer: &Self) -> Result<(), CertificateError> {
        // The outer name of the algorithm is not signed, the inner one is: they must be the same.
        let algorithm = SignatureAlgorithm::of(self.algorithm.owned_to_ref());
        let algorithm = algorithm.filter(|_| self.algorithm == *self.content.signature());
        let algorithm = algorithm.ok_or(CertificateError::Algorithm)?;
        let key = issuer.content.subject_public_key_info();
        if algorithm.verify(key, &self.signed, &self.signature) { Ok(()) } else { Err(CertificateError::Signature) }
    }

    fn check_time(&self, at: DateTime<Utc>) -> Result<(), CertificateError> {
        let seconds = |time: x509_cert::time::Time| i128::from(time.to_unix_duration().as_secs());
        let (validity, at) = (self.content.validity(), i128::from(at.timestamp()));
        if at < seconds(validity.not_before) {
            return Err(CertificateError::NotYetValid);
        }
        if at > seconds(validity.not_after) { Err(CertificateError::Expired) } else { Ok(()) }
    }

    /// What holds for every certificate of a chain, whatever it is there for.
    fn check_extensions(&self) -> Result<(), CertificateError> {
        let extensions = self.content.extensions().map_or(&[][..], Vec::as_slice);
        let unknown = |critical: &ObjectIdentifier| !KNOWN_EXTENSIONS.contains(critical);
        let mut critical = extensions.iter().filter(|extension| extension.critical).map(|extension| extension.extn_id);
        if let Some(unknown) = critical.find(unknown) {
            return Err(CertificateError::CriticalExtension(unknown));
        }
        // As OpenSSL does: `anyExtendedKeyUsage` is not taken for this purpose.
        let purposes = self.extension::<ExtendedKeyUsage>()?;
        let allowed = purposes.is_none_or(|purposes| purposes.0.contains(&EMAIL_PROTECTION));
        if allowed { Ok(()) } else { Err(CertificateError::Purpose) }
    }

    /// Whether its owner may sign content. Either of the two usages is for that (RFC 8550 §4.4.2).
    fn check_signer(&self) -> Result<(), CertificateError> {
        self.check_extensions()?;
        let usage = self.extension::<KeyUsage>()?;
        let allowed = usage.is_none_or(|usage| usage.digital_signature() || usage.non_repudiation());
        if allowed { Ok(()) } else { Err(CertificateError::NotForContent) }
    }

    /// Whether its owner may issue certificates.
    fn check_authority(&self) -> Result<(), CertificateError> {
        self.check_extensions()?;
        if !self.extension::<BasicConstraints>()?.is_some_and(|constraints| constraints.ca) {
            return Err(CertificateError::NotAuthority);
        }
        let usage = self.extension::<KeyUsage>()?;
        let allowed = usage.is_none_or(|usage| usage.key_cert_sign());
        if allowed { Ok(()) } else { Err(CertificateError::NotForCertificates) }
    }

    /// Whether it allows this many authorities between itself and the signer.
    fn check_path_length(&self, below: usize) -> Result<(), CertificateError> {
        let most = self.extension::<BasicConstraints>()?.and_then(|constraints| constraints.path_len_constraint);
        if most.is_none_or(|most| below <= usize::from(most)) { Ok(()) } else { Err(CertificateError::PathLength) }
    }

    fn extension<'a, E: Decode<'a, Error = der::Error> + AssociatedOid>(
        &'a self,
    ) -> Result<Option<E>, CertificateError> {
        let extension = self.content.get_extension::<E>().map_err(|_| CertificateError::Extensions)?;
        Ok(extension.map(|(_, extension)| extension))
    }
}

/// A certificate that detached signatures must chain to.
///
/// It is trusted because it is pinned: its issuer does not matter. Its validity, its key usage and the length of path that
/// it allows are heeded all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCertificate(Certificate);

impl RootCertificate {
    /// Reads a certificate from its PEM.
    ///
    /// # Errors
    /// [`CertificateError`], also when its owner may not issue certificates. One without any extension may: it is of X.509's
    /// first version, which has no other word for that than being pinned.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let text = Some(text.trim().as_bytes()).filter(|text| text.len() <= MAX_PEM_BYTES);
        let decoded = text.and_then(|text| pem::decode_vec(text).ok()).filter(|(label, _)| *label == "CERTIFICATE");
        let (_, der) = decoded.ok_or(CertificateError::Pem)?;
        let certificate = Certificate::from_der(&der)?;
        if certificate.content.extensions().is_some() {
            certificate.check_authority()?;
        }
        Ok(Self(certificate))
    }

    /// ClamAV's own root.
    ///
    /// # Panics
    /// Never: the certificate is part of the program.
    #[expect(clippy::expect_used, reason = "the certificate is part of the program, and a test reads it")]
    pub fn clamav() -> Self {
        Self::from_pem(CLAMAV_ROOT).expect("a certificate")
    }

    /// Writes the certificate as [`Self::from_pem`] reads it.
    pub fn to_pem(&self) -> String {
        pem::encode_string("CERTIFICATE", LineEnding::LF, &self.0.der).unwrap_or_default()
    }

    /// SHA-256 of the certificate, lower-case hexadecimal: what people compare certificates by.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.0.der))
    }
}

/// Checks that a signer may sign content, and that certificates lead from it to the root.
///
/// Off-spec: OpenSSL follows up to 100 intermediates and compares names by a canonical form. Here there are at most
/// [`MAX_INTERMEDIATES`], and names must be the same.
pub(super) fn verify_chain(
    signer: &Certificate,
    certificates: &[Certificate],
    root: &RootCertificate,
    at: DateTime<Utc>,
) -> Result<(), ChainError> {
    signer.check_signer().and_then(|()| signer.check_time(at)).map_err(|error| signer.failed(error))?;
    let others: Vec<_> = certificates.iter().filter(|other| *other != signer).collect();
    Search { root: &root.0, at }.from(signer, &others, 0, 0)
}

/// What stays the same on the way from a signer to the root.
struct Search<'a> {
    root: &'a Certificate,
    at: DateTime<Utc>,
}

impl Search<'_> {
    /// Continues from a certificate. `steps` counts all intermediates so far, `authorities` those that path lengths count:
    /// not the self-issued ones. No certificate is taken twice, so there are no loops.
    fn from(
        &self,
        subject: &Certificate,
        unused: &[&Certificate],
        steps: usize,
        authorities: usize,
    ) -> Result<(), ChainError> {
        let issuer = subject.content.issuer();
        let mut failure = ChainError::NoIssuer { subject: subject.owner(), issuer: issuer.to_string() };
        if issuer == self.root.subject() {
            match subject.check_signature(self.root) {
                Ok(()) => {
                    let root = self.root.check_time(self.at).and_then(|()| self.root.check_path_length(authorities));
                    return root.map_err(|error| self.root.failed(error));
                }
                Err(error) => failure = subject.failed(error),
            }
        }
        for next in unused.iter().filter(|next| next.subject() == issuer) {
            if steps == MAX_INTERMEDIATES {
                return Err(ChainError::TooLong);
            }
            let others: Vec<_> = unused.iter().copied().filter(|other| other != next).collect();
            let counted = authorities + usize::from(!next.is_self_issued());
            let attempt = subject.check_signature(next).map_err(|error| subject.failed(error));
            let attempt = attempt.and_then(|()| self.check_intermediate(next, authorities));
            match attempt.and_then(|()| self.from(next, &others, steps + 1, counted)) {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn check_intermediate(&self, next: &Certificate, authorities: usize) -> Result<(), ChainError> {
        let checked = next.check_authority().and_then(|()| next.check_time(self.at));
        checked.and_then(|()| next.check_path_length(authorities)).map_err(|error| next.failed(error))
    }
}
