//! Signatures that `ign` and `ign2` files take out of use.
//!
//! Source: `cli_loadign`, `cli_chkign` and `cli_signorm` in libclamav 1.4 (`readdb.c`).

use std::{borrow::Cow, collections::BTreeSet};

use crate::{signature::MAX_LINE, split::fields};

/// Least bytes of a name, which libclamav pads with blanks.
const LEAST_NAME: usize = 3;

/// Least bytes of a name whose `.UNOFFICIAL` libclamav cuts off.
const LEAST_UNOFFICIAL: usize = 12;

/// Suffix of libclamav's names for signatures that are not from a signed database.
const UNOFFICIAL: &[u8] = b".UNOFFICIAL";

/// What the `ign` and `ign2` files of a set say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Names that a line may mean, as libclamav compares them.
    names: BTreeSet<Vec<u8>>,
    /// Whether a line is there that is more than a name.
    complex: bool,
}

impl Ignored {
    /// Takes the lines of a file in.
    pub fn extend(&mut self, file: &[u8]) {
        for line in file.split(|byte| *byte == b'\n') {
            if line.starts_with(b"#") && line.len() <= MAX_LINE {
                continue;
            }
            let line = without_line_end(line);
            // `name:MD5`, `database:number:name`, and what C ends or splits elsewhere. A name with an MD5 also changes what the lines
            // after it mean: libclamav does not forget the MD5.
            self.complex |= line.contains(&b':') || line.contains(&0) || line.len() > MAX_LINE;
            self.names.extend(fields(line, b':').filter(|name| !name.is_empty()).map(padded));
        }
    }

    /// Whether a signature of this name may not be loaded. More may be covered than is ignored: what `name:MD5` says of a name
    /// counts for all of its signatures.
    pub fn covers(&self, name: &[u8]) -> bool {
        !self.names.is_empty() && self.names.contains(normalized(name).as_ref())
    }

    /// Whether one of these names, as [`Self::differing`] returns them, means a signature of this name.
    pub fn is_meant(names: &BTreeSet<&[u8]>, name: &[u8]) -> bool {
        names.contains(normalized(name).as_ref())
    }

    /// Whether nothing is ignored.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether a line is there that is more than a name.
    pub fn is_complex(&self) -> bool {
        self.complex
    }

    /// Names that are only in one of the two.
    pub fn differing<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a [u8]> {
        self.names.symmetric_difference(&other.names).map(Vec::as_slice).collect()
    }
}

/// A line without the end that libclamav takes off (`cli_chomp`).
pub(crate) fn without_line_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = line {
        line = rest;
    }
    line
}

/// A signature's name as libclamav compares it with those that are ignored.
pub(crate) fn normalized(name: &[u8]) -> Cow<'_, [u8]> {
    let cut = match name {
        [.., b'}'] if name.len() > LEAST_NAME => memchr::memmem::find(name, b".{"),
        _ if name.len() >= LEAST_UNOFFICIAL => name.strip_suffix(UNOFFICIAL).map(<[u8]>::len),
        _ => None,
    };
    let name = cut.and_then(|end| name.get(..end)).unwrap_or(name);
    if name.len() < LEAST_NAME { padded(name).into() } else { name.into() }
}

fn padded(name: &[u8]) -> Vec<u8> {
    let mut name = name.to_vec();
    name.resize(name.len().max(LEAST_NAME), b' ');
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Ignored {
        let mut ignored = Ignored::default();
        ignored.extend(text.as_bytes());
        ignored
    }

    #[test]
    fn names_are_compared_as_libclamav_does() {
        for (line, name, covered) in [
            ("Win.Test.A", "Win.Test.A", true),
            ("Win.Test.A\r", "Win.Test.A", true),
            ("Win.Test.A", "Win.Test.A.UNOFFICIAL", true),
            ("Win.Test.A", "Win.Test.A.{Engine-1}", true),
            ("Win.Test.A", "Win.Test.A.{Engine-1}.UNOFFICIAL", false),
            ("Win.Test.A.UNOFFICIAL", "Win.Test.A.UNOFFICIAL", false),
            ("Win.Test.A ", "Win.Test.A", false),
            ("Win.Test", "Win.Test.A", false),
            (".UNOFFICIAL", ".UNOFFICIAL", true),
            ("A", "A", true),
            ("A", "A.UNOFFICIAL", true),
            ("A", "A  ", true),
            ("# Win.Test.A", "# Win.Test.A", false),
        ] {
            assert_eq!(of(line).covers(name.as_bytes()), covered, "{line:?} {name:?}");
            assert!(!of(line).is_complex());
        }
    }

    #[test]
    fn whatever_is_more_than_a_name_is_complex_and_means_every_name_in_it() {
        for line in ["A.B:d41d8cd98f00b204e9800998ecf8427e", "own.ndb:1:A.B", "A.B:", "A.B\0C"] {
            assert!(of(line).is_complex(), "{line}");
        }
        assert!(of("A.B:d41d8cd98f00b204e9800998ecf8427e").covers(b"A.B"));
        assert!(of("own.ndb:1:A.B").covers(b"A.B"));
        assert!(of(&format!("#{}", "x".repeat(MAX_LINE))).is_complex(), "libclamav takes its end for a line");
    }
}
