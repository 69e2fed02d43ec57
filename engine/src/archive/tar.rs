//! Index of a tar: the size of every member, and whether one is missing.
//!
//! libclamav reads tar differently from unpackers: it stops at an empty name, reads no size in base 256 or in a pax header, and skips
//! types that it does not know. Where the two may differ, the archive counts as truncated. Sources: POSIX,
//! `pax`; the manual of GNU tar, "Basic Tar Format".

use super::{ArchiveIndex, Truncated, is_zero, require};

/// Length of a header, and what content is padded to.
const BLOCK: usize = 512;
/// Offsets of the checksum (eight bytes) and of the size (twelve bytes) in a header.
const CHECKSUM: usize = 148;
const SIZE: usize = 124;

/// Returns the index of a tar; `None` when `content` has neither a right first checksum nor the magic number.
pub(super) fn index(content: &[u8]) -> Option<ArchiveIndex> {
    let marked = is_marked(content);
    let first = || content.first_chunk().is_some_and(is_header);
    if !marked && !first() {
        return None;
    }
    let mut index = ArchiveIndex::default();
    let whole = walk(content, marked, &mut index).is_ok();
    index.unaccounted = u64::from(!whole);
    Some(index)
}

/// Records the members up to the end. [`Truncated`] also when libclamav may not have found all of them.
fn walk(mut content: &[u8], marked: bool, index: &mut ArchiveIndex) -> Result<(), Truncated> {
    let mut stated = None;
    while let Some((header, after)) = content.split_first_chunk::<BLOCK>() {
        if is_zero(header) {
            // `tar --ignore-zeros` continues where libclamav stops.
            let goes_on = after.as_chunks().0.iter().any(is_header);
            return require(!goes_on);
        }
        // libclamav stops at a header without a name or of another format than the first, and skips a checksum that starts with zero.
        let is_read = !header.starts_with(&[0]) && header.get(CHECKSUM) != Some(&0) && (is_marked(header) || !marked);
        require(is_header(header) && is_read)?;
        let kind = *header.get(156).ok_or(Truncated)?;
        if matches!(kind, b'1'..=b'6' | b'V') {
            // These types have no content. With a size, unpackers differ on whether content follows.
            let size = header.get(SIZE..SIZE + 12).ok_or(Truncated)?;
            require(size.iter().all(|byte| matches!(byte, 0 | b' ' | b'0')))?;
            (content, stated) = (after, None);
            continue;
        }
        let size = size_of(header).ok_or(Truncated)?;
        let data = after.get(..size).ok_or(Truncated)?;
        content = after.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
        match kind {
            // libclamav skips a block too many.
            b'g' | b'x' | b'K' | b'L' if size == 0 => return Err(Truncated),
            b'x' => read_size(data, &mut stated)?,
            b'g' => {
                let mut of_all = None;
                read_size(data, &mut of_all)?;
                require(of_all.is_none())?;
            }
            // Names.
            b'K' | b'L' => {}
            // Sparse files: libclamav scans the data without the holes, which is another file. It skips the other types, which some
            // unpackers extract.
            b'S' | b'A' | b'E' | b'I' | b'N' | b'X' => return Err(Truncated),
            _ => {
                require(stated.take().is_none_or(|stated| stated == size as u64))?;
                index.expect_member(size as u64);
            }
        }
    }
    // Less than a block: part of an end mark or of a header.
    require(is_zero(content))
}

/// Whether the magic number or the first header's checksum says that `content` is a tar.
pub(crate) fn is_tar(content: &[u8]) -> bool {
    is_marked(content) || content.first_chunk().is_some_and(is_header)
}

fn is_marked(header: &[u8]) -> bool {
    header.get(257..).is_some_and(|mark| mark.starts_with(b"ustar"))
}

/// Whether the checksum is right, with unsigned bytes or, as old programs computed it, with signed ones.
fn is_header(header: &[u8; BLOCK]) -> bool {
    let field = header.get(CHECKSUM..CHECKSUM + 8).unwrap_or_default();
    // bsdtar ignores what follows the digits, and GNU tar a zero before them.
    let stated = octal(field.strip_prefix(&[0]).unwrap_or(field).trim_ascii_start()).0;
    let blank = 8 * i64::from(b' ');
    let unsigned = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(*byte)).sum::<i64>();
    let signed = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
    let sums = || [unsigned(header) - unsigned(field) + blank, signed(header) - signed(field) + blank];
    stated > 0 && sums().contains(&stated)
}

/// The size in a header if all unpackers agree on it: octal digits, then a blank or the end.
fn size_of(header: &[u8; BLOCK]) -> Option<usize> {
    let field = header.get(SIZE..SIZE + 12)?.trim_ascii_start();
    let (size, rest) = octal(field);
    let agreed = rest.len() < field.len() && matches!(rest, [] | [0 | b' ', ..]);
    agreed.then_some(usize::try_from(size).ok()?)
}

/// The number at the start of a field of at most twelve bytes, and what follows it; 0 when there is none.
fn octal(field: &[u8]) -> (i64, &[u8]) {
    let end = field.iter().position(|byte| !matches!(byte, b'0'..=b'7')).unwrap_or(field.len());
    let (digits, rest) = field.split_at(end);
    (digits.iter().fold(0, |number, digit| number * 8 + i64::from(digit - b'0')), rest)
}

/// Reads the next member's size from a pax header. [`Truncated`] when the header is malformed or the member is sparse.
fn read_size(mut records: &[u8], size: &mut Option<u64>) -> Result<(), Truncated> {
    while !is_zero(records) {
        let (record, rest) = split_record(records).ok_or(Truncated)?;
        require(!record.starts_with(b"GNU.sparse."))?;
        if let Some(number) = record.strip_prefix(b"size=") {
            *size = Some(number.strip_suffix(b"\n").and_then(decimal).ok_or(Truncated)?);
        }
        records = rest;
    }
    Ok(())
}

/// Splits off a pax record, without its length.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length = decimal(records.get(..space)?)?;
    let (record, rest) = records.split_at_checked(usize::try_from(length).ok()?)?;
    Some((record.get(space + 1..)?, rest))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of GNU tar's, or of the oldest form, with its checksum.
    fn header(name: &str, kind: u8, size: &[u8], marked: bool) -> [u8; BLOCK] {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[SIZE..SIZE + size.len()].copy_from_slice(size);
        header[156] = kind;
        if marked {
            header[257..265].copy_from_slice(b"ustar  \0");
        }
        signed_off(header)
    }

    fn signed_off(mut header: [u8; BLOCK]) -> [u8; BLOCK] {
        header[CHECKSUM..CHECKSUM + 8].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[CHECKSUM..CHECKSUM + 7].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    }

    fn entry(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut entry = header(name, kind, format!("{:011o}", data.len()).as_bytes(), true).to_vec();
        entry.extend(data);
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        entry
    }

    fn whole(members: &[u64]) -> ArchiveIndex {
        ArchiveIndex { members: members.iter().map(|size| (*size).into()).collect(), ..ArchiveIndex::default() }
    }

    fn is_lost(content: &[u8]) -> bool {
        index(content).is_some_and(|index| index.unaccounted > 0)
    }

    const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

    #[test]
    fn members_are_promised_and_names_are_not() {
        let parts = [
            entry("./@LongLink", b'L', b"a very long name"),
            entry("a", b'0', &[1; 600]),
            entry("pax", b'x', b"11 size=10\n"),
            entry("b", b'7', &[2; 10]),
            entry("all", b'g', b"16 comment=some\n"),
            entry("folder", b'5', b""),
            entry("link", b'1', b""),
            entry("empty", b'0', b""),
            entry("tiny", b'0', b"abc"),
            entry("rest of another volume", b'M', &[3; 20]),
        ];
        let tar = parts.concat();
        assert_eq!(index(&tar), Some(whole(&[600, 10, 20])), "without an end mark");
        assert_eq!(index(&[&tar[..], &END].concat()), Some(whole(&[600, 10, 20])));
        assert_eq!(index(&[&tar[..], &END[..100]].concat()), Some(whole(&[600, 10, 20])), "half an end mark");
        assert_eq!(index(&[&tar[..], &END, b"what was on the tape"].concat()), Some(whole(&[600, 10, 20])));
        let old = header("a", 0, b"12 ", false);
        assert_eq!(index(&[&old[..], &[1; 10]].concat()), Some(whole(&[10])), "no padding at the end");
    }

    #[test]
    fn where_libclamav_and_unpackers_part_something_is_lost() {
        let eicar = entry("evil", b'0', &[1; 68]);
        let first = entry("a", b'0', &[2; 600]);
        let after = |middle: &[u8]| is_lost(&[&first, middle, &eicar, &END[..]].concat());
        assert!(!after(b""));
        assert!(after(&END), "tar --ignore-zeros");
        assert!(after(&[7; BLOCK]), "no header");
        assert!(after(&header("", b'0', b"0", true)), "no name");
        assert!(after(&header("old", b'0', b"0", false)), "no mark");
        assert!(after(&header("b", b'0', b"\x80\0\0\0\0\0\0\0\0\0\0\0", true)), "base 256");
        assert!(after(&header("b", b'0', b"12x", true)), "no number");
        assert!(after(&header("b", b'0', b"", true)), "no size");
        assert!(after(&header("b", b'x', b"0", true)), "an empty pax header");
        assert!(after(&header("b", b'5', b"1000", true)), "a folder with a size");
        assert!(after(&entry("pax", b'x', b"11 size=99\n")), "another size");
        assert!(after(&entry("pax", b'g', b"11 size=68\n")), "a size for all");
        assert!(after(&entry("pax", b'x', b"99 size=68\n")), "a record that does not end");
        assert!(after(&entry("pax", b'x', b"22 GNU.sparse.major=1\n")), "sparse");
        assert!(b"SAEINX".iter().all(|kind| after(&entry("b", *kind, &[3; 10]))), "types that it passes over");
        let mut odd = header("b", b'0', b"0", true);
        odd.copy_within(CHECKSUM..CHECKSUM + 7, CHECKSUM + 1);
        odd[CHECKSUM] = 0;
        assert!(is_header(&odd) && after(&odd), "a checksum after a zero");
    }

    #[test]
    fn what_is_no_tar_has_nothing_to_say() {
        let mut no_tar = header("a", b'0', b"12", false);
        no_tar[0] = b'b';
        assert_eq!(index(&no_tar), None);
        assert_eq!(index(&END), None);
        assert_eq!(index(b""), None);
        no_tar[257..262].copy_from_slice(b"ustar");
        assert!(is_lost(&no_tar), "libclamav and GNU tar search for the next header");
    }

    fn members() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let data = prop::collection::vec(1_u8.., 6..2000);
        prop::collection::vec(data, 1..6)
    }

    proptest! {
        #[test]
        fn any_tar_is_whole_and_none_that_is_cut_in_a_member(members in members(), cut in any::<prop::sample::Index>()) {
            let sizes: Vec<_> = members.iter().map(|data| data.len() as u64).collect();
            let entries: Vec<_> = members.iter().map(|data| entry("member", b'0', data)).collect();
            let tar = entries.concat();
            prop_assert_eq!(index(&[&tar[..], &END].concat()), Some(whole(&sizes)));
            // Where each member begins, and where its content ends.
            let mut ends = 0;
            let bounds = entries.iter().zip(&sizes).map(|(entry, size)| {
                ends += entry.len();
                (ends - entry.len(), ends - entry.len() + BLOCK + usize::try_from(*size).unwrap())
            });
            // Of less there is no mark.
            let cut = 262 + cut.index(tar.len() - 262);
            let inside = bounds.into_iter().any(|(from, to)| from < cut && cut < to);
            prop_assert_eq!(is_lost(&tar[..cut]), inside, "cut at {}", cut);
        }

        #[test]
        fn no_bytes_panic_it(start in prop::sample::select(&b"01567xgKLSM"[..]), size in "[0-7]{11} ", bytes: Vec<u8>) {
            let header = header("a", start, size.as_bytes(), true);
            index(&[&header[..], &bytes, &header, &bytes].concat());
            let mut marked = bytes;
            marked.resize(marked.len().max(2 * BLOCK), 1);
            marked[257..262].copy_from_slice(b"ustar");
            index(&marked);
            index(&[&entry("pax", b'x', &marked), &header[..]].concat());
        }
    }
}
