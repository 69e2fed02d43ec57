//! Attachments in Outlook's envelope (`winmail.dat`) that are properties of MAPI. libclamav takes out those alone that are attributes.
//!
//! Source: [MS-OXTNEF] 2.1.3.4, [MS-OXCMSG] 2.2.2.7 and 2.2.2.8.

use memchr::memmem;

use super::bytes::{has, le32};

const SIGNATURE: &[u8] = b"\x78\x9F\x3E\x22";
/// `PidTagAttachDataBinary` and `PidTagAttachDataObject`; the latter has an identifier before its data.
const BINARY: &[u8] = b"\x02\x01\x01\x37";
const OBJECT: &[u8] = b"\x0D\0\x01\x37";
const IDENTIFIER: usize = 16;
/// Most values of such properties.
const MAX_VALUES: usize = 10_000;

/// `PidTagRtfCompressed`, and what else holds the text of a message: plain and HTML, in bytes and in UTF-16.
const COMPRESSED_TEXT: &[u8] = b"\x02\x01\x09\x10";
const TEXTS: [&[u8]; 5] =
    [b"\x1E\0\x00\x10", b"\x1F\0\x00\x10", b"\x02\x01\x13\x10", b"\x1E\0\x13\x10", b"\x1F\0\x13\x10"];
/// The attribute `attBody`, of the message.
const BODY: &[u8] = b"\x01\x0C\x80\x02\0";

/// The attached files and the texts, and whether there are more than are read.
pub(super) fn files(content: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut files = Vec::new();
    if !has(content, 0, SIGNATURE) {
        return (files, false);
    }
    for (property, identifier) in [(BINARY, 0), (OBJECT, 0), (OBJECT, IDENTIFIER)] {
        values(content, property, |value| files.extend(value.get(identifier..)), MAX_VALUES);
    }
    for property in TEXTS {
        values(content, property, |value| files.push(value.strip_suffix(b"\0").unwrap_or(value)), MAX_VALUES);
    }
    for at in memmem::find_iter(content, BODY).take(MAX_VALUES) {
        let length = le32(content, at + BODY.len()).and_then(|length| usize::try_from(length).ok());
        files.extend(length.and_then(|length| content.get(at + BODY.len() + 4..)?.get(..length)));
    }
    let is_more = files.len() > MAX_VALUES;
    files.truncate(MAX_VALUES);
    (files, is_more)
}

/// The values that are compressed RTF.
pub(super) fn compressed_texts(content: &[u8]) -> Vec<&[u8]> {
    let mut texts = Vec::new();
    if has(content, 0, SIGNATURE) {
        values(content, COMPRESSED_TEXT, |value| texts.push(value), MAX_VALUES);
    }
    texts
}

/// Gives each value of a property to `take`, and at most one more than `most`.
fn values<'c>(content: &'c [u8], property: &[u8], mut take: impl FnMut(&'c [u8]), most: usize) {
    let mut taken = 0;
    for at in memmem::find_iter(content, property) {
        let (mut at, count) = (at + 8, le32(content, at + 4).unwrap_or_default());
        for _ in 0..count {
            let Some(length) = le32(content, at).and_then(|length| usize::try_from(length).ok()) else { break };
            let Some(value) = content.get(at + 4..).and_then(|rest| rest.get(..length)) else { break };
            if taken > most {
                return;
            }
            taken += 1;
            take(value);
            at += 4 + length.next_multiple_of(4);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_are_values_of_properties() {
        let value = |text: &[u8]| [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text].concat();
        let two = [BINARY, &2_u32.to_le_bytes(), &value(b"first"), &[0; 3], &value(b"second")].concat();
        let object = [OBJECT, &1_u32.to_le_bytes(), &value(&[&[7; 16][..], b"words"].concat())].concat();
        let content = [SIGNATURE, b"words", &two, &object].concat();
        let whole = [&[7; 16][..], b"words"].concat();
        assert_eq!(files(&content), (vec![&b"first"[..], b"second", &whole, b"words"], false));
        assert_eq!(files(&content[1..]), (Vec::new(), false));
        assert_eq!(files(&[SIGNATURE, BINARY, &[0xFF; 8]].concat()), (Vec::new(), false));
    }

    #[test]
    fn no_more_values_are_read_than_a_number() {
        let content = [SIGNATURE, BINARY, &[0xFF; 4], &vec![0; 8 * MAX_VALUES]].concat();
        let (found, is_more) = files(&content);
        assert!(is_more && found.len() == MAX_VALUES);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            files(&[SIGNATURE, &bytes, BINARY, &bytes, OBJECT, &bytes, TEXTS[0], &bytes, BODY, &bytes].concat());
            compressed_texts(&[SIGNATURE, COMPRESSED_TEXT, &bytes].concat());
        }
    }
}
