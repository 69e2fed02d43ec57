//! PDF: streams that libclamav 1.4 scans as they are packed.
//!
//! It undoes no predictor and no `Crypt` filter, follows no reference to a filter, and under an owner password decrypts only streams
//! that have a filter. Streams stand in the file itself, each behind its dictionary, which is never encrypted. Images and the tables of
//! the file are left out: predictors are common there, and nothing is hidden in what they decode to. What has no key to be decrypted
//! by is unpacked in `contents`; here is what stays.
//!
//! Source: ISO 32000-1, sections 7.3.8, 7.4, 7.6.

mod attached;
mod contents;
mod dictionary;
mod filters;
mod places;
mod predictor;

use memchr::memmem;

pub(super) use self::contents::contents;
use self::{
    dictionary::Dictionary,
    places::{Objects, Work},
};
use super::bytes::after_pdf_space;

/// Most streams that are read, and the longest dictionary.
const MAX_STREAMS: usize = 100_000;
const MAX_DICTIONARY: usize = 64 << 10;
/// How often all of the file's length may be read as dictionaries. Attack: thousands of streams that share one.
const PASSES: usize = 4;
/// Where a PDF may begin, as readers take it.
const MAX_BEGIN: usize = 1024;

/// What the streams say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pdf {
    /// A stream stays encrypted.
    pub(super) encrypted: bool,
    /// A stream stays packed.
    pub(super) packed: bool,
}

impl Pdf {
    /// Reads the dictionaries of `content`; nothing of what is no PDF.
    pub(super) fn of(content: &[u8]) -> Self {
        let mut pdf = Self::default();
        if memmem::find(content.get(..content.len().min(MAX_BEGIN)).unwrap_or_default(), b"%PDF-").is_none() {
            return pdf;
        }
        let is_locked = memmem::find_iter(content, b"/Encrypt").any(|at| begins_value(content, at + 8));
        let clear_metadata = memmem::find(content, b"/EncryptMetadata false").is_some();
        let objects = Objects::of(content);
        let (mut work, mut tables) = (Work::passes(content, PASSES), Work::passes(content, PASSES));
        for place in objects.streams(&mut work) {
            let Some(place) = place else {
                pdf.packed = true;
                break;
            };
            let dictionary = Dictionary::read(place.text);
            let is_metadata = dictionary.has("/Metadata") && clear_metadata;
            // Tables of the file are not encrypted. Attack: an attachment that is called one as well.
            let is_clear = is_locked && dictionary.is_table() && {
                let stream = content.get(place.at + 6..).unwrap_or_default().trim_ascii_start();
                filters::is_whole_zlib(stream, &mut tables)
            };
            pdf.packed |= place.is_cut || !dictionary.is_image() && dictionary.stays_packed();
            pdf.packed |= is_locked && !is_clear && dictionary.is_unusual();
            let has_no_filter = !dictionary.has("/Filter") && dictionary.has("/Length");
            pdf.encrypted |= is_locked && !is_metadata && !is_clear && has_no_filter;
        }
        pdf
    }
}

/// Whether a reference or a dictionary follows a key.
fn begins_value(content: &[u8], at: usize) -> bool {
    let rest = after_pdf_space(content.get(at..).unwrap_or_default());
    rest.first().is_some_and(|first| *first == b'<' || first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(dictionary: &str, trailer: &str) -> (bool, bool) {
        let text =
            format!("%PDF-1.7\n1 0 obj\n<<{dictionary}>>\nstream\nwords\nendstream\nendobj\ntrailer <<{trailer}>>\n");
        let Pdf { encrypted, packed } = Pdf::of(text.as_bytes());
        (encrypted, packed)
    }

    #[test]
    fn streams_that_stay_packed_or_encrypted_are_told() {
        let locked = "/Root 1 0 R /Encrypt 3 0 R";
        for (dictionary, trailer, expected) in [
            ("/Length 5", "", (false, false)),
            ("/Length 5 /Filter /FlateDecode", "", (false, false)),
            ("/Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 12 /Columns 4>>", "", (false, false)),
            ("/Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 12 /Columns 4 0 R>>", "", (false, true)),
            ("/Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 6 0 R /Columns 4>>", "", (false, true)),
            ("/Length 5/Filter/FlateDecode/DecodeParms<</Predic#74or 2/BitsPerComponent 4>>", "", (false, true)),
            ("/Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 1>>", "", (false, false)),
            (
                "/Type /XRef /W [1 2 1] /Size 3 /Filter /FlateDecode /DecodeParms <</Predictor 12>>",
                locked,
                // Its content is no table.
                (false, true),
            ),
            ("/Type /XRef /W [1] /Size 3 /Filter /FlateDecode /DecodeParms 7 0 R", "", (false, true)),
            ("/Type /XRef /Filter /FlateDecode /DecodeParms <</Predictor 3>>", "", (false, true)),
            ("/Subtype /Image /Length 5 /Filter /FlateDecode /DecodeParms <</Predictor 15>>", "", (false, false)),
            ("/Length 5 /Filter [/Crypt /FlateDecode]", "", (false, true)),
            ("/Length 5 /Filter 7 0 R", "", (false, true)),
            ("/Length 5 /Filter [7 0 R]", "", (false, true)),
            ("/Length 7 0 R /Filter /FlateDecode", locked, (false, false)),
            ("/Length 5", locked, (true, false)),
            ("/Type /Metadata /Length 5", "/Encrypt <</EncryptMetadata false>>", (false, false)),
        ] {
            assert_eq!(read(dictionary, trailer), expected, "{dictionary}");
        }
    }

    #[test]
    fn the_tables_of_an_encrypted_file_are_not() {
        let table = b"\x78\x9c\x03\x00\x00\x00\x00\x01";
        let text = b"%PDF-1.7\n1 0 obj\n<</Type/XRef/W[1 2 1]/Size 3/Encrypt 3 0 R/Filter/FlateDecode/DecodeParms<</Predictor 12>>>>stream\n";
        assert_eq!(Pdf::of(&[text, &table[..]].concat()), Pdf::default());
        assert!(Pdf::of(&[text, &table[..5]].concat()).packed);
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
