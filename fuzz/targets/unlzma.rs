//! Lzma of any properties, up to its first error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nacre_engine::fuzz::unlzma(data));
