//! Mail: what the first header of a layer says about its body.
//!
//! Sources: RFC 5322 (fields), RFC 2045 and 2046 (types, pieces of a mail), RFC 8551 (S/MIME), RFC 3156 (PGP).

use super::bytes::text_start;

/// Longest header that is read, and most of its fields.
const MAX_HEADER: usize = 4 << 20;
const MAX_FIELDS: usize = 100_000;
/// Lines of a header that are no fields, and that mail programs pass over.
const MAX_FOREIGN: usize = 16;
/// What makes libclamav take a text for a mail.
const RECOGNISED: &[u8] = b"Received: from nacre\r\n";

/// What a header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    /// The body is encrypted.
    pub(super) encrypted: Option<&'static str>,
    /// The body is a piece of another mail.
    pub(super) partial: bool,
    /// The body is parts, or is encoded: read as text, nothing of it is seen as what it is.
    pub(super) has_parts: bool,
}

impl Mail {
    /// Reads the header that `content` begins with; nothing, if it begins with none.
    pub(super) fn of(content: &[u8]) -> Self {
        let start = content.get(..content.len().min(MAX_HEADER)).unwrap_or_default();
        let (mut kind, mut encoding) = (String::new(), String::new());
        for (name, value) in fields(text_start(start)) {
            match name.as_str() {
                "content-type" => kind = value,
                "content-transfer-encoding" => encoding = value,
                _ => {}
            }
        }
        let kind = without_comments(&kind);
        let is_form = kind.starts_with("multipart/form-data");
        let has_parts = kind.starts_with("multipart/") && kind.contains("boundary") && !is_form;
        let encoded = encoding.starts_with("base64") || encoding.starts_with("x-uu");
        let smime = kind.starts_with("application/pkcs7-mime") || kind.starts_with("application/x-pkcs7-mime");
        let encrypted = if smime && kind.contains("enveloped-data") {
            Some("Nacre.Encrypted.CMS")
        } else {
            kind.starts_with("multipart/encrypted").then_some("Nacre.Encrypted.PGP")
        };
        Self { encrypted, partial: kind.starts_with("message/partial"), has_parts: has_parts || encoded }
    }

    /// Whether libclamav has taken the mail `content` for another type, though it was made recognisable.
    pub(super) fn is_taken_for_text(&self, content: &[u8], file_type: &[u8]) -> bool {
        self.has_parts && is_no_mail(file_type) && content.starts_with(RECOGNISED)
    }
}

/// Whether `content` begins with a header that says what its body is, which may stand elsewhere.
pub(super) fn has_body(content: &[u8]) -> bool {
    let start = content.get(..content.len().min(MAX_HEADER)).unwrap_or_default();
    fields(text_start(start)).iter().any(|(name, _)| name.starts_with("content-"))
}

/// A mail that libclamav took for another type, with a line before it by which it takes it for a mail.
pub(super) fn recognisable(content: &[u8], file_type: &[u8]) -> Option<Vec<u8>> {
    let wanted = is_no_mail(file_type) && !content.starts_with(RECOGNISED) && Mail::of(content).has_parts;
    wanted.then(|| [RECOGNISED, text_start(content)].concat())
}

fn is_no_mail(file_type: &[u8]) -> bool {
    !file_type.starts_with(b"CL_TYPE_MAIL")
}

/// A value without its comments, which are in parentheses.
fn without_comments(value: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0_u32);
    for letter in value.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            letter if depth == 0 => text.push(letter),
            _ => {}
        }
    }
    text.trim().to_owned()
}

/// The fields of a header in lower case, each with its continuation lines.
fn fields(text: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut foreign = 0;
    for (n, line) in text.split(|byte| *byte == b'\n').take(MAX_FIELDS).enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // The line before each mail of an mbox.
        if n == 0 && line.starts_with(b"From ") {
            continue;
        }
        if line.first().is_some_and(u8::is_ascii_whitespace)
            && let Some((_, value)) = fields.last_mut()
        {
            value.push(' ');
            value.push_str(&lower(line));
            continue;
        }
        match split_field(line) {
            Some((name, value)) => fields.push((lower(name), lower(value))),
            None if line.trim_ascii().is_empty() || foreign == MAX_FOREIGN => break,
            None => foreign += 1,
        }
    }
    fields
}

/// Splits a field at its colon, before which there may be blanks.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some((name, value.get(1..).unwrap_or_default()))
}

fn lower(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_header_says_what_the_body_is() {
        let has_parts = Mail { has_parts: true, ..Mail::default() };
        let partial = Mail { partial: true, ..Mail::default() };
        let enveloped = Mail { encrypted: Some("Nacre.Encrypted.CMS"), ..Mail::default() };
        for (text, expected) in [
            ("Received:\n from x\nCONTENT-TYPE : Multipart/Mixed;\r\n\tBoundary=x\n\n", has_parts),
            ("From x\nContent-Type: message/partial; id=x\n\n", partial),
            ("Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n", enveloped),
            ("Content-Type: application/pkcs7-mime; smime-type=signed-data\n", Mail::default()),
            ("Subject: x\n\nContent-Type: multipart/mixed; boundary=x\n", Mail::default()),
            ("a mail has Content-Type: multipart/mixed; boundary=x\n", Mail::default()),
            (
                "odd line\nContent-Type: (a comment) multipart/mixed; boundary*0=x\n",
                Mail { has_parts: true, ..Mail::default() },
            ),
            ("POST / HTTP/1.1\nContent-Type: multipart/form-data; boundary=x\n", Mail::default()),
        ] {
            assert_eq!(Mail::of(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            Mail::of(&bytes);
            Mail::of(&[b"Content-Type: multipart/mixed;\n\t", &bytes[..]].concat());
        }
    }
}
