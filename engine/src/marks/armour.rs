//! Ciphertext that is written as text.

use memchr::memmem;

use super::{asn1, base64::decoded, bytes::text_start, openpgp};

/// What PGP wrote before signatures as well, until its version 5.
const MESSAGE: &[u8] = b"-----BEGIN PGP MESSAGE";
/// First lines, and the kind of encryption that they announce. Keys and signatures have other ones.
const LINES: [(&[u8], &str); 3] = [
    (MESSAGE, "Nacre.Encrypted.PGP"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "Nacre.Encrypted.Age"),
    // `openssl enc -a`: the base64 of `Salted__`, whose last letter depends on the salt.
    (b"U2FsdGVkX1", "Nacre.Encrypted.OpenSSL"),
];
/// First lines of messages that may be encrypted or signed.
const CMS: [&[u8]; 3] = [b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----", b"-----BEGIN PKCS #7 SIGNED DATA-----"];
/// The line of a message within a text. An indented one is a value in a file of settings.
const WITHIN: &[u8] = b"\n-----BEGIN PGP MESSAGE-----";
/// Letters of base64 that hold a message's type.
const LETTERS: usize = 48;
/// Letters of the longest signature.
const MAX_SIGNATURE: usize = 16 << 10;
/// Messages within a text that are read.
const MAX_WITHIN: usize = 1000;

/// The kind of encryption, if `content` begins with such a line, or a line of it begins a message of `OpenPGP`.
pub(super) fn encryption(content: &[u8]) -> Option<&'static str> {
    let text = text_start(content);
    if let Some((line, kind)) = LINES.iter().find(|(line, _)| text.starts_with(line)) {
        return (*line != MESSAGE || !is_signature(text)).then_some(kind);
    }
    if let Some(base64) = cms(text) {
        return asn1::is_enveloped(&decoded(base64, LETTERS)).then_some("Nacre.Encrypted.CMS");
    }
    let mut messages = memmem::find_iter(content, WITHIN).take(MAX_WITHIN);
    let is_locked = |at: usize| {
        let after = content.get(at + WITHIN.len()..).unwrap_or_default();
        openpgp::begins_with_session_key(&decoded(body(after), LETTERS))
    };
    messages.any(is_locked).then_some("Nacre.Encrypted.PGP")
}

/// Whether an armoured message is a signature and nothing else.
fn is_signature(text: &[u8]) -> bool {
    let base64 = body(text);
    let end = memmem::find(base64, b"-----END").unwrap_or(base64.len());
    let end = memmem::find(base64.get(..end).unwrap_or_default(), b"\n=").unwrap_or(end);
    let packets = decoded(base64.get(..end.min(MAX_SIGNATURE)).unwrap_or_default(), MAX_SIGNATURE);
    end < MAX_SIGNATURE && openpgp::is_signature(&packets)
}

/// The messages of `OpenPGP` within a text: what is in them need not be encrypted.
pub(super) fn messages_within(content: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    memmem::find_iter(content, WITHIN).take(MAX_WITHIN).filter_map(|at| {
        let base64 = body(content.get(at + WITHIN.len()..)?);
        let end = memmem::find(base64, b"-----END").unwrap_or(base64.len());
        // A sum follows it, behind a sign that is no padding.
        let end = memmem::find(base64.get(..end)?, b"\n=").unwrap_or(end);
        Some(decoded(base64.get(..end)?, usize::MAX))
    })
}

/// A cryptographic message that `content` is the text of.
pub(super) fn message(content: &[u8]) -> Option<Vec<u8>> {
    let base64 = cms(text_start(content))?;
    let end = memmem::find(base64, b"-----END").unwrap_or(base64.len());
    Some(decoded(base64.get(..end).unwrap_or_default(), usize::MAX))
}

/// What follows the first line of such a message, before which other lines may stand.
fn cms(text: &[u8]) -> Option<&[u8]> {
    let begins = |at: &usize| at.checked_sub(1).is_none_or(|before| text.get(before) == Some(&b'\n'));
    let starts = memmem::find_iter(text, b"-----BEGIN ").filter(begins).filter_map(|at| text.get(at..));
    starts.take(MAX_WITHIN).find_map(|text| CMS.iter().find_map(|line| text.strip_prefix(*line)))
}

/// What follows the headers of an armoured message: they end with an empty line.
fn body(text: &[u8]) -> &[u8] {
    let mut rest = text;
    for _ in 0..16 {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
        let (line, after) = rest.split_at_checked(end + 1).unwrap_or((rest, &[]));
        rest = after;
        let is_first = rest.len() + line.len() == text.len();
        if line.trim_ascii().is_empty() && !is_first {
            break;
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_decoded_to_its_end() {
        for before in ["", "some words\n", "-----BEGIN X-----\n"] {
            let text = format!("{before}-----BEGIN CMS-----\nd29y\nZHM=\n-----END CMS-----\n");
            assert_eq!(message(text.as_bytes()).unwrap(), b"words");
        }
        assert_eq!(message(b"not -----BEGIN CMS-----\nd29yZHM=\n"), None);
    }

    #[test]
    fn a_message_may_be_a_signature() {
        let text = |base64: &str| {
            format!("-----BEGIN PGP MESSAGE-----\nVersion: 2.6\n\n{base64}\n=AAAA\n-----END PGP MESSAGE-----\n")
        };
        // A packet of three bytes, of a signature; then one of literal data after it.
        assert_eq!(encryption(text("iAMDBQA=").as_bytes()), None);
        for base64 in ["iAMDBQDLAQA=", "iAkDBQA=", "hQEMAwcHBwcHBwcHAQgAAAAA", ""] {
            assert_eq!(encryption(text(base64).as_bytes()), Some("Nacre.Encrypted.PGP"), "{base64}");
        }
    }

    #[test]
    fn a_message_within_a_text_is_known_by_its_first_packet() {
        let text = |indent: &str, base64: &str| {
            format!("Hello,\n{indent}-----BEGIN PGP MESSAGE-----\nVersion: x\n\n{base64}\n-----END PGP MESSAGE-----\n")
        };
        // A session key for RSA, and a compressed packet.
        let (locked, packed) = ("hQEMAwcHBwcHBwcHAQgAAAAA", "yDgBO22WxBHv7O8X7O/jygAEzol56iUKiXmV+XmpCtmpqQUK");
        assert_eq!(encryption(text("", locked).as_bytes()), Some("Nacre.Encrypted.PGP"));
        assert_eq!(encryption(text("  ", locked).as_bytes()), None);
        assert_eq!(encryption(text("", packed).as_bytes()), None);
        let text = text("", "d29yZHM=\n=AAAA");
        assert_eq!(messages_within(text.as_bytes()).collect::<Vec<_>>(), [b"words"]);
    }
}
