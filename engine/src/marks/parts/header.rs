//! The header of a mail or of a part, while it is read line by line.

use super::{
    bodies::Encodings,
    lines::{end, first_line, is_field},
};

/// What the fields of mails begin with.
const FIELDS_OF_MAILS: [&[u8]; 8] =
    [b"from:", b"to:", b"subject:", b"date:", b"message-id:", b"mime-version:", b"received:", b"return-path:"];

/// The header that is being read.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "what was read of it, each by itself")]
pub(super) struct Header {
    is_open: bool,
    /// It is that of a mail, and no part's.
    is_first: bool,
    /// It is that of a mail within a part.
    is_within: bool,
    /// Fields in it, and those that only mails have.
    fields: usize,
    of_mails: usize,
    /// Its first line is no field.
    begins_otherwise: bool,
    /// A line that is none has begun its body for some.
    pub(super) has_begun: bool,
    pub(super) named: Encodings,
    /// Its body is a mail.
    is_message: bool,
    /// A field has named a kind of parts, and one whose parts are mails.
    is_multipart: bool,
    is_digest: bool,
    /// Mails so far.
    pub(super) mails: usize,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            is_open: true,
            is_first: true,
            is_within: false,
            fields: 0,
            of_mails: 0,
            begins_otherwise: false,
            has_begun: false,
            named: Encodings::default(),
            is_message: false,
            is_multipart: false,
            is_digest: false,
            mails: 1,
        }
    }
}

impl Header {
    pub(super) fn line(&mut self, line: &[u8]) {
        if line.starts_with(b"From ") {
            *self = Self { mails: self.mails + 1, named: self.named, ..Self::default() };
        } else if line.starts_with(b"--") && self.is_multipart {
            self.begin();
            self.is_first = false;
            self.is_message = self.is_digest;
        } else if self.is_open {
            self.fields += usize::from(is_field(line));
            let is = |field: &&[u8]| line.get(..field.len()).is_some_and(|name| name.eq_ignore_ascii_case(field));
            self.of_mails += usize::from(FIELDS_OF_MAILS.iter().any(is));
            self.begins_otherwise |= self.fields == 0;
        }
    }

    fn begin(&mut self) {
        (self.of_mails, self.begins_otherwise) = (0, false);
        (self.is_open, self.is_within, self.fields, self.has_begun, self.is_message) = (true, false, 0, false, false);
    }

    /// Adds a field that says what the body is.
    pub(super) fn add(&mut self, field: &str) {
        self.named.add(field);
        // Without a boundary there are no parts.
        self.is_multipart |= field.contains("multipart/") && field.contains("boundary");
        self.is_digest |= field.contains("multipart/digest");
        self.is_message |= field.contains("message/");
    }

    /// Whether a line of nothing ends a header that a body follows: a part's, or a mail's without parts.
    pub(super) fn ends(&self) -> bool {
        let is_mail = self.of_mails > 1 || self.is_within || self.fields > 0 && !self.begins_otherwise;
        let has_body = !self.is_first || is_mail && !self.is_multipart;
        self.named.is_any() || self.is_open && has_body
    }

    /// Whether a body is taken as it is. Texts of many paragraphs that all are fields are ordinary, and no mails: each would be a layer in
    /// the one before.
    pub(super) fn may_have(&self, body: &[u8]) -> bool {
        let is_certain = !self.is_first || self.of_mails > 1 || self.is_within || self.named.is_any();
        is_certain || !is_field(first_line(body).0)
    }

    /// Whether a line within it is no field, and the first such.
    pub(super) fn is_broken_by(&self, line: &[u8]) -> bool {
        let goes_on = line.first().is_some_and(u8::is_ascii_whitespace);
        let is_mark = line.starts_with(b"--") || line.starts_with(b"From ");
        let may_be = if self.is_first { self.fields > 0 } else { true };
        self.is_open && may_be && !self.has_begun && !goes_on && !is_mark && !is_field(line) && self.ends()
    }

    /// A line of nothing has ended it. What follows may be the header of a mail.
    pub(super) fn ended(&mut self, line: &[u8]) {
        let (was_open, is_message) = (self.is_open, self.is_message);
        // A line of blanks ends a header for some, and goes on for others.
        if !line.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
            self.named = Encodings::default();
        }
        self.is_open = false;
        if was_open && is_message && self.ends_in_mail() {
            self.begin();
            (self.is_first, self.is_within) = (!self.is_multipart, true);
            self.mails += 1;
        }
    }

    /// Whether a mail follows it, and not the parts of one.
    fn ends_in_mail(&self) -> bool {
        !self.is_first || !self.is_multipart
    }

    /// Where the body ends. That of a mail without parts may have hyphens in it.
    pub(super) fn body_end(&self, body: &[u8]) -> usize {
        if self.is_first && !self.named.is_any() {
            return memchr::memmem::find(body, b"\nFrom ").map_or(body.len(), |at| at + 1);
        }
        end(body)
    }
}
