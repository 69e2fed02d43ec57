//! Messages from a pipe, read as they become available.

use std::io::Read;

use nacre_engine_protocol::{LineError, MAX_LINE_BYTES, parse_line};
use serde::de::DeserializeOwned;

/// Bytes read at once.
const CHUNK_BYTES: usize = 8 << 10;

/// The messages of a pipe.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    pub(crate) source: R,
    pending: Vec<u8>,
    closed: bool,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, pending: Vec::new(), closed: false }
    }

    /// Reads available bytes or the end; blocks when there is neither.
    ///
    /// # Errors
    /// The pipe's; [`LineError::Unbounded`] for an endless line.
    pub(crate) fn fill(&mut self) -> Result<(), LineError> {
        let mut chunk = [0; CHUNK_BYTES];
        let read = self.source.read(&mut chunk)?;
        self.closed |= read == 0;
        self.pending.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if self.pending.len() >= MAX_LINE_BYTES && !self.pending.contains(&b'\n') {
            return Err(LineError::Unbounded);
        }
        Ok(())
    }

    /// Whether the other side has closed the pipe. Messages from before may be left.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the next message that has been read; `None` when there is no whole one.
    ///
    /// # Errors
    /// [`LineError::Malformed`] for this one line; the next may do. [`LineError::Unbounded`] for a line that the end cut short.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') else {
            return if self.closed && !self.pending.is_empty() { Err(LineError::Unbounded) } else { Ok(None) };
        };
        let line: Vec<u8> = self.pending.drain(..=end).collect();
        if line.len() > MAX_LINE_BYTES {
            return Err(LineError::Unbounded);
        }
        parse_line(&line).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> (Vec<u32>, Option<LineError>) {
        let (mut lines, mut found) = (Lines::new(bytes), Vec::new());
        while !lines.is_closed() {
            if let Err(error) = lines.fill() {
                return (found, Some(error));
            }
            loop {
                match lines.next() {
                    Ok(Some(number)) => found.push(number),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    #[test]
    fn several_lines_come_one_by_one() {
        assert!(matches!(all(b"1\n22\n333\n"), (found, None) if found == [1, 22, 333]));
    }

    #[test]
    fn a_truncated_or_endless_line_is_an_error() {
        assert!(matches!(all(b"1\n22"), (found, Some(LineError::Unbounded)) if found == [1]));
        assert!(matches!(all(&vec![b'1'; MAX_LINE_BYTES]), (_, Some(LineError::Unbounded))));
        assert!(matches!(all(b"x\n"), (_, Some(LineError::Malformed(_)))));
    }
}
