//! Entrances for the fuzz targets: what takes bytes that an uploader made, without libclamav.

use std::{io, path::Path, time::Instant};

use nacre_engine_protocol::Limits;

use crate::{
    archive,
    marks::{Coverage, Marks},
    second_reader::SecondReader,
};

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
        marks.inspect(0, file_type, content, Coverage::default(), &mut |_| {});
        marks.conclude(&[], &[]);
    }
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
        io::Seek::rewind(&mut file)
            .and_then(|()| io::Read::read_to_end(&mut file, &mut inner))
            .expect("it is readable");
        if depth < LIMITS.max_recursion {
            reader.read(&inner, 0, depth);
        }
    }
}
