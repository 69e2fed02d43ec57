//! Index of a cpio: the size of every member, and whether one is missing.
//!
//! libclamav maps a member as a whole, so it sees nothing of a truncated one. It stops at the first header that it cannot read, and at
//! the trailer if zeros follow. The kernel and other unpackers continue after the zeros. Sources: `cpio(5)` of FreeBSD,
//! and Linux' buffer-format.rst.

use super::{ArchiveIndex, Truncated, is_zero, number16, require};

/// A text file may begin with the digits of a magic number but has no zero byte; a header has one within this distance, after the name.
const ZERO_WITHIN_BYTES: usize = 1024;

/// A header and its padding.
struct Header {
    length: usize,
    mode: usize,
    name: usize,
    data: usize,
    /// Alignment of names and contents.
    align: usize,
}

/// Returns the index of a cpio; `None` when `content` is not a cpio.
pub(super) fn index(content: &[u8]) -> Option<ArchiveIndex> {
    let text = content.get(..6).filter(|mark| matches!(*mark, b"070701" | b"070702" | b"070707"));
    let mark = if let Some(mark) = text {
        content.iter().take(ZERO_WITHIN_BYTES).any(|byte| *byte == 0).then_some(mark)?
    } else {
        // Two bytes are a weak magic number: a mode and a name must follow.
        let header = Header::parse(content)?;
        let name = content.get(header.length..)?.get(..header.name)?;
        (name.ends_with(&[0]) && matches!(header.mode >> 12, 1 | 2 | 4 | 6 | 8 | 10 | 12)).then_some(())?;
        content.get(..2)?
    };
    let mut index = ArchiveIndex::default();
    let whole = walk(content, mark, &mut index).is_ok();
    index.unaccounted = u64::from(!whole);
    Some(index)
}

/// Records the members up to the end. [`Truncated`] also when the next header is ambiguous.
fn walk(mut content: &[u8], mark: &[u8], index: &mut ArchiveIndex) -> Result<(), Truncated> {
    // With or without a trailer, only zeros may follow the last member.
    while !is_zero(content) {
        require(content.starts_with(mark))?;
        let header = Header::parse(content).ok_or(Truncated)?;
        // Without a name libclamav skips no padding.
        require(header.name > 0)?;
        let end = header.end().filter(|end| *end <= content.len()).ok_or(Truncated)?;
        // A link's target is not a file, and libclamav does not report it in the binary form.
        let link = header.align == 2 && header.mode >> 12 == 10;
        if !link {
            index.expect_member(header.data as u64);
        }
        let next = end.checked_next_multiple_of(header.align).ok_or(Truncated)?;
        content = content.get(next..).unwrap_or_default();
    }
    Ok(())
}

impl Header {
    /// Offset of the end of the member's data, from the start of the header.
    fn end(&self) -> Option<usize> {
        let data_at = self.length.checked_add(self.name)?.checked_next_multiple_of(self.align)?;
        data_at.checked_add(self.data)
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let number = |at: usize, length: usize, radix| {
            let digits = content.get(at..at + length)?;
            let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
            usize::from_str_radix(str::from_utf8(digits).ok()?, radix).ok()
        };
        if content.starts_with(b"070707") {
            let [mode, name, data] = [(18, 6), (59, 6), (65, 11)].map(|(at, length)| number(at, length, 8));
            return Some(Self { length: 76, mode: mode?, name: name?, data: data?, align: 1 });
        } else if content.starts_with(b"070701") || content.starts_with(b"070702") {
            let [mode, name, data] = [14, 94, 54].map(|at| number(at, 8, 16));
            return Some(Self { length: 110, mode: mode?, name: name?, data: data?, align: 4 });
        }
        let swapped = match content {
            [0xC7, 0x71, ..] => false,
            [0x71, 0xC7, ..] => true,
            _ => return None,
        };
        let number = |at| number16(content, at).map(|number| if swapped { number.swap_bytes() } else { number });
        let [mode, name, high, low] = [6, 20, 22, 24].map(|at| number(at).map(usize::from));
        Some(Self { length: 26, mode: mode?, name: name?, data: high? << 16 | low?, align: 2 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [&str; 5] = ["newc", "crc", "odc", "le", "be"];
    const FILE: u16 = 0o100_644;

    fn entry(form: &str, name: &str, mode: u16, data: &[u8]) -> Vec<u8> {
        let (name_size, size) = (name.len() + 1, data.len());
        let (mut entry, align) = match form {
            "odc" => (format!("070707{:012}{mode:06o}{:035}{name_size:06o}{size:011o}", 0, 0).into_bytes(), 1),
            "newc" | "crc" => {
                let mark = if form == "crc" { "070702" } else { "070701" };
                let sizes = format!("{:032}{size:08X}{:032}{name_size:08X}", 0, 0);
                (format!("{mark}{:08}{mode:08x}{sizes}{:08}", 0, 0).into_bytes(), 4)
            }
            _ => {
                let [high, low] = [size >> 16, size & 0xFFFF].map(|half| u16::try_from(half).unwrap());
                let name_size = u16::try_from(name_size).unwrap();
                let fields = [0o070_707, 0, 0, mode, 0, 0, 0, 0, 0, 0, name_size, high, low];
                let bytes = |field: u16| if form == "be" { field.to_be_bytes() } else { field.to_le_bytes() };
                (fields.into_iter().flat_map(bytes).collect(), 2)
            }
        };
        entry.extend([name.as_bytes(), &[0]].concat());
        entry.resize(entry.len().next_multiple_of(align), 0);
        entry.extend(data);
        entry.resize(entry.len().next_multiple_of(align), 0);
        entry
    }

    fn is_lost(content: &[u8]) -> bool {
        index(content).is_some_and(|index| index.unaccounted > 0)
    }

    fn whole(members: &[u64]) -> ArchiveIndex {
        ArchiveIndex { members: members.iter().map(|size| (*size).into()).collect(), ..ArchiveIndex::default() }
    }

    #[test]
    fn members_are_promised_up_to_the_end() {
        for form in FORMS {
            let folder = entry(form, "folder", 0o040_755, b"");
            let link = entry(form, "link", 0o120_777, b"where to");
            let cpio = [folder, entry(form, "a", FILE, &[1; 601]), link, entry(form, "tiny", FILE, b"abc")].concat();
            let links: &[u64] = if ["le", "be"].contains(&form) { &[] } else { &[8] };
            let members = whole(&[&[601], links].concat());
            let trailer = entry(form, "TRAILER!!!", 0, b"");
            assert_eq!(index(&cpio), Some(members.clone()), "{form} without a trailer");
            assert_eq!(index(&[&cpio[..], &trailer].concat()), Some(members.clone()), "{form}");
            assert_eq!(index(&[&cpio[..], &trailer, &[0; 300]].concat()), Some(members), "{form}, padded");
        }
    }

    #[test]
    fn where_libclamav_and_unpackers_part_something_is_lost() {
        for form in FORMS {
            let (first, trailer) = (entry(form, "a", FILE, &[1; 600]), entry(form, "TRAILER!!!", 0, b""));
            let after = |middle: &[u8]| is_lost(&[&first, middle, &first, &trailer].concat());
            assert!(!after(b""), "{form}");
            assert!(after(&[0; 512]), "{form}: zeros, and more of it");
            assert!(after(&[&trailer[..], &[0; 512]].concat()), "{form}: another after the end");
            assert!(after(b"no header"), "{form}");
            for other in FORMS.into_iter().filter(|other| *other != form) {
                assert!(after(&entry(other, "a", FILE, b"")), "{other} in {form}");
            }
        }
        let mut nameless = entry("newc", "", FILE, b"");
        nameless[101] = b'0';
        assert!(is_lost(&nameless));
        let mut odd = entry("newc", "a", FILE, &[1; 10]);
        odd[55] = b'x';
        assert!(is_lost(&odd), "a size that some read and others do not");
    }

    #[test]
    fn what_is_no_cpio_has_nothing_to_say() {
        for content in [
            &b"070707 is the 7th of July 2007, 070701 the 1st"[..],
            b"\xC7\x71",
            b"\x71\xC7some bytes that mean nothing",
            b"",
        ] {
            assert_eq!(index(content), None);
        }
    }

    proptest! {
        #[test]
        fn any_cpio_is_whole_and_none_that_is_cut_in_a_member(
            form in prop::sample::select(&FORMS[..]),
            sizes in prop::collection::vec(6_usize..2000, 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let first = entry(form, "first", FILE, &[1; 600]);
            let entries: Vec<_> = sizes.iter().map(|size| entry(form, "member", FILE, &vec![1; *size])).collect();
            let cpio = [&first[..], &entries.concat()].concat();
            let expected: Vec<_> = std::iter::once(600).chain(sizes.iter().map(|size| *size as u64)).collect();
            prop_assert_eq!(index(&cpio), Some(whole(&expected)));
            let mut end = first.len();
            let bounds = entries.iter().map(|entry| {
                end += entry.len();
                let padding = entry.iter().rev().take_while(|byte| **byte == 0).count();
                (end - entry.len(), end - padding)
            });
            let bounds: Vec<_> = bounds.collect();
            let cut = first.len() + cut.index(cpio.len() - first.len());
            let inside = bounds.into_iter().any(|(from, to)| from < cut && cut < to);
            prop_assert_eq!(is_lost(&cpio[..cut]), inside, "cut at {}", cut);
        }

        #[test]
        fn no_bytes_panic_it(form in prop::sample::select(&FORMS[..]), numbers in "[0-7fF]{110}", bytes: Vec<u8>) {
            let first = entry(form, "a", FILE, b"some bytes");
            index(&[&first[..], &bytes].concat());
            index(&[&first[..], &first[..6], numbers.as_bytes(), &bytes].concat());
            index(&[&first[..2], &bytes].concat());
        }
    }
}
