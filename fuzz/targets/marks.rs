//! Marks of encryption and of containers: compound files, PDF, mail, OpenPGP, ASN.1, disk images.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nacre_engine::fuzz::marks(data));
