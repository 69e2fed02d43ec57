//! What installers and bundlers put behind a program: packed streams without a mark of their own, in places that a table has.
//!
//! Sources: NSIS' `fileform.h`, and its deflate, whose stored blocks some readers take to have no complement of their length; `PyInstaller`'s `CArchive` and
//! `ZlibArchive`, and Python's `marshal`.

use memchr::memmem;

use super::{Reading, SecondReader, Taken, marshalled};
use crate::{
    archive::NEVER_SHOWN_BYTES,
    inflate::{self, Inflated, Stored},
};

/// The mark of NSIS, behind the flags, and bytes from it to the data behind the lengths of the header and of all.
const NSIS: &[u8] = b"\xEF\xBE\xAD\xDENullsoftInst";
const NSIS_HEADER: usize = 24;
/// Most marks of NSIS that are tried, bytes of which the first four come out, and most that are unpacked.
const MAX_INSTALLERS: usize = 64;
const MAX_BEGIN: usize = 1 << 20;
const MAX_UNPACKED: usize = 100 << 20;
/// How often so much may be, in all. Attack: marks of installers that share their data.
const MAX_READINGS: usize = 4;
/// The bit of a block's length that says that it is packed.
const IS_PACKED: u32 = 1 << 31;

/// The mark of `PyInstaller`'s cookie, its lengths of before version 2.1 and since, and most of them that are tried.
const COOKIE: &[u8] = b"MEI\x0C\x0B\x0A\x0B\x0E";
const COOKIE_LENGTHS: [usize; 2] = [88, 24];
const MAX_COOKIES: usize = 64;
/// Bytes of an entry of its table before the name, and most entries.
const ENTRY: usize = 18;
const MAX_ENTRIES: usize = 50_000;
/// How often all of the content may be taken out. Attack: entries over one another.
const MAX_PASSES: usize = 4;

/// How an installer was read.
struct Read {
    is_whole: bool,
    has_stored: bool,
}

impl SecondReader {
    /// Takes out what an installer of NSIS packed with deflate, and what `PyInstaller` bundled.
    pub(super) fn installers(&mut self, content: &[u8], reading: &mut Reading) {
        let mut left = MAX_READINGS * MAX_UNPACKED;
        for (number, at) in memmem::find_iter(content, NSIS).enumerate() {
            if number >= MAX_INSTALLERS {
                reading.unopened += 1;
                break;
            }
            self.nsis(content.get(at..).unwrap_or_default(), &mut left, reading);
        }
        let mut left = content.len().saturating_mul(MAX_PASSES);
        for (number, at) in memmem::rfind_iter(content, COOKIE).enumerate() {
            if number >= MAX_COOKIES {
                reading.unopened += 1;
                break;
            }
            self.bundle(content, at, &mut left, reading);
        }
        if content.starts_with(b"PYZ\0") {
            self.modules(content, reading);
        }
    }

    /// An installer whose mark its content begins with.
    fn nsis(&mut self, content: &[u8], left: &mut usize, reading: &mut Reading) {
        let (Some(length), Some(all)) = (le32(content, 16), le32(content, 20)) else { return };
        // Its length counts the flags before the mark.
        let end = (all as usize).saturating_sub(4).clamp(NSIS_HEADER, content.len().max(NSIS_HEADER));
        let data = content.get(NSIS_HEADER..end).unwrap_or_default();
        let mut is_whole = None;
        for stored in [Stored::Plain, Stored::WithoutComplement] {
            let begin = data.get(..data.len().min(MAX_BEGIN)).unwrap_or_default();
            let read = if inflate::laxly_as(begin, 4, stored).output == length.to_le_bytes() {
                self.nsis_of_one_stream(data, stored, left)
            } else if is_packed_header(data, length as usize, stored, left) {
                self.nsis_of_blocks(data, stored, left)
            } else {
                continue;
            };
            // Readers differ on stored blocks: what neither reads whole is lost.
            is_whole = Some(is_whole == Some(true) || read.is_whole);
            if read.is_whole && !read.has_stored {
                break;
            }
        }
        reading.unopened += u64::from(is_whole == Some(false));
    }

    /// All files in one stream, each behind its length.
    fn nsis_of_one_stream(&mut self, data: &[u8], stored: Stored, left: &mut usize) -> Read {
        let (layer, depth) = self.contents.parent;
        let unpacked = inflated(data, MAX_UNPACKED, stored, left);
        let mut rest = unpacked.output.as_slice();
        while let Some(length) = le32(rest, 0).map(|length| (length & !IS_PACKED) as usize) {
            let Some((block, after)) = rest.get(4..).and_then(|rest| rest.split_at_checked(length)) else { break };
            rest = after;
            if self.limit_exceeded.is_some() {
                break;
            }
            if block.len() as u64 > NEVER_SHOWN_BYTES {
                self.keep(block, layer, depth);
            }
        }
        // Where its script has other places for them, or a file is cut.
        if !rest.is_empty() && self.limit_exceeded.is_none() {
            self.keep(unpacked.output.as_slice(), layer, depth);
        }
        Read { is_whole: unpacked.is_whole, has_stored: unpacked.has_stored }
    }

    /// Each file packed by itself, or not at all, behind its length.
    fn nsis_of_blocks(&mut self, data: &[u8], stored: Stored, left: &mut usize) -> Read {
        let (layer, depth) = self.contents.parent;
        let (mut rest, mut read) = (data, Read { is_whole: true, has_stored: false });
        while let Some(length) = le32(rest, 0) {
            let block = rest.get(4..).and_then(|rest| rest.split_at_checked((length & !IS_PACKED) as usize));
            let Some((block, after)) = block else { break };
            rest = after;
            if self.limit_exceeded.is_some() {
                break;
            }
            if length & IS_PACKED == 0 {
                self.keep(block, layer, depth);
                continue;
            }
            let unpacked = inflated(block, MAX_UNPACKED, stored, left);
            read.is_whole &= unpacked.is_whole;
            read.has_stored |= unpacked.has_stored;
            self.keep(unpacked.output.as_slice(), layer, depth);
        }
        read
    }

    /// A bundle of `PyInstaller` by its cookie.
    fn bundle(&mut self, content: &[u8], cookie: usize, left: &mut usize, reading: &mut Reading) {
        let number = |field: usize| be32(content, cookie + COOKIE.len() + 4 * field).map(|number| number as usize);
        let (Some(length), Some(table), Some(size)) = (number(0), number(1), number(2)) else { return };
        for end in COOKIE_LENGTHS {
            // It ends with its cookie, whose length depends on the version.
            let Some(start) = (cookie + end).checked_sub(length) else { continue };
            let package = content.get(start..cookie).unwrap_or_default();
            let Some(entries) = table.checked_add(size).and_then(|end| package.get(table..end)) else { continue };
            self.entries(package, entries, left, reading);
        }
    }

    fn entries(&mut self, package: &[u8], table: &[u8], left: &mut usize, reading: &mut Reading) {
        let (mut rest, mut count) = (table, 0);
        while let Some(length) = be32(rest, 0).map(|length| length as usize).filter(|length| *length > ENTRY) {
            let Some((entry, after)) = rest.split_at_checked(length) else { break };
            rest = after;
            let (Some(at), Some(packed), Some(flag)) = (be32(entry, 4), be32(entry, 8), entry.get(16)) else { break };
            let Some(data) = package.get(at as usize..).and_then(|data| data.get(..packed as usize)) else {
                reading.unopened += u64::from(count > 0);
                continue;
            };
            count += 1;
            if !self.take_out(data, *flag != 0, count, left, reading) {
                break;
            }
        }
    }

    /// The modules of an archive of `PyInstaller`: zlib, at the places that a marshalled table has.
    fn modules(&mut self, content: &[u8], reading: &mut Reading) {
        let Some(table) = be32(content, 8).and_then(|table| content.get(table as usize..)) else { return };
        let mut left = content.len().saturating_mul(MAX_PASSES);
        let (places, too_many) = marshalled::places(table, MAX_ENTRIES);
        reading.unopened += u64::from(too_many || places.is_empty());
        for (number, (at, length)) in places.into_iter().enumerate() {
            let data = content.get(at..).and_then(|data| data.get(..length));
            if data.is_none_or(|data| !self.take_out(data, true, number, &mut left, reading)) {
                reading.unopened += u64::from(data.is_none());
                break;
            }
        }
    }

    /// Takes one entry out; `false` when no more may be.
    fn take_out(
        &mut self,
        data: &[u8],
        is_packed: bool,
        number: usize,
        left: &mut usize,
        reading: &mut Reading,
    ) -> bool {
        let Some(rest) = left.checked_sub(data.len()).filter(|_| number <= MAX_ENTRIES) else {
            reading.unopened += 1;
            return false;
        };
        *left = rest;
        let (layer, depth) = self.contents.parent;
        if !is_packed {
            self.keep(data, layer, depth);
        } else if self.zlib(data).is_none_or(|taken| taken == Taken::Part) {
            reading.unopened += 1;
        }
        self.limit_exceeded.is_none() && !self.lacked_room
    }
}

/// What comes out of a stream, as long as more may.
fn inflated(packed: &[u8], most: usize, stored: Stored, left: &mut usize) -> Inflated {
    let unpacked = inflate::laxly_as(packed, most.min(*left), stored);
    *left -= unpacked.output.len();
    unpacked
}

/// Whether a header of this length is packed behind its own length.
fn is_packed_header(data: &[u8], length: usize, stored: Stored, left: &mut usize) -> bool {
    let packed = le32(data, 0).filter(|packed| packed & IS_PACKED != 0).map(|packed| (packed & !IS_PACKED) as usize);
    let packed = packed.and_then(|packed| data.get(4..)?.get(..packed)).unwrap_or_default();
    (1..=MAX_UNPACKED).contains(&length) && inflated(packed, length + 1, stored, left).output.len() == length
}

fn le32(content: &[u8], at: usize) -> Option<u32> {
    content.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

fn be32(content: &[u8], at: usize) -> Option<u32> {
    content.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Seek, Write},
        time::Instant,
    };

    use flate2::{
        Compression,
        write::{DeflateEncoder, ZlibEncoder},
    };
    use nacre_engine_protocol::Limits;
    use proptest::prelude::*;

    use super::*;

    fn deflated(content: &[u8]) -> Vec<u8> {
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(content).unwrap();
        deflate.finish().unwrap()
    }

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(content).unwrap();
        zlib.finish().unwrap()
    }

    fn le(number: usize) -> [u8; 4] {
        u32::try_from(number).unwrap().to_le_bytes()
    }

    fn be(number: usize) -> [u8; 4] {
        u32::try_from(number).unwrap().to_be_bytes()
    }

    /// What comes out, and how many parts do not.
    fn found(content: &[u8]) -> (Vec<Vec<u8>>, u64) {
        let directory = tempfile::tempdir().unwrap();
        let mut reader = SecondReader::new(directory.path(), &Limits::default(), Instant::now());
        let (mut reading, mut found) = (Reading::default(), Vec::new());
        reader.installers(content, &mut reading);
        while let Some(piece) = reader.take() {
            let (mut content, mut file) = (Vec::new(), piece.open(directory.path()).unwrap());
            file.rewind().unwrap();
            file.read_to_end(&mut content).unwrap();
            found.push(content);
        }
        (found, reading.unopened)
    }

    fn installer(data: &[u8], header: usize) -> Vec<u8> {
        [b"MZ and a stub\0\0\0\0", NSIS, &le(header), &le(28 + data.len()), data, &[7; 4]].concat()
    }

    fn blocks(files: &[&[u8]]) -> Vec<u8> {
        files.iter().flat_map(|file| [&le(file.len()), *file].concat()).collect()
    }

    const HEADER: &[u8] = b"a header of an installer";

    #[test]
    fn the_files_of_an_installer_in_one_stream() {
        let files = [HEADER, b"some words", b"other words"];
        let stream = blocks(&files);
        assert_eq!(found(&installer(&deflated(&stream), HEADER.len())), (files.map(<[u8]>::to_vec).to_vec(), 0));
        // Stored, without the complement of the length.
        let length = u16::try_from(stream.len()).unwrap().to_le_bytes();
        let stored = [&[1][..], &length, &stream].concat();
        assert_eq!(found(&installer(&stored, HEADER.len())).0, files);
        let plain = [&[1][..], &length, &length.map(|byte| !byte), &stream].concat();
        assert_eq!(found(&installer(&plain, HEADER.len())).0, files);
        assert_eq!(found(&installer(&stored[..stored.len() - 4], HEADER.len())).1, 1, "cut");
        assert_eq!(found(&installer(&deflated(&stream), 9)), (Vec::new(), 0), "another header");
    }

    #[test]
    fn the_files_of_an_installer_by_themselves() {
        let packed = |file: &[u8]| {
            let data = deflated(file);
            [&(u32::try_from(data.len()).unwrap() | IS_PACKED).to_le_bytes(), &data[..]].concat()
        };
        let data = [packed(HEADER), packed(b"some words"), blocks(&[b"as it is"])].concat();
        assert_eq!(found(&installer(&data, HEADER.len())).0, [HEADER, b"some words", b"as it is"]);
    }

    /// A bundle of entries, each with whether it is packed.
    fn bundle(entries: &[(&[u8], u8)], cookie: usize) -> Vec<u8> {
        let (mut data, mut table) = (Vec::new(), Vec::new());
        for (entry, flag) in entries {
            let name = b"name\0\0\0\0";
            table.extend(
                [&be(ENTRY + name.len())[..], &be(data.len()), &be(entry.len()), &be(9), &[*flag, b'b'], name].concat(),
            );
            data.extend(*entry);
        }
        let length = data.len() + table.len() + cookie;
        let mut end = [COOKIE, &be(length), &be(data.len()), &be(table.len()), &be(311)].concat();
        end.resize(cookie, 0);
        [b"\x7FELF and a loader", &data[..], &table, &end, b"a signature"].concat()
    }

    #[test]
    fn the_files_of_a_bundle() {
        let packed = zlib(b"some words");
        for cookie in COOKIE_LENGTHS {
            let content = bundle(&[(&packed, 1), (b"as it is", 0)], cookie);
            assert_eq!(found(&content), (vec![b"some words".to_vec(), b"as it is".to_vec()], 0), "{cookie}");
            // A decoy behind it.
            assert_eq!(found(&[&content[..], COOKIE, &[0; 90]].concat()).0.len(), 2);
        }
        assert_eq!(found(&bundle(&[(b"not zlib", 1)], 88)), (Vec::new(), 1));
        assert_eq!(found(&[COOKIE, &[9; 90]].concat()), (Vec::new(), 0));
        let again: Vec<(&[u8], u8)> = vec![(&packed, 1); 20];
        assert_eq!(found(&bundle(&again, 88)), (vec![b"some words".to_vec()], 0));
    }

    #[test]
    fn the_modules_of_an_archive() {
        let [one, other] = [zlib(b"some words"), zlib(b"other words")];
        let int = |number: usize| [b"i", &le(number)[..]].concat();
        let entry = |name: &[u8], at: usize, length: usize| {
            [&[b')', 2, b'z', u8::try_from(name.len()).unwrap()][..], name, b")\x03", &int(0), &int(at), &int(length)]
                .concat()
        };
        let places = [entry(b"a", 12, one.len()), entry(b"b", 12 + one.len(), other.len())].concat();
        let table = [b"[", &le(2)[..], &places].concat();
        let content = [b"PYZ\0\xA7\x0D\x0D\x0A", &be(12 + one.len() + other.len())[..], &one, &other, &table].concat();
        assert_eq!(found(&content), (vec![b"some words".to_vec(), b"other words".to_vec()], 0));
        assert_eq!(found(b"PYZ\0\xA7\x0D\x0D\x0A\0\0\0\x0C[\0\0\0\0").1, 1);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, at in 0_usize..120, value: u8) {
            for mut content in [
                installer(&deflated(&blocks(&[HEADER, b"some words"])), HEADER.len()),
                bundle(&[(&zlib(b"words"), 1), (b"as it is", 0)], 24),
                b"PYZ\0\xA7\x0D\x0D\x0A\0\0\0\x0C[\x02\0\0\0".to_vec(),
            ] {
                content.extend(&bytes);
                if let Some(byte) = content.get_mut(at) {
                    *byte = value;
                }
                found(&content);
            }
        }
    }
}
