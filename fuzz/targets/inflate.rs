//! Deflate, as the laxest readers undo it, beside flate2.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nacre_engine::fuzz::inflate(data));
