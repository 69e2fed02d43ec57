//! Which objects a document attaches as files.
//!
//! Source: ISO 32000-1, section 7.11.

use std::collections::BTreeSet;

use memchr::memmem;

use super::{
    super::bytes::{after_pdf_space, is_pdf_space},
    names,
    places::{Objects, Place, number},
};

/// The key by which a document attaches files.
const FILES: &str = "/EF";
/// Bytes behind the key that name them, and most of such keys.
const MAX_FILES: usize = 256;
const MAX_KEYS: usize = 100_000;
/// Blanks behind the key, from which on what follows them counts as hidden.
const MAX_BLANKS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Attached {
    numbers: BTreeSet<u64>,
    /// Some are attached in a way that is not followed here: behind an escape, a reference or a comment.
    hidden: bool,
}

impl Attached {
    pub(super) fn of(content: &[u8]) -> Self {
        let mut attached = Self { hidden: names::escaped(content, FILES).next().is_some(), numbers: BTreeSet::new() };
        for (n, at) in names::plain(content, FILES).enumerate() {
            // Attack: keys and nothing else.
            if n >= MAX_KEYS {
                attached.hidden = true;
            }
            if attached.hidden {
                break;
            }
            attached.key(content.get(at..content.len().min(at + MAX_FILES)).unwrap_or_default());
        }
        attached
    }

    /// Adds what stands behind a key.
    fn key(&mut self, after: &[u8]) {
        let text = after_pdf_space(after);
        // Attack: what follows stands behind more than is read. So many blanks are no chance.
        let is_far = after.len() - text.len() >= MAX_BLANKS;
        let is_plain = |files: &[u8]| {
            files.iter().all(|byte| byte.is_ascii_alphanumeric() || is_pdf_space(*byte) || *byte == b'/')
        };
        self.hidden |= is_far;
        match text.strip_prefix(b"<<").map(|files| memmem::find(files, b">>").and_then(|end| files.get(..end))) {
            // Attack: a string, a comment or a dictionary within, after which the files follow.
            Some(Some(files)) if is_plain(files) => {
                let found = references(files);
                self.hidden |= found.is_empty();
                self.numbers.extend(found);
            }
            Some(_) => self.hidden = true,
            // Bytes of packed content may be the key by chance: more must follow it.
            None => {
                let is_number =
                    |text: &[u8]| text.first().is_some_and(|byte| byte.is_ascii_digit() || b"+-".contains(byte));
                let is_reference = is_number(text) && !references(text).is_empty();
                self.hidden |= is_reference || text.starts_with(b"%");
            }
        }
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
        // Attack: a place in the table of objects behind the first digits of a number.
        let suffixes = |number: u64| (1..20).map(move |digits| number % 10_u64.saturating_pow(digits));
        let is_one =
            |numbers: Vec<u64>| numbers.into_iter().flat_map(suffixes).any(|number| self.numbers.contains(&number));
        self.hidden || self.is_any() && objects.numbers(place).is_none_or(is_one)
    }
}

/// The numbers of the objects that are referred to.
fn references(text: &[u8]) -> Vec<u64> {
    let words: Vec<&[u8]> = text.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let references = words.windows(3).filter(|words| words.last() == Some(&&b"R"[..]));
    references.filter_map(|words| number(words.first()?)).collect()
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
        let nested = ["/EF<</D<</Z 9 0 R>>/F 4 0 R>>", "/EF<</X(>>)/F 4 0 R>>", "/EF<</X<3E>/F 4 0 R>>"];
        for hidden in nested.into_iter().chain([
            "/E#46<</F 4 0 R>>",
            "/EF 9 0 R",
            "/EF +9 0 R",
            "/EF --9 0 R",
            "/EF%x\n<</F 4 0 R>>",
            "/EF<</F 4%x\n0 R>>",
            &far,
            &late,
        ]) {
            assert!(known(hidden).1, "{hidden}");
        }
    }
}
