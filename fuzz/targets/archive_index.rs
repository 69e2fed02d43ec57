//! The index of an archive: offsets, sizes and counts that lie.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nacre_engine::fuzz::archive_index(data));
