//! Compressed RTF, as Outlook keeps the text of a message: in its envelope (TNEF), and in a message of its own (`.msg`).
//!
//! Source: [MS-OXRTFCP].

use super::{
    bytes::{has, le32},
    ole2::CompoundFile,
    tnef,
};

const HEADER: usize = 16;
const COMPRESSED: &[u8] = b"LZFu";
const PLAIN: &[u8] = b"MELA";
/// What the dictionary holds at the beginning, and its size.
const BEGINNING: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
const DICTIONARY: usize = 4096;
/// The stream of a message that holds it.
const STREAM: &str = "__substg1.0_10090102";
/// Most bytes of all texts. Attack: a message that names the same bytes as thousands of texts.
const MAX_BYTES: usize = 200 << 20;

/// Gives the texts to `keep`, and returns whether there are more than are read.
pub(super) fn texts(content: &[u8], keep: &mut dyn FnMut(&[u8])) -> bool {
    let mut left = MAX_BYTES;
    let mut give = |packed: &[u8]| {
        let Some(text) = unpacked(packed) else { return true };
        let Some(rest) = left.checked_sub(text.len()) else { return false };
        left = rest;
        keep(&text);
        // Some readers go by the length that is stated.
        let stated = le32(packed, 4).and_then(|length| text.get(..length as usize));
        stated.filter(|stated| stated.len() < text.len()).into_iter().for_each(&mut *keep);
        true
    };
    let values = tnef::compressed_texts(content);
    if let Some(file) = CompoundFile::parse(content) {
        let streams = file.streams.iter().filter(|stream| stream.name.eq_ignore_ascii_case(STREAM));
        return !streams.map(|stream| file.start(stream, usize::MAX)).all(|value| give(&value));
    }
    !values.into_iter().all(give)
}

/// What came out before the end, wherever it is; `None` for what is no such text.
fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let rest = packed.get(HEADER..)?;
    if has(packed, 8, PLAIN) {
        return Some(rest.to_vec());
    }
    has(packed, 8, COMPRESSED).then_some(())?;
    let mut text = BEGINNING.to_vec();
    let mut bytes = rest.iter().copied();
    'packed: while let Some(control) = bytes.next() {
        for bit in 0..8 {
            let Some(first) = bytes.next() else { break 'packed };
            if control >> bit & 1 == 0 {
                text.push(first);
                continue;
            }
            let Some(second) = bytes.next() else { break 'packed };
            let (place, length) = (usize::from(first) << 4 | usize::from(second >> 4), usize::from(second & 15) + 2);
            // A place of the ring: how far back of where the next byte goes.
            let back = (text.len() + DICTIONARY - place) % DICTIONARY;
            if back == 0 {
                break 'packed;
            }
            for _ in 0..length {
                // What the ring does not hold yet is blank.
                let byte = text.len().checked_sub(back).and_then(|from| text.get(from)).copied();
                text.push(byte.unwrap_or(b' '));
            }
        }
    }
    Some(text.split_off(BEGINNING.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::office::tests::compound, *};

    /// Literal bytes, and the end.
    fn literal(text: &[u8]) -> Vec<u8> {
        let mut packed: Vec<u8> = text.chunks(8).flat_map(|eight| [&[0], eight].concat()).collect();
        if text.len().is_multiple_of(8) {
            packed.push(1);
        } else if let Some(control) = packed.len().checked_sub(text.len() % 8 + 1) {
            packed[control] = 1 << (text.len() % 8);
        }
        let end = (BEGINNING.len() + text.len()) % DICTIONARY;
        packed.extend([u8::try_from(end >> 4).unwrap(), u8::try_from(end << 4 & 0xF0).unwrap()]);
        framed(COMPRESSED, text.len(), &packed)
    }

    fn framed(kind: &[u8], length: usize, data: &[u8]) -> Vec<u8> {
        let [all, length] = [data.len() + 12, length].map(|number| u32::try_from(number).unwrap().to_le_bytes());
        [&all[..], &length, kind, &[0; 4], data].concat()
    }

    #[test]
    fn the_examples_of_the_specification_are_unpacked() {
        for (packed, expected) in [
            (
                "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c09002062770\
                 5b06c647d0a800fa0",
                "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n",
            ),
            ("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0", "{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
        ] {
            assert_eq!(unpacked(&hex::decode(packed).unwrap()).unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn texts_are_found_in_envelopes_and_messages() {
        let given = |content: &[u8]| {
            let mut given = Vec::new();
            assert!(!texts(content, &mut |text| given.push(text.to_vec())));
            given
        };
        for text in [&b"some words"[..], b"12345678", b""] {
            let packed = literal(text);
            assert_eq!(unpacked(&packed).unwrap(), text);
            let size = u32::try_from(packed.len()).unwrap().to_le_bytes();
            let envelope = [b"\x78\x9F\x3E\x22\x02\x01\x09\x10\x01\0\0\0", &size[..], &packed].concat();
            assert_eq!(given(&envelope), [text]);
            assert_eq!(given(&compound(STREAM, &packed)), [text]);
        }
        assert_eq!(unpacked(&framed(PLAIN, 5, b"words")).unwrap(), b"words");
        let mut short = literal(b"some words");
        short[4] = 4;
        assert_eq!(given(&compound(STREAM, &short)), [&b"some words"[..], b"some"]);
        assert!(given(b"LZFu").is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            unpacked(&framed(COMPRESSED, 9, &bytes));
            texts(&bytes, &mut |_| {});
        }
    }
}
