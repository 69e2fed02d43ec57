//! CMS signed data: one signer's signature of content that is elsewhere.
//!
//! Source: RFC 5652 §5, in the shape that OpenSSL's `PKCS7_sign` gives it.

use chrono::{DateTime, Utc};
use x509_cert::{
    der::{
        self, AnyRef, Decode, Encode, Reader, SliceReader, Tag, TagNumber,
        asn1::{ObjectIdentifier, OctetStringRef},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::AlgorithmIdentifierRef,
};

use super::{
    algorithm::{Hash, SignatureAlgorithm},
    certificate::{Certificate, ChainError, RootCertificate, verify_chain},
};

/// Most certificates that signed data may carry.
const MAX_CERTIFICATES: usize = 8;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// Why signed data does not vouch for the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedDataError {
    /// Not the DER of signed data.
    #[error("it is not the DER of signed data")]
    Shape(#[from] der::Error),
    /// A version of signed data or of a signer's part other than 1.
    #[error("it is of version {0}, not 1")]
    Version(u8),
    /// It carries content of its own, and so need not speak of ours.
    #[error("it carries its own content")]
    Attached,
    /// Content of a type other than plain data.
    #[error("it signs something else than data")]
    ContentType,
    /// More certificates than we read.
    #[error("it has more than 8 certificates")]
    TooManyCertificates,
    /// None or several signers.
    #[error("it has {0} signers, not one")]
    Signers(usize),
    /// A digest that is weak, unknown, or not the one that was announced.
    #[error("its digest algorithm is not accepted")]
    DigestAlgorithm,
    /// A signature algorithm that is weak, unknown, or for another digest.
    #[error("its signature algorithm is not accepted")]
    SignatureAlgorithm,
    /// No signed attributes.
    #[error("it has no signed attributes")]
    NoSignedAttributes,
    /// Content type or message digest are missing, or there twice.
    #[error("its signed attributes do not name content type and message digest once each")]
    SignedAttributes,
    /// The signer's certificate is not there.
    #[error("its signer's certificate is missing")]
    NoSigner,
    /// The signer is not to be trusted.
    #[error("its signer's certificate does not lead to the root")]
    Chain(#[source] ChainError),
    /// The signer did not sign the attributes.
    #[error("its signature does not hold under the signer's key")]
    Signature,
    /// The signer's digest is of a kind that was not computed.
    #[error("it signs a digest other than SHA-256")]
    NotSha256,
    /// The signer signed other content.
    #[error("it was made for other content")]
    Content,
}

/// Signed data that was read, and is not trusted yet.
#[derive(Clone, Debug)]
pub(super) struct SignedData<'a> {
    certificates: Vec<Certificate>,
    signer: Signer<'a>,
}

/// What one signer says.
#[derive(Clone, Debug)]
struct Signer<'a> {
    issuer: Name,
    serial: SerialNumber,
    hash: Hash,
    /// The value of the set of signed attributes.
    attributes: &'a [u8],
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
}

impl<'a> SignedData<'a> {
    /// Reads the DER of signed data with one signer.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, SignedDataError> {
        let mut reader = SliceReader::new(der)?;
        let content = reader.sequence(|reader| {
            if ObjectIdentifier::decode(reader)? != SIGNED_DATA {
                return Err(SignedDataError::ContentType);
            }
            Ok(required(reader, 0)?)
        })?;
        reader.finish()?;
        let mut reader = SliceReader::new(content)?;
        let read = reader.sequence(Self::read)?;
        reader.finish()?;
        Ok(read)
    }

    fn read(reader: &mut SliceReader<'a>) -> Result<Self, SignedDataError> {
        check_version(reader)?;
        let digests = set(reader)?;
        reader.sequence(|reader| {
            if ObjectIdentifier::decode(reader)? != DATA {
                return Err(SignedDataError::ContentType);
            }
            if reader.is_finished() { Ok(()) } else { Err(SignedDataError::Attached) }
        })?;
        let embedded = optional(reader, 0)?.unwrap_or_default();
        // Revocation lists are not read, as ClamAV does not.
        optional(reader, 1)?;
        let signers = values(set(reader)?)?;
        let [signer] = signers[..] else { return Err(SignedDataError::Signers(signers.len())) };

        let embedded = values(embedded)?;
        if embedded.len() > MAX_CERTIFICATES {
            return Err(SignedDataError::TooManyCertificates);
        }
        let certificates = embedded.into_iter().map(Certificate::from_der).collect::<der::Result<_>>()?;
        let mut reader = SliceReader::new(signer)?;
        let signer = reader.sequence(Signer::read)?;
        let announced = values(digests)?;
        let announced: Vec<_> =
            announced.into_iter().map(AlgorithmIdentifierRef::from_der).collect::<der::Result<_>>()?;
        if announced.into_iter().map(Hash::of).collect::<Vec<_>>() != [Some(signer.hash)] {
            return Err(SignedDataError::DigestAlgorithm);
        }
        Ok(Self { certificates, signer })
    }

    /// Checks chain, signature and digest, and names the signer. The digest comes last, for it alone may take seconds.
    pub(super) fn verify(
        &self,
        root: &RootCertificate,
        at: DateTime<Utc>,
        digest: impl Fn(Hash) -> Option<Vec<u8>>,
    ) -> Result<String, SignedDataError> {
        let Signer { issuer, serial, hash, attributes, algorithm, signature } = &self.signer;
        let named = |certificate: &&Certificate| {
            let content = certificate.content();
            content.issuer() == issuer && content.serial_number() == serial
        };
        let signer = self.certificates.iter().find(named).ok_or(SignedDataError::NoSigner)?;
        verify_chain(signer, &self.certificates, root, at).map_err(SignedDataError::Chain)?;

        // What is signed is the set under its own tag, not under the one that it travels with.
        let message = AnyRef::new(Tag::Set, attributes)?.to_der()?;
        if !algorithm.verify(signer.content().subject_public_key_info(), &message, signature) {
            return Err(SignedDataError::Signature);
        }
        let vouched = message_digest(attributes)?;
        let actual = digest(*hash).ok_or(SignedDataError::NotSha256)?;
        if vouched == actual { Ok(signer.owner()) } else { Err(SignedDataError::Content) }
    }
}

impl<'a> Signer<'a> {
    fn read(reader: &mut SliceReader<'a>) -> Result<Self, SignedDataError> {
        check_version(reader)?;
        let (issuer, serial) =
            reader.sequence(|reader| der::Result::Ok((Name::decode(reader)?, SerialNumber::decode(reader)?)))?;
        let hash = Hash::of(AlgorithmIdentifierRef::decode(reader)?).ok_or(SignedDataError::DigestAlgorithm)?;
        let attributes = optional(reader, 0)?.ok_or(SignedDataError::NoSignedAttributes)?;
        let algorithm = SignatureAlgorithm::of_signer(AlgorithmIdentifierRef::decode(reader)?, hash);
        let algorithm = algorithm.ok_or(SignedDataError::SignatureAlgorithm)?;
        let signature = <&OctetStringRef>::decode(reader)?.as_bytes();
        // Unsigned attributes say nothing that anyone vouches for.
        optional(reader, 1)?;
        Ok(Self { issuer, serial, hash, attributes, algorithm, signature })
    }
}

/// The digest that signed attributes vouch for, when they speak of data.
fn message_digest(attributes: &[u8]) -> Result<&[u8], SignedDataError> {
    let (mut content_type, mut digest) = (None, None);
    for attribute in values(attributes)? {
        let mut reader = SliceReader::new(attribute)?;
        let (name, value) =
            reader.sequence(|reader| der::Result::Ok((ObjectIdentifier::decode(reader)?, set(reader)?)))?;
        let twice = match name {
            CONTENT_TYPE => content_type.replace(ObjectIdentifier::from_der(value)?).is_some(),
            MESSAGE_DIGEST => digest.replace(<&OctetStringRef>::from_der(value)?.as_bytes()).is_some(),
            // Other attributes, such as the time of signing, are not used.
            _ => false,
        };
        if twice {
            return Err(SignedDataError::SignedAttributes);
        }
    }
    let (content_type, digest) = content_type.zip(digest).ok_or(SignedDataError::SignedAttributes)?;
    if content_type == DATA { Ok(digest) } else { Err(SignedDataError::ContentType) }
}

fn check_version(reader: &mut SliceReader<'_>) -> Result<(), SignedDataError> {
    match u8::decode(reader)? {
        1 => Ok(()),
        other => Err(SignedDataError::Version(other)),
    }
}

/// The value of a set.
fn set<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    let set = AnyRef::decode(reader)?;
    set.header().tag().assert_eq(Tag::Set)?;
    Ok(set.value())
}

/// Each of the encodings that follow one another.
fn values(bytes: &[u8]) -> der::Result<Vec<&[u8]>> {
    let mut reader = SliceReader::new(bytes)?;
    let mut values = Vec::new();
    while !reader.is_finished() {
        values.push(reader.tlv_bytes()?);
    }
    Ok(values)
}

/// The value of the field of this number, if it comes next.
fn optional<'a>(reader: &mut SliceReader<'a>, number: u32) -> der::Result<Option<&'a [u8]>> {
    let next = if reader.is_finished() { None } else { Some(Tag::peek(reader)?) };
    if next != Some(field(number)) {
        return Ok(None);
    }
    AnyRef::decode(reader).map(|field| Some(field.value()))
}

/// The value of the field of this number, which must come next.
fn required<'a>(reader: &mut SliceReader<'a>, number: u32) -> der::Result<&'a [u8]> {
    let value = AnyRef::decode(reader)?;
    value.header().tag().assert_eq(field(number))?;
    Ok(value.value())
}

fn field(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}
