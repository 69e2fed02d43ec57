//! Cryptographic messages (S/MIME, CMS, PKCS #7) whose content is encrypted.
//!
//! Source: RFC 5652 (`ContentInfo`), RFC 5083.

use super::bytes::has;

/// Content types that hide their content: enveloped, encrypted, and authenticated enveloped data.
const HIDDEN: [&[u8]; 3] = [
    b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03",
    b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x06",
    b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x09\x10\x01\x17",
];

/// Whether `content` is a `ContentInfo` of such a type, in DER or BER.
pub(super) fn is_enveloped(content: &[u8]) -> bool {
    let &[0x30, length, ..] = content else { return false };
    let header = match length {
        0x81..=0x84 => 2 + usize::from(length & 0x7F),
        _ => 2,
    };
    HIDDEN.iter().any(|kind| has(content, header, kind))
}
