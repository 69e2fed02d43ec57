//! ClamAV's DNS record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_clamav::{database::DatabaseName, dns_record::DnsRecord};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(record) = DnsRecord::parse(text) else { return };
    for name in ["main", "daily", "bytecode", "safebrowsing", "test"] {
        let version = record.version(&DatabaseName::new(name).expect("a name"));
        assert!(version.is_none_or(|version| version.0 > 0));
    }
    assert!(record.is_fresh(record.recorded_at));
});
