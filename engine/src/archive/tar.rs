//! What a tar says of itself: the size of every member, and whether one is missing.
//!
//! libclamav has a reading of its own, and is soon out of step with unpackers: it ends at an empty name, reads no size in base 256
//! nor in a pax header, and passes over types that it does not know. Where the two may part, something is lost. Sources: POSIX,
//! `pax`; the manual of GNU tar, "Basic Tar Format".

use super::{Account, is_zero};

/// Length of a header, and what content is padded to.
const BLOCK: usize = 512;
/// Where a header has its checksum, of eight bytes, and its size, of twelve.
const CHECKSUM: usize = 148;
const SIZE: usize = 124;

/// Returns what a tar says of itself; `None` when `content` is none: neither its first checksum is right, nor the mark is there.
pub(super) fn account(content: &[u8]) -> Option<Account> {
    let marked = is_marked(content);
    let first = || content.first_chunk().is_some_and(is_header);
    if !marked && !first() {
        return None;
    }
    let mut account = Account::default();
    let whole = walk(content, marked, &mut account).is_some();
    account.lost = u64::from(!whole);
    Some(account)
}

/// Takes down the members up to the end; `None` when that is missing, or when libclamav may not have found all of them.
fn walk(mut content: &[u8], marked: bool, account: &mut Account) -> Option<()> {
    let mut stated = None;
    while let Some((header, after)) = content.split_first_chunk::<BLOCK>() {
        if is_zero(header) {
            // `tar --ignore-zeros` goes on where libclamav has stopped.
            let goes_on = after.as_chunks().0.iter().any(is_header);
            return (!goes_on).then_some(());
        }
        // Without a name, or of another age than the first, it is libclamav's end; and it skips this odd form of a checksum.
        let is_read = !header.starts_with(&[0]) && header.get(CHECKSUM) != Some(&0) && (is_marked(header) || !marked);
        (is_header(header) && is_read).then_some(())?;
        let kind = *header.get(156)?;
        if matches!(kind, b'1'..=b'6' | b'V') {
            // These have no content. Unpackers differ over whether it follows where a size is given.
            header.get(SIZE..SIZE + 12)?.iter().all(|byte| matches!(byte, 0 | b' ' | b'0')).then_some(())?;
            (content, stated) = (after, None);
            continue;
        }
        let size = size_of(header)?;
        let data = after.get(..size)?;
        content = after.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
        match kind {
            // libclamav skips a block too many.
            b'g' | b'x' | b'K' | b'L' if size == 0 => return None,
            b'x' => read_size(data, &mut stated)?,
            b'g' => {
                let mut of_all = None;
                read_size(data, &mut of_all)?;
                of_all.is_none().then_some(())?;
            }
            // Names.
            b'K' | b'L' => {}
            // Sparse: libclamav looks at what is left of a file without its holes, which is another file. The others it passes
            // over, while some unpackers make files of them.
            b'S' | b'A' | b'E' | b'I' | b'N' | b'X' => return None,
            _ => {
                stated.take().is_none_or(|stated| stated == size as u64).then_some(())?;
                account.promise(size as u64);
            }
        }
    }
    // Less than a block: the rest of an end mark, or of a header.
    is_zero(content).then_some(())
}

fn is_marked(header: &[u8]) -> bool {
    header.get(257..).is_some_and(|mark| mark.starts_with(b"ustar"))
}

/// Whether the checksum is that of the header, its bytes taken as unsigned, or as signed, as some old programs do.
fn is_header(header: &[u8; BLOCK]) -> bool {
    let field = header.get(CHECKSUM..CHECKSUM + 8).unwrap_or_default();
    // bsdtar minds nothing after the digits, and GNU tar no zero before them.
    let stated = octal(field.strip_prefix(&[0]).unwrap_or(field).trim_ascii_start()).0;
    let blank = 8 * i64::from(b' ');
    let unsigned = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(*byte)).sum::<i64>();
    let signed = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
    let sums = || [unsigned(header) - unsigned(field) + blank, signed(header) - signed(field) + blank];
    stated > 0 && sums().contains(&stated)
}

/// The size in a header, as far as all agree on it: octal digits and a blank or the end.
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

/// Reads from a pax header which size the next member has; `None` when it cannot be read, or when that member is sparse.
fn read_size(mut records: &[u8], size: &mut Option<u64>) -> Option<()> {
    let decimal = |digits| str::from_utf8(digits).ok()?.parse::<u64>().ok();
    while !is_zero(records) {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let length = decimal(records.get(..space)?)?;
        let (record, rest) = records.split_at_checked(usize::try_from(length).ok()?)?;
        let record = record.get(space + 1..)?;
        (!record.starts_with(b"GNU.sparse.")).then_some(())?;
        if let Some(number) = record.strip_prefix(b"size=") {
            *size = Some(decimal(number.strip_suffix(b"\n")?)?);
        }
        records = rest;
    }
    Some(())
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

    fn whole(members: &[u64]) -> Account {
        Account { members: members.to_vec(), ..Account::default() }
    }

    fn is_lost(content: &[u8]) -> bool {
        account(content).is_some_and(|account| account.lost > 0)
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
        assert_eq!(account(&tar), Some(whole(&[600, 10, 20])), "without an end mark");
        assert_eq!(account(&[&tar[..], &END].concat()), Some(whole(&[600, 10, 20])));
        assert_eq!(account(&[&tar[..], &END[..100]].concat()), Some(whole(&[600, 10, 20])), "half an end mark");
        assert_eq!(account(&[&tar[..], &END, b"what was on the tape"].concat()), Some(whole(&[600, 10, 20])));
        let old = header("a", 0, b"12 ", false);
        assert_eq!(account(&[&old[..], &[1; 10]].concat()), Some(whole(&[10])), "no padding at the end");
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
        assert_eq!(account(&no_tar), None);
        assert_eq!(account(&END), None);
        assert_eq!(account(b""), None);
        no_tar[257..262].copy_from_slice(b"ustar");
        assert!(is_lost(&no_tar), "libclamav and GNU tar look for the next header");
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
            prop_assert_eq!(account(&[&tar[..], &END].concat()), Some(whole(&sizes)));
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
            account(&[&header[..], &bytes, &header, &bytes].concat());
            let mut marked = bytes;
            marked.resize(marked.len().max(2 * BLOCK), 1);
            marked[257..262].copy_from_slice(b"ustar");
            account(&marked);
            account(&[&entry("pax", b'x', &marked), &header[..]].concat());
        }
    }
}
