//! Headers whose fields show whether a mark is one: chance and programs that know a format make marks, too.
//!
//! Sources: PKWARE's APPNOTE, the file formats of 7-Zip, Microsoft's cabinets and LHA, POSIX' cpio.

use std::ops::Range;

use crate::archive::crc32;

/// Length of a zip's local header without its name.
const ZIP_LOCAL: usize = 30;
/// Longest name in a zip that is taken for one: false marks name absurd lengths.
const ZIP_NAME: usize = 1024;
/// Longest name in a cpio that is taken for one.
const CPIO_NAME: usize = 4096;

/// Whether a zip's local header stands here whose fields make sense.
pub(super) fn is_zip_local(content: &[u8]) -> bool {
    let Some(header) = content.first_chunk::<ZIP_LOCAL>() else { return false };
    let [b'P', b'K', 3, 4, version, _, _, _, method, 0, .., name_low, name_high, _, _] = header else { return false };
    let name = usize::from(u16::from_le_bytes([*name_low, *name_high]));
    let text = content.get(ZIP_LOCAL..).and_then(|rest| rest.get(..name));
    let is_text = text.is_some_and(|text| text.iter().all(|byte| *byte >= b' '));
    *version <= 63 && (1..=ZIP_NAME).contains(&name) && is_text && *method <= 99
}

/// Whether a local header is of a method that exists, and its data is there.
pub(super) fn zip_member_fits(content: &[u8]) -> bool {
    let number = |at: usize| content.get(at..).and_then(|rest| rest.first_chunk()).map(|two| u16::from_le_bytes(*two));
    let packed = content.get(18..).and_then(|rest| rest.first_chunk()).map(|four| u32::from_le_bytes(*four));
    let (Some(flags), Some(method), Some(packed), Some(name), Some(extra)) =
        (number(6), number(8), packed, number(26), number(28))
    else {
        return false;
    };
    let exists = matches!(method, 0..=10 | 12 | 14 | 16 | 18..=20 | 93..=99);
    let end = ZIP_LOCAL + usize::from(name) + usize::from(extra);
    let is_there = packed > 0 && end.saturating_add(packed as usize) <= content.len();
    exists && (is_there || flags & 8 != 0 && end < content.len())
}

/// Whether the header after the mark has the checksum that it names.
pub(super) fn seven_zip_fits(content: &[u8]) -> bool {
    let stated = content.get(8..).and_then(|rest| rest.first_chunk()).map(|sum| u32::from_le_bytes(*sum));
    content.get(12..32).is_some_and(|header| Some(crc32(header)) == stated)
}

pub(super) fn cab_fits(content: &[u8]) -> bool {
    let size = content.get(8..).and_then(|rest| rest.first_chunk()).map(|size| u32::from_le_bytes(*size));
    size.is_some_and(|size| (36..=content.len()).contains(&(size as usize)))
}

/// Whether the header's own sum is right (levels 0 and 1), or its extended headers end where it ends (2 and 3).
pub(super) fn lha_fits(content: &[u8]) -> bool {
    lha_header(content).is_some()
}

/// Whether the data that the header promises is there.
pub(super) fn lha_member_fits(content: &[u8]) -> bool {
    let packed = content.get(7..).and_then(|rest| rest.first_chunk()).map(|size| u32::from_le_bytes(*size) as usize);
    let end = lha_header(content).zip(packed).map(|(header, packed)| header.saturating_add(packed));
    packed != Some(0) && end.is_some_and(|end| end <= content.len())
}

/// Length of the header, if it is one.
fn lha_header(content: &[u8]) -> Option<usize> {
    let [length, sum, .., level, _] = content.first_chunk::<22>()?;
    let number = |at: usize, wide: bool| {
        let rest = content.get(at..)?;
        if wide {
            rest.first_chunk().map(|size| u32::from_le_bytes(*size) as usize)
        } else {
            rest.first_chunk().map(|size| usize::from(u16::from_le_bytes(*size)))
        }
    };
    // Where the size of the first extended header is, and where they all end.
    let (mut at, end, is_wide) = match level {
        0 | 1 => {
            let header = content.get(2..)?.get(..usize::from(*length))?;
            let right = header.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) == *sum;
            return right.then_some(2 + header.len());
        }
        2 => (24, number(0, false)?, false),
        _ if number(0, false) == Some(4) => (28, number(24, true)?, true),
        _ => return None,
    };
    while at < end.min(content.len()) {
        let size = number(at, is_wide)?;
        at += if is_wide { 4 } else { 2 };
        if size == 0 {
            // One byte of padding keeps a size from ending in a zero.
            return (at == end || at + 1 == end).then_some(end);
        }
        // The size counts itself: the next one is at the end of this header.
        at = at.checked_add(size.checked_sub(if is_wide { 4 } else { 2 })?)?;
    }
    None
}

/// Three bytes of a number.
pub(super) fn block_size(a: u8, b: u8, c: u8) -> usize {
    u32::from_le_bytes([a, b, c, 0]) as usize
}

/// Whether a header of a cpio stands here: its numbers are numbers, and its name is a name.
pub(super) fn cpio_fits(content: &[u8]) -> bool {
    let digits = |range: Range<usize>, radix: u32| {
        let text = str::from_utf8(content.get(range)?).ok()?;
        let are_digits = text.bytes().all(|byte| char::from(byte).is_digit(radix));
        are_digits.then(|| usize::from_str_radix(text.get(text.len() - 6..)?, radix).ok()).flatten()
    };
    let (name_at, length) = match content {
        [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => {
            let fields = digits(6..110, 16);
            (110, fields.and(digits(94..102, 16)))
        }
        [b'0', b'7', b'0', b'7', b'0', b'7', ..] => {
            let fields = digits(6..76, 8);
            (76, fields.and(digits(59..65, 8)))
        }
        _ => {
            let is_little = content.starts_with(b"\xC7\x71");
            let number = |at: usize| {
                let two = content.get(at..)?.first_chunk()?;
                Some(if is_little { u16::from_le_bytes(*two) } else { u16::from_be_bytes(*two) })
            };
            // The kinds of files that there are.
            let is_kind = number(6).is_some_and(|mode| matches!(mode >> 12, 1 | 2 | 4 | 6 | 8 | 10 | 12));
            (26, number(20).map(usize::from).filter(|_| is_kind))
        }
    };
    let Some(length) = length.filter(|length| (2..=CPIO_NAME).contains(length)) else { return false };
    let name = content.get(name_at..).and_then(|rest| rest.get(..length));
    name.and_then(<[u8]>::split_last).is_some_and(|(end, name)| *end == 0 && name.iter().all(|byte| *byte >= b' '))
}
