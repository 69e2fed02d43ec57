//! ClamAV's own RSA signatures: their digits, the legacy one over an MD5, and the PSS one over a SHA-256.
//!
//! Source: clamav.md §1.3 and §1.4, after libclamav `dsig.c` (`cli_decodesig`, `cli_versig`, `cli_versig2`).

use num_bigint::BigUint;
use sha2::{Digest, Sha256};

/// Longest signature text that is read: 2,048 bits have 342 digits.
const MAX_DIGITS: usize = 1024;

/// Bytes of a PSS signature's block.
const BLOCK_BYTES: usize = 256;

/// Bytes of a SHA-256 digest, and of the salt.
const HASH_BYTES: usize = 32;

/// Bytes of the masked data block: what is left of a block by its digest and the closing `0xbc`.
const DATA_BYTES: usize = BLOCK_BYTES - HASH_BYTES - 1;

const DIGITS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";

/// An RSA public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaPublicKey {
    /// The modulus.
    pub modulus: BigUint,
    /// The public exponent.
    pub exponent: BigUint,
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Empty, too long, or with characters that are no digits.
    #[error("the signature is not written in ClamAV's digits")]
    Digits,
    /// Another key's, or over other content.
    #[error("the signature does not match the content")]
    Mismatch,
}

/// Reads ClamAV's digits: base 64 with an alphabet of its own, the *least* significant digit first.
///
/// # Errors
/// [`SignatureError::Digits`].
pub fn decode(text: &str) -> Result<BigUint, SignatureError> {
    if text.is_empty() || text.len() > MAX_DIGITS {
        return Err(SignatureError::Digits);
    }
    let digit = |byte| DIGITS.iter().position(|digit| *digit == byte).and_then(|value| u8::try_from(value).ok());
    let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
    digits.and_then(|digits| BigUint::from_radix_le(&digits, 64)).ok_or(SignatureError::Digits)
}

/// Writes ClamAV's digits.
pub fn encode(number: &BigUint) -> String {
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('a', char::from);
    number.to_radix_le(64).into_iter().map(digit).collect()
}

impl RsaPublicKey {
    /// Checks a container's legacy signature: bare RSA over the MD5 of its payload, without any padding.
    pub fn verify_legacy(&self, md5: &[u8; 16], signature: &str) -> Result<(), SignatureError> {
        if self.open(signature)? == BigUint::from_bytes_be(md5) { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    /// Checks the signature of an `.info` or a CDIFF: RSASSA-PSS with SHA-256, MGF1 and a salt of 32 bytes.
    ///
    /// Off-spec: ClamAV clears one top bit of the data block where RFC 8017 clears two for its 2,047-bit moduli, so stock
    /// verifiers refuse every other valid signature. Padding is checked to be zeros, which libclamav does not do.
    pub fn verify_pss(&self, content: &[u8], signature: &str) -> Result<(), SignatureError> {
        let block = self.open(signature)?.to_bytes_be();
        let padding = BLOCK_BYTES.checked_sub(block.len()).ok_or(SignatureError::Mismatch)?;
        let block = [vec![0; padding], block].concat();
        if pss_matches(&block, content) { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    fn open(&self, signature: &str) -> Result<BigUint, SignatureError> {
        let signature = decode(signature)?;
        if signature >= self.modulus {
            return Err(SignatureError::Mismatch);
        }
        Ok(signature.modpow(&self.exponent, &self.modulus))
    }
}

/// Whether an opened block of 256 bytes is the PSS encoding of this content.
fn pss_matches(block: &[u8], content: &[u8]) -> bool {
    let (masked, rest) = block.split_at(DATA_BYTES);
    let (hash, trailer) = rest.split_at(HASH_BYTES);
    let mut data: Vec<u8> = masked.iter().zip(mask(hash)).map(|(byte, mask)| byte ^ mask).collect();
    if let Some(top) = data.first_mut() {
        *top &= 0x7f;
    }
    let (padding, salt) = data.split_at(DATA_BYTES - HASH_BYTES);
    let padded = matches!(padding.split_last(), Some((1, zeros)) if zeros.iter().all(|byte| *byte == 0));
    trailer == [0xbc] && padded && salted_hash(content, salt) == hash
}

/// MGF1 with SHA-256: as many bytes as the data block has, from this seed.
fn mask(seed: &[u8]) -> impl Iterator<Item = u8> {
    (0_u32..).flat_map(move |counter| Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize())
}

/// The digest that a PSS block carries: eight zeros, the content's digest, the salt.
fn salted_hash(content: &[u8], salt: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::new().chain_update([0; 8]).chain_update(Sha256::digest(content)).chain_update(salt).finalize().into()
}

/// Encodes content for a PSS signature; the counterpart of the check above, for our own builder.
pub(crate) fn pss_encode(content: &[u8], salt: &[u8]) -> BigUint {
    let hash = salted_hash(content, salt);
    let mut data = vec![0; DATA_BYTES - HASH_BYTES - 1];
    data.push(1);
    data.extend(salt);
    let mut block: Vec<u8> = data.iter().zip(mask(&hash)).map(|(byte, mask)| byte ^ mask).collect();
    if let Some(top) = block.first_mut() {
        *top &= 0x7f;
    }
    block.extend(hash);
    block.push(0xbc);
    BigUint::from_bytes_be(&block)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signing::SigningKeys;

    proptest! {
        #[test]
        fn digits_survive_their_text(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            let number = BigUint::from_bytes_be(&bytes);
            prop_assert_eq!(decode(&encode(&number)), Ok(number));
        }

        #[test]
        fn no_text_panics_the_verifiers(text: String, content: Vec<u8>) {
            let key = SigningKeys::fixed().trust_anchors().info;
            prop_assert!(key.verify_pss(&content, &text).is_err());
            prop_assert!(key.verify_legacy(&[7; 16], &text).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Many signatures, because a verifier that clears two bits refuses only some of them.
        #[test]
        fn what_is_signed_verifies_and_nothing_else(content: Vec<u8>, salt: [u8; 32]) {
            let keys = SigningKeys::fixed();
            let signature = keys.sign_info(&content, &salt);
            let key = keys.trust_anchors().info;
            prop_assert_eq!(key.verify_pss(&content, &signature), Ok(()));
            let other = [content.as_slice(), b"x"].concat();
            prop_assert_eq!(key.verify_pss(&other, &signature), Err(SignatureError::Mismatch));
        }
    }

    #[test]
    fn digits_are_little_endian_with_a_for_zero() {
        assert_eq!(decode("b"), Ok(BigUint::from(1_u32)));
        assert_eq!(decode("ab"), Ok(BigUint::from(64_u32)));
        assert_eq!(decode(""), Err(SignatureError::Digits));
        assert_eq!(decode("a=b"), Err(SignatureError::Digits));
        assert_eq!(decode(&"b".repeat(MAX_DIGITS + 1)), Err(SignatureError::Digits));
    }
}
