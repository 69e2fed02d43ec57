//! PDF: streams that libclamav 1.4 scans as they are packed.
//!
//! It undoes no predictor and no `Crypt` filter, and follows no reference to a filter. Streams stand in the file itself, each behind its
//! dictionary, which is never encrypted. Images are left out: predictors are common there, and nothing is hidden in what they decode to.
//! What needs no key is unpacked in `contents`; here is what stays.
//!
//! A document that only an owner password protects is opened by every reader without one: `opened` writes it anew. Whatever else is
//! encrypted is not read.
//!
//! Source: ISO 32000-1, sections 7.3.8, 7.4, 7.6.

mod attached;
mod contents;
mod dictionary;
mod filters;
mod names;
mod opened;
mod places;
mod plain;
mod predictor;
mod stream;

use memchr::memmem;

pub(super) use self::{contents::contents, opened::opened};
use self::{
    places::{Objects, Work},
    stream::Stream,
};
use super::bytes::after_pdf_space;

/// Most streams that are read, and the longest dictionary.
const MAX_STREAMS: usize = 100_000;
const MAX_DICTIONARY: usize = 64 << 10;
/// How often all of the file's length may be read as dictionaries. Attack: thousands of streams that share one.
const PASSES: usize = 4;
/// The key of encryption, how many of it are read, and how many comments behind one.
const ENCRYPTED: &str = "/Encrypt";
const MAX_KEYS: usize = 10_000;
const MAX_COMMENTS: usize = 16;
/// Where a PDF may begin, as readers take it.
const MAX_BEGIN: usize = 1024;
/// Bytes at the end in which the place of the table of objects stands.
const END: usize = 2048;

/// What the streams say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pdf {
    /// A stream stays encrypted, unless the document can be opened.
    pub(super) encrypted: bool,
    /// The key of encryption is there, whatever its value.
    pub(super) names_encryption: bool,
    /// A stream stays packed.
    pub(super) packed: bool,
}

impl Pdf {
    /// Reads the dictionaries of `content`; nothing of what is no PDF.
    pub(super) fn of(content: &[u8]) -> Self {
        let mut pdf = Self::default();
        if !is_pdf(content) {
            return pdf;
        }
        let keys = names::plain(content, ENCRYPTED).map(Some).chain(names::escaped(content, ENCRYPTED));
        for (n, end) in keys.enumerate() {
            // Attack: keys and nothing else.
            pdf.encrypted |= n >= MAX_KEYS || end.is_none_or(|end| begins_value(content, end));
            pdf.names_encryption |= end.is_none_or(|end| content.get(end).is_none_or(|next| !plain::is_regular(*next)));
            if pdf.encrypted {
                pdf.names_encryption = true;
                break;
            }
        }
        let objects = Objects::of(content);
        let mut work = Work::passes(content, PASSES);
        for place in objects.streams(&mut work) {
            let Some(place) = place else {
                pdf.packed = true;
                break;
            };
            pdf.packed |= place.is_cut || place.is_odd();
            let stream = Stream::at(place);
            pdf.packed |= stream.plain.is_some() && !stream.is_image() && stream.stays_packed();
        }
        pdf
    }
}

/// Whether a header or the place of the table of objects is there. Attack: a file without its header, which readers open all the same.
fn is_pdf(content: &[u8]) -> bool {
    let start = content.get(..content.len().min(MAX_BEGIN)).unwrap_or_default();
    let end = content.get(content.len().saturating_sub(END)..).unwrap_or_default();
    memmem::find(start, b"%PDF-").is_some() || memmem::find(end, b"startxref").is_some()
}

/// Whether a reference or a dictionary follows a key, behind white space and comments.
fn begins_value(content: &[u8], at: usize) -> bool {
    let mut rest = after_pdf_space(content.get(at..).unwrap_or_default());
    for _ in 0..MAX_COMMENTS {
        if rest.first() != Some(&b'%') {
            return rest.starts_with(b"<<") || rest.first().is_some_and(u8::is_ascii_digit);
        }
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        rest = after_pdf_space(rest.get(end..).unwrap_or_default());
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(dictionary: &str, trailer: &str) -> (bool, bool) {
        let text =
            format!("%PDF-1.7\n1 0 obj\n<<{dictionary}>>\nstream\nwords\nendstream\nendobj\ntrailer <<{trailer}>>\n");
        let Pdf { encrypted, packed, .. } = Pdf::of(text.as_bytes());
        (encrypted, packed)
    }

    #[test]
    fn streams_that_stay_packed_or_encrypted_are_found() {
        let locked = "/Root 1 0 R /Encrypt 3 0 R";
        for (dictionary, trailer, expected) in [
            ("/Length 5", "", (false, false)),
            ("/Length 5 /Filter /FlateDecode", "", (false, false)),
            ("/Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 12 /Columns 4>>", "", (false, false)),
            ("/Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 12 /Columns 4 0 R>>", "", (false, true)),
            ("/Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 6 0 R /Columns 4>>", "", (false, true)),
            ("/Length 5/Filter/FlateDecode/DecodeParms<</Predic#74or 2/BitsPerComponent 4>>", "", (false, true)),
            ("/Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 1>>", "", (false, false)),
            ("/Type /XRef /W [1] /Size 3 /Filter /FlateDecode /DecodeParms 7 0 R", "", (false, true)),
            ("/Type /XRef /Filter /FlateDecode /DecodeParms <</Predictor 3>>", "", (false, true)),
            ("/Subtype /Image /Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 15>>", "", (false, false)),
            ("/Length 5 /Filter [/Crypt /FlateDecode]", "", (false, true)),
            ("/Length 5 /Filter 7 0 R", "", (false, true)),
            ("/Length 5 /Filter [7 0 R]", "", (false, true)),
            ("/Length 7 0 R /Filter /FlateDecode", locked, (true, false)),
            ("/Length 5", locked, (true, false)),
            ("/Length 5", "/Encr#79pt 3 0 R", (true, false)),
            ("/Length 5", "/Encrypt%x\n%y\r<<>>", (true, false)),
            ("/Length 5/EncryptMetadata 3", "/Encrypt null /Encrypted 3", (false, false)),
            ("/Length 5 /X (", "", (false, true)),
            ("/Length 5 /Colors 2/Filter/Fl/DecodeParms<</Predictor 12>>", "", (false, false)),
            ("/Filter/Fl/DecodeParms<</X<</Colors 2>>/Predictor 12>>", "", (false, true)),
        ] {
            assert_eq!(read(dictionary, trailer), expected, "{dictionary}");
        }
    }

    #[test]
    fn a_header_is_not_needed() {
        let text =
            |end: &str| format!("words 1 0 obj\n<</Filter 7 0 R>>\nstream\nwords\nendstream\n/Encrypt 3 0 R\n{end}");
        assert_eq!(
            Pdf::of(text("startxref\n9\n%%EOF").as_bytes()),
            Pdf { encrypted: true, names_encryption: true, packed: true }
        );
        assert_eq!(Pdf::of(text("").as_bytes()), Pdf::default());
    }

    #[test]
    fn no_repeated_word_is_read_more_than_a_few_times() {
        let spent = |start: &str, word: &str| {
            let content = start.to_owned() + &word.repeat(2_000_000 / word.len());
            let (objects, mut work) = (Objects::of(content.as_bytes()), Work::passes(content.as_bytes(), PASSES));
            let is_left = objects.streams(&mut work).all(|place| place.is_some());
            (work.spent() / content.len(), is_left)
        };
        for word in ["stream ", "1 0 obj<<>>stream\n", "<<", ">>stream", "obj(", "1 0 obj)"] {
            let (passes, is_left) = spent("", word);
            assert!(passes <= 2 && is_left, "{word}: {passes}");
        }
        let (passes, is_left) = spent("1 0 obj<<>>", "stream ");
        assert!(passes <= PASSES + 8 && !is_left, "one dictionary before each: {passes}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            Pdf::of(&[b"%PDF-1.7 1 0 obj<</Filter ", &bytes[..], b">>stream"].concat());
        }
    }
}
