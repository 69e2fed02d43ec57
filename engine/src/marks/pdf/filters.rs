//! The filters of a PDF's streams, each undone as loosely as readers do it: what came out before an error counts.
//!
//! Source: ISO 32000-1, section 7.4.

use std::io::{ErrorKind, Read};

use flate2::read::DeflateDecoder;
use weezl::{BitOrder, LzwStatus, decode::Decoder};

use super::{dictionary::Dictionary, places::Work};
use crate::inflate;

/// Most bytes of one output. A longer one is cut, and no longer as it would be unpacked.
pub(super) const MAX_OUTPUT: usize = 100 << 20;
/// Bytes that are decoded at once.
const PIECE: usize = 64 << 10;

/// The names of the filters that are undone here, in full and abbreviated.
const NAMES: [[&str; 2]; 5] = [
    ["/FlateDecode", "/Fl"],
    ["/ASCIIHexDecode", "/AHx"],
    ["/ASCII85Decode", "/A85"],
    ["/LZWDecode", "/LZW"],
    ["/RunLengthDecode", "/RL"],
];
const FLATE: usize = 0;
const HEXADECIMAL: usize = 1;
const BASE85: usize = 2;
const LZW: usize = 3;
const RUN_LENGTH: usize = 4;

/// The filters that a dictionary names, in their order. What is named is read as loosely as any reader does; by its marks alone, any
/// stream is.
pub(super) fn named(dictionary: &Dictionary) -> Vec<usize> {
    let known = dictionary.words().filter_map(|word| NAMES.iter().position(|names| names.contains(&word)));
    known.collect()
}

/// What came out of a filter; no output, where the stream is none of that filter's.
#[derive(Default)]
struct Undone {
    output: Option<Vec<u8>>,
    /// Bytes of the stream that this took.
    consumed: usize,
    /// It ended at an error, where lax readers go on.
    is_damaged: bool,
}

impl Undone {
    fn new(output: Vec<u8>, consumed: usize) -> Self {
        Self { output: Some(output), consumed, is_damaged: false }
    }

    fn none(consumed: usize) -> Self {
        Self { consumed, ..Self::default() }
    }
}

/// What a stream was unpacked to, and the filters that are left for that.
pub(super) type Reading<'n> = (Vec<u8>, &'n [usize]);

/// All that a stream was unpacked to.
#[derive(Default)]
pub(super) struct Readings<'n> {
    pub(super) found: Vec<Reading<'n>>,
    /// The filter that is named met an error, behind which a lax reader finds more. Attack: a stored block whose length and its
    /// complement do not fit, which readers of their own inflaters pass over.
    pub(super) is_damaged: bool,
}

/// Every reading of a stream: a filter's own marks decide, or that it is the first that is `named`. Filters end by themselves, and readers differ about where
/// a stream does: it goes on as far as that may be, and `ends` are the places where it may end before.
pub(super) fn readings<'n>(stream: &[u8], ends: &[usize], named: &'n [usize], work: &mut Work) -> Readings<'n> {
    let mut readings = Readings::default();
    let is_named = |filter| named.first() == Some(&filter);
    let without = |filter| named.get(usize::from(is_named(filter))..).unwrap_or_default();
    let mut add = |filter: usize, undo: &dyn Fn(&[u8]) -> Undone| {
        let Undone { output, consumed, is_damaged } = undo(stream);
        readings.is_damaged |= is_damaged && is_named(filter);
        let mut goes_on = work.spend(consumed);
        let is_read = output.is_some();
        let mut found: Vec<_> = output.into_iter().collect();
        // One that ended before is the same by all of them.
        for end in ends.iter().filter(|end| **end < stream.len() && (**end < consumed || !is_read)) {
            if !goes_on {
                break;
            }
            let part = undo(stream.get(..*end).unwrap_or_default());
            goes_on = work.spend(part.consumed);
            found.extend(part.output);
        }
        for reading in found.into_iter().filter(|reading| !reading.is_empty()) {
            if !readings.found.iter().any(|(known, _)| *known == reading) {
                readings.found.push((reading, without(filter)));
            }
        }
    };
    add(FLATE, &flate);
    add(HEXADECIMAL, &|stream| hexadecimal(stream, Illegal::Ends));
    add(BASE85, &|stream| base85(stream, Illegal::Ends));
    for early in [true, false] {
        add(LZW, &|stream| lzw(stream, early, is_named(LZW)));
    }
    if is_named(FLATE) && !is_zlib(stream) {
        for header in [0, 2] {
            add(FLATE, &|stream| raw(stream, header));
        }
    }
    for illegal in [Illegal::IsSkipped, Illegal::Counts, Illegal::Stops] {
        if is_named(HEXADECIMAL) {
            add(HEXADECIMAL, &|stream| hexadecimal(stream, illegal));
        }
        if is_named(BASE85) {
            add(BASE85, &|stream| base85(stream, illegal));
        }
    }
    if is_named(RUN_LENGTH) {
        add(RUN_LENGTH, &run_lengths);
    }
    readings
}

/// Whether a stream bears the marks of a filter.
pub(super) fn is_marked(stream: &[u8]) -> bool {
    let start = stream.get(..stream.len().min(PIECE)).unwrap_or_default();
    !readings(start, &[], &[], &mut Work::passes(start, 8)).found.is_empty()
}

fn is_zlib(stream: &[u8]) -> bool {
    let &[method, flags, ..] = stream else { return false };
    // A window of more than 32 KiB is refused by zlib, and not by every reader.
    method & 0x8F == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31)
}

/// `FlateDecode`; none without the header of zlib. Its sum is not compared: readers give what came out.
fn flate(stream: &[u8]) -> Undone {
    if is_zlib(stream) { raw(stream, 2) } else { Undone::none(0) }
}

/// What a whole stream of `FlateDecode` unpacks to.
pub(super) fn inflated(stream: &[u8]) -> Option<Vec<u8>> {
    let Undone { output, is_damaged, .. } = flate(stream);
    output.filter(|_| !is_damaged)
}

/// `FlateDecode` behind so much of a header. What is none, some readers pass over, or do without.
fn raw(stream: &[u8], header: usize) -> Undone {
    let packed = stream.get(header..).unwrap_or_default();
    let mut decoder = DeflateDecoder::new(packed);
    let mut unpacked = Vec::new();
    // What came out before an error stays. That the stream is cut is none.
    let ended = (&mut decoder).take(MAX_OUTPUT as u64).read_to_end(&mut unpacked);
    let consumed = usize::try_from(decoder.total_in()).unwrap_or(usize::MAX).saturating_add(header);
    let is_damaged = ended.is_err_and(|error| error.kind() != ErrorKind::UnexpectedEof);
    if is_damaged {
        unpacked = inflate::laxly(packed, MAX_OUTPUT);
    }
    Undone { is_damaged, ..Undone::new(unpacked, consumed) }
}

/// What a letter means that a filter does not know; readers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Illegal {
    /// It is no stream of this filter.
    Ends,
    IsSkipped,
    /// It has a value as any letter, or that of a zero.
    Counts,
    /// What stands before it is all.
    Stops,
}

/// `ASCIIHexDecode`.
fn hexadecimal(stream: &[u8], illegal: Illegal) -> Undone {
    let (mut bytes, mut half) = (Vec::new(), None);
    let mut read = 0;
    for byte in stream {
        read += 1;
        let digit = match char::from(*byte).to_digit(16) {
            Some(digit) => u8::try_from(digit).unwrap_or_default(),
            None if *byte == b'>' => break,
            // A widespread reader takes zeros for digits.
            None if is_blank(*byte) && (*byte != 0 || illegal != Illegal::Counts) => continue,
            None => match illegal {
                Illegal::Ends => return Undone::none(read),
                Illegal::IsSkipped => continue,
                Illegal::Counts => 0,
                Illegal::Stops => break,
            },
        };
        match half.take() {
            Some(high) => bytes.push(high << 4 | digit),
            None => half = Some(digit),
        }
    }
    bytes.extend(half.map(|high| high << 4));
    Undone::new(bytes, read)
}

/// `ASCII85Decode`; it must have its end mark, unless its letters are read loosely.
fn base85(stream: &[u8], illegal: Illegal) -> Undone {
    let text = stream.trim_ascii_start();
    let text = text.strip_prefix(b"<~").unwrap_or(text);
    let (mut bytes, mut group) = (Vec::new(), Vec::with_capacity(5));
    let (mut read, mut has_end) = (stream.len() - text.len(), false);
    for byte in text {
        read += 1;
        match byte {
            b'~' => {
                has_end = true;
                break;
            }
            b'z' if group.is_empty() => bytes.extend([0; 4]),
            b'!'..=b'u' => group.push(u32::from(byte - b'!')),
            byte if is_blank(*byte) && (*byte != 0 || illegal != Illegal::Counts) => {}
            byte => match illegal {
                Illegal::Ends => return Undone::none(read),
                Illegal::IsSkipped => {}
                Illegal::Counts => group.push(u32::from(*byte).wrapping_sub(u32::from(b'!'))),
                Illegal::Stops => break,
            },
        }
        if group.len() == 5 {
            bytes.extend(word(&group).to_be_bytes());
            group.clear();
        }
    }
    if illegal == Illegal::Ends && !has_end {
        return Undone::none(read);
    }
    if group.len() > 1 {
        let given = group.len() - 1;
        group.resize(5, 84);
        bytes.extend(word(&group).to_be_bytes().get(..given).unwrap_or_default());
    }
    Undone::new(bytes, read)
}

fn word(group: &[u32]) -> u32 {
    group.iter().fold(0_u32, |word, digit| word.wrapping_mul(85).wrapping_add(*digit))
}

/// `LZWDecode`; none when the first code does not clear the table, unless it is named. Codes grow a code early, or not, by `EarlyChange`.
fn lzw(stream: &[u8], early: bool, is_named: bool) -> Undone {
    let clears = stream.first() == Some(&0x80) && stream.get(1).is_some_and(|next| next & 0x80 == 0);
    if !clears && !is_named {
        return Undone::none(0);
    }
    let mut decoder =
        if early { Decoder::with_tiff_size_switch(BitOrder::Msb, 8) } else { Decoder::new(BitOrder::Msb, 8) };
    let (mut unpacked, mut rest, mut piece, mut is_damaged) = (Vec::new(), stream, vec![0; PIECE], false);
    while unpacked.len() < MAX_OUTPUT {
        let done = decoder.decode_bytes(rest, &mut piece);
        unpacked.extend_from_slice(piece.get(..done.consumed_out).unwrap_or_default());
        rest = rest.get(done.consumed_in..).unwrap_or_default();
        is_damaged = done.status.is_err();
        if !matches!(done.status, Ok(LzwStatus::Ok)) {
            break;
        }
    }
    unpacked.truncate(MAX_OUTPUT);
    Undone { is_damaged, ..Undone::new(unpacked, stream.len() - rest.len()) }
}

/// `RunLengthDecode`.
fn run_lengths(stream: &[u8]) -> Undone {
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
    Undone::new(unpacked, stream.len() - rest.len())
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

    fn readings(stream: &[u8], dictionary: &str) -> Vec<Vec<u8>> {
        let named = named(&Dictionary::read(dictionary.as_bytes()));
        let readings = super::readings(stream, &[], &named, &mut Work::passes(stream, 8));
        readings.found.into_iter().map(|(reading, _)| reading).collect()
    }

    fn zlib(content: &[u8], level: Compression) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), level);
        zlib.write_all(content).unwrap();
        zlib.finish().unwrap()
    }

    #[test]
    fn what_is_no_digit_may_count() {
        assert_eq!(hexadecimal(b"77 6F72\x00647\0>", Illegal::Counts).output.unwrap(), b"wor\x06G\0");
        assert_eq!(hexadecimal(b"776F\x0072>", Illegal::IsSkipped).output.unwrap(), b"wor");
        let given = base85(b"H=_#\x03~>", Illegal::Counts).output.unwrap();
        assert_eq!(given, (word(&[39, 28, 62, 2]).wrapping_mul(85).wrapping_sub(30)).to_be_bytes());
    }

    #[test]
    fn each_filter_is_known_by_its_own_marks() {
        assert_eq!(readings(&zlib(b"some words", Compression::best()), ""), [b"some words"]);
        assert_eq!(readings(b"736F 6D65\n20776F7264 73>", ""), [b"some words"]);
        assert_eq!(readings(b"F)Q2A+E(_(Bl7~>", "").len(), 1);
        assert_eq!(readings(b"<~9jqo^~>", ""), [b"Man "]);
        assert_eq!(readings(b"9jqo~>", ""), [b"Man"]);
        let lzw = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(b"some words").unwrap();
        assert_eq!(readings(&lzw, ""), [b"some words"]);
        assert_eq!(readings(b"\x04some \xFEw\x80", "/RL"), [b"some www"]);
        assert!(readings(b"some words", "").is_empty());
    }

    #[test]
    fn a_filter_that_is_named_is_read_as_loosely_as_readers_do() {
        for (stream, name, expected) in [
            (&b"73y6F6D65>"[..], "/AHx", &b"some"[..]),
            (b"736F6D65y>", "/AHx", b"some"),
            (b"73y6F>", "/ASCIIHexDecode", b"s\x06\xF0"),
            (b"9jqo^}", "/A85", b"Man "),
            (b"9j}qo^~>", "/A85", b"Man "),
        ] {
            assert!(readings(stream, name).contains(&expected.to_vec()), "{stream:?}");
            assert!(readings(stream, "").is_empty());
        }
        let packed = zlib(b"some words", Compression::best());
        let raw = &packed[2..packed.len() - 4];
        assert!(readings(raw, "/Fl").contains(&b"some words".to_vec()));
        assert!(readings(&[b"xx", raw].concat(), "/Fl").contains(&b"some words".to_vec()));
        let lzw = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(b"ab").unwrap();
        let bits = lzw.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
        let unclear: Vec<u8> = bits.as_bytes()[9..]
            .chunks(8)
            .map(|byte| u8::from_str_radix(&format!("{:0<8}", std::str::from_utf8(byte).unwrap()), 2).unwrap())
            .collect();
        assert!(readings(&unclear, "/LZW").contains(&b"ab".to_vec()), "a table that is not cleared first");
    }

    #[test]
    fn a_stream_is_read_to_its_own_end_and_to_each_other() {
        let stored = zlib(b"some words", Compression::none());
        let stream = [&stored[..], b"\nendstream"].concat();
        let end = 2 + 5 + 4;
        let found = super::readings(&stream, &[end, stored.len()], &[], &mut Work::passes(&stream, 8)).found;
        assert_eq!(found.iter().map(|(reading, _)| &reading[..]).collect::<Vec<_>>(), [&b"some words"[..], b"some"]);
    }

    #[test]
    fn what_came_out_before_an_error_counts() {
        let zlib = zlib(b"some words", Compression::none());
        assert_eq!(readings(&zlib[..zlib.len() - 4], ""), [b"some words"]);
    }

    #[test]
    fn an_error_behind_which_lax_readers_go_on_is_known_from_an_end() {
        let damaged = |stream: &[u8], dictionary: &str| {
            super::readings(stream, &[], &named(&Dictionary::read(dictionary.as_bytes())), &mut Work::passes(stream, 8))
                .is_damaged
        };
        let stored = zlib(b"some words", Compression::none());
        let (mut complement, mut sum) = (stored.clone(), stored.clone());
        complement[5] ^= 1;
        sum[stored.len() - 1] ^= 1;
        assert!(damaged(&complement, "/Fl") && !damaged(&complement, "/X"));
        for whole in [&stored[..], &sum, &stored[..9], &stored[..stored.len() - 4]] {
            assert!(!damaged(whole, "/Fl"));
        }
        assert!(damaged(b"\x80\x7F\xFF\xFF", "/LZW") && !damaged(b"\x80\x0B\x60\x50\x22\x0C\x0C\x85\x01", "/LZW"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            for start in [&b"\x78\x9c"[..], b"\x80\x0b", b"<~", b"12", b""] {
                for names in ["", "/Fl", "/AHx", "/A85", "/LZW", "/RL"] {
                    readings(&[start, &bytes].concat(), names);
                    readings(&[start, &bytes, b"~>"].concat(), names);
                }
            }
        }
    }
}
