//! Where the streams of a PDF begin, and what stands before each: found in one pass, whatever the file repeats.
//!
//! Source: ISO 32000-1, sections 7.3.8 and 7.3.10.

use std::collections::BTreeMap;

use memchr::memmem;

use super::{super::bytes::is_pdf_space, MAX_BEGIN, MAX_DICTIONARY, dictionary::Dictionary, plain::Plain};

/// Bytes before a stream that are read where no object begins before it.
const MAX_WITHOUT_OBJECT: usize = 512;
/// Most objects before a stream that may be words in a string of its dictionary.
const MAX_BACK: usize = 16;
/// Bytes that may be read in any case.
const MIN_WORK: usize = 4 << 20;
/// How often what was unpacked may be read, and most bytes that this is in all. Attack: little that unpacks to much.
const PER_UNPACKED: usize = 4;
const MAX_GRANTED: usize = 1 << 30;
/// Longest line on which a comment may hide what follows.
const MAX_LINE: usize = 256;
/// Bytes before an object in which the end of another one stands, or comments alone.
const MAX_BEFORE: usize = 1024;
/// Longest beginning of an object.
const MAX_HEAD: usize = 64;
/// A length that is not known.
pub(super) const UNKNOWN: usize = usize::MAX;
/// Most values of an object that is written again and again, and bytes after its beginning in which the value is.
const MAX_VALUES: usize = 8;
const MAX_VALUE: usize = 64;

/// How much a reader may still read. Attack: what is short in a file and is read again and again.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) left: usize,
    to_grant: usize,
    #[cfg(test)]
    given: usize,
}

impl Work {
    /// A few passes over the content.
    pub(super) fn passes(content: &[u8], passes: usize) -> Self {
        let given = content.len().saturating_mul(passes).saturating_add(MIN_WORK);
        Self {
            left: given,
            to_grant: MAX_GRANTED,
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

    /// Lets what was unpacked be read as well.
    pub(super) fn grant(&mut self, bytes: usize) {
        let more = bytes.saturating_mul(PER_UNPACKED).min(self.to_grant);
        self.to_grant -= more;
        self.left = self.left.saturating_add(more);
        #[cfg(test)]
        {
            self.given += more;
        }
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
    /// A dictionary ends before it.
    has_end: bool,
    /// The object has a number and stands behind another, as the standard has it.
    is_standard: bool,
}

impl<'c> Place<'c> {
    /// The dictionary, if every reader reads the same in it.
    pub(super) fn plain(&self) -> Option<Plain<'c>> {
        self.is_standard.then(|| Plain::read(self.text))?
    }

    /// Whether some reader may take it for a stream, and readers differ on its dictionary.
    pub(super) fn is_odd(&self) -> bool {
        self.has_end && self.plain().is_none()
    }
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
    /// Whether each of them stands in a comment, as far as its line shows.
    commented: Vec<bool>,
    /// An object may begin in another way.
    has_odd_begin: bool,
}

impl<'c> Objects<'c> {
    pub(super) fn of(content: &'c [u8]) -> Self {
        let mut objects = Self { content, begins: Vec::new(), commented: Vec::new(), has_odd_begin: false };
        let mut lines = memchr::memchr3_iter(b'%', b'\n', b'\r', content).peekable();
        let mut in_comment = false;
        for at in memmem::find_iter(content, b"obj") {
            let before = content.get(at.saturating_sub(MAX_LINE)..at).unwrap_or_default();
            let is_word = content.get(at + 3).is_none_or(|next| !next.is_ascii_alphanumeric());
            if before.iter().rfind(|byte| !is_pdf_space(**byte)).is_some_and(u8::is_ascii_digit) {
                while let Some(line) = lines.next_if(|line| *line < at) {
                    in_comment = content.get(line) == Some(&b'%');
                }
                objects.begins.push(at);
                objects.commented.push(in_comment);
                objects.has_odd_begin |= is_word && standard_start(content, at).is_none();
            } else {
                objects.has_odd_begin |= is_word && before.last().is_some_and(|byte| is_pdf_space(*byte));
            }
        }
        objects
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
        let mut is_standard = false;
        let begins = self.begins.get(..objects)?.iter().zip(&self.commented);
        for (begin, commented) in begins.rev().take(MAX_BACK).take_while(|(begin, _)| **begin >= earliest) {
            let text = self.content.get(*begin..at)?;
            if !work.spend(text.len()) {
                return Some(Err(Exhausted));
            }
            from = Some(*begin);
            if !commented && !is_within(text) {
                is_standard =
                    standard_start(self.content, *begin).is_some_and(|start| follows_object(self.content, start));
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
        Some(Ok(Place { at, text, begin: from, is_cut, has_end: ends_dictionary(text), is_standard }))
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

    /// The objects that are nothing but a number, by their own numbers. One on which readers may differ has [`UNKNOWN`] as well.
    pub(super) fn values(&self) -> BTreeMap<u64, Vec<usize>> {
        let mut times: BTreeMap<u64, u32> = BTreeMap::new();
        for own in self.begins.iter().filter_map(|begin| self.number(*begin)) {
            *times.entry(own).or_default() += 1;
        }
        let mut values: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for begin in &self.begins {
            let text = self.content.get(begin + 3..self.content.len().min(begin + 3 + MAX_VALUE)).unwrap_or_default();
            let dictionary = Dictionary::read(text);
            // A comment may stand before it.
            let value = dictionary.leading_number();
            if let Some((own, value)) = self.number(*begin).zip(value) {
                let all = values.entry(own).or_default();
                let is_certain = times.get(&own) == Some(&1) && !self.has_odd_begin && dictionary.is_one_number();
                for value in [Some(value), (!is_certain).then_some(UNKNOWN)].into_iter().flatten() {
                    if all.len() < MAX_VALUES && !all.contains(&value) {
                        all.push(value);
                    }
                }
            }
        }
        values
    }
}

/// Whether what seems to begin an object is a word in a string.
fn is_within(text: &[u8]) -> bool {
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
    false
}

/// Where the number of an object stands whose word `obj` is at `begin`: before it there are two numbers and blanks, on one line.
fn standard_start(content: &[u8], begin: usize) -> Option<usize> {
    let mut head = content.get(begin.saturating_sub(MAX_HEAD)..begin)?;
    for _ in 0..2 {
        let number = head.trim_ascii_end();
        let blanks = head.get(number.len()..)?;
        let digits = number.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        if blanks.is_empty() || !blanks.iter().all(|byte| matches!(byte, b' ' | b'\t')) || digits == 0 {
            return None;
        }
        head = number.get(..number.len() - digits)?;
    }
    let is_token = head.last().is_none_or(|byte| is_pdf_space(*byte)) || head.ends_with(b"endobj");
    is_token.then(|| begin - (content.get(begin.saturating_sub(MAX_HEAD)..begin).map_or(0, <[u8]>::len) - head.len()))
}

/// Whether what stands before `at`, but for comments, is the end of an object, of a file that was written on, or nothing.
///
/// Attack: a comment, or a name that ends as an object does, within a dictionary, and behind it what looks like another object.
fn follows_object(content: &[u8], at: usize) -> bool {
    let from = at.saturating_sub(MAX_BEFORE);
    let mut before = content.get(from..at).unwrap_or_default();
    loop {
        let end = before.iter().rposition(|byte| !is_pdf_space(*byte)).map_or(0, |last| last + 1);
        before = before.get(..end).unwrap_or_default();
        let line = before.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
        let text = before.get(line..).unwrap_or_default();
        // A file begins with its header, where readers look for it: what stands before it is no part of it.
        let header = memmem::find(text, b"%PDF-").map(|at| from + line + at).filter(|at| *at < MAX_BEGIN);
        if header.and_then(|at| content.get(..at)).is_some_and(|before| memmem::find(before, b"obj").is_none()) {
            return true;
        }
        let Some(comment) = memchr::memchr(b'%', text) else { break };
        before = before.get(..line + comment).unwrap_or_default();
    }
    if before.is_empty() {
        // Comments of any length stand at the start of a file alone.
        return from == 0;
    }
    let is_token = |head: &[u8]| head.last().is_none_or(|byte| is_pdf_space(*byte) || b">])".contains(byte));
    let number = before.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
    let place = before.get(..number).unwrap_or_default().trim_ascii_end();
    before.strip_suffix(b"endobj").is_some_and(is_token) || number < before.len() && place.ends_with(b"startxref")
}

/// Whether a dictionary ends where `text` ends, but for white space and comments.
fn ends_dictionary(text: &[u8]) -> bool {
    let mut text = text;
    for _ in 0..MAX_BACK {
        let end = text.iter().rposition(|byte| !is_pdf_space(*byte)).map_or(0, |last| last + 1);
        text = text.get(..end).unwrap_or_default();
        let line = text.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
        let Some(comment) = text.get(line..).and_then(|line| memchr::memchr(b'%', line)) else {
            return text.ends_with(b">>");
        };
        if text.get(..line + comment).is_some_and(|text| text.trim_ascii_end().ends_with(b">>")) {
            return true;
        }
        text = text.get(..line + comment).unwrap_or_default();
    }
    true
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
    fn what_an_object_follows_is_an_end_or_nothing() {
        let follows = |before: &str| follows_object(before.as_bytes(), before.len());
        for before in [
            "",
            "%PDF-1.7\n%\u{e2}\u{e3}\n",
            "1 0 obj<<>>endobj\n%% the next\n",
            "endstream\nendobj % done\r\n",
            "trailer<<>>\nstartxref\n123\n%%EOF\n",
            "a picture % <</X\0%PDF-1.7\n%x\n",
        ] {
            assert!(follows(before), "{before}");
        }
        for before in [
            "4 0 obj<</X %\n",
            "4 0 obj<</X/endobj ",
            "4 0 obj<<\n%x\n",
            "4 0 obj<</X 12",
            "words\n",
            "4 0 obj<</X %PDF-1.7\n",
        ] {
            assert!(!follows(before), "{before}");
        }
        assert!(!follows(&format!("4 0 obj<</X\n{}", "%\n".repeat(MAX_BEFORE))));
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
        assert_eq!(objects.values(), BTreeMap::from([(6, vec![78, UNKNOWN, 5]), (7, vec![9, UNKNOWN])]));
        let values = |text: &str| Objects::of(text.as_bytes()).values().get(&6).cloned();
        assert_eq!(values("6 0 obj\n78\nendobj 7 0 obj 5 endobj"), Some(vec![78]));
        for odd in ["6 0%x\nobj 9", "6 %9\n0 obj 9", "7\n0 obj 9", "6 0 obj <<>>", "6 0 obj % x"] {
            assert_eq!(values(&format!("6 0 obj\n78\nendobj {odd} endobj")), Some(vec![78, UNKNOWN]), "{odd}");
        }
    }

    #[test]
    fn a_dictionary_that_readers_find_differently_is_odd() {
        let odd = |content: &str| {
            let (objects, mut work) = (Objects::of(content.as_bytes()), Work::passes(content.as_bytes(), 8));
            objects.streams(&mut work).flatten().any(|place| place.is_odd())
        };
        let long = format!("1 0 obj<</X 1>>%{} endobj 9 0 obj<<\n/Length 5>>stream", "x".repeat(9000));
        let many = format!("1 0 obj<</A 1/X({})/Length 5>>stream", "9 0 obj ".repeat(40));
        for text in [
            "1 0 obj<</A 1/A0obj 1/Length 5>>stream",
            "1 0 obj<</A 1/X 9 0 obj<</Length 5>>stream",
            "1 0 obj<</A 1>>% >>x\nstream",
            "1\n0 obj<</A 1>>stream",
            &long,
            &many,
        ] {
            assert!(odd(text), "{text}");
        }
        for text in [
            "%PDF-1.7\n1 0 obj\n<</A 1>>\nstream words endstream endobj 2 0 obj<</X(a)/A[1 2 0 R]>>stream",
            "1 0 obj<</A 1>>stream\n(the > stream of life)Tj % x\nendstream endobj",
            "%%EOF\n5 1 obj <</A#42 1>> \r\nstream",
        ] {
            assert!(!odd(text), "{text}");
        }
    }
}
