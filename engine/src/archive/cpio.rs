//! A cpio's account of itself: the new form, with and without sums, the old character form, and the binary one of either byte order.
//!
//! libclamav ends without a word where one is cut. Sources: the file format's page of libarchive, `cpio(5)`; POSIX.1-1997 for `odc`.

use super::{Account, NEVER_SHOWN_BYTES};

/// The name that ends one.
const TRAILER: &[u8] = b"TRAILER!!!\0";

/// What a header says.
struct Header {
    bytes: usize,
    name: usize,
    size: usize,
    is_file: bool,
    /// To which name and data are filled up, from the beginning of the header.
    align: usize,
}

/// Whether it begins like one.
pub(super) fn is_cpio(content: &[u8]) -> bool {
    [&b"070701"[..], b"070702", b"070707", b"\xc7\x71", b"\x71\xc7"].iter().any(|magic| content.starts_with(magic))
        && header(content).is_some()
}

/// Walks the headers to the trailer; without one, the end is missing.
pub(super) fn account(content: &[u8]) -> Account {
    let mut account = Account::default();
    let mut rest = content;
    loop {
        let Some(Member { is_file, name, data, after }) = member(rest) else {
            account.lost += 1;
            return account;
        };
        if name == TRAILER {
            // What stands behind it is read by kernels, and not by libclamav.
            account.lost += u64::from(after.iter().any(|byte| *byte != 0));
            return account;
        }
        if is_file && data.len() as u64 > NEVER_SHOWN_BYTES {
            account.members.push(data.len() as u64);
        }
        rest = after;
    }
}

/// One member, and what stands behind it.
struct Member<'a> {
    is_file: bool,
    name: &'a [u8],
    data: &'a [u8],
    after: &'a [u8],
}

fn member(rest: &[u8]) -> Option<Member<'_>> {
    let header = header(rest)?;
    let name_end = header.bytes.checked_add(header.name)?;
    let name = rest.get(header.bytes..name_end)?;
    let from = name_end.next_multiple_of(header.align);
    let end = from.checked_add(header.size)?;
    // A trailer need not be filled up, and has no data.
    let data = if header.size == 0 { &[][..] } else { rest.get(from..end)? };
    let next = end.checked_next_multiple_of(header.align)?;
    Some(Member { is_file: header.is_file, name, data, after: rest.get(next..).unwrap_or_default() })
}

fn header(rest: &[u8]) -> Option<Header> {
    let (bytes, mode, name, size, align) = match rest {
        [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => {
            let hex = |at: usize| text(rest, at, 8, 16);
            (110, hex(14)?, hex(94)?, hex(54)?, 4)
        }
        [b'0', b'7', b'0', b'7', b'0', b'7', ..] => {
            let octal = |at, length| text(rest, at, length, 8);
            (76, octal(18, 6)?, octal(59, 6)?, octal(65, 11)?, 1)
        }
        [0xC7, 0x71, ..] => binary(rest, u16::from_le_bytes)?,
        [0x71, 0xC7, ..] => binary(rest, u16::from_be_bytes)?,
        _ => return None,
    };
    rest.get(..bytes)?;
    let (name, size) = (usize::try_from(name).ok()?, usize::try_from(size).ok()?);
    Some(Header { bytes, name, size, is_file: mode & 0o170_000 == 0o100_000, align })
}

fn binary(rest: &[u8], read: fn([u8; 2]) -> u16) -> Option<(usize, u64, u64, u64, usize)> {
    let word = |at: usize| rest.get(at..)?.first_chunk().map(|bytes| u64::from(read(*bytes)));
    Some((26, word(6)?, word(20)?, word(22)? << 16 | word(24)?, 2))
}

fn text(rest: &[u8], at: usize, length: usize, radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(rest.get(at..at + length)?).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn newc(name: &[u8], data: &[u8]) -> Vec<u8> {
        let fields = [0, 0o100_644, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let fields: Vec<String> = fields.iter().map(|field| format!("{field:08X}")).collect();
        filled([b"070701", fields.concat().as_bytes(), name, b"\0"].concat(), data, 4)
    }

    fn odc(name: &[u8], data: &[u8]) -> Vec<u8> {
        let header = format!(
            "070707{:06o}{:06o}{:06o}{:06o}{:06o}{:06o}{:06o}{:011o}{:06o}{:011o}",
            0,
            0,
            0o100_644,
            0,
            0,
            1,
            0,
            0,
            name.len() + 1,
            data.len()
        );
        filled([header.as_bytes(), name, b"\0"].concat(), data, 1)
    }

    fn binary(name: &[u8], data: &[u8], write: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let size = u32::try_from(data.len()).unwrap();
        let words = [
            0o070_707,
            0,
            0,
            0o100_644,
            0,
            0,
            1,
            0,
            0,
            0,
            u16::try_from(name.len() + 1).unwrap(),
            (size >> 16) as u16,
            (size & 0xFFFF) as u16,
        ];
        let words: Vec<u8> = words.iter().flat_map(|word| write(*word)).collect();
        filled([&words[..], name, b"\0"].concat(), data, 2)
    }

    fn filled(mut member: Vec<u8>, data: &[u8], align: usize) -> Vec<u8> {
        member.resize(member.len().next_multiple_of(align), 0);
        member.extend_from_slice(data);
        member.resize(member.len().next_multiple_of(align), 0);
        member
    }

    fn archives(data: &[u8]) -> [Vec<u8>; 4] {
        let trailer = b"TRAILER!!!";
        [
            [newc(b"a", data), newc(trailer, b"")].concat(),
            [odc(b"a", data), odc(trailer, b"")].concat(),
            [binary(b"a", data, u16::to_le_bytes), binary(trailer, b"", u16::to_le_bytes)].concat(),
            [binary(b"a", data, u16::to_be_bytes), binary(trailer, b"", u16::to_be_bytes)].concat(),
        ]
    }

    proptest! {
        #[test]
        fn whole_ones_promise_their_files_and_cut_ones_have_lost_something(data in prop::collection::vec(any::<u8>(), 6..600)) {
            for whole in archives(&data) {
                let expected = Account { members: vec![data.len() as u64], ..Account::default() };
                prop_assert!(is_cpio(&whole));
                prop_assert_eq!(account(&whole), expected.clone());
                prop_assert_eq!(account(&[&whole[..], &[0; 512]].concat()), expected);
                prop_assert!(account(&[&whole[..], b"more"].concat()).lost > 0);
                let trailer = whole.windows(10).rposition(|name| name == b"TRAILER!!!").unwrap();
                for cut in 0..trailer + 10 {
                    prop_assert!(account(&whole[..cut]).lost > 0, "{} of {}", cut, whole.len());
                }
            }
        }

        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            for magic in [&b"070701"[..], b"070702", b"070707", b"\xc7\x71", b"\x71\xc7"] {
                account(&[magic, &bytes].concat());
                account(&[magic, &[b'F'; 104], &bytes].concat());
            }
        }
    }
}
