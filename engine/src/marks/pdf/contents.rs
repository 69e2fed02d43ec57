//! The contents of a PDF's streams, by the loosest reading: whatever some reader may take for a stream, unpacked by every filter whose
//! marks it bears.
//!
//! libclamav reads a stream by its dictionary, and passes over it in silence where a string, a comment, a line's end or a key that
//! stands twice misleads it, or where the dictionary says that it is an image; other readers do not. So no dictionary is trusted here:
//! each word `stream` begins one, and the bytes behind it decide. Only images of a document without attachments are left out.
//!
//! Source: ISO 32000-1, sections 7.3.8, 7.4, 7.11.4.

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
/// Longest name with escapes: each of its letters may be three.
const MAX_NAME: usize = 64;
/// Most bytes that are read and unpacked. Attack: streams without an end, each of which holds all that follow.
const MAX_BYTES: usize = 1 << 30;

/// Gives the contents to `keep`, and returns whether there are more than are read.
pub(in crate::marks) fn contents(content: &[u8], keep: &mut dyn FnMut(&[u8])) -> bool {
    let start = content.get(..content.len().min(MAX_BEGIN)).unwrap_or_default();
    let end = content.get(content.len().saturating_sub(END)..).unwrap_or_default();
    if memmem::find(start, b"%PDF-").is_none() && memmem::find(end, b"startxref").is_none() {
        return false;
    }
    let mut reading =
        Reading { run_length: names(content, &RUN_LENGTH), has_files: names(content, &FILES), left: MAX_BYTES, keep };
    let (mut images, mut streams) = (Vec::new(), 0);
    for at in memmem::find_iter(content, b"stream") {
        if at.checked_sub(3).and_then(|from| content.get(from..at)) == Some(b"end") {
            continue;
        }
        streams += 1;
        if streams > MAX_STREAMS {
            return true;
        }
        let dictionary = dictionary(content, at);
        if dictionary.is_image() {
            images.push(at);
        } else if !reading.stream(content, at, &dictionary) {
            return true;
        }
    }
    // A file may be said to be an image: known when every object has been read that may attach it.
    reading.has_files && images.into_iter().any(|at| !reading.stream(content, at, &dictionary(content, at)))
}

/// The filter that has no mark, and the keys by which a document has attachments.
const RUN_LENGTH: [&str; 2] = ["/RunLengthDecode", "/RL"];
const FILES: [&str; 2] = ["/EF", "/EmbeddedFile"];

/// Whether one of the names stands anywhere. Escapes may hide it.
fn names(content: &[u8], names: &[&str]) -> bool {
    if names.iter().any(|name| memmem::find(content, name.as_bytes()).is_some()) {
        return true;
    }
    memchr::memchr_iter(b'#', content).any(|at| {
        let before = content.get(at.saturating_sub(MAX_NAME)..at).unwrap_or_default();
        let name = memchr::memrchr(b'/', before).and_then(|from| content.get(at - before.len() + from..));
        let name = name.map(|name| Dictionary::read(name.get(..name.len().min(MAX_NAME)).unwrap_or_default()));
        name.is_some_and(|name| name.begins_with_one_of(names))
    })
}

/// The words before a stream, back to where its object begins.
fn dictionary(content: &[u8], at: usize) -> Dictionary {
    let before = content.get(at.saturating_sub(MAX_DICTIONARY)..at).unwrap_or_default();
    Dictionary::read(memmem::rfind(before, b"obj").and_then(|from| before.get(from..)).unwrap_or(before))
}

struct Reading<'k> {
    /// The document names the filter that has no mark.
    run_length: bool,
    has_files: bool,
    /// Bytes that may still be read and unpacked.
    left: usize,
    keep: &'k mut dyn FnMut(&[u8]),
}

impl Reading<'_> {
    /// Unpacks the stream behind the word at `at`; `false` when that is more than is read.
    fn stream(&mut self, content: &[u8], at: usize, dictionary: &Dictionary) -> bool {
        let rest = content.get(at + 6..).unwrap_or_default();
        let strict = match rest {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        let loose = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let end = memmem::find(rest, b"endstream").or_else(|| memmem::find(rest, b"endobj")).unwrap_or(rest.len());
        let length = dictionary.length().map_or(0, |length| length.saturating_add(strict)).min(rest.len());
        let end = end.max(length);
        let mut starts = vec![strict];
        // Blanks may be the stream's own.
        starts.extend((loose != strict).then_some(loose));
        starts.into_iter().all(|start| {
            let stream = rest.get(start.min(end)..end).unwrap_or_default();
            self.unpack(stream, dictionary, MAX_FILTERS)
        })
    }

    fn unpack(&mut self, stream: &[u8], dictionary: &Dictionary, filters: usize) -> bool {
        let Some(left) = self.left.checked_sub(stream.len()) else { return false };
        self.left = left;
        if filters == 0 {
            return !filters::is_marked(stream) && dictionary.count(&RUN_LENGTH) <= MAX_FILTERS;
        }
        for reading in filters::readings(stream, self.run_length) {
            if reading.len() >= MAX_OUTPUT {
                return false;
            }
            let Some(left) = self.left.checked_sub(reading.len()) else { return false };
            self.left = left;
            self.has_files |= names(&reading, &FILES);
            (self.keep)(&reading);
            if let Some(predictor) = dictionary.predictor() {
                (self.keep)(&predictor.undo(&reading));
            }
            if !self.unpack(&reading, dictionary, filters - 1) {
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
