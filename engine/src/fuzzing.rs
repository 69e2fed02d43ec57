//! The engine's own parsers, for the fuzzer.

use crate::{archive, marks::Marks};

/// Reads content as a layer of this type, and returns the lengths of the pieces that are scanned by themselves.
pub fn inspect(content: &[u8], file_type: &str) -> Vec<usize> {
    let _ = archive::index(content);
    let pieces = Marks::default().inspect(0, file_type.as_bytes(), content, false);
    pieces.iter().map(|piece| piece.len()).collect()
}
