//! The parts of a mail, by the loosest reading: whatever some mail program may take for a part with content of its own.
//!
//! A mail program goes by the boundary that the header gives, and programs read that differently: with comments, in pieces (RFC 2231),
//! with quoted letters, with blanks. libclamav passes in silence over the parts behind a boundary that it reads otherwise, and over
//! kinds of multipart that it does not expect. So nothing here depends on the boundary: each line that begins with two hyphens may be
//! one, and each field that names an encoding has the content after its header decoded.
//!
//! Sources: RFC 2045 (encodings), RFC 2046 (parts), RFC 2183 (attachments).

use super::{base64, bytes::text_start};

/// Bytes at the start of a layer that must be text.
const START: usize = 1024;
/// Longest field that is read.
const MAX_FIELD: usize = 1 << 20;
/// Most parts of one layer.
const MAX_PARTS: usize = 10_000;
/// Most bytes of all parts together, of the layer's own, and what is read in any case. Many bodies that overlap are of no ordinary mail.
const MAX_RATIO: usize = 2;
const MAX_OVERLAP: usize = 4 << 20;
/// Most parts without an encoding and a name that are contents by themselves. A mailbox has many; of one mail no more are ordinary.
const MAX_PLAIN: usize = 1000;
/// Ordinary mails have fewer parts than this.
const PARTS_OF_A_MAIL: usize = 8;
/// Bytes of zero at the start of a mail: more are of no text.
const MAX_ZEROS: usize = 8;

/// How the content of a part is written, as far as its header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Encodings {
    base64: bool,
    quoted_printable: bool,
    /// It is a file, by its name.
    file: bool,
}

/// The contents of the parts of a mail, and whether there are more than are read.
pub(super) fn parts(content: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let start = content.get(..content.len().min(START)).unwrap_or_default();
    if memchr::memchr_iter(0, start).count() > MAX_ZEROS {
        return (Vec::new(), false);
    }
    let feeds = memchr::memchr_iter(b'\n', start).count();
    let line_end = if memchr::memchr_iter(b'\r', start).count() > 2 * feeds { b'\r' } else { b'\n' };
    let (mut parts, mut bytes) = (Vec::new(), 0);
    // Texts are short and many, as in the mails of a year: all past the first are one content.
    let mut texts = Vec::new();
    let (mut named, mut rest) = (Encodings::default(), text_start(content));
    let (mut plain, mut quoted_texts) = (Plain::default(), 0);
    while !rest.is_empty() {
        let (line, after) = first_line(rest, line_end);
        plain.line(line);
        if line.len() >= FIELD.len() && line.get(..FIELD.len()).is_some_and(|name| name.eq_ignore_ascii_case(FIELD)) {
            let field = field(rest, line_end);
            named.add(&field);
            plain.is_multipart |= field.contains("multipart/");
        } else if line.trim_ascii().is_empty() && named != Encodings::default() {
            let body = after.get(..end(after, line_end)).unwrap_or_default();
            bytes += body.len();
            if parts.len() >= MAX_PARTS || bytes > content.len().saturating_mul(MAX_RATIO).max(MAX_OVERLAP) {
                return (parts, true);
            }
            let is_text = named.quoted_printable && !named.base64 && !named.file;
            quoted_texts += usize::from(is_text);
            if is_text && quoted_texts > MAX_PLAIN {
                texts.extend(named.readings(body, line_end).concat());
                texts.push(b'\n');
            } else {
                parts.extend(named.readings(body, line_end));
            }
            if named.base64
                && let Some(longer) = beyond_hyphens(after, body.len(), line_end)
            {
                bytes += longer.len();
                parts.extend(base64::readings(longer));
            }
            // A line of blanks ends a header for some, and goes on for others.
            if !line.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
                named = Encodings::default();
            }
        } else if line.trim_ascii().is_empty() && plain.ends_header() {
            let body = after.get(..plain.end(after, line_end)).unwrap_or_default();
            bytes += body.len();
            plain.number += 1;
            if bytes > content.len().saturating_mul(MAX_RATIO).max(MAX_OVERLAP) || plain.are_too_many() {
                return (parts, true);
            }
            if plain.number > MAX_PLAIN {
                texts.extend_from_slice(body);
                texts.push(b'\n');
            } else {
                parts.extend(as_files(body));
            }
        }
        if line.trim_ascii().is_empty() {
            plain.in_header = false;
        }
        rest = after;
    }
    parts.extend(Some(texts).filter(|texts| !texts.is_empty()));
    (parts, false)
}

/// Whether a header is being read whose body is content as it is written.
#[derive(Debug)]
struct Plain {
    in_header: bool,
    /// It is that of a mail, and no part's.
    is_first: bool,
    /// Fields in it that only mails have.
    fields: usize,
    /// A field has named a kind of parts.
    is_multipart: bool,
    /// Mails, and bodies of this kind.
    mails: usize,
    number: usize,
}

impl Default for Plain {
    fn default() -> Self {
        Self { in_header: true, is_first: true, fields: 0, is_multipart: false, mails: 1, number: 0 }
    }
}

/// What the fields of mails begin with.
const FIELDS_OF_MAILS: [&[u8]; 8] =
    [b"from:", b"to:", b"subject:", b"date:", b"message-id:", b"mime-version:", b"received:", b"return-path:"];

impl Plain {
    fn line(&mut self, line: &[u8]) {
        if line.starts_with(b"From ") {
            (self.in_header, self.is_first, self.fields, self.is_multipart) = (true, true, 0, false);
            self.mails += 1;
        } else if line.starts_with(b"--") && self.is_multipart {
            (self.in_header, self.is_first, self.fields) = (true, false, 0);
        } else if self.in_header && self.is_first {
            let is = |field: &&[u8]| line.get(..field.len()).is_some_and(|name| name.eq_ignore_ascii_case(field));
            self.fields += usize::from(FIELDS_OF_MAILS.iter().any(is));
        }
    }

    /// Whether a line of nothing ends a header that a body follows: a part's, or a mail's without parts.
    fn ends_header(&self) -> bool {
        self.in_header && if self.is_first { self.fields > 1 && !self.is_multipart } else { true }
    }

    /// Where the body ends. That of a mail without parts may have hyphens in it.
    fn end(&self, body: &[u8], line_end: u8) -> usize {
        if self.is_first {
            let next = memchr::memmem::find(body, &[&[line_end], &b"From "[..]].concat());
            return next.map_or(body.len(), |at| at + 1);
        }
        end(body, line_end)
    }

    fn are_too_many(&self) -> bool {
        self.number > MAX_PLAIN && self.number > PARTS_OF_A_MAIL * self.mails
    }
}

/// What a body that is written as it is may be: without the line's end before the boundary, with it, and with the line ends of other systems.
fn as_files(body: &[u8]) -> Vec<Vec<u8>> {
    let without = without_last_break(body);
    let mut files = vec![without.to_vec()];
    if memchr::memmem::find(without, b"\r\n").is_some() {
        let lines: Vec<&[u8]> = without.split(|byte| *byte == b'\n').collect();
        let last = lines.len() - 1;
        let bare = |(at, line): (usize, &&[u8])| {
            if at == last { line.to_vec() } else { line.strip_suffix(b"\r").unwrap_or(line).to_vec() }
        };
        files.push(lines.iter().enumerate().map(bare).collect::<Vec<_>>().join(&b'\n'));
    }
    if without.len() < body.len() {
        files.push(body.to_vec());
    }
    files
}

/// A body that goes on behind lines which begin with two hyphens and are no boundary, as no header follows them; `None` when there is none.
fn beyond_hyphens(text: &[u8], end: usize, line_end: u8) -> Option<&[u8]> {
    let (mut at, mut is_longer) = (end, false);
    loop {
        let (line, after) = first_line(text.get(at..)?, line_end);
        let (next, _) = first_line(after, line_end);
        let is_boundary = memchr::memchr(b':', next).is_some() || next.trim_ascii().is_empty();
        if !line.starts_with(b"--") || is_boundary {
            break;
        }
        is_longer = true;
        let from = at + line.len();
        at = from + self::end(text.get(from..)?, line_end);
    }
    is_longer.then(|| text.get(..at)).flatten()
}

/// What the names of the fields begin with.
const FIELD: &[u8] = b"content-";

impl Encodings {
    /// Adds what a field in lower case says.
    fn add(&mut self, field: &str) {
        let Some((name, value)) = field.split_once(':') else { return };
        match name.trim_end() {
            "content-transfer-encoding" => {
                self.base64 |= value.contains("base64") || value.contains("base-64");
                self.quoted_printable |= value.contains("quoted");
            }
            "content-disposition" => self.file |= value.contains("attachment") || value.contains("name"),
            "content-type" => self.file |= value.contains("name"),
            _ => {}
        }
    }

    /// What a body may hold.
    fn readings(self, body: &[u8], line_end: u8) -> Vec<Vec<u8>> {
        let mut readings = if self.base64 { base64::readings(body) } else { Vec::new() };
        // Without a boundary it may go on into another mail, whose parts are read by themselves.
        let own = || body.get(..next_header(body, line_end)).unwrap_or_default();
        if self.quoted_printable {
            readings.push(quoted_printable(own()));
        }
        if readings.is_empty() && self.file {
            readings.push(without_last_break(own()).to_vec());
        }
        readings
    }
}

/// The line at the beginning of `text`, with its end, and what follows it.
fn first_line(text: &[u8], line_end: u8) -> (&[u8], &[u8]) {
    let end = memchr::memchr(line_end, text).map_or(text.len(), |end| end + 1);
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// The field at the beginning of `text` in lower case, with its continuation lines.
fn field(text: &[u8], line_end: u8) -> String {
    let (mut line, mut rest) = first_line(text, line_end);
    let mut field = Vec::new();
    loop {
        field.extend_from_slice(line.get(..line.len().min(MAX_FIELD)).unwrap_or_default());
        let (next, after) = first_line(rest, line_end);
        let goes_on = next.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) && !next.trim_ascii().is_empty();
        if !goes_on || field.len() > MAX_FIELD {
            return String::from_utf8_lossy(&field).to_ascii_lowercase();
        }
        (line, rest) = (next, after);
    }
}

/// Where a body ends: before a line that may be a boundary, or that is the first of the next mail of an mbox.
fn end(body: &[u8], line_end: u8) -> usize {
    if body.starts_with(b"--") {
        return 0;
    }
    let before = |mark: &[u8], text: &[u8]| memchr::memmem::find(text, &[&[line_end], mark].concat()).map(|at| at + 1);
    let boundary = before(b"--", body).unwrap_or(body.len());
    before(b"From ", body.get(..boundary).unwrap_or_default()).unwrap_or(boundary)
}

/// Where the next field of a part stands.
fn next_header(body: &[u8], line_end: u8) -> usize {
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = first_line(rest, line_end);
        if line.get(..FIELD.len()).is_some_and(|name| name.eq_ignore_ascii_case(FIELD)) {
            break;
        }
        rest = after;
    }
    body.len() - rest.len()
}

/// The break of the line before a boundary belongs to that.
fn without_last_break(body: &[u8]) -> &[u8] {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body)
}

/// Decodes `=3D` and broken lines; what is neither stays as it is.
fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(body.len());
    let mut rest = without_last_break(body);
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (plain, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        decoded.extend_from_slice(plain);
        let digits = after.get(1..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if let Some(byte) = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(byte);
            rest = after.get(3..).unwrap_or_default();
            continue;
        }
        let blanks = after.iter().skip(1).take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        let is_break = after.get(1 + blanks) == Some(&b'\n');
        if !is_break {
            decoded.push(b'=');
        }
        rest = after.get(if is_break { blanks + 2 } else { 1 }..).unwrap_or_default();
    }
    decoded.extend_from_slice(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn only(text: &str) -> Vec<Vec<u8>> {
        parts(text.as_bytes()).0
    }

    #[test]
    fn an_encoded_part_is_read_whatever_its_boundary() {
        for text in [
            "--B\r\nContent-Transfer-Encoding: base64\r\n\r\nd29y\r\nZHM=\r\n--B--\r\n",
            "Subject: x\nCONTENT-TRANSFER-ENCODING:\n\tBase64 (words)\n\nd29yZHM=",
            "x: y\rContent-Transfer-Encoding : base64\rContent-Type: a/b\r\rd29yZHM=\r--b",
            "Content-Transfer-Encoding: quoted-printable\nContent-Type: a/b; name=x\n\nw=6F=\r\nr=64s\n--x\n",
            "Content-Disposition: attachment;\n filename=x\n\nwords\r\n--x\n",
            "content-Transfer-encoding: BASE64\nContent-Disposition: attachment; filename=x\n\nd29yZHM=\n\nFrom x\n",
        ] {
            assert_eq!(only(text), [b"words"], "{text}");
        }
    }

    #[test]
    fn what_is_no_part_has_none() {
        for text in [
            "a text on Content-Transfer-Encoding: base64\n\nd29yZHM=",
            "Content-Transfer-Encoding: base64\nno body",
            "Content-Transfer-Encoding: base64\n\n--\n",
            "Content-Type: text/plain\n\nwords",
            "\0\0\0\0\0\0\0\0\0\nContent-Transfer-Encoding: base64\n\nd29yZHM=",
        ] {
            assert!(only(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_part_that_is_not_encoded_is_read_whatever_it_is_named() {
        let mail = "From: a\nSubject: b\n";
        for text in [
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nwords\n--b--\n",
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nwords\n--b--\n",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n\r\nwords\r\n--b--\r\n",
            "\nwords",
            "\nwords\n",
        ] {
            assert!(only(&format!("{mail}{text}")).contains(&b"words".to_vec()), "{text}");
        }
        assert!(only(&format!("{mail}\na\r\nb")).contains(&b"a\nb".to_vec()));
        assert!(only("a text: words\n\n--\n\nwords").is_empty());
        let part = "--b\n\nwords\n";
        let mailbox = |mails: usize, of: usize| {
            parts(format!("{mail}Content-Type: multipart/x\n\n{}\nFrom x\n", part.repeat(of)).repeat(mails).as_bytes())
                .1
        };
        assert!(mailbox(1, MAX_PLAIN + 1) && !mailbox(MAX_PLAIN, 2));
    }

    #[test]
    fn their_number_is_bounded() {
        let many = "Content-Transfer-Encoding: base64\n\nd29yZHM=\n--\n".repeat(MAX_PARTS + 1);
        assert!(parts(many.as_bytes()).1);
        let overlapping = "Content-Transfer-Encoding: base64\n\nd29yZHM=\n".repeat(600);
        assert!(parts(overlapping.as_bytes()).1);
        let quoted = |mails| "From x\nContent-Transfer-Encoding: quoted-printable\n\nwords\n".repeat(mails);
        assert_eq!(parts(quoted(10).as_bytes()), (vec![b"words".to_vec(); 10], false), "a digest is of one");
        let (contents, too_many) = parts(quoted(MAX_PLAIN + 10).as_bytes());
        assert_eq!((contents.len(), too_many), (MAX_PLAIN + 1, false));
        assert_eq!(contents.last(), Some(&b"words\n".repeat(10)));
        let hyphens = "Content-Transfer-Encoding: base64\n\nd29y\n--\nZHM=\n--B\nX: y\n";
        assert!(parts(hyphens.as_bytes()).0.contains(&b"words".to_vec()));
        let mbox = "From x\nContent-Transfer-Encoding: base64\n\nd29yZHM=\n\n".repeat(100);
        assert_eq!((parts(mbox.as_bytes()).0.len(), parts(mbox.as_bytes()).1), (100, false));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            parts(&bytes);
            for field in ["Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: quoted-printable", "Content-Disposition: attachment"] {
                parts(&[field.as_bytes(), b"\n\n", &bytes].concat());
                parts(&[field.as_bytes(), &bytes].concat());
            }
            quoted_printable(&[b"=", &bytes[..]].concat());
        }
    }
}
