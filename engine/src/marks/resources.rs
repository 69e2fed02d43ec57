//! Resources of Windows programs: installers and droppers carry whole files in them, which archivers take out as they are.
//!
//! libclamav matches on the program as a whole, and takes an archive out where a mark shows it. Digests of a file that is a resource, and
//! what else has no mark, need a layer of its own.
//!
//! Source: Microsoft's PE Format, "The .rsrc Section".

use std::collections::BTreeSet;

use super::bytes::{has, le16, le32};
use crate::unlzma;

/// Most sections and entries of the tree that are read, and most resources that are taken out.
const MAX_SECTIONS: usize = 96;
const MAX_ENTRIES: usize = 50_000;
const MAX_RESOURCES: usize = 4096;
/// How often all of the program may be taken out. Attack: resources over one another.
const MAX_PASSES: usize = 2;
/// Types, names and languages.
const LEVELS: usize = 3;
/// The upper bit of a type is that of a name, and that of a place is that of a table.
const UPPER: u32 = 1 << 31;

/// Where a section is in the file and in memory.
struct Section {
    address: usize,
    place: usize,
    size: usize,
}

struct Tree<'c> {
    content: &'c [u8],
    sections: Vec<Section>,
    /// Where the tree begins.
    root: usize,
    entries: usize,
    /// Tables that were read. Attack: one that is its own child.
    tables: BTreeSet<usize>,
    found: BTreeSet<(usize, usize)>,
    /// A resource goes on beyond the end of the file.
    is_cut: bool,
}

/// Gives the resources that may be files to `keep`, and returns whether there are more than are read.
pub(super) fn resources(content: &[u8], keep: &mut dyn FnMut(&[u8])) -> bool {
    let Some((sections, roots)) = sections(content) else { return false };
    let mut tree =
        Tree { content, sections, root: 0, entries: 0, tables: BTreeSet::new(), found: BTreeSet::new(), is_cut: false };
    for root in roots {
        tree.root = root;
        tree.table(0, 0, 0);
    }
    let is_more = tree.entries > MAX_ENTRIES || tree.found.len() > MAX_RESOURCES;
    let mut left = content.len().saturating_mul(MAX_PASSES);
    for (from, length) in tree.found.iter().take(MAX_RESOURCES) {
        let Some(rest) = left.checked_sub(*length) else { return true };
        left = rest;
        content.get(*from..from + length).into_iter().for_each(&mut *keep);
    }
    is_more
}

/// The sections of a program, and where trees of resources begin: where the header has it, and at the section of that name.
fn sections(content: &[u8]) -> Option<(Vec<Section>, BTreeSet<usize>)> {
    let header = content.starts_with(b"MZ").then(|| le32(content, 0x3C))?? as usize;
    has(content, header, b"PE\0\0").then_some(())?;
    let optional = header.checked_add(24)?;
    let directories = match le16(content, optional)? {
        0x10B => 96,
        0x20B => 112,
        _ => return None,
    };
    let (count, length) = (usize::from(le16(content, header + 6)?), usize::from(le16(content, header + 20)?));
    let (mut sections, mut roots) = (Vec::new(), BTreeSet::new());
    for at in (0..count.min(MAX_SECTIONS)).map(|number| optional + length + 40 * number) {
        let number = |field| le32(content, at + field).map(|number| number as usize);
        let (Some(address), Some(size), Some(place)) = (number(12), number(16), number(20)) else { break };
        if has(content, at, b".rsrc\0") {
            roots.insert(place);
        }
        sections.push(Section { address, place, size });
    }
    // The third directory.
    let named = le32(content, optional + directories + 16).filter(|address| *address != 0);
    roots.extend(named.and_then(|address| place(&sections, address as usize)));
    Some((sections, roots))
}

/// Where an address is in the file.
fn place(sections: &[Section], address: usize) -> Option<usize> {
    let within =
        |section: &&Section| (section.address..section.address.saturating_add(section.size)).contains(&address);
    sections.iter().find(within).map(|section| section.place + (address - section.address))
}

impl Tree<'_> {
    /// Reads the table at `at` of the tree; `kind` is the type that it is of, where it is not that of types.
    fn table(&mut self, at: usize, level: usize, kind: u32) {
        let Some(at) = self.root.checked_add(at) else { return };
        if level >= LEVELS || !self.tables.insert(at) {
            return;
        }
        let (Some(named), Some(numbered)) = (le16(self.content, at + 12), le16(self.content, at + 14)) else { return };
        for number in 0..usize::from(named) + usize::from(numbered) {
            let entry = at + 16 + 8 * number;
            let (Some(id), Some(child)) = (le32(self.content, entry), le32(self.content, entry + 4)) else { return };
            // Names come first, in every table that is one.
            if (id & UPPER != 0) != (number < usize::from(named)) {
                return;
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return;
            }
            let kind = if level == 0 { id } else { kind };
            if child & UPPER == 0 {
                self.resource(child as usize, kind);
            } else {
                self.table((child & !UPPER) as usize, level + 1, kind);
            }
        }
    }

    fn resource(&mut self, at: usize, kind: u32) {
        let at = self.root.saturating_add(at);
        let (Some(address), Some(length)) = (le32(self.content, at), le32(self.content, at + 4)) else { return };
        let Some(from) = place(&self.sections, address as usize) else { return };
        let rest = self.content.get(from..).unwrap_or_default();
        // The last one of a program that is cut. Tables that are none name many such.
        let content = match rest.get(..length as usize) {
            Some(content) => content,
            None if self.is_cut => return,
            None => rest,
        };
        self.is_cut |= content.len() < length as usize;
        if !content.is_empty() && self.found.len() <= MAX_RESOURCES && !is_part_of_windows(kind, content) {
            self.found.insert((from, content.len()));
        }
    }
}

/// Whether a resource is what its type says, and nothing that is a file by itself: pictures without their header, dialogs, texts. A program
/// has thousands of them.
fn is_part_of_windows(kind: u32, content: &[u8]) -> bool {
    const PICTURE: &[u8] = b"\x28\0\0\0";
    let is_picture = |content: &[u8]| content.starts_with(PICTURE) || content.starts_with(b"\x89PNG");
    match kind {
        // Cursors have a place before the picture.
        1 => is_picture(content.get(4..).unwrap_or_default()),
        2 | 3 => is_picture(content),
        6 => is_strings(content),
        // Menus, dialogs, keys, messages, groups of pictures, versions: small numbers, none of them a file's mark.
        4 | 5 | 9 | 11 | 12 | 14 | 16 | 241 => {
            let start = content.get(..content.len().min(4)).unwrap_or_default();
            start.contains(&0)
                && !is_lzma(content)
                && !start.starts_with(b"MZ")
                && !start.starts_with(b"\x1F\x8B")
                && start != b"L\0\0\0"
        }
        _ => false,
    }
}

/// Attack: lzma, whose first bytes are small numbers as well, with the byte of `lzma86` before it or without.
fn is_lzma(content: &[u8]) -> bool {
    const SOME: usize = 32;
    [0, 1].into_iter().filter_map(|from| content.get(from..)).any(|content| unlzma::laxly(content, SOME).len() >= SOME)
}

/// Sixteen texts of UTF-16, each behind its length.
fn is_strings(content: &[u8]) -> bool {
    let mut at = 0_usize;
    for _ in 0..16 {
        let Some(length) = le16(content, at) else { return false };
        at += 2 + 2 * usize::from(length);
    }
    at <= content.len() && content.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A program whose one section is a tree of one resource of type `kind`.
    fn program(kind: u32, resource: &[u8]) -> Vec<u8> {
        const SECTION: usize = 512;
        let table = |id: u32, child: u32| {
            let counts = if id & UPPER == 0 { [0, 0, 1, 0] } else { [1, 0, 0, 0] };
            [&[0; 12][..], &counts, &id.to_le_bytes(), &child.to_le_bytes()].concat()
        };
        let size = u32::try_from(resource.len()).unwrap();
        let tree = [table(kind, UPPER + 24), table(1, UPPER + 48), table(1033, 72)].concat();
        let data = [&[0x58, 0x10, 0, 0][..], &size.to_le_bytes(), &[0; 8]].concat();
        let mut file = vec![0; 0x40];
        file[..2].copy_from_slice(b"MZ");
        file[0x3C] = 0x40;
        file.extend(b"PE\0\0\x4C\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\xE0\0\x02\x01\x0B\x01");
        file.resize(0x40 + 24 + 96 + 16, 0);
        file.extend([0, 0x10, 0, 0]);
        file.resize(0x40 + 24 + 0xE0, 0);
        file.extend(b".rsrc\0\0\0\0\x10\0\0\0\x10\0\0\0\x10\0\0\0\x02\0\0");
        file.resize(SECTION, 0);
        [&file[..], &tree, &data, resource].concat()
    }

    fn found(content: &[u8]) -> (Vec<Vec<u8>>, bool) {
        let mut found = Vec::new();
        let is_more = resources(content, &mut |piece| found.push(piece.to_vec()));
        (found, is_more)
    }

    #[test]
    fn a_file_is_found_whatever_its_type_says() {
        for kind in [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 14, 16, 23, 24, 300, UPPER | 9] {
            assert_eq!(found(&program(kind, b"some words")), (vec![b"some words".to_vec()], false), "{kind}");
        }
    }

    #[test]
    fn what_windows_itself_reads_is_left() {
        let strings = [&[3, 0, b'a', 0, b'b', 0, b'c', 0][..], &[0; 30]].concat();
        for (kind, resource) in [
            (1, &b"\x01\0\x02\0\x28\0\0\0rest"[..]),
            (2, b"\x28\0\0\0rest"),
            (3, b"\x89PNG\r\n\x1a\n"),
            (6, &strings),
            (5, b"\x01\0\xFF\xFFdialog"),
            (14, b"\0\0\x01\0\x01\0"),
        ] {
            assert_eq!(found(&program(kind, resource)), (Vec::new(), false), "{kind}");
        }
        assert!(found(b"MZ").0.is_empty() && found(&program(10, b"")).0.is_empty());
    }

    #[test]
    fn lzma_is_no_dialog() {
        // Forty letters, by `lzma.compress(bytes, format=lzma.FORMAT_ALONE)`.
        let packed = hex::decode("5d00008000ffffffffffffffff003098a8041ec060f7fffffff0800000").unwrap();
        assert!(!is_part_of_windows(5, &packed));
        assert!(!is_part_of_windows(9, &[&[0], &packed[..]].concat()));
        assert!(is_part_of_windows(5, b"\xC8\x08\0\x80\0\0\0\0\x02\0\x0A\0\x0A\0\xB9\0\x4C\0\0\0\0\0"));
    }

    #[test]
    fn what_is_no_table_is_left() {
        let mut file = program(10, b"words");
        file[512 + 12..512 + 16].copy_from_slice(&[1, 0, 0, 0]);
        assert_eq!(found(&file), (Vec::new(), false), "a number where a name should be");
    }

    #[test]
    fn a_table_that_is_its_own_child_ends() {
        let mut file = program(10, b"words");
        let child = 512 + 24 + 20;
        file[child..child + 4].copy_from_slice(&UPPER.to_le_bytes());
        assert_eq!(found(&file), (Vec::new(), false));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(at in 0_usize..640, value: u32, length in 0_usize..640) {
            let mut file = program(10, &[7; 60]);
            let end = file.len().min(at + 4);
            let bytes = value.to_le_bytes();
            file.get_mut(at..end).into_iter().for_each(|place| place.copy_from_slice(&bytes[..place.len()]));
            found(&file);
            found(&file[..length.min(file.len())]);
        }
    }
}
