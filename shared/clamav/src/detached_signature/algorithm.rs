//! The digests and signature algorithms of detached signatures and of their certificates.
//!
//! Source: RFC 3279, RFC 4055 and RFC 5758.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::{
    der::{AnyRef, asn1::ObjectIdentifier, referenced::OwnedToRef},
    spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoOwned},
};

const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ECDSA_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");

/// A digest that may be signed; none that collides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The digest that this identifier names, if it is one of ours.
    pub(super) fn of(algorithm: AlgorithmIdentifierRef<'_>) -> Option<Self> {
        let hash = match algorithm.oid {
            SHA_256 => Self::Sha256,
            SHA_384 => Self::Sha384,
            SHA_512 => Self::Sha512,
            _ => return None,
        };
        without_parameters(algorithm).then_some(hash)
    }

    /// The digest of these bytes.
    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

/// How something was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignatureAlgorithm {
    scheme: Scheme,
    hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    Rsa,
    Ecdsa,
}

impl SignatureAlgorithm {
    /// The algorithm that this identifier names, if it is one of ours.
    pub(super) fn of(algorithm: AlgorithmIdentifierRef<'_>) -> Option<Self> {
        let (scheme, hash) = match algorithm.oid {
            RSA_SHA_256 => (Scheme::Rsa, Hash::Sha256),
            RSA_SHA_384 => (Scheme::Rsa, Hash::Sha384),
            RSA_SHA_512 => (Scheme::Rsa, Hash::Sha512),
            ECDSA_SHA_256 => (Scheme::Ecdsa, Hash::Sha256),
            ECDSA_SHA_384 => (Scheme::Ecdsa, Hash::Sha384),
            ECDSA_SHA_512 => (Scheme::Ecdsa, Hash::Sha512),
            _ => return None,
        };
        without_parameters(algorithm).then_some(Self { scheme, hash })
    }

    /// As [`Self::of`] for a signer who has named the digest already: `rsaEncryption` leaves it to that, and any other
    /// algorithm must agree with it.
    pub(super) fn of_signer(algorithm: AlgorithmIdentifierRef<'_>, hash: Hash) -> Option<Self> {
        if algorithm.oid == RSA {
            return without_parameters(algorithm).then_some(Self { scheme: Scheme::Rsa, hash });
        }
        Self::of(algorithm).filter(|named| named.hash == hash)
    }

    /// Whether the owner of this key signed the message.
    pub(super) fn verify(self, key: &SubjectPublicKeyInfoOwned, message: &[u8], signature: &[u8]) -> bool {
        let verifier = verifier(self, key);
        let bytes = key.subject_public_key.as_bytes();
        let Some((verifier, bytes)) = verifier.zip(bytes) else { return false };
        UnparsedPublicKey::new(verifier, bytes).verify(message, signature).is_ok()
    }
}

/// What verifies signatures of this algorithm under this key; RSA keys of fewer than 2,048 bits are refused by it.
fn verifier(
    algorithm: SignatureAlgorithm,
    key: &SubjectPublicKeyInfoOwned,
) -> Option<&'static dyn VerificationAlgorithm> {
    let owner = key.algorithm.owned_to_ref();
    let curve = || owner.parameters_oid().ok().filter(|_| owner.oid == EC);
    Some(match (algorithm.scheme, algorithm.hash) {
        (Scheme::Rsa, hash) => {
            if owner.oid != RSA || !without_parameters(owner) {
                return None;
            }
            match hash {
                Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
                Hash::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
                Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
            }
        }
        (Scheme::Ecdsa, hash) => match (curve()?, hash) {
            (P_256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
            (P_256, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
            (P_256, Hash::Sha512) => &ECDSA_P256_SHA512_ASN1,
            (P_384, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
            (P_384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
            (P_384, Hash::Sha512) => &ECDSA_P384_SHA512_ASN1,
            _ => return None,
        },
    })
}

/// Whether an identifier has no parameters, or the NULL that some writers put there.
fn without_parameters(algorithm: AlgorithmIdentifierRef<'_>) -> bool {
    algorithm.parameters.is_none_or(AnyRef::is_null)
}
