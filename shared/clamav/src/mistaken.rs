//! Patterns that libclamav may take for one another: what one of them matches depends on whether the other is there.
//!
//! A matcher tries equal patterns once, by one of them: the first by their addresses in memory. It takes for equal those that differ only in
//! the distance of a byte (`[1-3]`), or in the second half of an alternative, where alternatives are of several lengths or the pattern has
//! options. Where a pattern with such alternatives has an offset, it is compared before the match or after it, by other means, depending on
//! whether an equal pattern is there. And what a macro (`${4-9}12$`) finds depends on whether other signatures have a pattern of its group.
//!
//! Source: `patt_cmp_fn`, `cli_ac_scanbuff` and `ac_special_altstr` (`matcher-ac.c`) of libclamav 1.4.

use crate::{
    signature::Kind,
    split::{field, fields},
};

/// Marks of a word's and a line's boundaries, which are no alternatives.
const BOUNDARIES: [&[u8]; 3] = [b"B", b"L", b"W"];

/// Whether a line has a pattern that may be mistaken for another's, or the other way.
pub(crate) fn may_be_mistaken(kind: Kind, line: &[u8]) -> bool {
    // Most lines have neither.
    memchr::memchr2(b'(', b'[', line).is_some() && patterns(kind, line).any(is_inexact)
}

/// Whether rules of YARA may: their alternatives become those of patterns.
pub(crate) fn may_rules_be_mistaken(rules: &[u8]) -> bool {
    rules.contains(&b'|')
}

/// The pieces of a line's patterns that are tried by themselves, in lower case.
pub(crate) fn pieces(kind: Kind, line: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let patterns = patterns(kind, line).map(|pattern| {
        let pattern = memchr::memmem::find(pattern, b"::").and_then(|end| pattern.get(..end)).unwrap_or(pattern);
        pattern.rsplit(|byte| *byte == b':').next().unwrap_or_default()
    });
    patterns
        .flat_map(|pattern| pattern.split(|byte| matches!(byte, b'*' | b'{' | b'}')))
        .filter(|piece| !piece.is_empty())
        .map(<[u8]>::to_ascii_lowercase)
}

/// Whether a line is a member of a group that macros refer to.
pub(crate) fn is_of_group(kind: Kind, line: &[u8]) -> bool {
    kind == Kind::Body && field(line, b':', 2).is_some_and(|offset| offset.starts_with(b"$"))
}

fn patterns(kind: Kind, line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (separator, first, most) = match kind {
        Kind::Body => (b':', 3, 1),
        Kind::Logical => (b';', 3, usize::MAX),
        Kind::LegacyBody => (b'=', 1, 1),
        _ => (b'\n', 0, 0),
    };
    // Regular expressions are another matcher's.
    fields(line, separator).skip(first).take(most).filter(|pattern| !pattern.contains(&b'/'))
}

fn is_inexact(pattern: &[u8]) -> bool {
    let has_options = memchr::memmem::find(pattern, b"::").is_some();
    let mut groups = pattern.split(|byte| *byte == b'(').skip(1);
    pattern.contains(&b'[') || groups.any(|group| !is_exact(group, has_options))
}

/// Whether libclamav compares the alternatives that begin here in full.
fn is_exact(group: &[u8], has_options: bool) -> bool {
    let Some(end) = memchr::memchr(b')', group) else { return false };
    let inner = group.get(..end).unwrap_or_default();
    if BOUNDARIES.contains(&inner) {
        return true;
    }
    let mut lengths = fields(inner, b'|').map(<[u8]>::len);
    let first = lengths.next();
    !has_options
        && inner.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'|')
        && lengths.all(|length| Some(length) == first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_with_distances_and_uneven_alternatives_may_be_mistaken() {
        for (pattern, expected) in [
            ("61626364", false),
            ("6162(63|64)6566", false),
            ("6162(6364|6566)67", false),
            ("6162!(6364|6566)67", false),
            ("(B)6162(L)", false),
            ("6162(6364|65)67", true),
            ("6162(63|64(65|66))67", true),
            ("6162(63??|6465)67", true),
            ("6162[1-3]63", true),
            ("6162{1-3}63*64", false),
        ] {
            let lines = [
                (Kind::Body, format!("A:0:*:{pattern}")),
                (Kind::Logical, format!("A;Target:0;0&1;00ff;EOF-10:{pattern}")),
                (Kind::LegacyBody, format!("A={pattern}")),
            ];
            for (kind, line) in lines {
                assert_eq!(may_be_mistaken(kind, line.as_bytes()), expected, "{line}");
            }
        }
        for (line, expected) in [
            ("A;Target:0;(0|1)&2;00ff;ff00;00ff00", false),
            ("A;Target:0;0&1;00ff;0/a[bc](d|ef)/", false),
            ("A;Target:0;0;6162(6364|6566)67::i", true),
            ("A;Target:0;0;(B)6162::i", false),
        ] {
            assert_eq!(may_be_mistaken(Kind::Logical, line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn pieces_are_what_stands_between_gaps() {
        let of = |kind, line: &str| {
            pieces(kind, line.as_bytes()).map(|piece| String::from_utf8(piece).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(Kind::Body, "A:0:*:61AB*62{4}63"), ["61ab", "62", "4", "63"]);
        assert_eq!(of(Kind::Logical, "A;Target:0;0&1;0:6162::i;EP+0:63"), ["6162", "63"]);
        assert!(is_of_group(Kind::Body, b"D:0:$12:626262") && !is_of_group(Kind::Body, b"D:0:0:626262"));
    }

    proptest! {
        #[test]
        fn no_line_panics_it(line: Vec<u8>, text in "[a0:;=|()\\[\\]{}*/-]{0,60}") {
            for line in [line.as_slice(), text.as_bytes()] {
                for kind in [Kind::Body, Kind::Logical, Kind::LegacyBody, Kind::FileHash] {
                    let _ = (may_be_mistaken(kind, line), pieces(kind, line).count());
                }
            }
        }
    }
}
