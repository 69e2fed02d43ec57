//! Entrances for the fuzz targets: what takes bytes that an uploader made, without libclamav.

use std::{
    io::{self, Read},
    path::Path,
    time::Instant,
};

use flate2::read::DeflateDecoder;
use nacre_engine_protocol::Limits;

use crate::{
    archive, inflate,
    marks::{Coverage, Marks},
    second_reader::SecondReader,
    unlzma,
};

/// Most bytes that a decoder may give.
const MOST: usize = 1 << 16;

/// Bounds that inputs of some kilobytes can reach.
const LIMITS: Limits = Limits {
    max_scan_size: 4 << 20,
    max_file_size: 1 << 20,
    max_files: 64,
    max_recursion: 4,
    max_scan_time_ms: 5_000,
    max_memory: 64 << 20,
};

/// Reads the index of an archive.
pub fn archive_index(content: &[u8]) {
    archive::index(content);
}

/// Looks for marks of encryption and of containers that nothing opens.
pub fn marks(content: &[u8]) {
    for file_type in [&b"CL_TYPE_TEXT_ASCII"[..], b"CL_TYPE_BINARY_DATA"] {
        let mut marks = Marks::default();
        marks.inspect(0, file_type, content, &Coverage::default(), &mut |_| {});
        marks.conclude(&[], &[]);
    }
}

/// Undoes deflate.
///
/// # Panics
/// When more came out than may, or something other than flate2 gives.
pub fn inflate(packed: &[u8]) {
    let unpacked = inflate::laxly(packed, MOST);
    assert!(unpacked.len() <= MOST, "more came out than may");
    let mut expected = Vec::new();
    // flate2 ends at errors that we pass over, and may lose what came before them.
    let _ = DeflateDecoder::new(packed).take(MOST as u64).read_to_end(&mut expected);
    assert!(unpacked.starts_with(&expected), "flate2 gives something else");
}

/// Undoes lzma.
///
/// # Panics
/// When more came out than may.
pub fn unlzma(packed: &[u8]) {
    assert!(unlzma::laxly(packed, MOST).len() <= MOST, "more came out than may");
}

/// Has the second reader read content, and what comes out of it read again, within the limits.
///
/// # Panics
/// When what came out is larger than the limits allow, or `scratch` is not usable.
#[expect(clippy::expect_used, reason = "a fuzz target fails by a panic")]
pub fn second_reader(content: &[u8], scratch: &Path) {
    let mut reader = SecondReader::new(scratch, &LIMITS, Instant::now());
    reader.read(content, 0, 0);
    let mut bytes = 0;
    while let Some(found) = reader.take() {
        bytes += found.size;
        assert!(bytes <= LIMITS.max_scan_size && found.size <= LIMITS.max_file_size, "more came out than may");
        let (depth, mut inner) = (found.parent.1 + 1, Vec::new());
        let mut file = found.open(scratch).expect("what came out is kept");
        io::Seek::rewind(&mut file).and_then(|()| file.read_to_end(&mut inner)).expect("it is readable");
        if depth < LIMITS.max_recursion {
            reader.read(&inner, 0, depth);
        }
    }
}
