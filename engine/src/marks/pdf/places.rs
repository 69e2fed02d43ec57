//! Where the streams of a PDF begin, and what stands before each: found in one pass, whatever the file repeats.
//!
//! Source: ISO 32000-1, sections 7.3.8 and 7.3.10.

use std::collections::BTreeMap;

use memchr::memmem;

use super::{super::bytes::is_pdf_space, MAX_DICTIONARY, dictionary::Dictionary};

/// Bytes before a stream that are read where no object begins before it.
const MAX_WITHOUT_OBJECT: usize = 512;
/// Most objects before a stream that may be words in a string of its dictionary.
const MAX_BACK: usize = 16;
/// Bytes that may be read in any case.
const MIN_WORK: usize = 4 << 20;
/// Longest line on which a comment may hide what follows.
const MAX_LINE: usize = 256;
/// Most values of an object that is written again and again, and bytes after its beginning in which the value is.
const MAX_VALUES: usize = 8;
const MAX_VALUE: usize = 64;

/// How much a reader may still read. Attack: what is short in a file and is read again and again.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) left: usize,
    #[cfg(test)]
    given: usize,
}

impl Work {
    /// A few passes over the content.
    pub(super) fn passes(content: &[u8], passes: usize) -> Self {
        let given = content.len().saturating_mul(passes).saturating_add(MIN_WORK);
        Self {
            left: given,
            #[cfg(test)]
            given,
        }
    }

    /// Whether so much may still be read.
    pub(super) fn spend(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    #[cfg(test)]
    pub(super) fn spent(&self) -> usize {
        self.given - self.left
    }
}

/// A word `stream` that may begin one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'c> {
    pub(super) at: usize,
    /// The words before it, back to where its object begins, and that place; `None` where none begins.
    pub(super) text: &'c [u8],
    begin: Option<usize>,
    /// It has a dictionary that begins before the text.
    pub(super) is_cut: bool,
}

/// There is no work left.
#[derive(Clone, Copy, Debug)]
struct Exhausted;

/// The objects of a file.
#[derive(Debug)]
pub(super) struct Objects<'c> {
    content: &'c [u8],
    /// Places of the word `obj` behind a number.
    begins: Vec<usize>,
}

impl<'c> Objects<'c> {
    pub(super) fn of(content: &'c [u8]) -> Self {
        let is_numbered = |at: &usize| {
            let before = content.get(at.saturating_sub(MAX_LINE)..*at).unwrap_or_default();
            before.iter().rfind(|byte| !is_pdf_space(**byte)).is_some_and(u8::is_ascii_digit)
        };
        Self { content, begins: memmem::find_iter(content, b"obj").filter(is_numbered).collect() }
    }

    /// Each word that may begin a stream; `None` when there is no work left for it.
    pub(super) fn streams<'o>(&'o self, work: &'o mut Work) -> impl Iterator<Item = Option<Place<'c>>> + 'o {
        let (mut next, mut last) = (0, 0);
        memmem::find_iter(self.content, b"stream").filter_map(move |at| {
            while self.begins.get(next).is_some_and(|begin| *begin < at) {
                next += 1;
            }
            let is_end = at.checked_sub(3).and_then(|from| self.content.get(from..at)) == Some(b"end");
            let after = std::mem::replace(&mut last, at + 6);
            if is_end { None } else { Some(self.place(at, after, next, work)?.ok()) }
        })
    }

    /// The stream at `at`, before which there are so many objects, and another such word that ends at `after`. `None` is a word without
    /// a dictionary before it, an error one for which there is no work left.
    fn place(&self, at: usize, after: usize, objects: usize, work: &mut Work) -> Option<Result<Place<'c>, Exhausted>> {
        let earliest = at.saturating_sub(MAX_DICTIONARY);
        let mut from = None;
        for begin in self.begins.get(..objects)?.iter().rev().take(MAX_BACK).take_while(|begin| **begin >= earliest) {
            let text = self.content.get(*begin..at)?;
            if !work.spend(text.len()) {
                return Some(Err(Exhausted));
            }
            from = Some(*begin);
            if !self.is_within(*begin, text) {
                break;
            }
        }
        let whole = from.unwrap_or_else(|| at.saturating_sub(MAX_WITHOUT_OBJECT).max(after));
        let text = self.content.get(whole..at)?;
        if !work.spend(text.len()) {
            return Some(Err(Exhausted));
        }
        let end = memmem::rfind(text, b">>");
        if end.is_none() && memmem::find(text, b"<<").is_none() {
            return None;
        }
        let after = end.and_then(|end| text.get(end + 2..)).unwrap_or(text);
        let ends_here = after.trim_ascii().is_empty() || memchr::memchr(b'%', after).is_some();
        let is_cut = from.is_none() && at > MAX_DICTIONARY && ends_here;
        Some(Ok(Place { at, text, begin: from, is_cut }))
    }

    /// Whether what seems to begin an object is a word in a string or in a comment.
    fn is_within(&self, begin: usize, text: &[u8]) -> bool {
        let (mut depth, mut rest) = (0_usize, text);
        while let Some(at) = memchr::memchr3(b'(', b')', b'\\', rest) {
            match rest.get(at) {
                Some(b'(') => depth += 1,
                Some(b')') if depth == 0 => return true,
                Some(b')') => depth -= 1,
                _ => {}
            }
            let width = if rest.get(at) == Some(&b'\\') { 2 } else { 1 };
            rest = rest.get(at + width..).unwrap_or_default();
        }
        let before = self.content.get(begin.saturating_sub(MAX_LINE)..begin).unwrap_or_default();
        let line = before.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        memchr::memchr(b'%', line).is_some()
    }

    /// The numbers of the objects that a stream may be of; `None` when it is of none that is known.
    pub(super) fn numbers(&self, place: &Place<'_>) -> Option<Vec<u64>> {
        let from = self.begins.partition_point(|begin| Some(*begin) < place.begin);
        let to = self.begins.partition_point(|begin| *begin < place.at);
        place.begin?;
        self.begins.get(from..to)?.iter().map(|begin| self.number(*begin)).collect()
    }

    fn number(&self, begin: usize) -> Option<u64> {
        let head = self.content.get(begin.saturating_sub(MAX_LINE)..begin)?;
        let words = head.rsplit(|byte| !byte.is_ascii_digit()).filter(|word| !word.is_empty());
        number(words.take(2).last()?)
    }

    /// The objects that are nothing but a number, by their own numbers.
    pub(super) fn values(&self) -> BTreeMap<u64, Vec<usize>> {
        let mut values: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for begin in &self.begins {
            let text = self.content.get(begin + 3..self.content.len().min(begin + 3 + MAX_VALUE)).unwrap_or_default();
            let dictionary = Dictionary::read(text);
            // A comment may stand before it.
            let value = dictionary.leading_number();
            if let Some((own, value)) = self.number(*begin).zip(value) {
                let all = values.entry(own).or_default();
                if all.len() < MAX_VALUES && !all.contains(&value) {
                    all.push(value);
                }
            }
        }
        values
    }
}

/// A whole number.
pub(super) fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(content: &str) -> Vec<String> {
        let mut work = Work::passes(content.as_bytes(), 8);
        let objects = Objects::of(content.as_bytes());
        let places: Vec<_> = objects.streams(&mut work).flatten().collect();
        places.iter().map(|place| String::from_utf8_lossy(place.text).into_owned()).collect()
    }

    #[test]
    fn a_dictionary_is_read_from_where_its_object_begins() {
        assert_eq!(
            texts("1 0 obj<</A 1>>stream\nendstream endobj 2 0 obj <</B 2>> stream"),
            ["obj<</A 1>>", "obj <</B 2>> "]
        );
        assert_eq!(texts("1 0 obj<</X(9 0 obj)/Y 1>>stream"), ["obj<</X(9 0 obj)/Y 1>>"]);
        assert_eq!(texts("1 0 obj<</X(a \\(9 0 obj (b) )/Y 1>>stream"), ["obj<</X(a \\(9 0 obj (b) )/Y 1>>"]);
        assert_eq!(texts("1 0 obj%9 0 obj\n<</Y 1>>stream"), ["obj%9 0 obj\n<</Y 1>>"]);
        assert!(texts("a word: stream, stream and endstream").is_empty());
    }

    #[test]
    fn objects_that_are_numbers_are_known() {
        let objects = Objects::of(b"6 0 obj 78 endobj 7 0 obj % a comment\n 9\nendobj 8 0 obj <<>> endobj 6 1 obj\n5");
        assert_eq!(objects.values(), BTreeMap::from([(6, vec![78, 5]), (7, vec![9])]));
    }
}
