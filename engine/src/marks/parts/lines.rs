//! Lines of a mail, and the fields that they are.

use std::collections::HashSet;

/// What the names of the fields begin with that say what a part is.
pub(super) const FIELD: &[u8] = b"content-";
/// Longest field that is read.
const MAX_FIELD: usize = 1 << 20;
/// The parameter that gives a boundary, and the longest that is read.
const PARAMETER: &[u8] = b"boundary";
const MAX_BOUNDARY: usize = 1000;

/// The line at the beginning of `text`, with its end, and what follows it.
pub(super) fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// The field at the beginning of `text` in lower case, with its continuation lines.
pub(super) fn field(text: &[u8]) -> String {
    let (mut line, mut rest) = first_line(text);
    let mut field = Vec::new();
    loop {
        field.extend_from_slice(line.get(..line.len().min(MAX_FIELD)).unwrap_or_default());
        let (next, after) = first_line(rest);
        let goes_on = next.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) && !is_blank(next);
        if !goes_on || field.len() > MAX_FIELD {
            return String::from_utf8_lossy(&field).to_ascii_lowercase();
        }
        (line, rest) = (next, after);
    }
}

/// Whether a line is a field by its name, which some let be empty, and which has blanks behind it. Attack: a name of thousands of letters.
pub(super) fn is_field(line: &[u8]) -> bool {
    let end = line.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':').unwrap_or(line.len());
    line.get(end..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
}

/// Whether a line says what a part is.
pub(super) fn is_of_content(line: &[u8]) -> bool {
    line.get(..FIELD.len()).is_some_and(|name| name.eq_ignore_ascii_case(FIELD))
}

pub(super) fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// The text with a line's end for each carriage return that stands alone, as some readers take it; `None` where none does. It is as long.
pub(super) fn with_line_feeds(text: &[u8]) -> Option<Vec<u8>> {
    let is_alone = |at: &usize| text.get(at + 1) != Some(&b'\n');
    memchr::memchr_iter(b'\r', text).find(is_alone)?;
    let mut feeds = text.to_vec();
    for at in memchr::memchr_iter(b'\r', text).filter(is_alone) {
        if let Some(byte) = feeds.get_mut(at) {
            *byte = b'\n';
        }
    }
    Some(feeds)
}

/// Where a body ends: before a line that may be a boundary, or that is the first of the next mail of an mbox.
pub(super) fn end(body: &[u8]) -> usize {
    if body.starts_with(b"--") {
        return 0;
    }
    let before = |mark: &[u8], text: &[u8]| memchr::memmem::find(text, mark).map(|at| at + 1);
    let boundary = before(b"\n--", body).unwrap_or(body.len());
    before(b"\nFrom ", body.get(..boundary).unwrap_or_default()).unwrap_or(boundary)
}

/// The boundaries that headers give, as they are written. Readers differ about odd ones.
pub(super) fn boundaries(content: &[u8]) -> HashSet<&[u8]> {
    let starts = memchr::memchr2_iter(b'b', b'B', content).filter_map(|at| content.get(at..));
    starts.filter_map(boundary).collect()
}

/// The boundary that the parameter at the beginning of `text` gives.
fn boundary(text: &[u8]) -> Option<&[u8]> {
    let (name, rest) = text.split_at_checked(PARAMETER.len())?;
    name.eq_ignore_ascii_case(PARAMETER).then_some(())?;
    let value = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (value, ends): (_, &[u8]) = match value.strip_prefix(b"\"") {
        Some(quoted) => (quoted, b"\"\r\n"),
        None => (value, b"; \t\r\n"),
    };
    let end = value.iter().take(MAX_BOUNDARY).position(|byte| ends.contains(byte))?;
    value.get(..end)
}

/// A body that goes on behind lines which begin with two hyphens or as a mail of a mailbox does and are no boundary: they name none, or
/// none of those that are `given`, or no header follows them. `None` when there is none.
pub(super) fn beyond_false_ends<'t>(text: &'t [u8], end: usize, given: &HashSet<&[u8]>) -> Option<&'t [u8]> {
    let (mut at, mut is_longer) = (end, false);
    loop {
        let (line, after) = first_line(text.get(at..)?);
        let (next, _) = first_line(after);
        let has_header = is_field(next) && !next.starts_with(b":") || is_blank(next);
        let name = line.trim_ascii_end();
        let name = name.strip_prefix(b"--").unwrap_or(name);
        let is_given = given.contains(name) || name.strip_suffix(b"--").is_some_and(|name| given.contains(name));
        let is_boundary = !name.is_empty() && has_header && (is_given || given.is_empty() || !line.starts_with(b"--"));
        let may_end = line.starts_with(b"--") || line.starts_with(b"From ");
        if !may_end || is_boundary || is_given {
            break;
        }
        is_longer = true;
        let from = at + line.len();
        at = from + self::end(text.get(from..)?);
    }
    is_longer.then(|| text.get(..at)).flatten()
}
