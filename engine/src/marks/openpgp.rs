//! `OpenPGP` messages that are encrypted, as packets.
//!
//! Source: RFC 9580, sections 4 and 5.

use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::bytes::array;

/// Most recipients of a message that are passed over.
const MAX_PACKETS: usize = 64;

/// Whether `content` is session keys, at least one, and then encrypted data.
pub(super) fn is_encrypted(content: &[u8]) -> bool {
    let mut rest = content;
    for n in 0..MAX_PACKETS {
        let Some(packet) = Packet::split(rest) else { return false };
        match packet.tag {
            1 | 3 if packet.is_session_key() => rest = packet.after,
            9 | 18 | 20 => return n > 0,
            _ => return false,
        }
    }
    false
}

/// Whether `content`, which may be cut, begins with a session key.
pub(super) fn begins_with_session_key(content: &[u8]) -> bool {
    Packet::split(content).is_some_and(|packet| matches!(packet.tag, 1 | 3) && packet.is_session_key())
}

/// Whether `content` is a compressed message, as signed ones are: its content is packed.
pub(super) fn is_compressed(content: &[u8]) -> bool {
    let Some(Packet { tag: 8, body: [algorithm, packed @ ..], .. }) = Packet::split(content) else { return false };
    let mut first = [0];
    let read = match algorithm {
        1 => DeflateDecoder::new(packed).read_exact(&mut first),
        2 => ZlibDecoder::new(packed).read_exact(&mut first),
        3 => return packed.starts_with(b"BZh"),
        _ => return false,
    };
    // A signature, the announcement of one, or literal data.
    read.is_ok() && matches!(Packet::tag_of(first[0]), Some(2 | 4 | 11))
}

/// Whether `content` is one signature, from its start to its end.
pub(super) fn is_signature(content: &[u8]) -> bool {
    Packet::split(content).is_some_and(|packet| {
        packet.tag == 2 && matches!(packet.body, [2..=6, _, ..]) && packet.after.is_empty() && packet.is_whole
    })
}

/// The content of a message that is literal data alone, neither compressed nor in parts.
pub(super) fn literal(content: &[u8]) -> Option<&[u8]> {
    let Packet { tag: 11, body: [b'b' | b't' | b'u' | b'l' | b'1' | b'm', name, rest @ ..], .. } =
        Packet::split(content)?
    else {
        return None;
    };
    // The name, and the time of the file.
    rest.get(usize::from(*name) + 4..)
}

struct Packet<'a> {
    tag: u8,
    body: &'a [u8],
    after: &'a [u8],
    /// Its length is known, and so much is there.
    is_whole: bool,
}

impl<'a> Packet<'a> {
    fn tag_of(first: u8) -> Option<u8> {
        match first {
            0xC0.. => Some(first & 0x3F),
            0x80..0xC0 => Some(first >> 2 & 0x0F),
            _ => None,
        }
    }

    /// Splits off the first packet. Of one in parts, or of unknown length, the body is all that follows.
    fn split(content: &'a [u8]) -> Option<Self> {
        let (first, rest) = content.split_first()?;
        let tag = Self::tag_of(*first)?;
        let (header, length) = if *first >= 0xC0 { new_length(rest)? } else { old_length(first & 3, rest)? };
        let body = rest.get(header..)?;
        let parts = length.and_then(|length| body.split_at_checked(length));
        let (body, after) = parts.unwrap_or((body, &[]));
        Some(Self { tag, body, after, is_whole: parts.is_some() })
    }

    /// Whether a session key has a version and an algorithm that exist.
    fn is_session_key(&self) -> bool {
        match (self.tag, self.body) {
            // Public key: version, key id, algorithm.
            (1, [3, _, _, _, _, _, _, _, _, algorithm, ..]) => matches!(algorithm, 1..=3 | 16..=29),
            // Passphrase: version, cipher, kind of key derivation.
            (3, [4, cipher, derivation, ..]) => (1..=13).contains(cipher) && *derivation <= 4,
            (1 | 3, [5 | 6, ..]) => true,
            _ => false,
        }
    }
}

/// Bytes of the length, and the length; none where parts follow.
fn new_length(rest: &[u8]) -> Option<(usize, Option<usize>)> {
    Some(match *rest.first()? {
        first @ 0..192 => (1, Some(first.into())),
        first @ 192..224 => (2, Some(((usize::from(first) - 192) << 8) + usize::from(*rest.get(1)?) + 192)),
        224..255 => (1, None),
        255 => (5, Some(u32::from_be_bytes(array(rest, 1)?) as usize)),
    })
}

/// The same of the older headers; none where it is unknown.
fn old_length(kind: u8, rest: &[u8]) -> Option<(usize, Option<usize>)> {
    Some(match kind {
        0 => (1, Some((*rest.first()?).into())),
        1 => (2, Some(u16::from_be_bytes(array(rest, 0)?).into())),
        2 => (4, Some(u32::from_be_bytes(array(rest, 0)?) as usize)),
        _ => (0, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_data_is_read() {
        assert_eq!(literal(b"\xCB\x0Cb\x01n\0\0\0\0words"), Some(&b"words"[..]));
        assert_eq!(literal(b"\xAC\x0Cb\x01n\0\0\0\0wordsmore"), Some(&b"words"[..]));
        assert_eq!(literal(b"\xCB\x0Cx\x01n\0\0\0\0words"), None);
        assert_eq!(literal(b"\xCB\x03b\x09n"), None);
    }
}
