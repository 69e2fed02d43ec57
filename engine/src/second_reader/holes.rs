//! Bytes of an archive or a stream that are no content of it: fields, comments, padding, gaps.
//!
//! Unpackers pass over them, and other programs find in them what they search a file for. Packed data is none of them: what it unpacks to
//! stands in it in pieces, where it could not be packed.
//!
//! Sources: RFC 1952 (gzip), RFC 8878 (skippable frames), [MS-CAB].

use std::{iter, ops::Range};

use memchr::memmem;

use super::{Reading, SecondReader, marks, places::Places};
use crate::{
    archive::{arj, zip},
    ffi::libarchive::Packing,
};

/// Bytes of a header of tar, and of the name in it.
const BLOCK: usize = 512;
const ROOM_FOR_NAME: usize = 100;
/// The fixed part of gzip's header, and its flags: an extra field, a name, a comment.
const GZIP_HEADER: usize = 10;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
/// How often all of a stream may be gone through in search of the ends of fields. Attack: fields without an end.
const MAX_PASSES: usize = 4;
/// The header of a 7z.
const SEVEN_ZIP_HEADER: usize = 32;
/// The header of a cabinet, and of a folder and a block of data in it without reserved bytes.
const CABINET_HEADER: usize = 36;
const CABINET_FOLDER: usize = 8;
const CABINET_BLOCK: usize = 8;

/// The fields of packed streams within `within`: wherever a header may be, as only unpacking says where the next one is.
pub(super) fn fields(content: &[u8], within: Range<usize>) -> Vec<Range<usize>> {
    let Some(stream) = content.get(within.clone()) else { return Vec::new() };
    let Some(mut fields) = gzip_fields(stream) else { return vec![within] };
    fields.extend(skippable_frames(stream));
    fields.sort_unstable_by_key(|field| field.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for field in fields {
        let field = within.start + field.start..within.start + field.end;
        match merged.last_mut().filter(|last| last.end >= field.start) {
            Some(last) => last.end = last.end.max(field.end),
            None => merged.push(field),
        }
    }
    merged
}

/// The parts of a stream, up to the end of the last of those in a row, that are to be searched: its fields, and what stands between two
/// streams. All else is packed data.
pub(super) fn of_stream(content: &[u8], packing: Packing, end: usize, reading: &mut Reading) -> Vec<Range<usize>> {
    // The payload of a package stands in it as it is.
    let whole = 0..end;
    let holes = if packing == Packing::Rpm { vec![whole] } else { fields(content, whole) };
    let mut edges: Vec<Range<usize>> = holes.iter().chain(&reading.holes).cloned().collect();
    edges.sort_unstable_by_key(|hole| hole.start);
    let mut at = 0;
    for hole in edges.into_iter().chain(iter::once(end..end)) {
        if hole.start > at {
            reading.places.add_member(at..hole.start);
        }
        at = at.max(hole.end);
    }
    holes
}

/// What follows the fixed part of each header of gzip, up to the packed data; `None` where that takes too long.
fn gzip_fields(stream: &[u8]) -> Option<Vec<Range<usize>>> {
    let (mut fields, mut left) = (Vec::new(), stream.len().saturating_mul(MAX_PASSES));
    for at in memmem::find_iter(stream, b"\x1F\x8B\x08") {
        let flags = stream.get(at + 3).copied().unwrap_or_default();
        let start = at + GZIP_HEADER;
        let mut end = start;
        if flags & EXTRA != 0 {
            let length =
                stream.get(end..).and_then(|rest| rest.first_chunk()).map_or(0, |two| u16::from_le_bytes(*two));
            end += 2 + usize::from(length);
        }
        for _ in [NAME, COMMENT].iter().filter(|flag| flags & **flag != 0) {
            let rest = stream.get(end..).unwrap_or_default();
            let length = memchr::memchr(0, rest).map_or(rest.len(), |zero| zero + 1);
            left = left.checked_sub(length)?;
            end += length;
        }
        let end = end.min(stream.len());
        if end > start {
            fields.push(start..end);
        }
    }
    Some(fields)
}

/// What zstd and lz4 skip.
fn skippable_frames(stream: &[u8]) -> impl Iterator<Item = Range<usize>> {
    memmem::find_iter(stream, b"\x2A\x4D\x18").filter_map(|at| {
        matches!(stream.get(at.checked_sub(1)?), Some(0x50..=0x5F)).then_some(())?;
        let length = stream.get(at + 3..)?.first_chunk().map(|four| u32::from_le_bytes(*four) as usize)?;
        Some(at + 7..(at + 7).saturating_add(length).min(stream.len()))
    })
}

/// The parts of an archive that `content` begins with, and that ends at `end`, which are to be searched. Its packed data is added to
/// `places`. `unpacked` is where the packed data began and ended, as far as libarchive says so.
pub(super) fn of_archive(
    content: &[u8],
    packing: Packing,
    end: usize,
    unpacked: Option<(usize, usize)>,
    places: &mut Places,
) -> Vec<Range<usize>> {
    let whole = 0..end.min(content.len());
    if packing == Packing::Cab {
        cabinet_blocks(content).unwrap_or_default().into_iter().for_each(|block| places.add_member(block));
    }
    if let Some((from, until)) = unpacked.filter(|_| packing == Packing::SevenZip) {
        places.add_member(from.max(SEVEN_ZIP_HEADER)..until.min(whole.end));
    }
    vec![whole]
}

/// The packed data of a cabinet; `None` where its numbers are no cabinet's. What is stored is members' as far as they have it.
fn cabinet_blocks(content: &[u8]) -> Option<Vec<Range<usize>>> {
    let number16 = |at: usize| content.get(at..)?.first_chunk().map(|two| usize::from(u16::from_le_bytes(*two)));
    let number32 = |at: usize| content.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four) as usize);
    let (folders, flags) = (number16(26)?, number16(30)?);
    let (mut at, mut of_folder, mut of_block) = (CABINET_HEADER, 0, 0);
    // Names of other cabinets follow: it is a volume, which is refused.
    (flags.trailing_zeros() >= 2).then_some(())?;
    if flags & 4 != 0 {
        (of_folder, of_block) = (usize::from(*content.get(38)?), usize::from(*content.get(39)?));
        at += 4 + number16(CABINET_HEADER)?;
    }
    let (mut blocks, mut left) = (Vec::new(), content.len() / CABINET_BLOCK);
    for _ in 0..folders {
        let (mut block, count, method) = (number32(at)?, number16(at + 4)?, number16(at + 6)?);
        // Attack: folders that share their data.
        left = left.checked_sub(count)?;
        for _ in 0..count {
            let data = block + CABINET_BLOCK + of_block;
            block = data + number16(block + 4)?;
            if data < content.len() && method & 0xF != 0 {
                blocks.push(data..block.min(content.len()));
            }
        }
        at += CABINET_FOLDER + of_folder;
    }
    Some(blocks)
}

/// What stands behind the end of a deflated stream within the data of its member, where there is a mark in that data. Attack: unpackers
/// pass over it.
pub(super) fn behind_deflated(content: &[u8], members: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut left = zip::MAX_INFLATED;
    let behind = members.iter().filter_map(|data| {
        let stream = content.get(data.clone())?;
        let mark = first_mark(stream)?;
        let end = zip::deflated_length(stream, &mut left).unwrap_or(mark);
        (end < stream.len()).then_some(data.start + end..data.end)
    });
    behind.collect()
}

fn first_mark(stream: &[u8]) -> Option<usize> {
    let begins_arj = |at: &usize| stream.get(*at..).is_some_and(arj::begins);
    let mark = marks::Inside::new(stream, stream.len()).next(0).map(|(at, _)| at);
    mark.or_else(|| memmem::find_iter(stream, arj::MARK).find(begins_arj))
}

fn tar_size(header: &[u8]) -> usize {
    let digits = header.get(124..136).unwrap_or_default().trim_ascii_start();
    let digits = digits.iter().map_while(|byte| char::from(*byte).to_digit(8));
    digits.fold(0_usize, |size, digit| size.saturating_mul(8).saturating_add(digit as usize))
}

/// Whether the body of such a header is a name that had no room in the header itself.
fn is_long_name(body: &[u8]) -> bool {
    let name = body.strip_suffix(b"\0").unwrap_or(body);
    name.len() >= ROOM_FOR_NAME && name.contains(&b'/') && !name.iter().any(u8::is_ascii_control)
}

impl SecondReader {
    /// Takes out the bodies of headers for long names (`L`, `K`) that are no long names. Attack: `cpio` takes them for files.
    pub(super) fn tar_names(&mut self, content: &[u8], headers: &[usize]) {
        let (layer, depth) = self.contents.parent;
        for at in headers {
            let Some((header, rest)) = content.get(*at..).and_then(|rest| rest.split_at_checked(BLOCK)) else { return };
            let body = rest.get(..tar_size(header)).unwrap_or(rest);
            if matches!(header.get(156), Some(b'L' | b'K')) && !is_long_name(body) {
                self.keep(body, layer, depth);
            }
        }
    }
}

/// The headers of a member of a tar, of which those before the last are of names and attributes, up to its data.
pub(super) fn tar_headers(content: &[u8], within: Range<usize>) -> Vec<usize> {
    let (mut at, mut headers) = (within.start, Vec::new());
    while at < within.end {
        headers.push(at);
        let Some(header) = content.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) else { break };
        if !matches!(header.get(156), Some(b'x' | b'g' | b'X' | b'L' | b'K' | b'V')) {
            break;
        }
        at = at.saturating_add(BLOCK).saturating_add(tar_size(header).div_ceil(BLOCK).saturating_mul(BLOCK));
    }
    headers.extend(within.end.checked_sub(BLOCK).filter(|last| *last > within.start));
    headers
}
