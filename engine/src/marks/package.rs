//! Files that were put into a document as objects of the Packager, and what RTF writes of objects.
//!
//! A victim opens them with a double click; programs take them out as they are. libclamav reads the well-formed ones alone.
//!
//! Sources: [MS-OLEDS] (OLE 1.0 objects), [MS-CFB], the RTF specification 1.9 on `\objdata`.

mod rich_text;

use memchr::memmem;

use self::rich_text::object_data;
use super::{
    bytes::{le16, le32},
    ole2::CompoundFile,
};

/// Most objects of one layer.
const MAX_OBJECTS: usize = 10_000;
/// Longest string in a package.
const MAX_STRING: usize = 4096;
/// Mark of a compound file.
const COMPOUND: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

/// Gives the files in the objects of a document to `keep`, and returns whether there are more than are read.
pub(super) fn objects(content: &[u8], keep: &mut dyn FnMut(&[u8])) -> bool {
    if let Some(file) = CompoundFile::parse(content) {
        let natives = file.streams.iter().filter(|stream| stream.name.to_ascii_lowercase().ends_with("ole10native"));
        for stream in natives.take(MAX_OBJECTS) {
            package(&file.start(stream, usize::MAX)).into_iter().for_each(&mut *keep);
        }
    }
    let mut bytes = 0;
    for (number, at) in memmem::find_iter(content, b"\\objdata").enumerate() {
        let text = content.get(at + 8..).unwrap_or_default();
        let number_ends = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // Digits right behind the control word are its number to some.
        for start in if number_ends > 0 { vec![0, number_ends] } else { vec![0] } {
            let (readings, read) = object_data(text.get(start..).unwrap_or_default());
            bytes += read;
            // Attack: objects within one another, each of which would hold all that follow.
            if number >= MAX_OBJECTS || bytes > 2 * content.len() {
                return true;
            }
            for data in &readings {
                keep_object(data, keep);
            }
        }
    }
    false
}

fn keep_object(data: &[u8], keep: &mut dyn FnMut(&[u8])) {
    // What is no object of OLE 1.0, or none of the Packager, is scanned as it is.
    let within = native_of(data).unwrap_or(data);
    let file = if within.starts_with(COMPOUND) { None } else { package(within) };
    keep(file.unwrap_or(within));
    let compound = memmem::find(within, COMPOUND).filter(|at| *at > 0).and_then(|at| within.get(at..));
    compound.into_iter().for_each(keep);
}

/// The file in a package, with the size of all of it before that or without.
fn package(native: &[u8]) -> Option<&[u8]> {
    let sized = le16(native, 4) == Some(2) && le32(native, 0).is_some_and(|size| size as usize >= MIN_PACKAGE);
    let rest = native.get(if sized { 6 } else { 2 }..)?;
    let rest = after_string(after_string(rest)?)?;
    let rest = rest.get(4..)?;
    let path = usize::try_from(le32(rest, 0)?).ok()?;
    let rest = rest.get(4usize.checked_add(path)?..)?;
    let size = usize::try_from(le32(rest, 0)?).ok()?;
    let file = rest.get(4..)?;
    Some(file.get(..size).unwrap_or(file))
}

/// Bytes of a package of an empty file.
const MIN_PACKAGE: usize = 16;

fn after_string(text: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(0, text.get(..text.len().min(MAX_STRING))?)?;
    text.get(end + 1..)
}

/// The data of an OLE 1.0 object that is embedded; `None` when there is less of it than it says.
fn native_of(object: &[u8]) -> Option<&[u8]> {
    let mut at = 8;
    // Class, topic and item.
    for _ in 0..3 {
        at = usize::try_from(le32(object, at)?).ok()?.checked_add(at + 4)?;
    }
    let size = usize::try_from(le32(object, at)?).ok()?;
    object.get(at.checked_add(4)?..)?.get(..size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(file: &[u8]) -> Vec<u8> {
        let length = u32::try_from(file.len()).unwrap().to_le_bytes();
        [b"\x02\0a.txt\0C:\\a.txt\0\0\0\x03\0\x04\0\0\0a.t\0", &length[..], file].concat()
    }

    fn rtf(data: &[u8], between: &str) -> Vec<u8> {
        let size = u32::try_from(data.len()).unwrap().to_le_bytes();
        let object = [b"\x01\x05\0\0\x02\0\0\0\x08\0\0\0Package\0\0\0\0\0\0\0\0\0", &size[..], data].concat();
        let digits: Vec<_> = object.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{\\rtf1{{\\object\\objemb{{\\*\\objdata {}}}}}}}", digits.join(between)).into_bytes()
    }

    fn found(content: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        objects(content, &mut |piece| found.push(piece.to_vec()));
        found
    }

    #[test]
    fn a_file_is_taken_out_of_its_package() {
        let plain = packed(b"some words");
        assert_eq!(package(&plain), Some(&b"some words"[..]));
        let size = u32::try_from(plain.len()).unwrap().to_le_bytes();
        assert_eq!(package(&[&size[..], &plain].concat()), Some(&b"some words"[..]));
        assert_eq!(package(b"\x02\0no end"), None);
    }

    #[test]
    fn digits_of_an_object_are_found_between_anything() {
        for between in ["", "\r\n", " ", "{}", "\\par ", "{\\*\\x9 }", "\\'41", "x"] {
            assert!(found(&rtf(&packed(b"some words"), between)).contains(&b"some words".to_vec()), "{between}");
        }
        let compound = [COMPOUND, b"rest"].concat();
        assert!(found(&rtf(&compound, "")).contains(&compound));
        assert_eq!(found(b"{\\rtf1{\\*\\objdata 7\\bin5 words6f}}"), [b"wordsv"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            package(&bytes);
            native_of(&bytes);
            objects(&[b"{\\rtf1 \\objdata ", &bytes[..]].concat(), &mut |_| {});
        }
    }
}
