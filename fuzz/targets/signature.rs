//! ClamAV's digits, and the two signatures that are written in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_fuzz::anchors;
use nacre_clamav::digital_signature::{decode, encode};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(number) = decode(text) else { return };
    assert_eq!(decode(&encode(&number)), Ok(number));
    let _ = anchors().container.verify_legacy(&[7; 16], text);
    assert!(anchors().info.verify_pss(b"content that nobody signed", text).is_err());
});
