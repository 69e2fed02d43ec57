//! Key pairs of certificates, and the algorithms that they sign by.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA512, RsaEncoding,
    },
};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{
    Fault,
    der::{oid, sequence, tlv},
};

const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
const SHA_384: &str = "2.16.840.1.101.3.4.2.2";
const SHA_512: &str = "2.16.840.1.101.3.4.2.3";

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
/// A key pair of some kind.
#[derive(Debug)]
pub(super) enum Key {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    RsaSha256(RsaKeyPair),
    RsaSha512(RsaKeyPair),
}

impl Key {
    #[expect(clippy::expect_used, reason = "keys of these sizes can be made")]
    pub(super) fn generate(kind: KeyKind) -> Self {
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
    pub(super) fn public(&self) -> Vec<u8> {
        match self {
            Self::P256(key) | Self::P384(key) => key.public_key().as_der().expect("memory").as_ref().to_vec(),
            Self::RsaSha256(key) | Self::RsaSha512(key) => key.public_key().as_der().expect("memory").as_ref().to_vec(),
        }
    }

    #[expect(clippy::expect_used, reason = "a whole key can sign")]
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
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

    pub(super) fn digest(&self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(_) | Self::RsaSha256(_) => Sha256::digest(content).to_vec(),
            Self::P384(_) => Sha384::digest(content).to_vec(),
            Self::RsaSha512(_) => Sha512::digest(content).to_vec(),
        }
    }

    pub(super) fn digest_algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) | Self::RsaSha256(_) => SHA_256,
            Self::P384(_) => SHA_384,
            Self::RsaSha512(_) => SHA_512,
        }
    }

    /// The algorithm of what it signs, as certificates name it.
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        let null = tlv(0x05, &[]);
        match self {
            Self::P256(_) => sequence(&[&oid("1.2.840.10045.4.3.2")]),
            Self::P384(_) => sequence(&[&oid("1.2.840.10045.4.3.3")]),
            Self::RsaSha256(_) => sequence(&[&oid("1.2.840.113549.1.1.11"), &null]),
            Self::RsaSha512(_) => sequence(&[&oid("1.2.840.113549.1.1.13"), &null]),
        }
    }

    /// The algorithm of what it signs, as signed data names it: as OpenSSL does, RSA without its digest.
    pub(super) fn signer_algorithm(&self, fault: Option<Fault>) -> Vec<u8> {
        match (fault, self) {
            (Some(Fault::WeakSignature), Self::P256(_) | Self::P384(_)) => sequence(&[&oid("1.2.840.10045.4.1")]),
            (Some(Fault::WeakSignature), _) => sequence(&[&oid("1.2.840.113549.1.1.5"), &tlv(0x05, &[])]),
            (Some(Fault::OtherDigest), _) => sequence(&[&oid("1.2.840.10045.4.3.4")]),
            (_, Self::RsaSha256(_) | Self::RsaSha512(_)) => sequence(&[&oid("1.2.840.113549.1.1.1"), &tlv(0x05, &[])]),
            (_, Self::P256(_) | Self::P384(_)) => self.signature_algorithm(),
        }
    }
}
