//! Cryptographic messages (S/MIME, CMS, PKCS #7): those whose content is encrypted, and the content of the others.
//!
//! Source: RFC 5652 (`ContentInfo`, `EncapsulatedContentInfo`), RFC 3274, RFC 5083; ITU-T X.690 for BER.

use super::bytes::has;

/// Content types that hide their content: enveloped, encrypted, and authenticated enveloped data.
const HIDDEN: [&[u8]; 3] = [
    b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03",
    b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x06",
    b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x09\x10\x01\x17",
];
/// How all content types of these messages begin: the arcs of PKCS #7 and of S/MIME.
const TYPES: [&[u8]; 2] =
    [b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07", b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x09\x10\x01"];

const SEQUENCE: u8 = 0x30;
const IDENTIFIER: u8 = 0x06;
const EXPLICIT: u8 = 0xA0;
const OCTETS: u8 = 0x04;
const OCTETS_IN_PIECES: u8 = 0x24;
/// Deepest nesting of elements, and most of them in one.
const MAX_DEPTH: usize = 16;
const MAX_ELEMENTS: usize = 100_000;

/// Whether `content` is a `ContentInfo` of such a type, in DER or BER.
pub(super) fn is_enveloped(content: &[u8]) -> bool {
    content_info(content).is_some_and(|rest| HIDDEN.iter().any(|kind| rest.starts_with(kind)))
}

/// What a message of data, or a signed, digested, authenticated or compressed one encloses, put together; compressed, if it is.
pub(super) fn enclosed(content: &[u8]) -> Option<Vec<u8>> {
    let rest = content_info(content).filter(|rest| TYPES.iter().any(|kind| rest.starts_with(kind)))?;
    let kind = Element::split(rest)?;
    let message = Element::split(Element::split(kind.after)?.body)?;
    if matches!(message.tag, OCTETS | OCTETS_IN_PIECES) {
        let mut octets = Vec::new();
        return gather(&message, MAX_DEPTH, &mut octets).map(|()| octets);
    }
    let mut fields = Elements::of(message.body);
    fields.find_map(|field| {
        let mut parts = Elements::of(field.body);
        let is_content = field.tag == SEQUENCE && parts.next()?.tag == IDENTIFIER;
        let holder = parts.next().filter(|holder| is_content && holder.tag == EXPLICIT)?;
        let mut octets = Vec::new();
        gather(&Element::split(holder.body)?, MAX_DEPTH, &mut octets)?;
        Some(octets)
    })
}

/// What follows the header of a sequence.
fn content_info(content: &[u8]) -> Option<&[u8]> {
    has(content, 0, &[SEQUENCE]).then_some(())?;
    let header = match content.get(1)? {
        length @ 0x81..=0x84 => 2 + usize::from(length & 0x7F),
        _ => 2,
    };
    content.get(header..)
}

/// Appends the octets of a string, which may be in pieces.
fn gather(element: &Element<'_>, depth: usize, octets: &mut Vec<u8>) -> Option<()> {
    match element.tag {
        OCTETS => octets.extend_from_slice(element.body),
        OCTETS_IN_PIECES if depth > 0 => {
            for piece in Elements::of(element.body) {
                gather(&piece, depth - 1, octets)?;
            }
        }
        _ => return None,
    }
    Some(())
}

/// An element, and what follows it. Of one that is cut, what there is.
struct Element<'a> {
    tag: u8,
    body: &'a [u8],
    after: &'a [u8],
}

impl<'a> Element<'a> {
    fn split(content: &'a [u8]) -> Option<Self> {
        Self::split_within(content, MAX_DEPTH)
    }

    fn split_within(content: &'a [u8], depth: usize) -> Option<Self> {
        let (&[tag, first], rest) = content.split_first_chunk()?;
        match first {
            0..0x80 => Some(Self::cut(tag, rest, first.into())),
            // Without a length: elements to a mark of two zeros.
            0x80 => {
                let mut at = rest;
                for _ in 0..MAX_ELEMENTS {
                    if at.is_empty() || at.starts_with(&[0, 0]) {
                        break;
                    }
                    at = Self::split_within(at, depth.checked_sub(1)?)?.after;
                }
                let (body, after) = rest.split_at_checked(rest.len() - at.len())?;
                Some(Self { tag, body, after: after.get(2..).unwrap_or_default() })
            }
            _ => {
                let digits = usize::from(first & 0x7F);
                let (length, rest) = rest.split_at_checked(digits).filter(|_| digits <= 8)?;
                let length = length.iter().fold(0_usize, |length, digit| length.wrapping_shl(8) | usize::from(*digit));
                Some(Self::cut(tag, rest, length))
            }
        }
    }

    fn cut(tag: u8, rest: &'a [u8], length: usize) -> Self {
        let (body, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        Self { tag, body, after }
    }
}

/// Elements in a row.
struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Elements<'a> {
    fn of(rest: &'a [u8]) -> Self {
        Self { rest, left: MAX_ELEMENTS }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        self.left = self.left.checked_sub(1)?;
        let element = Element::split(self.rest)?;
        self.rest = element.after;
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message of this type; the octets are one element of the whole.
    fn message(kind: u8, octets: &[u8]) -> Vec<u8> {
        let element = |tag: u8, body: &[u8]| [&[tag, 0x80][..], body, &[0, 0]].concat();
        let arc = |last: u8| [TYPES[0], &[last]].concat();
        let inner = element(SEQUENCE, &[arc(1), element(EXPLICIT, octets)].concat());
        let fields = element(SEQUENCE, &[&[2, 1, 1, 0x31, 0][..], &inner].concat());
        element(SEQUENCE, &[arc(kind), element(EXPLICIT, &fields)].concat())
    }

    #[test]
    fn signed_content_comes_out_whole_or_in_pieces() {
        assert_eq!(enclosed(&message(2, b"\x04\x05words")).unwrap(), b"words");
        assert_eq!(enclosed(&message(2, b"\x24\x80\x04\x02wo\x04\x81\x03rds\0\0")).unwrap(), b"words");
        assert_eq!(enclosed(&message(2, b"\x24\x09\x04\x02wo\x04\x03rds")).unwrap(), b"words");
        let data = [&b"\x30\x80"[..], TYPES[0], b"\x01\xA0\x80\x24\x80\x04\x05words\0\0\0\0\0\0"].concat();
        assert_eq!(enclosed(&data).unwrap(), b"words");
        // Signed, but not with it; and what is no message.
        assert_eq!(enclosed(&message(2, b"")), None);
        assert_eq!(enclosed(b"\x30\x03\x02\x01\x01"), None);
        assert!(is_enveloped(&message(3, b"")) && !is_enveloped(&message(2, b"")));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, at in 0_usize..60, value: u8) {
            let mut damaged = message(2, b"\x24\x80\x04\x02wo\x04\x81\x03rds\0\0");
            if let Some(byte) = damaged.get_mut(at) {
                *byte = value;
            }
            let _ = enclosed(&damaged);
            let _ = enclosed(&[&b"\x30\x80\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02"[..], &bytes].concat());
        }
    }
}
