//! What the body of a part may hold, by how its header says that it is written.
//!
//! Source: RFC 2045.

use super::{
    super::base64,
    lines::{first_line, is_of_content},
};

/// How the content of a part is written, as far as its header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Encodings {
    pub(super) base64: bool,
    pub(super) quoted_printable: bool,
    /// How often an encoding is named.
    times: u8,
    /// It is a file, by its name.
    pub(super) file: bool,
}

impl Encodings {
    /// Whether it says that the body is written otherwise, or is a file.
    pub(super) fn is_any(self) -> bool {
        self.base64 || self.quoted_printable || self.file
    }

    /// Adds what a field in lower case says.
    pub(super) fn add(&mut self, field: &str) {
        let Some((name, value)) = field.split_once(':') else { return };
        match name.trim_end() {
            "content-transfer-encoding" => {
                self.times = self.times.saturating_add(1);
                // An encoded word may say either.
                let is_encoded = value.contains("=?");
                self.base64 |= is_encoded || value.contains("base64") || value.contains("base-64");
                self.quoted_printable |= is_encoded || value.contains("quoted");
            }
            "content-disposition" => self.file |= value.contains("attachment") || value.contains("name"),
            "content-type" => self.file |= value.contains("name"),
            _ => {}
        }
    }

    /// What a body is decoded to.
    pub(super) fn decodings(self, body: &[u8]) -> Vec<Vec<u8>> {
        let mut decodings = if self.base64 { base64::readings(body) } else { Vec::new() };
        decodings.extend(self.quoted_printable.then(|| quoted_printable(body)));
        decodings
    }

    /// What a body may hold. `lines` is as long, and has its lines.
    pub(super) fn readings(self, body: &[u8], lines: &[u8]) -> Vec<Vec<u8>> {
        let mut readings = if self.base64 { base64::readings(body) } else { Vec::new() };
        // Without a boundary it may go on into another mail, whose parts are read by themselves.
        let own = body.get(..next_header(lines)).unwrap_or_default();
        if self.quoted_printable {
            readings.push(quoted_printable(own));
            readings.extend(without_half_breaks(own).map(|own| quoted_printable(&own)));
        }
        // Readers differ on which of several fields they take.
        let is_ambiguous = self.times > 1 || self.base64 && !own.iter().all(|byte| is_of_base64(*byte));
        if readings.is_empty() && self.file || is_ambiguous {
            readings.extend(as_files(own));
        }
        readings
    }
}

fn is_of_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=-_".contains(&byte)
}

/// What a body that is written as it is may be: without the line's end before the boundary, with it, without any, and with the line ends of
/// other systems.
pub(super) fn as_files(body: &[u8]) -> Vec<Vec<u8>> {
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
    // Behind parts within parts, whose own end is missing, there is a break for each of them.
    let end = without.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    if end > 0 && end < without.len() {
        files.extend(without.get(..end).map(<[u8]>::to_vec));
    }
    files
}

/// Where the next field of a part stands.
fn next_header(body: &[u8]) -> usize {
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = first_line(rest);
        if is_of_content(line) {
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

/// The body without what follows the break of a line by a carriage return up to the next line feed, which some readers pass over; `None`
/// when there is no such break.
fn without_half_breaks(body: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find_iter(body, b"=\r").find(|at| body.get(at + 2) != Some(&b'\n'))?;
    let (mut kept, mut rest) = (Vec::with_capacity(body.len()), body);
    while let Some(at) = memchr::memmem::find(rest, b"=\r") {
        kept.extend(rest.get(..at).unwrap_or_default());
        let end = memchr::memchr(b'\n', rest.get(at..).unwrap_or_default()).map_or(rest.len(), |end| at + end + 1);
        rest = rest.get(end..).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    Some(kept)
}

/// Decodes `=3D` and broken lines; what is neither stays as it is.
pub(super) fn quoted_printable(body: &[u8]) -> Vec<u8> {
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
        let end = after.get(1..).unwrap_or_default();
        let blanks = end.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let breaks = match end.get(blanks..).unwrap_or_default() {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        if breaks == 0 {
            decoded.push(b'=');
        }
        rest = end.get(if breaks > 0 { blanks + breaks } else { 0 }..).unwrap_or_default();
    }
    decoded.extend_from_slice(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_broken_by_half_is_passed_over_by_some() {
        assert_eq!(without_half_breaks(b"wo=\rjunk\nrds=\r\n"), Some(b"words".to_vec()));
        assert_eq!(without_half_breaks(b"wo=\r\nrds"), None);
    }

    #[test]
    fn an_encoded_word_may_name_either_encoding() {
        let mut named = Encodings::default();
        named.add("content-transfer-encoding: =?us-ascii?b?ymfzzty0?=");
        assert_eq!(named.decodings(b"d29yZHM="), [&b"words"[..], b"d29yZHM="]);
    }
}
