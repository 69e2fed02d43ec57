use proptest::prelude::*;

use super::*;

/// A program with these sections: size and pointer, as its headers have them.
fn program(alignment: u32, sections: &[(u32, u32)], length: usize) -> Vec<u8> {
    let mut content = vec![0; 0x40];
    content[..2].copy_from_slice(b"MZ");
    content[60] = 0x40;
    content.extend_from_slice(b"PE\0\0\x4c\x01");
    content.extend_from_slice(&u16::try_from(sections.len()).unwrap().to_le_bytes());
    content.resize(0x40 + 20, 0);
    content.extend_from_slice(&[0xe0, 0, 2, 1]);
    let table = content.len() + 0xe0;
    content.resize(table, 0);
    content[0x40 + 24 + 36..][..4].copy_from_slice(&alignment.to_le_bytes());
    for (size, pointer) in sections {
        let mut header = [0; 40];
        header[16..20].copy_from_slice(&size.to_le_bytes());
        header[20..24].copy_from_slice(&pointer.to_le_bytes());
        content.extend_from_slice(&header);
    }
    content.resize(length, 0xaa);
    content
}

fn of(alignment: u32, section: (u32, u32), length: usize) -> Option<(u32, u32)> {
    let found = sections(&program(alignment, &[section], length));
    found.first().map(|section| (section.offset, section.size))
}

#[test]
fn sections_are_aligned_as_libclamav_aligns_them() {
    assert_eq!(of(0x200, (0x400, 0x200), 0x1000), Some((0x200, 0x400)));
    assert_eq!(of(0x200, (0x3ff, 0x2ff), 0x1000), Some((0x200, 0x400)), "rounded up, and down");
    assert_eq!(of(0, (0x3ff, 0x2ff), 0x1000), Some((0x2ff, 0x3ff)), "not aligned at all");
    assert_eq!(of(0x1000, (0x3ff, 0x200), 0x1000), Some((0x200, 0x400)), "not where the alignment says");
    assert_eq!(of(0x1000, (0x3ff, 0x201), 0x1000), Some((0, 0x1000)), "nowhere in particular");
    assert_eq!(of(0x200, (0x4000, 0x200), 0x1000), Some((0x200, 0xe00)), "cut at the end");
    assert_eq!(of(0x200, (0xffff_ffff, 0x200), 0x1000), None, "wraps round to nothing");
    assert_eq!(of(0x200, (0, 0x200), 0x1000), None);
    assert_eq!(of(0x200, (0x200, 0x1000), 0x1000), None);
    assert_eq!(of(0x2000, (0x200, 0x1001), 0x1001), None, "its pointer is past the end");
}

#[test]
fn each_part_of_the_file_comes_once() {
    let many = program(0x200, &vec![(0x400, 0x200); 65_535], 4 << 20);
    assert_eq!(sections(&many), [Section { offset: 0x200, size: 0x400 }]);
}

#[test]
fn what_is_no_program_has_no_sections() {
    let whole = program(0x200, &[(0x200, 0x200), (0x200, 0x400)], 0x190);
    assert!(sections(&whole).is_empty(), "its table is cut off");
    for content in [&b""[..], b"MZ", b"\x7fELF", &[b'M'; 100]] {
        assert!(sections(content).is_empty());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_the_reader_and_sections_are_in_the_file(
        alignment: u32,
        headers in prop::collection::vec((any::<u32>(), any::<u32>()), 0..6),
        length in 0x40_usize..0x3000,
        changes in prop::collection::vec((0_usize..0x200, any::<u8>()), 0..20),
    ) {
        let mut content = program(alignment, &headers, length.max(0x200));
        for (at, byte) in changes {
            content[at] = byte;
        }
        for section in sections(&content) {
            prop_assert!(section.size > 0);
            prop_assert_eq!(section.of(&content).len(), section.size as usize);
        }
    }
}
