//! SHA-256, as a value and as text.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A SHA-256. As text, and in JSON: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest([u8; 32]);

/// A text that is no SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a SHA-256 of 64 lower-case hexadecimal digits")]
pub struct DigestError;

impl Sha256Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl From<[u8; 32]> for Sha256Digest {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl FromStr for Sha256Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| DigestError)?;
        // One digest has one text: addresses in the bucket are compared as text.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Err(DigestError) } else { Ok(Self(digest)) }
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_digest_has_one_text() {
        // FIPS 180-4's example.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Sha256Digest::of(b"abc");
        assert_eq!((digest.to_string(), serde_json::to_value(digest).unwrap()), (text.to_owned(), text.into()));
        assert_eq!(text.parse(), Ok(digest));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace('a', "g")] {
            assert_eq!(wrong.parse::<Sha256Digest>(), Err(DigestError), "{wrong}");
            assert!(serde_json::from_value::<Sha256Digest>(wrong.into()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_what_is_printed(text in "[0-9a-fA-Fg]{63,65}") {
            if let Ok(digest) = text.parse::<Sha256Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
