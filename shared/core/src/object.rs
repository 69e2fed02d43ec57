//! The identity of an object: bucket, decoded key, version id.

use std::{cmp::Ordering, fmt};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// The version id of an object that was written while its bucket kept no versions.
pub const NULL_VERSION: &str = "null";

/// Names one object, and one version of it once that is known.
///
/// The key is the object's real key, decoded exactly once, and is never used as a path, a log format or a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId {
    /// Bucket name.
    pub bucket: String,
    /// Decoded key, 1 to 1,024 bytes of UTF-8.
    pub key: String,
    /// Version id; `None` is the latest version, whichever that is.
    pub version_id: Option<String>,
}

impl ObjectId {
    /// Names an object by its parts.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>, version_id: Option<String>) -> Self {
        Self { bucket: bucket.into(), key: key.into(), version_id }
    }

    /// Partition key of the object's scan record: `bucket/key`. Bucket names have no `/`, so it is unambiguous.
    pub fn partition_key(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }

    /// Sort key of the object's scan record: the version id, or `null`.
    pub fn sort_key(&self) -> &str {
        self.version_id.as_deref().unwrap_or(NULL_VERSION)
    }

    /// Rebuilds the identity from a scan record's keys; `None` when the partition key has no `/`.
    ///
    /// The version is always named, `null` too: where a bucket began to keep versions later, the latest is another one.
    pub fn from_record_keys(partition_key: &str, sort_key: &str) -> Option<Self> {
        let (bucket, key) = partition_key.split_once('/')?;
        Some(Self::new(bucket, key, Some(sort_key.to_owned())))
    }

    /// Whether the name stands for the same bytes for ever: a version id does, unless it is `null`.
    pub fn is_immutable(&self) -> bool {
        self.version_id.as_deref().is_some_and(|version_id| version_id != NULL_VERSION)
    }

    /// The same object at the version that was answered for; as it is when none was.
    #[must_use]
    pub fn at_version(&self, version_id: Option<String>) -> Self {
        Self { version_id: version_id.or_else(|| self.version_id.clone()), ..self.clone() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)?;
        self.version_id.as_ref().map_or(Ok(()), |version| write!(f, "?versionId={version}"))
    }
}

/// Order of the events of one key, as S3 stamps them.
///
/// Shape: hexadecimal of any length; S3 compares two by padding the shorter with zeros on the right. Kept without its
/// trailing zeros, so that plain string order, DynamoDB's too, is that order.
///
/// Source: S3 user guide, "Event message structure".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sequencer(String);

/// A sequencer that is no hexadecimal number of 1 to 64 digits.
#[derive(Debug, thiserror::Error)]
#[error("a sequencer is 1 to 64 hexadecimal digits")]
pub struct InvalidSequencer;

impl Sequencer {
    /// The normalised digits: upper case, no trailing zeros.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares by S3's rule.
    pub fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

impl TryFrom<String> for Sequencer {
    type Error = InvalidSequencer;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.is_empty() || text.len() > 64 || !hexadecimal {
            return Err(InvalidSequencer);
        }
        // A sequencer of zeros only keeps one, so that it is never an empty string.
        let digits = text.to_ascii_uppercase();
        let trimmed = digits.trim_end_matches('0');
        Ok(Self(if trimmed.is_empty() { "0".into() } else { trimmed.into() }))
    }
}

impl From<Sequencer> for String {
    fn from(sequencer: Sequencer) -> Self {
        sequencer.0
    }
}

/// Decodes a key as S3's notifications encode it, and its listings where they are asked to; exactly once: `+` is a space, `%2B` a
/// plus. `None` when it is empty, or not text.
pub fn form_decoded(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().filter(|key| !key.is_empty()).map(Into::into)
}

/// The partition of a region, as ARNs begin with it.
///
/// Source: IAM user guide, "Amazon Resource Names".
pub fn partition_of(region: &str) -> &'static str {
    let partitions = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    partitions.into_iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequencer(text: &str) -> Sequencer {
        Sequencer::try_from(text.to_owned()).unwrap()
    }

    proptest! {
        #[test]
        fn a_record_names_its_object(bucket in "[a-z0-9.-]{3,63}", key in ".{1,64}", version in proptest::option::of("[A-Za-z0-9._]{8,32}")) {
            let object = ObjectId::new(bucket, key, version);
            let named = ObjectId::from_record_keys(&object.partition_key(), object.sort_key()).unwrap();
            prop_assert_eq!((&named.bucket, &named.key, named.sort_key()), (&object.bucket, &object.key, object.sort_key()));
        }

        #[test]
        fn sequencers_compare_as_s3_pads_them(a in "[0-9A-F]{1,20}", b in "[0-9A-F]{1,20}") {
            let width = a.len().max(b.len());
            let expected = format!("{a:0<width$}").cmp(&format!("{b:0<width$}"));
            prop_assert_eq!(sequencer(&a).order(&sequencer(&b)), expected);
        }
    }

    #[test]
    fn a_sequencer_is_hexadecimal() {
        for text in ["", "xyz", "0x12", &"A".repeat(65)] {
            assert!(Sequencer::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert_eq!(sequencer("00"), sequencer("0"));
    }
}
