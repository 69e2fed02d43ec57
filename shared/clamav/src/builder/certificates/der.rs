//! DER, as plain as a faulty signature needs it: a strict encoder would refuse to write most of the faults.

use x509_cert::der::{Encode, asn1::ObjectIdentifier};

/// DER of one value from the parts of its content.
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let length = match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![short],
        _ => [vec![0x80 | u8::try_from(bytes.len()).unwrap_or_default()], bytes].concat(),
    };
    [vec![tag], length, content].concat()
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

pub(super) fn oid(name: &str) -> Vec<u8> {
    ObjectIdentifier::new(name).ok().and_then(|name| name.to_der().ok()).unwrap_or_default()
}

pub(super) fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid("2.5.4.3"), &tlv(0x0c, &[common_name.as_bytes()])]);
    sequence(&[&tlv(0x31, &[&attribute])])
}

/// The beginning of a year; from 2050 on it is written in full.
pub(super) fn time(year: u16) -> Vec<u8> {
    if year < 2050 {
        tlv(0x17, &[format!("{:02}0101000000Z", year % 100).as_bytes()])
    } else {
        tlv(0x18, &[format!("{year}0101000000Z").as_bytes()])
    }
}
