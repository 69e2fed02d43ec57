//! What the engine reads of a layer's own bytes: its marks, and the index of an archive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_engine::fuzzing::inspect;

fuzz_target!(|data: &[u8]| {
    for file_type in ["CL_TYPE_ANY", "CL_TYPE_TEXT_ASCII", "CL_TYPE_MAIL", "CL_TYPE_PDF"] {
        // Each piece of a layer is a part of it, but for the line that makes a mail of a text.
        assert!(inspect(data, file_type).iter().all(|length| *length <= data.len() + 64));
    }
});
