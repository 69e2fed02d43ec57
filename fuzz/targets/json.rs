//! What we publish: manifest and pointer, and the keys that configuration carries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_core::generation::manifest::{Manifest, Pointer};
use nacre_clamav::trust_anchor::TrustAnchors;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::parse(data) {
        assert_eq!(Manifest::parse(&manifest.to_bytes()).expect("our own"), manifest);
    }
    if let Ok(pointer) = Pointer::parse(data) {
        assert_eq!(Pointer::parse(&pointer.to_bytes()).expect("our own"), pointer);
    }
    if let Some(anchors) = std::str::from_utf8(data).ok().and_then(|text| TrustAnchors::from_json(text).ok()) {
        assert_eq!(TrustAnchors::from_json(&anchors.to_json()).expect("our own"), anchors);
    }
});
