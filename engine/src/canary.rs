//! The canary: a file in which a working engine must find something.
//!
//! A zip of two members: the EICAR test file, which the definitions may know, and bytes that only this load's own
//! signature knows. So an engine can be tested even when its definitions have no signature for EICAR or trust it (`.fp`, `.ign2`).

use std::io::{self, Cursor, Write};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The EICAR test file in two halves, so that no scanner takes our own binary for it.
const EICAR: [&str; 2] = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];

/// Returns the member that holds `pattern`.
///
/// The zeros before it make the compressor use its codes: random bytes alone would stand in the archive as they are,
/// and be found without unpacking.
pub(crate) fn member(pattern: &[u8]) -> Vec<u8> {
    [&[0; 1024], pattern].concat()
}

/// Returns the canary around `pattern`.
pub(crate) fn archive(pattern: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in [("eicar.com", EICAR.concat().into_bytes()), ("canary", member(pattern))] {
        archive.start_file(name, options)?;
        archive.write_all(&content)?;
    }
    Ok(archive.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_pattern_is_not_found_without_unpacking() {
        let pattern: Vec<u8> = (0..16).map(|n| n * 13).collect();
        let archive = archive(&pattern).unwrap();
        let holds = |bytes: &[u8]| archive.windows(bytes.len()).any(|window| window == bytes);
        assert!(!holds(&pattern));
        assert!(holds(b"eicar.com"));
    }
}
