//! The contents of a PDF's streams, by the loosest reading: whatever some reader may take for a stream, unpacked by every filter whose
//! marks it bears.
//!
//! libclamav reads a stream by its dictionary, and passes over it in silence where a string, a comment, a line's end or a key that
//! stands twice misleads it, or where the dictionary says that it is an image; other readers do not. So no dictionary is trusted here:
//! each word `stream` begins one, and the bytes behind it decide. Only images of a document without attachments are left out.
//!
//! Source: ISO 32000-1, sections 7.3.8, 7.4, 7.11.4.

use std::collections::BTreeSet;

use memchr::memmem;

use super::{
    MAX_BEGIN, MAX_DICTIONARY, MAX_STREAMS,
    dictionary::Dictionary,
    filters::{self, MAX_OUTPUT},
};

/// Bytes at the end in which the place of the table of objects stands.
const END: usize = 2048;
/// Most filters of a stream.
const MAX_FILTERS: usize = 8;
/// Bytes behind the key of attached files that name them.
const MAX_FILES: usize = 256;
/// Bytes before a stream that are read where no object begins before it.
const MAX_WITHOUT_OBJECT: usize = 512;
/// Longest name with escapes: each of its letters may be three.
const MAX_NAME: usize = 64;
/// Most bytes that are read and unpacked. Attack: streams without an end, each of which holds all that follow.
const MAX_BYTES: usize = 1 << 30;

/// Gives the contents to `keep`, and returns whether there are more than are read.
pub(in crate::marks) fn contents(content: &[u8], keep: &mut dyn FnMut(&[u8])) -> bool {
    let start = content.get(..content.len().min(MAX_BEGIN)).unwrap_or_default();
    let end = content.get(content.len().saturating_sub(END)..).unwrap_or_default();
    let is_pdf = memmem::find(start, b"%PDF-").is_some() || memmem::find(end, b"startxref").is_some();
    if !is_pdf && memmem::find(content, b"endobj").is_none() {
        return false;
    }
    let mut reading = Reading {
        run_length: names(content, &RUN_LENGTH),
        attached: Attached::of(content),
        left: MAX_BYTES,
        ends: [0; 2],
        keep,
    };
    let (mut images, mut streams) = (Vec::new(), 0);
    for at in memmem::find_iter(content, b"stream") {
        if at.checked_sub(3).and_then(|from| content.get(from..at)) == Some(b"end") {
            continue;
        }
        streams += 1;
        if streams > MAX_STREAMS {
            return true;
        }
        let text = dictionary_text(content, at);
        // Attack: thousands of streams that share a long dictionary. Reading its words takes longer than unpacking.
        let Some(left) = reading.left.checked_sub(text.len() * 32) else { return true };
        reading.left = left;
        let dictionary = Dictionary::read(text);
        if dictionary.is_image() {
            images.push(at);
        } else if !reading.stream(content, at, &dictionary) {
            return true;
        }
    }
    // A file may be said to be an image: known when every object has been read that may attach it.
    reading.ends = [0; 2];
    images.into_iter().any(|at| {
        reading.may_be_attached(object_number(content, at))
            && !reading.stream(content, at, &Dictionary::read(dictionary_text(content, at)))
    })
}

/// The filter that has no mark, and the keys by which a document has attachments.
const RUN_LENGTH: [&str; 2] = ["/RunLengthDecode", "/RL"];
const FILES: [&str; 1] = ["/EF"];

/// Whether one of the names stands anywhere. Escapes may hide it.
fn names(content: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| memmem::find(content, name.as_bytes()).is_some()) || escapes(content, names)
}

/// Whether one of the names stands anywhere with an escape.
fn escapes(content: &[u8], names: &[&str]) -> bool {
    // One reading for each name that has an escape. Attack: names of nothing else.
    memchr::memchr_iter(b'/', content).any(|at| {
        let name = content.get(at..content.len().min(at + MAX_NAME)).unwrap_or_default();
        let rest = name.get(1..).unwrap_or_default();
        let end = rest.iter().position(|byte| byte.is_ascii_whitespace() || b"/<>[]()%".contains(byte));
        let name = name.get(..end.map_or(name.len(), |end| end + 1)).unwrap_or_default();
        memchr::memchr(b'#', name).is_some() && Dictionary::read(name).begins_with_one_of(names)
    })
}

/// The words before a stream, back to where its object begins.
fn dictionary_text(content: &[u8], at: usize) -> &[u8] {
    let before = content.get(at.saturating_sub(MAX_DICTIONARY)..at).unwrap_or_default();
    // A word within a string begins no object: a number stands before it.
    let begins = |from: &usize| {
        let number = before.get(..*from).unwrap_or_default().trim_ascii_end();
        number.len() < *from && number.last().is_some_and(u8::is_ascii_digit)
    };
    let from = memmem::rfind_iter(before, b"obj").find(begins);
    let without = before.len().saturating_sub(MAX_WITHOUT_OBJECT);
    before.get(from.unwrap_or(without)..).unwrap_or_default()
}

struct Reading<'k> {
    /// The document names the filter that has no mark.
    run_length: bool,
    attached: Attached,
    /// Bytes that may still be read and unpacked.
    left: usize,
    /// Where the next stream ends, and the next object, in the document.
    ends: [usize; 2],
    keep: &'k mut dyn FnMut(&[u8]),
}

/// Which objects a document attaches as files.
#[derive(Debug, Default)]
struct Attached {
    numbers: BTreeSet<u64>,
    /// Whether an escape hides a key that attaches some.
    hidden: bool,
}

impl Attached {
    fn of(content: &[u8]) -> Self {
        let mut numbers = BTreeSet::new();
        for at in memmem::find_iter(content, b"/EF") {
            let after = content.get(at + 3..content.len().min(at + 3 + MAX_FILES)).unwrap_or_default();
            let words: Vec<&[u8]> =
                after.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
            let references = words.windows(3).filter(|words| words.last() == Some(&&b"R"[..]));
            numbers.extend(references.filter_map(|words| number(words.first()?)));
        }
        Self { hidden: escapes(content, &FILES), numbers }
    }

    fn add(&mut self, other: Self) {
        self.hidden |= other.hidden;
        self.numbers.extend(other.numbers);
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// The number of the object that a stream is of.
fn object_number(content: &[u8], at: usize) -> Option<u64> {
    let before = content.get(at.saturating_sub(MAX_DICTIONARY)..at).unwrap_or_default();
    let head = before.get(..memmem::rfind(before, b"obj")?)?.trim_ascii_end();
    let words: Vec<&[u8]> = head.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(2).collect();
    number(words.get(1)?)
}

impl Reading<'_> {
    fn may_be_attached(&self, object: Option<u64>) -> bool {
        self.attached.hidden || object.is_none_or(|object| self.attached.numbers.contains(&object))
    }

    /// Unpacks the stream behind the word at `at`; `false` when that is more than is read.
    fn stream(&mut self, content: &[u8], at: usize, dictionary: &Dictionary) -> bool {
        let rest = content.get(at + 6..).unwrap_or_default();
        let strict = match rest {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        let loose = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        // Searched once for all streams that end there.
        for (end, mark) in self.ends.iter_mut().zip([&b"endstream"[..], b"endobj"]) {
            if *end < at + 6 {
                *end = at + 6 + memmem::find(rest, mark).unwrap_or(rest.len());
            }
        }
        let [stream, object] = self.ends.map(|end| end - (at + 6));
        let end = if stream < rest.len() { stream } else { object };
        let length = dictionary.length().map_or(0, |length| length.saturating_add(strict)).min(rest.len());
        let end = end.max(length);
        let mut starts = vec![strict];
        // Blanks may be the stream's own.
        starts.extend((loose != strict).then_some(loose));
        starts.into_iter().all(|start| {
            let stream = rest.get(start.min(end)..end).unwrap_or_default();
            // It has no mark: only where the dictionary names it, or names no filter.
            let named = dictionary.count(&RUN_LENGTH);
            let run_lengths = if self.run_length && !dictionary.has("/Filter") { 1 } else { named };
            self.unpack(stream, dictionary, MAX_FILTERS, run_lengths)
        })
    }

    /// `run_lengths` of the filters may be that without a mark.
    fn unpack(&mut self, stream: &[u8], dictionary: &Dictionary, filters: usize, run_lengths: usize) -> bool {
        let Some(left) = self.left.checked_sub(stream.len()) else { return false };
        self.left = left;
        if filters == 0 {
            return !filters::is_marked(stream) && dictionary.count(&RUN_LENGTH) <= MAX_FILTERS;
        }
        for reading in filters::readings(stream, run_lengths > 0) {
            if reading.len() >= MAX_OUTPUT {
                return false;
            }
            let Some(left) = self.left.checked_sub(reading.len()) else { return false };
            self.left = left;
            self.attached.add(Attached::of(&reading));
            (self.keep)(&reading);
            if let Some(predictor) = dictionary.predictor() {
                let undone = predictor.undo(&reading);
                (self.keep)(&undone);
                if !self.unpack(&undone, dictionary, filters - 1, 0) {
                    return false;
                }
            }
            if !self.unpack(&reading, dictionary, filters - 1, run_lengths.saturating_sub(1)) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(objects: &str) -> (Vec<Vec<u8>>, bool) {
        let mut kept = Vec::new();
        let too_many = contents(format!("%PDF-1.7\n{objects}").as_bytes(), &mut |piece| kept.push(piece.to_vec()));
        (kept, too_many)
    }

    #[test]
    fn no_dictionary_misleads_it() {
        for object in [
            "1 0 obj<</Filter/ASCIIHexDecode>>stream\n776F726473>\nendstream endobj",
            "1 0 obj<</Filter%words\n/ASCIIHexDecode>>stream\r776F726473>\rendstream endobj",
            "1 0 obj<</X(>>stream endstream)/Filter/AHx>>stream \n776F726473>endstream endobj",
            "1 0 obj<</Subtype/Image/Type/EmbeddedFile>>stream\n776F726473>\nendstream endobj",
            "1 0 obj<</Subtype/Image>>stream\n776F726473>\nendstream endobj 2 0 obj<</EF<</F 1 0 R>>>>",
            "1 0 obj<</Subtype/Image>>stream\n776F726473>\nendstream endobj 2 0 obj<</E#46<</F 1 0 R>>>>",
            "1 0 obj<</Filter/#52unLengthDecode>>stream\n\u{4}wordsendstream endobj",
            "1 0 obj<<>>stream\n776F726473",
        ] {
            assert!(read(object).0.contains(&b"words".to_vec()), "{object}");
        }
        assert!(read("1 0 obj<</Subtype/Image>>stream\n776F726473>\nendstream endobj").0.is_empty());
    }

    #[test]
    fn what_it_reads_is_bounded() {
        let deep = (0..=MAX_FILTERS).fold("words".to_owned(), |text, _| hex::encode(text) + ">");
        assert!(read(&format!("1 0 obj<<>>stream\n{deep}\nendstream")).1);
        assert!(read(&"1 0 obj<<>>stream\nendstream\n".repeat(MAX_STREAMS + 1)).1);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            for start in [&b"%PDF-1.7 1 0 obj<</Predictor 12>>stream\n"[..], b"%PDF-1.7 stream\n\x78\x9c", b"%PDF-1.7 stream\n12"] {
                contents(&[start, &bytes[..]].concat(), &mut |_| {});
            }
        }
    }
}
