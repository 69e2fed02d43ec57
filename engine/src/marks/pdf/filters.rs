//! The filters of a PDF's streams, each undone as loosely as readers do it: what came out before an error counts.
//!
//! Source: ISO 32000-1, section 7.4.

use std::io::Read;

use flate2::read::ZlibDecoder;
use weezl::{BitOrder, LzwStatus, decode::Decoder};

/// Most bytes of one output. A longer one is cut, and no longer as it would be unpacked.
pub(super) const MAX_OUTPUT: usize = 100 << 20;
/// Bytes that are decoded at once.
const PIECE: usize = 64 << 10;

/// Every reading of a stream whose filter is not known: a filter's own marks decide. `run_length` has none.
pub(super) fn readings(stream: &[u8], run_length: bool) -> Vec<Vec<u8>> {
    let text = stream.trim_ascii();
    let mut readings: Vec<_> = [flate(stream), hexadecimal(text), base85(text)].into_iter().flatten().collect();
    for early in [true, false] {
        readings.extend(lzw(stream, early).filter(|reading| !readings.contains(reading)));
    }
    if run_length {
        readings.push(run_lengths(stream));
    }
    readings.retain(|reading| !reading.is_empty());
    readings
}

/// Whether a stream bears the marks of a filter.
pub(super) fn is_marked(stream: &[u8]) -> bool {
    !readings(stream.get(..stream.len().min(PIECE)).unwrap_or_default(), false).is_empty()
}

/// `FlateDecode`; `None` without the header of zlib.
fn flate(stream: &[u8]) -> Option<Vec<u8>> {
    let &[method, flags, ..] = stream else { return None };
    let is_zlib = method & 0x0F == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31);
    is_zlib.then(|| {
        let mut unpacked = Vec::new();
        let mut decoder = ZlibDecoder::new(stream).take(MAX_OUTPUT as u64);
        // What came out before an error stays.
        decoder.read_to_end(&mut unpacked).ok();
        unpacked
    })
}

/// `ASCIIHexDecode`.
fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.split(|byte| *byte == b'>').next()?;
    let mut digits = Vec::new();
    for byte in text.iter().filter(|byte| !is_blank(**byte)) {
        digits.push(u8::try_from(char::from(*byte).to_digit(16)?).ok()?);
    }
    Some(
        digits.chunks(2).map(|pair| pair.iter().chain([&0]).take(2).fold(0, |byte, digit| byte << 4 | digit)).collect(),
    )
}

/// `ASCII85Decode`; it must have its end mark.
fn base85(text: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memchr(b'~', text.get(2..)?)? + 2;
    let text = text.get(..end)?;
    let text = text.strip_prefix(b"<~").unwrap_or(text);
    let (mut bytes, mut group) = (Vec::with_capacity(text.len()), Vec::with_capacity(5));
    for byte in text.iter().filter(|byte| !is_blank(**byte)) {
        match byte {
            b'z' if group.is_empty() => bytes.extend([0; 4]),
            b'!'..=b'u' => group.push(byte - b'!'),
            _ => return None,
        }
        if group.len() == 5 {
            bytes.extend(word(&group).to_be_bytes());
            group.clear();
        }
    }
    if group.len() > 1 {
        let given = group.len() - 1;
        group.resize(5, 84);
        bytes.extend(word(&group).to_be_bytes().get(..given).unwrap_or_default());
    }
    Some(bytes)
}

fn word(group: &[u8]) -> u32 {
    group.iter().fold(0_u32, |word, digit| word.wrapping_mul(85).wrapping_add((*digit).into()))
}

/// `LZWDecode`; `None` when the first code does not clear the table. Codes grow a code early, or not, by `EarlyChange`.
fn lzw(stream: &[u8], early: bool) -> Option<Vec<u8>> {
    let clears = stream.first() == Some(&0x80) && stream.get(1).is_some_and(|next| next & 0x80 == 0);
    clears.then_some(())?;
    let mut decoder =
        if early { Decoder::with_tiff_size_switch(BitOrder::Msb, 8) } else { Decoder::new(BitOrder::Msb, 8) };
    let (mut unpacked, mut rest, mut piece) = (Vec::new(), stream, vec![0; PIECE]);
    while unpacked.len() < MAX_OUTPUT {
        let done = decoder.decode_bytes(rest, &mut piece);
        unpacked.extend_from_slice(piece.get(..done.consumed_out).unwrap_or_default());
        rest = rest.get(done.consumed_in..).unwrap_or_default();
        if !matches!(done.status, Ok(LzwStatus::Ok)) {
            break;
        }
    }
    unpacked.truncate(MAX_OUTPUT);
    Some(unpacked)
}

/// `RunLengthDecode`.
fn run_lengths(stream: &[u8]) -> Vec<u8> {
    let (mut unpacked, mut rest) = (Vec::new(), stream);
    while let Some((length, after)) = rest.split_first()
        && *length != 128
        && unpacked.len() < MAX_OUTPUT
    {
        let length = usize::from(*length);
        if length < 128 {
            let (bytes, after) = after.split_at_checked(length + 1).unwrap_or((after, &[]));
            unpacked.extend_from_slice(bytes);
            rest = after;
        } else {
            let Some((byte, after)) = after.split_first() else { break };
            unpacked.resize(unpacked.len() + 257 - length, *byte);
            rest = after;
        }
    }
    unpacked
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0B)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_filter_is_known_by_its_own_marks() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(b"some words").unwrap();
        let zlib = zlib.finish().unwrap();
        assert_eq!(readings(&zlib, false), [b"some words"]);
        assert_eq!(readings(b"736F 6D65\n20776F7264 73>", false), [b"some words"]);
        assert_eq!(readings(b"F)Q2A+E(_(Bl7~>", false).len(), 1);
        assert_eq!(readings(b"<~9jqo^~>", false), [b"Man "]);
        assert_eq!(readings(b"9jqo~>", false), [b"Man"]);
        let lzw = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(b"some words").unwrap();
        assert_eq!(readings(&lzw, false), [b"some words"]);
        assert_eq!(readings(b"\x04some \xFEw\x80", true), [b"some www"]);
        assert!(readings(b"some words", false).is_empty());
    }

    #[test]
    fn what_came_out_before_an_error_counts() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::none());
        zlib.write_all(b"some words").unwrap();
        let zlib = zlib.finish().unwrap();
        assert_eq!(readings(&zlib[..zlib.len() - 4], false), [b"some words"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            for start in [&b"\x78\x9c"[..], b"\x80\x0b", b"<~", b"12", b""] {
                readings(&[start, &bytes].concat(), true);
                readings(&[start, &bytes, b"~>"].concat(), true);
            }
        }
    }
}
