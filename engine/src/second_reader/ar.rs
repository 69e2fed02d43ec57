//! Members of an `ar`, by the sizes in their headers alone.
//!
//! libarchive looks up each name, and gives up where it finds none: in the import libraries of Microsoft's tools, whose second member is
//! another table, and in libraries of tens of thousands of members. No name is needed here. An archive that is not members from its start
//! to its end is left to libarchive.
//!
//! Sources: `ar.h`, and "Archive (Library) File Format" and "Import Library Format" in Microsoft's PE Format.

use super::{
    Outcome, Reading, SecondReader, Taken,
    places::{addresses, place_in},
};
use crate::archive::NEVER_SHOWN_BYTES;

const MARK: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;
/// Where a header has the size of its member, and what it ends with.
const SIZE: std::ops::Range<usize> = 48..58;
const HEADER_END: &[u8] = b"`\n";
/// The name of a member whose data begins with its real name, of the length that follows.
const NAME_FOLLOWS: &[u8] = b"#1/";
/// Length of the header of an import, and most names in one.
const IMPORT: usize = 20;
const IMPORT_NAMES: usize = 3;

/// A member's header is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Damaged;

/// The members of an archive, from the first on.
struct Members<'c> {
    rest: &'c [u8],
}

impl<'c> Iterator for Members<'c> {
    type Item = Result<&'c [u8], Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let member = split(self.rest);
        self.rest = member.map_or(&[], |(_, rest)| rest);
        Some(member.map(|(member, _)| member).ok_or(Damaged))
    }
}

/// The data of the first member, and what follows it.
fn split(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = content.split_at_checked(HEADER)?;
    let size = header.ends_with(HEADER_END).then(|| number(header.get(SIZE)?))??;
    let (data, rest) = rest.split_at_checked(size)?;
    // Each begins at an even place; the last one need not be filled up.
    let rest = rest.get(size % 2..).unwrap_or_default();
    let name = header.strip_prefix(NAME_FOLLOWS).and_then(|length| number(length.get(..13)?));
    Some((name.and_then(|name| data.get(name..)).unwrap_or(data), rest))
}

/// Digits, and then blanks. Attack: other letters, of which readers make different numbers.
fn number(field: &[u8]) -> Option<usize> {
    let digits = field.trim_ascii_end();
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    are_digits.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// The members of an archive that is nothing else.
fn members(content: &[u8]) -> Option<Members<'_>> {
    let members = || Some(Members { rest: content.strip_prefix(MARK)? });
    members()?.all(|member| member.is_ok()).then(members).flatten()
}

/// Whether a member is an import of Windows and nothing else: a fixed header, and names. A library has tens of thousands of them, and none
/// is a file by itself.
fn is_import(member: &[u8]) -> bool {
    let Some(([0, 0, 0xFF, 0xFF, 0, 0, _, _, _, _, _, _, size @ ..], names)) = member.split_first_chunk::<IMPORT>()
    else {
        return false;
    };
    let size = size.first_chunk().map(|size| u32::from_le_bytes(*size) as usize);
    let are_names = names.strip_suffix(b"\0").is_some_and(|names| {
        names.split(|byte| *byte == 0).count() <= IMPORT_NAMES
            && names.iter().all(|byte| *byte == 0 || byte.is_ascii_graphic())
    });
    size == Some(names.len()) && are_names
}

impl SecondReader {
    /// Takes out the members of an archive that is nothing else; `None` of any other.
    pub(super) fn ar(&mut self, content: &[u8], reading: &mut Reading) -> Option<Outcome> {
        let mut outcome = Outcome { consumed: content.len(), passed: content.len(), ..Outcome::default() };
        for member in members(content)?.flatten() {
            outcome.entries += 1;
            if member.len() as u64 <= NEVER_SHOWN_BYTES || is_import(member) {
                outcome.read += u64::from(!member.is_empty());
                continue;
            }
            let taken = self.contents.receive_stream(&mut &*member, self.deadline);
            if self.is_stopped_by(taken) {
                break;
            }
            if taken == Taken::Part {
                outcome.broken += 1;
                continue;
            }
            outcome.read += 1;
            reading.places.add_members(place_in(&self.layer, &addresses(member)).into_iter().collect());
        }
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(name: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{name:16}{:12}{:6}{:6}{:8}{:<10}`\n", -1, "", "", 0, data.len());
        [header.as_bytes(), data, &b"\n"[..data.len() % 2]].concat()
    }

    fn read(content: &[u8]) -> Option<Vec<&[u8]>> {
        members(content).map(|members| members.flatten().collect())
    }

    #[test]
    fn members_are_read_whatever_their_names_are() {
        let library =
            [member("/", b"one"), member("/", b"other"), member("//", b"a"), member("/9", b"words"), member("", b"")];
        let content = [MARK, &library.concat()].concat();
        assert_eq!(read(&content).unwrap(), [&b"one"[..], b"other", b"a", b"words", b""]);
        let named = [MARK, &member("#1/4", b"namewords")].concat();
        assert_eq!(read(&named).unwrap(), [b"words"]);
        // A last member that is not filled up.
        assert_eq!(read(&named[..named.len() - 1]).unwrap(), [b"words"]);
        assert_eq!(read(MARK), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_members_to_its_end_is_left() {
        let content = [MARK, &member("a", b"some words")].concat();
        for (name, content) in [
            ("cut", content[..content.len() - 1].to_vec()),
            ("followed", [&content[..], b"something"].concat()),
            ("an odd number", [&content[..56], b"1x", &content[58..]].concat()),
            ("no mark", content[1..].to_vec()),
        ] {
            assert_eq!(read(&content), None, "{name}");
        }
    }

    #[test]
    fn imports_are_names_and_nothing_else() {
        let import = |names: &[u8]| {
            let size = u32::try_from(names.len()).unwrap().to_le_bytes();
            [b"\0\0\xFF\xFF\0\0\x64\x86\x01\x02\x03\x04", &size[..], &[7, 0, 4, 0], names].concat()
        };
        assert!(is_import(&import(b"name\0library.dll\0")));
        for names in [&b"name\0library.dll\0rest"[..], b"name with blanks\0a\0", b"a\0b\0c\0d\0", b""] {
            assert!(!is_import(&import(names)), "{names:?}");
        }
        assert!(!is_import(&[&import(b"name\0a\0")[..], b"\0"].concat()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, at in 0_usize..70, value: u8) {
            let mut content = [MARK, &member("#1/4", b"name and words"), &bytes].concat();
            if let Some(byte) = content.get_mut(at) {
                *byte = value;
            }
            read(&content);
            is_import(&[b"\0\0\xFF\xFF\0\0", &bytes[..]].concat());
        }
    }
}
