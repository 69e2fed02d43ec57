//! Small Windows programs that do nothing.

/// Bytes that a section's place and length are multiples of.
const ALIGNMENT: usize = 512;
/// Addresses that a section begins at are multiples of this.
const PAGE: u32 = 4096;
/// Where the PE header begins.
const HEADER: usize = 64;
/// Length of the optional header of a 32-bit program.
const OPTIONAL: usize = 224;

/// A 32-bit program of these sections, whole as far as loaders read it.
pub fn program(sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let of = |content: &[u8]| u32::try_from(content.len()).unwrap_or(u32::MAX);
    let start = (HEADER + 24 + OPTIONAL + 40 * sections.len()).next_multiple_of(ALIGNMENT);
    let (mut table, mut body, mut address) = (Vec::new(), Vec::new(), PAGE);
    for (name, content) in sections {
        let padded = content.len().next_multiple_of(ALIGNMENT);
        let place = u32::try_from(start + body.len()).unwrap_or(u32::MAX);
        let mut entry = name.as_bytes().to_vec();
        entry.resize(8, 0);
        for number in [of(content), address, u32::try_from(padded).unwrap_or(u32::MAX), place, 0, 0, 0, 0x6000_0020] {
            entry.extend(number.to_le_bytes());
        }
        table.extend(entry);
        body.extend_from_slice(content);
        body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
        address += of(content).next_multiple_of(PAGE);
    }
    let mut file = b"MZ".to_vec();
    file.resize(60, 0);
    file.extend(u32::try_from(HEADER).unwrap_or_default().to_le_bytes());
    file.extend(b"PE\0\0");
    let (optional, count) = (u16::try_from(OPTIONAL).unwrap_or_default(), u16::try_from(sections.len()).unwrap_or(1));
    let short = |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    file.extend(short(&[0x014c, count, 0, 0, 0, 0, 0, 0, optional, 0x0102]));
    file.extend(optional_header(address, u32::try_from(start).unwrap_or_default()));
    file.extend(table);
    file.resize(start, 0);
    file.extend(body);
    file
}

/// The header that loaders need: entry point, alignments, sizes, and sixteen empty directories.
fn optional_header(image: u32, headers: u32) -> Vec<u8> {
    let alignment = u32::try_from(ALIGNMENT).unwrap_or_default();
    let mut header = vec![0x0b, 0x01, 14, 0];
    // Sizes of code and data, the entry point, and where code and data begin; then the image's base.
    for number in [alignment, alignment, 0, PAGE, PAGE, PAGE, 0x0040_0000, PAGE, alignment] {
        header.extend(number.to_le_bytes());
    }
    // Versions of system, image and subsystem.
    header.extend([6, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    for number in [image, headers, 0, 3, 0x0010_0000, 0x1000, 0x0010_0000, 0x1000, 0, 16] {
        header.extend(number.to_le_bytes());
    }
    header.resize(OPTIONAL, 0);
    header
}
