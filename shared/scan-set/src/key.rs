//! What a filter is asked for.

use crate::line::Kind;

/// A digest. ClamAV knows the algorithm by the digest's length, whatever the extension of the file that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// MD5.
    Md5([u8; 16]),
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl Digest {
    /// Reads a digest in hexadecimal of either case.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let (mut md5, mut sha1, mut sha256) = ([0; 16], [0; 20], [0; 32]);
        match text.len() {
            32 => hex::decode_to_slice(text, &mut md5).ok().map(|()| Self::Md5(md5)),
            40 => hex::decode_to_slice(text, &mut sha1).ok().map(|()| Self::Sha1(sha1)),
            64 => hex::decode_to_slice(text, &mut sha256).ok().map(|()| Self::Sha256(sha256)),
            _ => None,
        }
    }

    /// The digest's bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Md5(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        }
    }

    /// One bit for each algorithm.
    pub fn algorithm(&self) -> Algorithms {
        match self {
            Self::Md5(_) => Algorithms::MD5,
            Self::Sha1(_) => Algorithms::SHA1,
            Self::Sha256(_) => Algorithms::SHA256,
        }
    }
}

/// A set of digest algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Algorithms(u8);

impl Algorithms {
    /// MD5 alone.
    pub const MD5: Self = Self(1);
    /// SHA-1 alone.
    pub const SHA1: Self = Self(2);
    /// SHA-256 alone.
    pub const SHA256: Self = Self(4);
    const ALL: u8 = 7;

    /// The set as bits; `None` when there are other bits.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits & !Self::ALL == 0).then_some(Self(bits))
    }

    /// The set as bits.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Both sets.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A digest that an object has, as a signature may name it: with the size, or with any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// Of a file or of a section.
    pub kind: Kind,
    /// The digest.
    pub digest: Digest,
    /// The size that the signature names; `None` where it names any.
    pub size: Option<u32>,
}

impl Candidate {
    /// The key of a candidate: well distributed, and the same on every machine.
    pub fn key(&self) -> u64 {
        let bytes = self.digest.bytes();
        let word =
            |at: usize| bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes);
        let kind = match self.kind {
            Kind::File => 1,
            Kind::Section => 2,
        };
        // No signature has a size of 0: libclamav refuses to load it.
        let what = kind << 48 | (bytes.len() as u64) << 32 | u64::from(self.size.unwrap_or(0));
        mixed(word(0) ^ mixed(word(8) ^ mixed(what)))
    }
}

/// The finaliser of `MurmurHash3`, 64 bits.
fn mixed(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_differ_by_everything_that_libclamav_compares() {
        let digests = [Digest::Md5([7; 16]), Digest::Sha1([7; 20]), Digest::Sha256([7; 32]), Digest::Md5([8; 16])];
        let mut keys = BTreeSet::new();
        for digest in digests {
            for kind in [Kind::File, Kind::Section] {
                for size in [None, Some(1), Some(2)] {
                    assert!(keys.insert(Candidate { kind, digest, size }.key()));
                }
            }
        }
    }

    #[test]
    fn keys_are_what_they_were() {
        // Published filters have them: another function is another format.
        let candidate = Candidate { kind: Kind::File, digest: Digest::Md5(*b"0123456789abcdef"), size: Some(68) };
        assert_eq!(candidate.key(), 2_429_847_614_781_686_478);
    }
}
