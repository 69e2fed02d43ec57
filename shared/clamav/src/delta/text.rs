//! A delta as it is published: a line of counts for each of its lines.

use super::{Count, Delta, DeltaLine};

/// The first line of every published delta.
const HEADER: &[u8] = b"nacre delta 1";

/// Why bytes are no delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// It does not begin as one, or in another format than ours.
    #[error("it does not begin with \"nacre delta 1\"")]
    Header,
    /// A line is not counts, origin, extension and text.
    #[error("line {0} is not a line of a delta")]
    Line(usize),
}

impl Delta {
    /// Writes the delta.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [HEADER, b"\n"].concat();
        for (DeltaLine { official, extension, line }, Count { raw, effective }) in &self.lines {
            let origin = if *official { "official" } else { "custom" };
            bytes.extend_from_slice(format!("{raw} {effective} {origin} {extension} ").as_bytes());
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        bytes
    }

    /// Reads a delta.
    pub fn parse(bytes: &[u8]) -> Result<Self, DeltaError> {
        let rest = bytes.strip_suffix(b"\n").ok_or(DeltaError::Header)?;
        let mut lines = rest.split(|byte| *byte == b'\n');
        if lines.next() != Some(HEADER) {
            return Err(DeltaError::Header);
        }
        let mut delta = Self::default();
        for (number, line) in (2..).zip(lines) {
            let (line, count) = read(line).ok_or(DeltaError::Line(number))?;
            delta.add(line, count);
        }
        Ok(delta)
    }
}

fn read(line: &[u8]) -> Option<(DeltaLine, Count)> {
    let mut fields = line.splitn(5, |byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    // Sums of counts must not run over.
    let count = |text: &str| text.parse::<i32>().ok().map(i64::from);
    let count = Count { raw: count(text()?)?, effective: count(text()?)? };
    let official = match text()? {
        "official" => true,
        "custom" => false,
        _ => return None,
    };
    let extension = text()?.to_owned();
    Some((DeltaLine { official, extension, line: fields.next()?.to_vec() }, count))
}
