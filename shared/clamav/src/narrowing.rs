//! What a logical signature demands of the content that it matches, beside the matcher that must run on it.
//!
//! Source: `init_tdb` (`readdb.c`) and `lsig_eval` (`matcher.c`) of libclamav 1.4. What is not read with certainty demands nothing: a
//! rescan then costs more, and misses nothing.

use std::ops::RangeInclusive;

use crate::{
    signature::number,
    split::{field, fields},
};

/// What a signature demands of the content that it matches; where it demands nothing, content of any kind may match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Bytes of the content: of the layer, or of what libclamav makes of it, that the matcher runs on.
    pub sizes: Option<RangeInclusive<u64>>,
}

impl Narrowing {
    /// What a line of a logical signature demands.
    pub(crate) fn of_logical(line: &[u8]) -> Self {
        let description = field(line, b';', 1).unwrap_or_default();
        Self { sizes: only(description, b"FileSize").and_then(sizes) }
    }

    /// Whether it demands nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The value of a key that is there once: of several, libclamav takes the last.
fn only<'a>(description: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut values = fields(description, b',').filter(|pair| field(pair, b':', 0) == Some(key));
    let value = values.next()?.get(key.len() + 1..);
    if values.next().is_some() { None } else { value }
}

/// `least-greatest`, in numbers that libclamav's `atoi` reads as they are.
fn sizes(text: &[u8]) -> Option<RangeInclusive<u64>> {
    let dash = memchr::memchr(b'-', text)?;
    let bound = |text: Option<&[u8]>| text.and_then(number::<i32>).and_then(|bound| u64::try_from(bound).ok());
    Some(bound(text.get(..dash))?..=bound(text.get(dash + 1..))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes_of(description: &str) -> Option<RangeInclusive<u64>> {
        Narrowing::of_logical(format!("A;{description};0;00ff").as_bytes()).sizes
    }

    #[test]
    fn a_size_narrows_only_where_it_is_read_as_libclamav_reads_it() {
        assert_eq!(sizes_of("Engine:51-255,FileSize:10-20,Target:1"), Some(10..=20));
        assert_eq!(sizes_of("FileSize:0-2147483647"), Some(0..=2_147_483_647));
        for unsure in [
            "Target:1",
            "FileSize:10",
            "FileSize",
            "FileSize:-20",
            "FileSize:10-",
            "FileSize:10-20-30",
            "FileSize:10-2147483648",
            "FileSize:a-b",
            "FileSize:10-20,FileSize:30-40",
            "filesize:10-20",
        ] {
            assert_eq!(sizes_of(unsure), None, "{unsure}");
        }
    }
}
