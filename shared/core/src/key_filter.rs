//! Which keys of a bucket are scanned when they are written. Pure.

use std::{collections::BTreeSet, fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters of keys that mean nothing in the text of a filter.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-');

/// Keys that begin and end in a certain way. Both are bytes of a key as S3 has it, and the empty one means any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPattern {
    /// How they begin.
    pub prefix: String,
    /// How they end.
    pub suffix: String,
}

impl KeyPattern {
    /// Whether a key is meant. Prefix and suffix may overlap in it, as in S3's own filters.
    pub fn matches(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }

    /// Whether there can be a key that both mean.
    pub fn overlaps(&self, other: &Self) -> bool {
        let prefixes = self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix);
        let suffixes = self.suffix.ends_with(&other.suffix) || other.suffix.ends_with(&self.suffix);
        prefixes && suffixes
    }

    /// Whether every key is meant.
    pub fn is_any(&self) -> bool {
        self.prefix.is_empty() && self.suffix.is_empty()
    }
}

/// `PREFIX*SUFFIX`, both percent-encoded.
impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |text| utf8_percent_encode(text, ENCODED);
        write!(f, "{}*{}", encoded(&self.prefix), encoded(&self.suffix))
    }
}

/// Why a text is no filter; Display says what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("BUCKET/PREFIX*SUFFIX, separated by commas, with commas, asterisks and percent signs in them percent-encoded")]
pub struct KeyFilterError;

/// The keys that are scanned, by bucket. All keys of a bucket that is not mentioned are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Buckets with their patterns.
    pub patterns: BTreeSet<(String, KeyPattern)>,
}

impl KeyFilter {
    /// Whether an object that was written is scanned.
    pub fn admits(&self, bucket: &str, key: &str) -> bool {
        let mut of_bucket = self.of(bucket).peekable();
        of_bucket.peek().is_none() || of_bucket.any(|pattern| pattern.matches(key))
    }

    /// The patterns of a bucket.
    pub fn of<'a>(&'a self, bucket: &'a str) -> impl Iterator<Item = &'a KeyPattern> {
        self.patterns.iter().filter(move |(of, _)| of == bucket).map(|(_, pattern)| pattern)
    }
}

impl FromStr for KeyFilter {
    type Err = KeyFilterError;

    fn from_str(text: &str) -> Result<Self, KeyFilterError> {
        let decoded = |text: &str| {
            // A sign of percent that begins no code would stand for itself.
            let mut codes = text.split('%').skip(1);
            let is_code =
                |code: &str| code.get(..2).is_some_and(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let valid = codes.all(is_code);
            let decoded = percent_decode_str(text).decode_utf8().map_err(|_| KeyFilterError)?;
            if valid { Ok(decoded.into_owned()) } else { Err(KeyFilterError) }
        };
        let entry = |entry: &str| {
            let (bucket, pattern) = entry.split_once('/').ok_or(KeyFilterError)?;
            let (prefix, suffix) = pattern.split_once('*').ok_or(KeyFilterError)?;
            if bucket.is_empty() || bucket.contains(['*', '%']) || suffix.contains('*') {
                return Err(KeyFilterError);
            }
            Ok((bucket.to_owned(), KeyPattern { prefix: decoded(prefix)?, suffix: decoded(suffix)? }))
        };
        let entries = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        Ok(Self { patterns: entries.map(entry).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for KeyFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (bucket, pattern)) in self.patterns.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{bucket}/{pattern}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(prefix: &str, suffix: &str) -> KeyPattern {
        KeyPattern { prefix: prefix.into(), suffix: suffix.into() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read_back(entries in prop::collection::btree_set(("[a-z][a-z0-9.-]{2,8}", ".{0,6}", ".{0,4}"), 0..5)) {
            let patterns = entries.into_iter().map(|(bucket, prefix, suffix)| (bucket, pattern(&prefix, &suffix)));
            let filter = KeyFilter { patterns: patterns.collect() };
            prop_assert_eq!(filter.to_string().parse(), Ok(filter));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<KeyFilter>();
        }

        #[test]
        fn patterns_that_mean_one_key_overlap(key in "[ab]{0,5}", a in 0_usize..6, b in 0_usize..6, c in 0_usize..6, d in 0_usize..6) {
            let part = |begin: usize, end: usize| {
                pattern(key.get(..begin).unwrap_or(&key), key.get(end..).unwrap_or_default())
            };
            prop_assert!(part(a, b).overlaps(&part(c, d)));
        }
    }

    #[test]
    fn a_bucket_that_is_mentioned_is_scanned_as_far_as_it_is() {
        let filter: KeyFilter = "uploads/in/*.pdf, uploads/a%2Cb*".parse().unwrap();
        for (bucket, key, admitted) in [
            ("uploads", "in/x.pdf", true),
            ("uploads", "in/x.doc", false),
            ("uploads", "a,b", true),
            ("uploads", "out/x.pdf", false),
            ("other", "anything", true),
        ] {
            assert_eq!(filter.admits(bucket, key), admitted, "{bucket}/{key}");
        }
        assert!(KeyFilter::default().admits("any", "key"));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in [
            "uploads",
            "uploads/in/",
            "/in/*",
            "up*/in/*",
            "uploads/in/*.pdf*",
            "uploads/%zz*",
            "uploads/%f*",
            "uploads/%ff*",
        ] {
            assert_eq!(bad.parse::<KeyFilter>(), Err(KeyFilterError), "{bad}");
        }
        assert_eq!("".parse(), Ok(KeyFilter::default()));
    }
}
