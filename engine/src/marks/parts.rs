//! The parts of a mail, by the loosest reading: whatever some mail program may take for a part with content of its own.
//!
//! A mail program goes by the boundary that the header gives, and programs read that differently: with comments, in pieces (RFC 2231),
//! with quoted letters, with blanks. libclamav passes in silence over the parts behind a boundary that it reads otherwise, and over
//! kinds of multipart that it does not expect. So nothing here depends on the boundary: each line that begins with two hyphens may be
//! one, and each field that names an encoding has the content after its header decoded.
//!
//! Sources: RFC 2045 (encodings), RFC 2046 (parts), RFC 2183 (attachments).

mod bodies;
mod header;
mod lines;

use std::collections::HashSet;

use self::{
    bodies::as_files,
    header::Header,
    lines::{beyond_false_ends, boundaries, field, first_line, is_blank, is_field, is_of_content, with_line_feeds},
};
use super::bytes::text_start;

/// Bytes at the start of a layer that must be text, or a field.
const START: usize = 1024;
/// Most parts of one layer.
const MAX_PARTS: usize = 10_000;
/// Most bytes of all parts together, of the layer's own, and what is read in any case. Many bodies that overlap are of no ordinary mail.
const MAX_RATIO: usize = 3;
const MAX_OVERLAP: usize = 4 << 20;
/// Most parts without an encoding and a name that are contents by themselves. A mailbox has many; of one mail no more are ordinary.
const MAX_PLAIN: usize = 3000;
/// Ordinary mails have fewer parts than this.
const PARTS_OF_A_MAIL: usize = 8;
/// Bytes of zero at the start of a mail: more are of no text.
const MAX_ZEROS: usize = 8;

/// The contents of the parts of a mail, and whether there are more than are read.
pub(super) fn parts(content: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let start = content.get(..content.len().min(START)).unwrap_or_default();
    let (first, _) = first_line(text_start(content));
    // Attack: zeros in a field.
    let begins_mail = is_field(first) || first.starts_with(b"From ");
    if memchr::memchr_iter(0, start).count() > MAX_ZEROS && !begins_mail {
        return (Vec::new(), false);
    }
    let (mut parts, too_many) = Reader::new(content).read(content);
    if too_many {
        return (parts, true);
    }
    let Some(feeds) = with_line_feeds(content) else { return (parts, false) };
    let (others, too_many) = Reader::new(content).read(&feeds);
    parts.extend(others);
    (parts, too_many)
}

/// What was found in one reading.
struct Reader<'c> {
    content: &'c [u8],
    parts: Vec<Vec<u8>>,
    /// Texts are short and many, as in the mails of a year: all past the first are one content.
    texts: Vec<u8>,
    bytes: usize,
    quoted_texts: usize,
    plain: usize,
    /// Those that headers give, once they were searched for.
    boundaries: Option<HashSet<&'c [u8]>>,
}

impl<'c> Reader<'c> {
    fn new(content: &'c [u8]) -> Self {
        Self { content, parts: Vec::new(), texts: Vec::new(), bytes: 0, quoted_texts: 0, plain: 0, boundaries: None }
    }

    /// Reads the content by the lines of `text`, which is as long.
    fn read(mut self, text: &[u8]) -> (Vec<Vec<u8>>, bool) {
        let (mut header, mut rest) = (Header::default(), text_start(text));
        while !rest.is_empty() {
            let (line, after) = first_line(rest);
            header.line(line);
            let is_blank = is_blank(line);
            let is_body = if is_of_content(line) {
                header.add(&field(rest));
                None
            } else if is_blank && header.ends() {
                Some(after)
            } else if header.is_broken_by(line) {
                // Some take it for the first line of the body, and others pass over it.
                header.has_begun = true;
                Some(rest)
            } else {
                None
            };
            if let Some(body) = is_body.filter(|body| header.may_have(body))
                && !self.body(body, &header)
            {
                return (self.parts, true);
            }
            if is_blank {
                header.ended(line);
            }
            rest = after;
        }
        self.parts.extend(Some(self.texts).filter(|texts| !texts.is_empty()));
        (self.parts, false)
    }

    /// Takes the body that `text` begins with; `false` when that is more than is read.
    fn body(&mut self, text: &[u8], header: &Header) -> bool {
        let named = header.named;
        let body = text.get(..header.body_end(text)).unwrap_or_default();
        let at = self.content.len().saturating_sub(text.len());
        let own = |length: usize| self.content.get(at..at + length).unwrap_or_default();
        self.bytes += body.len();
        if !named.is_any() {
            self.plain += 1;
            if self.plain <= MAX_PLAIN {
                self.parts.extend(as_files(own(body.len())));
            } else {
                self.texts.extend_from_slice(own(body.len()));
                self.texts.push(b'\n');
            }
            let are_too_many = self.plain > MAX_PLAIN && self.plain > PARTS_OF_A_MAIL * header.mails;
            return !are_too_many && self.may_go_on();
        }
        let is_text = named.quoted_printable && !named.base64 && !named.file;
        self.quoted_texts += usize::from(is_text);
        let readings = named.readings(own(body.len()), body);
        if is_text && self.quoted_texts > MAX_PLAIN {
            self.texts.extend(readings.concat());
            self.texts.push(b'\n');
        } else {
            self.parts.extend(readings);
        }
        if body.len() < text.len() {
            let given = self.boundaries.get_or_insert_with(|| boundaries(self.content));
            if let Some(longer) = beyond_false_ends(text, body.len(), given) {
                self.bytes += longer.len();
                let longer = own(longer.len());
                let is_encoded = named.base64 || named.quoted_printable;
                self.parts.extend(if is_encoded { named.decodings(longer) } else { as_files(longer) });
            }
        }
        self.may_go_on()
    }

    fn may_go_on(&self) -> bool {
        self.parts.len() <= MAX_PARTS && self.bytes <= self.content.len().saturating_mul(MAX_RATIO).max(MAX_OVERLAP)
    }
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
            assert_eq!(only(text).first(), Some(&b"words".to_vec()), "{text}");
        }
    }

    #[test]
    fn what_is_no_part_has_none() {
        for text in [
            "a text on Content-Transfer-Encoding: base64\n\nd29yZHM=",
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
            parts(
                format!("{mail}Content-Type: multipart/x; boundary=x\n\n{}\nFrom x\n", part.repeat(of))
                    .repeat(mails)
                    .as_bytes(),
            )
            .1
        };
        assert!(mailbox(1, MAX_PLAIN + 1) && !mailbox(MAX_PLAIN, 2));
    }

    #[test]
    fn a_header_ends_wherever_some_reader_ends_it() {
        let mail = "From: a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n";
        for text in [
            "Content-Type: a/b\n\nwords".to_owned(),
            "X-A: b\n\nwords".to_owned(),
            "Content-Transfer-Encoding: base64\nd29yZHM=".to_owned(),
            format!("X: {}\nSubject: x\n\nwords", "\0".repeat(30)),
            format!("From: x\n{}\nContent-Transfer-Encoding: base64\n\nd29yZHM=", "X: a\r".repeat(150)),
            "From: a\nContent-Type: message/rfc822\n\nContent-Type: a/b\n\nwords".to_owned(),
            format!("{mail}Content-Type: message/rfc822\n\nX: y\n\nwords\n--b--"),
            format!("{}\nX: y\n\nwords\n--b--", mail.replace("mixed", "digest")),
            format!("{mail}words\n--b--"),
            format!("{mail}\nwords\r\n\r\n\n--b--"),
            format!("{mail}Content-Transfer-Encoding: quoted-printable\n:x\nw=6Frds\n--b--"),
            "Content-Transfer-Encoding: quoted-printable\r\r=\rwords".to_owned(),
            format!("From x\nFrom: x\nZ:{}\n\nwords", "\0".repeat(30)),
            format!("{mail}Content-Transfer-Encoding: base64\n\nd29y\n--\n\nZHM=\n--b--"),
            format!("{mail}Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n\nwords\n--b--"),
            format!("{mail}Content-Transfer-Encoding: base64\n\nd29y\n--.\n\nZHM=\n--b--"),
            format!("{mail}Content-Transfer-Encoding: base64\n\nd2\n--9y\nX: y\nZHM=\n--b--").replace("\nX: y", "\n:;"),
            format!("{}: b\n\nwords", "X".repeat(3000)),
            format!("{}: b\nX: {}\n\nwords", "X".repeat(3000), "\0".repeat(30)),
        ] {
            assert!(only(&text).contains(&b"words".to_vec()), "{text:?}");
        }
    }

    #[test]
    fn a_line_that_no_header_gives_as_a_boundary_may_be_of_the_body() {
        let body = "Content-Transfer-Encoding: base64\n\nd29y\n--.\n\nZHM=\n--b--";
        for (given, is_joined) in [("boundary=b", true), ("Boundary = \"b\"; boundary=.", false), ("", false)] {
            let found = only(&format!("From: a\nContent-Type: multipart/mixed; {given}\n\n--b\n{body}"));
            assert_eq!(found.contains(&b"words".to_vec()), is_joined, "{given}");
        }
    }

    #[test]
    fn texts_of_fields_are_no_mails_within_each_other() {
        for text in ["a: b\n - x\n\n", "a: b\nname\n", "Package: x\nVersion: 1\n\n"] {
            let mut content = text.repeat(50).into_bytes();
            for depth in 0.. {
                assert!(depth < 3, "{text}");
                let Some(part) = parts(&content).0.into_iter().next() else { break };
                content = part;
            }
        }
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
        let quoted = "Content-Transfer-Encoding: quoted-printable\n\nw\n\nFrom x\n=6F\n";
        assert!(parts(quoted.as_bytes()).0.contains(&b"w\n\nFrom x\no".to_vec()));
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
            bodies::quoted_printable(&[b"=", &bytes[..]].concat());
        }
    }
}
