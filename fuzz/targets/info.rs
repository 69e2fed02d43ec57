//! `.info`: what it lists, and its signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_fuzz::anchors;
use nacre_clamav::{cvd::CvdHeader, info::Info};

fuzz_target!(|data: &[u8]| {
    let Ok(info) = Info::parse(data) else { return };
    let (lines, again) = (info.members.len(), CvdHeader::parse_line(&info.header.to_line()));
    assert!(lines < data.len());
    assert_eq!(again.as_ref(), Ok(&info.header));
    let _ = info.verify(&anchors().info);
});
