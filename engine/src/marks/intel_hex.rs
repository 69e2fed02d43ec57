//! Intel HEX: bytes as lines of hexadecimal digits, which 7-Zip and programmers of chips write out as a file.
//!
//! Source: Intel, "Hexadecimal Object File Format Specification", revision A.

use super::bytes::text_start;

/// Most areas of one layer.
const MAX_AREAS: usize = 1000;
/// Kinds of records.
const DATA: u8 = 0;
const END: u8 = 1;
const SEGMENT: u8 = 2;
const LINEAR: u8 = 4;

/// What the records hold: each area of addresses that follow one another by itself, and all of them as one where there are several. What
/// stands before a record that is none counts.
pub(super) fn areas(content: &[u8]) -> Vec<Vec<u8>> {
    let (mut areas, mut base, mut next): (Vec<Vec<u8>>, u32, Option<u32>) = (Vec::new(), 0, None);
    // A colon begins each, wherever lines end.
    for text in text_start(content).strip_prefix(b":").unwrap_or_default().split(|byte| *byte == b':') {
        let Some(Record { kind, address, data }) = record(text) else { break };
        let number = || data.first_chunk().map_or(0, |two| u32::from(u16::from_be_bytes(*two)));
        match kind {
            DATA => {
                let at = base.wrapping_add(u32::from(address));
                let goes_on = next == Some(at) || areas.len() == MAX_AREAS;
                next = u32::try_from(data.len()).ok().map(|length| at.wrapping_add(length));
                match areas.last_mut().filter(|_| goes_on) {
                    Some(area) => area.extend(&data),
                    None => areas.push(data),
                }
            }
            SEGMENT => base = number() << 4,
            LINEAR => base = number() << 16,
            END => break,
            _ => {}
        }
    }
    if areas.len() > 1 {
        areas.push(areas.concat());
    }
    areas
}

struct Record {
    kind: u8,
    address: u16,
    data: Vec<u8>,
}

/// In digits: a length, an address, a kind, so much data, and what makes the sum of all zero.
fn record(text: &[u8]) -> Option<Record> {
    let bytes = hex::decode(text.trim_ascii()).ok()?;
    let (&[length, high, low, kind], rest) = bytes.split_first_chunk()?;
    let (_, data) = rest.split_last()?;
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let address = u16::from_be_bytes([high, low]);
    (sum == 0 && data.len() == usize::from(length)).then(|| Record { kind, address, data: data.to_vec() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn areas_are_read_up_to_the_end() {
        let text = ":03000000776F7233E2\r\n:0300000\r\n";
        assert!(areas(text.as_bytes()).is_empty(), "a sum that is wrong");
        let text = ":03000000776F72A5\r\n:020003006473240\n";
        assert_eq!(areas(text.as_bytes()), [b"wor"]);
        let text =
            "\n:03000000776f72a5\n:02000300647324\n:020000040001F9\n:010000006699\n:00000001FF\n:0100000066 99\n";
        assert_eq!(areas(text.as_bytes()), [&b"words"[..], b"f", b"wordsf"]);
        assert_eq!(areas(b":03000000776F72A5:02000300647324:00000001FF"), [b"words"]);
        assert!(areas(b": a text").is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, digits in "[0-9A-F:\\n]{0,60}") {
            areas(&bytes);
            areas(format!(":03000000776F72A5\n{digits}").as_bytes());
        }
    }
}
