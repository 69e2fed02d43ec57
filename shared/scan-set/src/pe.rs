//! The sections of a Windows program, as libclamav hashes them for `mdb` and `msb` signatures.
//!
//! Source: `cli_peheader` and `scan_pe_mdb` of `pe.c`, libclamav 1.4. libclamav gives up a program for many more reasons, some of them
//! after the section table: entry points that cannot be mapped, sizes with a sign bit. This reader does not, so that it sees at least
//! the sections that libclamav hashes. One too many costs a lookup in the filter, and libclamav decides anyway.

/// A section's part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Section {
    /// Its first byte.
    pub offset: u32,
    /// Its bytes; never 0.
    pub size: u32,
}

impl Section {
    /// The section's bytes.
    pub fn of(self, content: &[u8]) -> &[u8] {
        let (offset, size) = (self.offset as usize, self.size as usize);
        content.get(offset..offset.saturating_add(size)).unwrap_or_default()
    }
}

const FILE_HEADER_BYTES: usize = 24;
const SECTION_HEADER_BYTES: usize = 40;
/// `sizeof(struct pe_image_optional_hdr32)`: of a smaller optional header libclamav makes nothing.
const OPTIONAL_HEADER_BYTES: usize = 96;
/// Where `FileAlignment` is, in optional headers of either width.
const FILE_ALIGNMENT_AT: usize = 36;
/// What libclamav falls back to where a section is not where its alignment says.
const FALLBACK_ALIGNMENT: u32 = 0x200;

/// Returns the sections that have bytes in the file, each part of the file once, in order. None for what is no program.
pub fn sections(content: &[u8]) -> Vec<Section> {
    let mut sections =
        section_table(content).map(|(table, alignment)| read(content, table, alignment)).unwrap_or_default();
    // 65,535 headers may name one part of the file over and over.
    sections.sort_unstable();
    sections.dedup();
    sections
}

/// The section headers, and `FileAlignment`.
fn section_table(content: &[u8]) -> Option<(&[u8], u32)> {
    if !content.starts_with(b"MZ") && !content.starts_with(b"ZM") {
        return None;
    }
    let at = u32_at(content, 60)? as usize;
    let header = content.get(at..)?;
    if at == 0 || !header.starts_with(b"PE\0\0") {
        return None;
    }
    let (count, optional) = (u16_at(header, 6)?, u16_at(header, 20)?);
    if usize::from(optional) < OPTIONAL_HEADER_BYTES {
        return None;
    }
    let alignment = u32_at(header, FILE_HEADER_BYTES + FILE_ALIGNMENT_AT)?;
    let table = header.get(FILE_HEADER_BYTES + usize::from(optional)..)?;
    // A table that is not all there is none for libclamav.
    Some((table.get(..usize::from(count) * SECTION_HEADER_BYTES)?, alignment))
}

fn read(content: &[u8], table: &[u8], alignment: u32) -> Vec<Section> {
    let headers = || {
        let (headers, _) = table.as_chunks::<SECTION_HEADER_BYTES>();
        headers.iter().filter_map(|header| Some((u32_at(header, 16)?, u32_at(header, 20)?)))
    };
    let misplaced = |(size, offset): (u32, u32)| {
        alignment != 0 && size != 0 && offset % alignment != 0 && offset % FALLBACK_ALIGNMENT == 0
    };
    let alignment =
        if alignment != FALLBACK_ALIGNMENT && headers().any(misplaced) { FALLBACK_ALIGNMENT } else { alignment };
    let length = content.len() as u64;
    let placed = |(size, pointer): (u32, u32)| {
        let (offset, size) = (rounded_down(pointer, alignment), rounded_up(size, alignment));
        if size == 0 || u64::from(offset) >= length || u64::from(pointer) >= length {
            return None;
        }
        // libclamav cuts at the end of the file, in 32 bits.
        let left = u32::try_from(length - u64::from(offset)).unwrap_or(u32::MAX);
        Some(Section { offset, size: size.min(left) })
    };
    headers().filter_map(placed).collect()
}

/// `PEALIGN`.
fn rounded_down(number: u32, alignment: u32) -> u32 {
    number - number.checked_rem(alignment).unwrap_or(0)
}

/// `PESALIGN`, which wraps round.
fn rounded_up(number: u32, alignment: u32) -> u32 {
    match number.checked_div(alignment) {
        None => number,
        Some(whole) => whole.wrapping_add(u32::from(!number.is_multiple_of(alignment))).wrapping_mul(alignment),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests;
