//! Ciphertext that is written as text.

use super::{asn1, bytes::text_start};

/// First lines, and the kind of encryption that they tell. Keys and signatures have other ones.
const LINES: [(&[u8], &str); 3] = [
    (b"-----BEGIN PGP MESSAGE", "Nacre.Encrypted.PGP"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "Nacre.Encrypted.Age"),
    // `openssl enc -a`: the base64 of `Salted__`, whose last letter depends on the salt.
    (b"U2FsdGVkX1", "Nacre.Encrypted.OpenSSL"),
];
/// First lines of messages that may be encrypted or signed.
const CMS: [&[u8]; 2] = [b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----"];
/// Letters of base64 that hold a message's type.
const LETTERS: usize = 48;

/// The kind of encryption, if `content` begins with such a line.
pub(super) fn encryption(content: &[u8]) -> Option<&'static str> {
    let text = text_start(content);
    if let Some((_, kind)) = LINES.iter().find(|(line, _)| text.starts_with(line)) {
        return Some(kind);
    }
    let base64 = CMS.iter().find_map(|line| text.strip_prefix(*line))?;
    asn1::is_enveloped(&decoded(base64)).then_some("Nacre.Encrypted.CMS")
}

/// The first bytes of base64. What is no letter of it is passed over.
fn decoded(text: &[u8]) -> Vec<u8> {
    let value = |letter: &u8| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let values: Vec<u32> = text.iter().take(2 * LETTERS).filter_map(value).map(u32::from).take(LETTERS).collect();
    let numbers = values.chunks_exact(4).map(|four| four.iter().fold(0, |number, value| number << 6 | value));
    numbers.flat_map(|number| number.to_be_bytes().into_iter().skip(1)).collect()
}
