//! What Office compresses within its own files: `ActiveMime`, which it writes beside pages and into mails, and objects of presentations.
//!
//! Word and `PowerPoint` unpack both when a file is opened. libclamav takes the former for plain data.
//!
//! Sources: [MS-PPT] 2.10.34 (`ExOleObjStgCompressedAtom`); `ActiveMime` has none, and is as `oletools` reads it.

use std::io::Read;

use flate2::read::ZlibDecoder;
use memchr::memmem;

use super::{bytes::le32, ole2::CompoundFile};

const ACTIVE_MIME: &[u8] = b"ActiveMime";
/// Bytes behind its mark in which the packed data begins.
const MAX_HEADER: usize = 4096;
/// A record of an object that is packed, and of one that is not, with their kind.
const PACKED: &[u8] = b"\x10\0\x11\x10";
const PLAIN: &[u8] = b"\0\0\x11\x10";
/// Most objects of a layer, and most bytes that they unpack to. Attack: little that unpacks to much, again and again.
const MAX_OBJECTS: usize = 1000;
const MAX_BYTES: usize = 200 << 20;

/// Gives what is unpacked to `keep`, and returns whether something stays packed.
pub(super) fn unpacked(content: &[u8], keep: &mut dyn FnMut(&[u8])) -> bool {
    let mut left = MAX_BYTES;
    if content.starts_with(ACTIVE_MIME) {
        return active_mime(content, &mut left, keep);
    }
    let Some(file) = CompoundFile::parse(content) else { return false };
    let mut is_left = false;
    for stream in file.streams.iter().filter(|stream| stream.name.eq_ignore_ascii_case("PowerPoint Document")) {
        is_left |= presentation(&file.start(stream, usize::MAX), &mut left, keep);
    }
    is_left
}

/// Readers differ about where the data begins: it may be wherever something unpacks.
fn active_mime(content: &[u8], left: &mut usize, keep: &mut dyn FnMut(&[u8])) -> bool {
    let head = content.get(..content.len().min(MAX_HEADER)).unwrap_or_default();
    let mut is_any = false;
    for at in memchr::memchr_iter(b'x', head).take(MAX_OBJECTS) {
        let Some(object) = inflated(content.get(at..).unwrap_or_default(), left) else { return true };
        if !object.is_empty() {
            is_any = true;
            keep(&object);
        }
    }
    // One that is nothing but its mark is a text.
    !is_any && content.len() > ACTIVE_MIME.len() + 32
}

/// Records within one another hold the objects: these are found by their kind, wherever they are.
fn presentation(stream: &[u8], left: &mut usize, keep: &mut dyn FnMut(&[u8])) -> bool {
    for (number, at) in memmem::find_iter(stream, PACKED).enumerate() {
        // The lengths of the record and of what it unpacks to stand before the data.
        let Some(object) = inflated(stream.get(at + 12..).unwrap_or_default(), left).filter(|_| number < MAX_OBJECTS)
        else {
            return true;
        };
        if !object.is_empty() {
            keep(&object);
        }
    }
    for (number, at) in memmem::find_iter(stream, PLAIN).enumerate() {
        if number >= MAX_OBJECTS {
            return true;
        }
        let length = le32(stream, at + 4).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let object = stream.get(at + 8..).and_then(|rest| rest.get(..length)).unwrap_or_default();
        if object.starts_with(b"\xD0\xCF\x11\xE0") {
            keep(object);
        }
    }
    false
}

/// What came out before an error or the end; `None` where that is more than may come out.
fn inflated(packed: &[u8], left: &mut usize) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    let most = u64::try_from(*left).unwrap_or(u64::MAX);
    // What came out before an error counts.
    ZlibDecoder::new(packed).take(most).read_to_end(&mut unpacked).ok();
    *left = left.checked_sub(unpacked.len()).filter(|left| *left > 0)?;
    Some(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;

    use super::{super::office::tests::compound, *};

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(content).unwrap();
        zlib.finish().unwrap()
    }

    fn found(content: &[u8]) -> (Vec<Vec<u8>>, bool) {
        let mut found = Vec::new();
        let is_left = unpacked(content, &mut |piece| found.push(piece.to_vec()));
        (found, is_left)
    }

    #[test]
    fn active_mime_is_unpacked_wherever_its_data_begins() {
        for header in [32, 40, 600] {
            let content = [ACTIVE_MIME, &vec![1; header], &packed(b"words")].concat();
            assert_eq!(found(&content), (vec![b"words".to_vec()], false), "{header}");
        }
        assert_eq!(found(&[ACTIVE_MIME, &[1; 60]].concat()), (Vec::new(), true));
        assert_eq!(found(b"ActiveMime is what Word writes"), (Vec::new(), false));
    }

    #[test]
    fn objects_of_a_presentation_are_unpacked() {
        let compound_object = b"\xD0\xCF\x11\xE0words";
        let plain = [PLAIN, &9_u32.to_le_bytes(), compound_object, b"more"].concat();
        let object = [b"words", PACKED, &[0; 8], &packed(b"object"), &plain].concat();
        let file = compound("PowerPoint Document", &object);
        assert_eq!(found(&file), (vec![b"object".to_vec(), compound_object.to_vec()], false));
        assert_eq!(found(&compound("Workbook", &object)), (Vec::new(), false));
    }

    #[test]
    fn what_is_unpacked_is_bounded() {
        let zeros = packed(&vec![0; 8 << 20]);
        let content = [ACTIVE_MIME, &[b'-'; 40][..]].concat();
        let mut left = 9 << 20;
        assert!(inflated(&zeros, &mut left).is_some());
        assert!(inflated(&zeros, &mut left).is_none());
        assert!(found(&[&content[..], &packed(b"words")].concat()).0.len() == 1);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            found(&[ACTIVE_MIME, &bytes[..]].concat());
            found(&compound("PowerPoint Document", &[PACKED, &bytes[..], PLAIN, &bytes].concat()));
        }
    }
}
