//! A PDF that is written as the standard has it from its first byte to its last: objects, tables and comments, one behind the other.
//!
//! Every reader finds the same objects in it, with the same numbers, and the same keys. Nothing is concluded from any other.
//!
//! Source: ISO 32000-1, section 7.5.

use std::{collections::BTreeMap, ops::Range};

use memchr::memmem;

use super::{
    super::{
        super::bytes::{after_pdf_space, is_pdf_space},
        places::Objects,
        plain::{Length, Plain, value},
    },
    cipher::Id,
};

/// Most objects and tables.
pub(super) const MAX_PARTS: usize = 1 << 20;

/// Places in the file.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: Id,
    /// Where its number stands.
    pub(super) at: usize,
    pub(super) value: Range<usize>,
    pub(super) stream: Option<Range<usize>>,
}

/// A table of objects, with the trailer behind it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) at: usize,
    pub(super) entries: Vec<(u32, Entry)>,
    pub(super) trailer: Range<usize>,
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Free,
    /// Its place, and its generation.
    At(usize, u16),
    /// In a stream of objects.
    Within,
}

#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) objects: Vec<Object>,
    pub(super) tables: Vec<Table>,
    /// The place of the newest table.
    pub(super) newest: Option<usize>,
}

impl Document {
    pub(super) fn read(content: &[u8]) -> Option<Self> {
        if !content.starts_with(b"%PDF-") {
            return None;
        }
        let mut reader = Reader { content, at: 0, lengths: Objects::of(content).values() };
        let mut document = Self::default();
        while let Some(first) = reader.next() {
            if document.objects.len() + document.tables.len() >= MAX_PARTS {
                return None;
            }
            match first {
                b'%' => reader.line(),
                b'0'..=b'9' => document.objects.push(reader.object()?),
                b'x' => document.tables.push(reader.table()?),
                _ => {
                    reader.word(b"startxref")?;
                    document.newest = Some(reader.number(is_pdf_space)?);
                }
            }
        }
        Some(document)
    }
}

struct Reader<'c> {
    content: &'c [u8],
    at: usize,
    /// Objects that are nothing but a number.
    lengths: BTreeMap<u64, Vec<usize>>,
}

impl<'c> Reader<'c> {
    fn rest(&self) -> &'c [u8] {
        self.content.get(self.at..).unwrap_or_default()
    }

    /// The first byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        self.at = self.content.len() - after_pdf_space(self.rest()).len();
        self.rest().first().copied()
    }

    fn line(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest().strip_prefix(word)?;
        self.at += word.len();
        Some(())
    }

    /// A number behind blanks.
    fn number<T: TryFrom<u64>>(&mut self, is_blank: fn(u8) -> bool) -> Option<T> {
        self.at += self.rest().iter().position(|byte| !is_blank(*byte))?;
        let rest = self.rest();
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let number = std::str::from_utf8(rest.get(..digits)?).ok()?.parse::<u64>().ok()?;
        self.at += digits;
        T::try_from(number).ok()
    }

    /// What is behind a value that begins here.
    fn value(&mut self) -> Option<Range<usize>> {
        let (_, after) = value(self.rest())?;
        let from = std::mem::replace(&mut self.at, self.content.len() - after.len());
        Some(from..self.at)
    }

    fn object(&mut self) -> Option<Object> {
        let is_blank = |byte| matches!(byte, b' ' | b'\t');
        let at = self.at;
        let number = self.number(is_blank)?;
        self.rest().first().filter(|byte| is_blank(**byte))?;
        let generation = self.number(is_blank)?;
        self.rest().first().filter(|byte| is_blank(**byte))?;
        self.at += self.rest().iter().position(|byte| !is_blank(*byte))?;
        self.word(b"obj")?;
        let value = self.value()?;
        self.next()?;
        let stream = if self.word(b"stream").is_some() { Some(self.stream(&value)?) } else { None };
        self.next()?;
        self.word(b"endobj")?;
        Some(Object { id: Id { number, generation }, at, value, stream })
    }

    /// A stream, up to the word that ends it: behind its length, and nowhere before.
    fn stream(&mut self, dictionary: &Range<usize>) -> Option<Range<usize>> {
        let length = match Plain::dictionary(self.content.get(dictionary.clone())?)?.length()? {
            Length::Number(length) => length,
            Length::Reference(object) => match self.lengths.get(&object)?[..] {
                [length] => length,
                _ => return None,
            },
        };
        self.word(b"\r\n").or_else(|| self.word(b"\n"))?;
        let from = self.at;
        let to = from.checked_add(length).filter(|to| *to <= self.content.len())?;
        memmem::find(self.content.get(from..to)?, b"endstream").is_none().then_some(())?;
        self.at = to;
        self.word(b"\r\n").or_else(|| self.word(b"\n")).or_else(|| self.word(b"\r"));
        self.word(b"endstream")?;
        Some(from..to)
    }

    fn table(&mut self) -> Option<Table> {
        let at = self.at;
        self.word(b"xref")?;
        let mut entries = Vec::new();
        while self.next()? != b't' {
            let (first, count): (u32, usize) = (self.number(is_pdf_space)?, self.number(is_pdf_space)?);
            self.next();
            for number in (u64::from(first)..).take(count) {
                entries.push((u32::try_from(number).ok()?, entry(self.rest().first_chunk()?)?));
                self.at += ENTRY;
            }
        }
        self.word(b"trailer")?;
        let trailer = self.value()?;
        Some(Table { at, entries, trailer })
    }
}

/// The width of a line in a table.
const ENTRY: usize = 20;

/// A line of a table.
fn entry(line: &[u8; ENTRY]) -> Option<Entry> {
    let [place @ .., b' ', g0, g1, g2, g3, g4, b' ', kind, b' ' | b'\r', b'\n' | b'\r'] = line else { return None };
    let number = |digits: &[u8]| {
        let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        text?.parse::<u64>().ok()
    };
    let (place, generation) = (number(place)?, number(&[*g0, *g1, *g2, *g3, *g4])?);
    match kind {
        b'f' => Some(Entry::Free),
        b'n' => Some(Entry::At(usize::try_from(place).ok()?, u16::try_from(generation).ok()?)),
        _ => None,
    }
}
