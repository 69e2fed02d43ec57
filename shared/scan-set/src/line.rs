//! One line of a hash signature, as libclamav reads it.
//!
//! `cli_loadhash` of `readdb.c` is lenient: numbers with a sign or a blank before them, fields that are empty. What is not read here
//! with certainty stays in the body, where libclamav reads it itself. So a line that is misread cannot be lost, and a line that makes
//! a full load fail makes the load of the body fail.

use std::ops::RangeInclusive;

use crate::key::{Candidate, Digest};

/// What a signature has the digest of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A layer, or what libclamav makes of one.
    File,
    /// A section of a Windows program.
    Section,
}

/// The kind of files that a line stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// `hdb`, `hsb`.
    File,
    /// `hdu`, `hsu`: loaded only where unwanted applications are detected.
    UnwantedFile,
    /// `mdb`, `msb`.
    Section,
    /// `mdu`, `msu`.
    UnwantedSection,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::File, Self::UnwantedFile, Self::Section, Self::UnwantedSection];

    /// The class of a file's lines; `None` when it holds no digests that a filter replaces. `imp` is not among them: a damaged import
    /// table ends the unpacking of a program once any such signature is loaded, so they are the engine's.
    pub fn of_file(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "hdb" | "hsb" => Some(Self::File),
            "hdu" | "hsu" => Some(Self::UnwantedFile),
            "mdb" | "msb" => Some(Self::Section),
            "mdu" | "msu" => Some(Self::UnwantedSection),
            _ => None,
        }
    }

    /// The extension of a file of this class. Which of two makes no difference to libclamav.
    pub fn extension(self) -> &'static str {
        match self {
            Self::File => "hdb",
            Self::UnwantedFile => "hdu",
            Self::Section => "mdb",
            Self::UnwantedSection => "mdu",
        }
    }

    /// What the digests are of.
    pub fn kind(self) -> Kind {
        match self {
            Self::File | Self::UnwantedFile => Kind::File,
            Self::Section | Self::UnwantedSection => Kind::Section,
        }
    }

    /// Its byte in a shard.
    #[cfg(feature = "packing")]
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::File => b'f',
            Self::UnwantedFile => b'F',
            Self::Section => b's',
            Self::UnwantedSection => b'S',
        }
    }

    #[cfg(feature = "packing")]
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.to_byte() == byte)
    }
}

/// Longest line that is taken out of the body. libclamav's buffer has 8,192 bytes.
const MAX_LINE_BYTES: usize = 4096;

/// First functionality level of engines that load signatures of any size.
const ANY_SIZE_LEVEL: u32 = 73;

/// A line that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashLine<'a> {
    /// What it matches.
    pub candidate: Candidate,
    /// The signature's name.
    pub name: &'a [u8],
    /// Functionality levels of the engines that load it.
    pub levels: RangeInclusive<u32>,
}

/// Returns a line as libclamav has it after reading: without carriage returns at its end.
pub fn chomped(line: &[u8]) -> &[u8] {
    let length = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    line.get(..length).unwrap_or_default()
}

/// Whether libclamav passes a line over.
pub fn is_comment(line: &[u8]) -> bool {
    line.first() == Some(&b'#')
}

impl<'a> HashLine<'a> {
    /// Reads a line that was [`chomped`]; `None` unless it is certain that libclamav reads it so.
    pub fn parse(kind: Kind, line: &'a [u8]) -> Option<Self> {
        if line.len() > MAX_LINE_BYTES || is_comment(line) || memchr::memchr3(0, b'\r', b'\n', line).is_some() {
            return None;
        }
        let mut fields = line.split(|byte| *byte == b':');
        let (first, second, name) = (fields.next()?, fields.next()?, fields.next()?);
        let (least, greatest, rest) = (fields.next(), fields.next(), fields.next());
        if rest.is_some() || name.is_empty() {
            return None;
        }
        let (digest, size) = match kind {
            Kind::File => (first, second),
            Kind::Section => (second, first),
        };
        let levels = least.map_or(Some(0), level)?..=greatest.map_or(Some(u32::MAX), level)?;
        let size = match size {
            b"*" if least.is_some() && *levels.start() >= ANY_SIZE_LEVEL => None,
            b"*" => return None,
            size => Some(number(size, 10).filter(|size| (1..u32::MAX).contains(size))?),
        };
        Some(Self { candidate: Candidate { kind, digest: Digest::from_hex(digest)?, size }, name, levels })
    }
}

/// A functionality level: within what C's `atoi` reads without question.
fn level(text: &[u8]) -> Option<u32> {
    number(text, 9)
}

fn number(text: &[u8], digits: usize) -> Option<u32> {
    if !(1..=digits).contains(&text.len()) || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MD5: &str = "0123456789abcdef0123456789ABCDEF";

    fn read(kind: Kind, line: &str) -> Option<(Option<u32>, usize, RangeInclusive<u32>)> {
        let line = HashLine::parse(kind, chomped(line.as_bytes()))?;
        assert_eq!((line.candidate.kind, line.name), (kind, &b"A b"[..]));
        Some((line.candidate.size, line.candidate.digest.bytes().len(), line.levels))
    }

    #[test]
    fn lines_are_read_by_the_length_of_their_digests() {
        for (digest, length) in [(MD5.to_owned(), 16), (format!("{MD5}01234567"), 20), (MD5.repeat(2), 32)] {
            assert_eq!(read(Kind::File, &format!("{digest}:68:A b\r\n")), Some((Some(68), length, 0..=u32::MAX)));
            assert_eq!(read(Kind::Section, &format!("068:{digest}:A b:1")), Some((Some(68), length, 1..=u32::MAX)));
            assert_eq!(read(Kind::File, &format!("{digest}:*:A b:73:99")), Some((None, length, 73..=99)));
        }
    }

    #[test]
    fn what_libclamav_refuses_or_reads_in_its_own_way_is_left_to_it() {
        for line in [
            String::new(),
            format!("#{MD5}:68:A"),
            format!("{MD5}:68"),
            format!("{MD5}:68:"),
            format!("{MD5}0:68:A"),
            format!("{MD5}:0:A"),
            format!("{MD5}:4294967295:A"),
            format!("{MD5}:4294967296:A"),
            format!("{MD5}: 68:A"),
            format!("{MD5}:+68:A"),
            format!("{MD5}:-1:A"),
            format!("{MD5}:68x:A"),
            format!("{MD5}:*:A"),
            format!("{MD5}:*:A:72"),
            format!("{MD5}:*:A:"),
            format!("{MD5}:68:A:1:2:3"),
            format!("{MD5}:68:A:x"),
            format!("{MD5}:68:A:1:"),
            format!("{MD5}:68:A\0:1"),
            format!("{MD5}:68:A\rB"),
            format!("{MD5}:68:{}", "A".repeat(5000)),
            format!("68:{MD5}:A"),
        ] {
            assert_eq!(HashLine::parse(Kind::File, line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn classes_have_bytes_and_extensions() {
        for class in Class::ALL {
            assert_eq!(Class::from_byte(class.to_byte()), Some(class));
            assert_eq!(Class::of_file(&format!("daily.{}", class.extension())), Some(class));
        }
        for other in ["daily.imp", "daily.fp", "daily.sfp", "daily.HDB", "hdb", "daily.ndb", ""] {
            assert_eq!(Class::of_file(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics_the_reader(line: Vec<u8>) {
            let _ = HashLine::parse(Kind::File, chomped(&line));
            let _ = HashLine::parse(Kind::Section, &line);
        }
    }
}
