//! Which objects a document attaches as files.
//!
//! Source: ISO 32000-1, section 7.11.

use std::collections::BTreeSet;

use memchr::memmem;

use super::{
    super::bytes::after_pdf_space,
    dictionary::Dictionary,
    places::{Objects, Place, number},
};

/// The key by which a document attaches files.
const FILES: [&str; 1] = ["/EF"];
/// Bytes behind the key that name them.
const MAX_FILES: usize = 256;
/// Longest name with escapes: each of its letters may be three.
const MAX_NAME: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Attached {
    numbers: BTreeSet<u64>,
    /// Some are attached in a way that is not followed here: behind an escape, a reference or a comment.
    hidden: bool,
}

impl Attached {
    pub(super) fn of(content: &[u8]) -> Self {
        let mut attached = Self { hidden: escapes(content, &FILES), numbers: BTreeSet::new() };
        for at in memmem::find_iter(content, b"/EF") {
            let after = content.get(at + 3..content.len().min(at + 3 + MAX_FILES)).unwrap_or_default();
            let text = after_pdf_space(after);
            let files =
                text.strip_prefix(b"<<").map(|files| memmem::find(files, b">>").and_then(|end| files.get(..end)));
            match files {
                Some(Some(files)) if memchr::memchr(b'%', files).is_none() => {
                    let found = references(files);
                    attached.hidden |= found.is_empty();
                    attached.numbers.extend(found);
                }
                Some(_) => attached.hidden = true,
                // Bytes of packed content may be the key by chance: more must follow it.
                None => {
                    let is_reference = text.first().is_some_and(u8::is_ascii_digit) && !references(text).is_empty();
                    attached.hidden |=
                        is_reference || text.starts_with(b"%") || text.is_empty() && after.len() == MAX_FILES;
                }
            }
        }
        attached
    }

    pub(super) fn add(&mut self, other: Self) {
        self.hidden |= other.hidden;
        self.numbers.extend(other.numbers);
    }

    /// Whether the document has any.
    pub(super) fn is_any(&self) -> bool {
        self.hidden || !self.numbers.is_empty()
    }

    /// Whether a stream may be one of them.
    pub(super) fn may_be(&self, place: &Place<'_>, objects: &Objects<'_>) -> bool {
        let is_one = |numbers: Vec<u64>| numbers.iter().any(|number| self.numbers.contains(number));
        self.hidden || self.is_any() && objects.numbers(place).is_none_or(is_one)
    }
}

/// The numbers of the objects that are referred to.
fn references(text: &[u8]) -> Vec<u64> {
    let words: Vec<&[u8]> = text.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let references = words.windows(3).filter(|words| words.last() == Some(&&b"R"[..]));
    references.filter_map(|words| number(words.first()?)).collect()
}

/// Whether one of the names stands anywhere. Escapes may hide it.
pub(super) fn names(content: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| memmem::find(content, name.as_bytes()).is_some()) || escapes(content, names)
}

/// Whether one of the names stands anywhere with an escape.
fn escapes(content: &[u8], names: &[&str]) -> bool {
    // One reading for each escape. Attack: names of nothing else.
    memchr::memchr_iter(b'#', content).any(|escape| {
        let from = escape.saturating_sub(MAX_NAME);
        let before = content.get(from..escape).unwrap_or_default();
        let Some(at) = memchr::memrchr(b'/', before).map(|at| from + at) else { return false };
        // The first escape of a name is enough.
        let is_first = content.get(at..escape).is_some_and(|name| memchr::memchr(b'#', name).is_none());
        let name = content.get(at..content.len().min(at + MAX_NAME)).unwrap_or_default();
        is_first && Dictionary::read_first(name).begins_with_one_of(names)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_are_known_or_are_hidden() {
        let known = |text: &str| (Attached::of(text.as_bytes()).numbers, Attached::of(text.as_bytes()).hidden);
        assert_eq!(known("/EF<</F 4 0 R/UF 5 0 R>>/X 9 0 R"), (BTreeSet::from([4, 5]), false));
        assert_eq!(known("/EFx /EF(a) /EF/F 4 0 R"), (BTreeSet::new(), false));
        let far = format!("/EF<<{}/F 4 0 R>>", " ".repeat(300));
        let late = format!("/EF{}<</F 4 0 R>>", " ".repeat(300));
        for hidden in ["/E#46<</F 4 0 R>>", "/EF 9 0 R", "/EF%x\n<</F 4 0 R>>", "/EF<</F 4%x\n0 R>>", &far, &late] {
            assert!(known(hidden).1, "{hidden}");
        }
    }
}
