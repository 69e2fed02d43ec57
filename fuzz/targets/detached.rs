//! `.sign` files: their lines, and the PKCS#7 in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_fuzz::root;
use nacre_clamav::detached_signature::{Detached, FUNCTIONALITY_LEVEL, verify};

/// Within the certificates' time.
const AT: i64 = 1_795_000_000;

fuzz_target!(|data: &[u8]| {
    let at = chrono::DateTime::from_timestamp(AT, 0).expect("a time");
    let _ = verify(data, b"signed content", root(), FUNCTIONALITY_LEVEL, at);
    let other = verify(data, b"content that nobody signed", root(), FUNCTIONALITY_LEVEL, at);
    assert!(!matches!(other, Ok(Detached::Signed { .. })));
});
