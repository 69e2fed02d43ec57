//! A tar's account of itself.
//!
//! libclamav ends without a word where a tar is cut, at numbers that it cannot read, and passes over kinds of members that it does not
//! unpack. Sources: POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format".

use super::{Account, NEVER_SHOWN_BYTES};

/// Bytes of a block, of which headers and the room of members are made.
const BLOCK: usize = 512;

/// Whether it begins with a header, as libclamav tells a tar: by its sum.
pub(super) fn is_tar(content: &[u8]) -> bool {
    content.first_chunk().is_some_and(is_header)
}

/// Walks the headers. Members that libclamav does not unpack are promised all the same, and are missed when it shows none.
pub(super) fn account(content: &[u8]) -> Account {
    let (mut account, mut at, mut pax_size) = (Account::default(), 0, None);
    while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(header) = rest.first_chunk::<BLOCK>() else {
            account.lost += u64::from(rest.iter().any(|byte| *byte != 0));
            break;
        };
        if header.iter().all(|byte| *byte == 0) {
            // The end, for libclamav and for most. Whoever is told to reads on, and finds what stands behind it.
            account.lost += u64::from(rest.chunks_exact(BLOCK).any(|block| block.first_chunk().is_some_and(is_header)));
            break;
        }
        let size = octal(&header[124..136]).filter(|_| is_header(header));
        let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
            account.lost += 1;
            break;
        };
        let after = rest.get(BLOCK..).unwrap_or_default();
        let has_data = match header[156] {
            // Some write the size of what is linked to, and some write it again.
            b'1' => !after.first_chunk().is_some_and(|next| is_header(next) || next.iter().all(|byte| *byte == 0)),
            b'2'..=b'6' | b'V' => false,
            _ => true,
        };
        let size = if has_data { size } else { 0 };
        let Some(data) = after.get(..size) else {
            account.lost += 1;
            break;
        };
        match header[156] {
            b'x' | b'g' | b'X' => pax_size = pax_size_of(data).or(pax_size),
            // Names, and what is only about the archive.
            b'L' | b'K' | b'N' | b'D' => {}
            _ => {
                if data.len() as u64 > NEVER_SHOWN_BYTES {
                    account.members.push(data.len() as u64);
                }
                // Whoever goes by it finds other bytes than libclamav, which does not.
                account.lost += u64::from(pax_size.take().is_some_and(|pax| pax != data.len() as u64));
            }
        }
        // The last member need not be filled up.
        at = (at + BLOCK + size.next_multiple_of(BLOCK)).min(content.len());
    }
    account
}

/// Whether the sum in a header is that of its bytes, signed or not, with the sum's own place taken for blanks.
fn is_header(header: &[u8; BLOCK]) -> bool {
    let Some(sum) = octal(&header[148..156]) else { return false };
    let blanked = || header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let unsigned: u64 = blanked().map(u64::from).sum();
    let signed: i64 = blanked().map(|byte| i64::from(byte.cast_signed())).sum();
    header[0] != 0 && (sum == unsigned || i64::try_from(sum) == Ok(signed))
}

/// A number of a header; `None` for one that libclamav cannot read: GNU's binary form, too.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let digits = digits.split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    let text = std::str::from_utf8(digits).ok()?;
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The size that pax records give the next member: `<length> size=<number>\n`.
fn pax_size_of(mut records: &[u8]) -> Option<u64> {
    let mut size = None;
    while let Some(blank) = records.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(records.get(..blank)?).ok()?.parse::<usize>().ok()?;
        let record = records.get(blank + 1..length)?;
        if let Some(value) = record.strip_prefix(b"size=") {
            let value = std::str::from_utf8(value.trim_ascii_end()).ok().and_then(|value| value.parse().ok());
            // What is no number is no size that libclamav's could be.
            size = Some(value.unwrap_or(u64::MAX));
        }
        records = records.get(length..)?;
    }
    size
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(name: &str, kind: u8, size: usize) -> [u8; BLOCK] {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[156] = kind;
        seal(&mut header);
        header
    }

    fn seal(header: &mut [u8; BLOCK]) {
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }

    fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut member = [&header(name, kind, data.len())[..], data].concat();
        member.resize(member.len().next_multiple_of(BLOCK), 0);
        member
    }

    fn end() -> Vec<u8> {
        vec![0; 2 * BLOCK]
    }

    fn promised(members: &[u64]) -> Account {
        Account { members: members.to_vec(), ..Account::default() }
    }

    #[test]
    fn whole_tars_promise_their_files() {
        let file = member("a", b'0', &[7; 600]);
        for (tar, members) in [
            ([file.clone(), end()].concat(), &[600][..]),
            (file.clone(), &[600]),
            (file[..BLOCK + 600].to_vec(), &[600]),
            ([member("d/", b'5', b""), member("l", b'2', b""), member("e", 0, b""), end()].concat(), &[]),
            ([member("././@LongLink", b'L', &[b'n'; 700]), file.clone(), end()].concat(), &[600]),
            ([member("pax", b'x', b"11 size=600\n"), file.clone(), end()].concat(), &[600]),
            ([member("s", b'S', &[1; 20]), member("m", b'M', &[1; 30]), end()].concat(), &[20, 30]),
            // A link that says how large its target is.
            ([file.clone(), header("l", b'1', 600).to_vec(), end()].concat(), &[600]),
            ([file.clone(), end(), vec![0xAA; 100]].concat(), &[600]),
        ] {
            assert!(is_tar(&tar));
            assert_eq!(account(&tar), promised(members));
        }
    }

    #[test]
    fn what_others_read_and_libclamav_does_not_is_lost() {
        let file = member("a", b'0', &[7; 600]);
        let mut binary = header("b", b'0', 0);
        binary[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20]);
        seal(&mut binary);
        for tar in [
            [file.clone(), end(), file.clone()].concat(),
            [&binary[..], &[1; 20]].concat(),
            [member("pax", b'x', b"10 size=20\n"), header("c", b'0', 0).to_vec(), vec![0; BLOCK]].concat(),
            [file.clone(), vec![b'x'; BLOCK], file.clone()].concat(),
        ] {
            assert!(is_tar(&tar) && account(&tar).lost > 0, "{:?}", account(&tar));
        }
        let linked = [header("l", b'1', 600).to_vec(), vec![7; 1024], end()].concat();
        assert_eq!(account(&linked).members, [600], "written again behind the link");
    }

    proptest! {
        #[test]
        fn a_tar_that_is_cut_in_a_member_has_lost_something(
            sizes in prop::collection::vec(1_usize..2000, 1..5), cut: prop::sample::Index,
        ) {
            let members: Vec<Vec<u8>> = sizes.iter().map(|size| member("name", b'0', &vec![0xAB; *size])).collect();
            let tar = members.concat();
            prop_assert_eq!(account(&tar).lost, 0);
            let cut = 1 + cut.index(tar.len() - 1);
            let (mut whole, mut at) = (false, 0);
            for (member, size) in members.iter().zip(&sizes) {
                // At a boundary, or in the filling behind a member, nothing is missing.
                whole |= cut == at || (at + BLOCK + size..=at + member.len()).contains(&cut);
                at += member.len();
            }
            // One byte of a header may not do to tell it.
            prop_assert_eq!(account(&tar[..cut]).lost == 0, whole, "{} of {}", cut, tar.len());
        }

        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, size: [u8; 12], kind: u8) {
            account(&bytes);
            let mut first = header("name", kind, 0);
            first[124..136].copy_from_slice(&size);
            seal(&mut first);
            account(&[&first[..], &bytes].concat());
            pax_size_of(&bytes);
        }
    }
}
