//! Whether the tables of objects say what the file shows: each object stands where they have it, under its number, and each trailer names
//! the same encryption.
//!
//! Attack: readers take the key of a stream by the number that a table has for it, and no encryption at all by a trailer that names none,
//! or an object that a table does not know.
//!
//! Source: ISO 32000-1, sections 7.5.4 and 7.5.8.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        dictionary::Dictionary,
        filters,
        plain::{Plain, Token, token},
    },
    ENCRYPT,
    cipher::Id,
    document::{Document, Entry, MAX_PARTS, Object},
    strings,
};

/// The longest number in a line of a table.
const MAX_WIDTH: usize = 8;
/// Most blanks before an object to which a table points. Attack: thousands of lines that point to a run of them.
const MAX_BLANKS: usize = 16;

/// A table of either kind.
struct Section<'c> {
    entries: Vec<(u32, Entry)>,
    trailer: Plain<'c>,
}

/// What the trailers have in common.
pub(super) struct Trailer<'c> {
    /// The value of their key of encryption.
    pub(super) encrypt: &'c [u8],
    /// The value of their key of the document's identifier.
    pub(super) identifier: Option<&'c [u8]>,
}

/// What all trailers say, if no table says anything that the file does not show.
pub(super) fn agree<'c>(content: &'c [u8], document: &Document) -> Option<Trailer<'c>> {
    let sections = sections(content, document)?;
    let places: BTreeMap<usize, Id> = document.objects.iter().map(|object| (object.at, object.id)).collect();
    let newest = document.newest?;
    let (mut common, mut trailer) = (None, None);
    for (at, section) in &sections {
        for (number, entry) in &section.entries {
            match entry {
                // Some writers give what is missing this place.
                Entry::Free | Entry::Within | Entry::At(0, _) => {}
                Entry::At(at, generation) => {
                    let blanks =
                        content.get(*at..)?.iter().take(MAX_BLANKS).position(|byte| !byte.is_ascii_whitespace());
                    let at = at + blanks?;
                    let is_there = places.get(&at) == Some(&Id { number: *number, generation: *generation });
                    is_there.then_some(())?;
                }
            }
        }
        let (encrypt, identifier) = (section.trailer.get(ENCRYPT), section.trailer.get("/ID"));
        // The older part of a linearised file names no document, so that no reader begins with it.
        if encrypt.is_none() && section.trailer.get("/Root").is_none() && *at != newest {
            continue;
        }
        let encrypt = encrypt?;
        let words: Vec<&[u8]> = encrypt.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        let said = (words, identifier.map(first_of).map_or(Some(None), |first| first.map(Some))?);
        if common.get_or_insert_with(|| said.clone()) != &said {
            return None;
        }
        trailer = Some(Trailer { encrypt, identifier });
    }
    is_reached(&sections, newest, reference(trailer.as_ref()?.encrypt)).then_some(())?;
    trailer
}

/// The object that a value refers to.
pub(super) fn reference(value: &[u8]) -> Option<Id> {
    let words: Vec<_> = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let [number, generation, b"R"] = words[..] else { return None };
    let text = |word| std::str::from_utf8(word).ok();
    Some(Id { number: text(number)?.parse().ok()?, generation: text(generation)?.parse().ok()? })
}

/// The first string of an array.
pub(super) fn first_of(array: &[u8]) -> Option<Vec<u8>> {
    let (Token::Begin, rest) = token(array)? else { return None };
    strings::first(rest)
}

/// Whether the newest table is one, and the first that knows of an object, from there on, has it in the file.
fn is_reached(sections: &BTreeMap<usize, Section<'_>>, newest: usize, object: Option<Id>) -> bool {
    let (mut open, mut seen) = (vec![newest], BTreeSet::new());
    let mut found = None;
    while let Some(at) = open.pop() {
        // Attack: tables that follow one another in a circle.
        let Some(section) = sections.get(&at).filter(|_| seen.insert(at)) else { return false };
        let is_it = |(number, _): &&(u32, Entry)| object.is_some_and(|object| *number == object.number);
        let mut entries = section.entries.iter().filter(is_it).map(|(_, entry)| entry);
        found = found.or(entries.next());
        // The table of a hybrid file has a stream beside it, which is read before the one that was written before.
        for key in ["/Prev", "/XRefStm"] {
            if section.trailer.get(key).is_some() {
                let Some(place) = section.trailer.whole(key) else { return false };
                open.push(place);
            }
        }
    }
    object.is_none() || matches!(found, Some(Entry::At(at, _)) if *at > 0)
}

/// The tables of a document, by their places.
fn sections<'c>(content: &'c [u8], document: &Document) -> Option<BTreeMap<usize, Section<'c>>> {
    let mut sections = BTreeMap::new();
    for table in &document.tables {
        let trailer = Plain::dictionary(content.get(table.trailer.clone())?)?;
        sections.insert(table.at, Section { entries: table.entries.clone(), trailer });
    }
    for object in &document.objects {
        let words = Dictionary::read(content.get(object.value.clone())?);
        if object.stream.is_some() && ["/XRef", "/W", "/Root", ENCRYPT].iter().any(|key| words.has(key)) {
            sections.insert(object.at, stream(content, object)?);
        }
    }
    Some(sections)
}

/// A table in a stream; `None` where it cannot be read, or is none though it has the words of one.
fn stream<'c>(content: &'c [u8], object: &Object) -> Option<Section<'c>> {
    let trailer = Plain::dictionary(content.get(object.value.clone())?)?;
    (trailer.name("/Type")? == "/XRef").then_some(())?;
    let lines = unpacked(&trailer, content.get(object.stream.clone()?)?)?;
    let widths = numbers(trailer.get("/W")?)?;
    let [kind, second, _] = widths[..] else { return None };
    let width: usize = widths.iter().sum();
    let is_sound = width > 0 && widths.iter().all(|width| *width <= MAX_WIDTH) && lines.len() / width <= MAX_PARTS;
    is_sound.then_some(())?;
    let index = trailer.get("/Index").map_or_else(|| Some(vec![0, trailer.whole("/Size")?]), numbers)?;
    let mut own = Vec::new();
    for part in index.chunks(2) {
        let [first, count] = *part else { return None };
        // Attack: counts of more than there is.
        (count <= lines.len() / width - own.len()).then_some(())?;
        own.extend((0..count).map(|at| first.checked_add(at)));
    }
    (lines.len() == own.len() * width).then_some(())?;
    let mut entries = Vec::new();
    for (line, number) in lines.chunks(width).zip(own) {
        let (first, rest) = line.split_at_checked(kind)?;
        let (place, generation) = rest.split_at_checked(second)?;
        let entry = match if kind == 0 { 1 } else { big_endian(first) } {
            0 => Entry::Free,
            1 => Entry::At(usize::try_from(big_endian(place)).ok()?, u16::try_from(big_endian(generation)).ok()?),
            2 => Entry::Within,
            _ => return None,
        };
        entries.push((u32::try_from(number?).ok()?, entry));
    }
    Some(Section { entries, trailer })
}

/// What a table in a stream is unpacked to, by the one filter that writers use.
fn unpacked(dictionary: &Plain<'_>, stream: &[u8]) -> Option<Vec<u8>> {
    let filters = Dictionary::read(dictionary.filters());
    let names: Vec<&str> = filters.words().filter(|word| word.starts_with('/')).collect();
    let parameters = Dictionary::read(dictionary.parameters()?);
    let unpacked = match names[..] {
        [] => stream.to_vec(),
        ["/FlateDecode" | "/Fl"] => filters::inflated(stream)?,
        _ => return None,
    };
    match parameters.predictor() {
        _ if parameters.is_ambiguous() => None,
        Some(predictor) => Some(predictor.undo(&unpacked)),
        None => Some(unpacked),
    }
}

/// The whole numbers of an array.
fn numbers(array: &[u8]) -> Option<Vec<usize>> {
    let inner = array.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
    let words = inner.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.map(|word| std::str::from_utf8(word).ok()?.parse().ok()).collect()
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
