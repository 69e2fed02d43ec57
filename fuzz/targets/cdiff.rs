//! CDIFFs: the container, its signature, and the script within its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_fuzz::anchors;
use nacre_clamav::{cdiff::{Cdiff, commands}, database::DatabaseVersion};

fuzz_target!(|data: &[u8]| {
    let Ok(cdiff) = Cdiff::parse(data) else { return };
    if let Ok(script) = cdiff.script() {
        assert_eq!(script.len() as u64, cdiff.script_bytes);
        commands(&script).for_each(|_| ());
    }
    if let Ok(verified) = cdiff.verify(DatabaseVersion(2), anchors()) {
        assert_eq!(verified.version, DatabaseVersion(2));
    }
});
