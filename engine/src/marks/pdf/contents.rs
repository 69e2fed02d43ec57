//! The contents of a PDF's streams, by the loosest reading: whatever some reader may take for a stream, unpacked by every filter whose
//! marks it bears.
//!
//! libclamav reads a stream by its dictionary, and passes over it in silence where a string, a comment, a line's end or a key that
//! stands twice misleads it, or where the dictionary says that it is an image; other readers do not. So no dictionary is trusted here:
//! each word `stream` begins one, and the bytes behind it decide. Only images of a document without attachments are left out.
//!
//! Source: ISO 32000-1, sections 7.3.8, 7.4, 7.11.4.

use std::collections::BTreeMap;

use memchr::memmem;

use super::{
    super::bytes::is_pdf_space,
    MAX_STREAMS, PASSES,
    attached::Attached,
    dictionary::Lengths,
    filters::{self, MAX_OUTPUT},
    is_pdf,
    places::{Objects, Work, number},
    plain::Length,
    predictor::Predictor,
    stream::Stream,
};

/// Most filters of a stream.
const MAX_FILTERS: usize = 8;
/// Most bytes that are unpacked, as libclamav bounds a scan: so many times the file's length, and what is in any case. Attack: little
/// that unpacks to much, again and again.
const MAX_BYTES: usize = 400 << 20;
const MAX_RATIO: usize = 32;
const MIN_BYTES: usize = 32 << 20;
/// How often all of the file's length may be read as streams. Attack: streams without an end, each of which holds all that follow.
const MAX_PASSES: usize = 8;
/// Most places where a stream may end that are tried.
const MAX_ENDS: usize = 8;
/// Bytes behind the word that begins a stream, in which its line ends.
const MAX_JUNK: usize = 64;
/// What a widespread reader adds to a length behind which the stream does not end.
const READ_PAST: usize = 5000;

/// What could not be read of the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::marks) struct Unread {
    /// There are more than are read.
    pub(in crate::marks) too_many: bool,
    /// An attached one stays packed.
    pub(in crate::marks) packed: bool,
}

/// Gives the contents to `keep`.
pub(in crate::marks) fn contents(content: &[u8], keep: &mut dyn FnMut(&[u8])) -> Unread {
    if !is_pdf(content) && memmem::find(content, b"endobj").is_none() {
        return Unread::default();
    }
    let objects = Objects::of(content);
    let mut reading = Reading {
        content,
        attached: Attached::of(content),
        values: objects.values(),
        left: content.len().saturating_mul(MAX_RATIO).clamp(MIN_BYTES, MAX_BYTES),
        is_damaged: false,
        work: Work::passes(content, MAX_PASSES),
        stream_ends: memmem::find_iter(content, b"endstream").collect(),
        object_ends: memmem::find_iter(content, b"endobj").collect(),
        keep,
    };
    let too_many = |packed| Unread { too_many: true, packed };
    let (mut later, mut uncertain, mut unread, mut packed, mut number) = (Vec::new(), Vec::new(), Vec::new(), false, 0);
    for place in objects.streams(&mut Work::passes(content, PASSES)) {
        let Some(place) = place.filter(|_| number < MAX_STREAMS) else { return too_many(packed) };
        number += 1;
        let stream = Stream::at(place);
        // A file may be said to be an image, and a length may be within another stream: known when every stream has been read.
        let is_known = stream.dictionary.lengths().references.iter().all(|object| reading.values.contains_key(object));
        if stream.is_image() || !is_known || stream.named.is_empty() {
            later.push(place);
        } else if !reading.stream(&stream) {
            return too_many(packed);
        }
        if stream.plain.is_some() && reading.length(&stream).is_none() {
            uncertain.push(place);
        }
        packed |= reading.has_lost_objects(&stream);
        let is_damaged = std::mem::take(&mut reading.is_damaged);
        if is_damaged || stream.dictionary.is_picture() {
            unread.push(place);
        }
    }
    for place in later {
        let stream = Stream::at(place);
        if stream.is_image() {
            if !reading.attached.is_any() {
                continue;
            }
            packed |= stream.stays_packed() && reading.attached.may_be(&place, &objects);
        }
        if !reading.work.spend(place.text.len()) || !reading.stream(&stream) {
            return too_many(packed);
        }
        packed |= reading.has_lost_objects(&stream);
        if std::mem::take(&mut reading.is_damaged) {
            unread.push(place);
        }
    }
    // Attack: a file that a filter of pictures decodes to, or of which more comes out of a lax reader.
    packed |= unread.into_iter().any(|place| reading.attached.may_be(&place, &objects));
    // Attack: a file with more ends than are tried, and a length that readers take from different objects.
    packed |= uncertain
        .into_iter()
        .any(|place| reading.attached.may_be(&place, &objects) && reading.length(&Stream::at(place)).is_none());
    Unread { too_many: false, packed }
}

/// How a stream is unpacked.
#[derive(Clone, Copy)]
struct How {
    predictor: Option<Predictor>,
    /// Where the first object of a stream of objects is.
    first_object: Option<usize>,
    /// Filters that may still be undone.
    filters: usize,
}

/// The width of the line's end that `text` begins with.
fn line_end(text: &[u8]) -> usize {
    match text {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

struct Reading<'c> {
    content: &'c [u8],
    attached: Attached,
    /// Objects that are nothing but a number.
    values: BTreeMap<u64, Vec<usize>>,
    /// Bytes that may still be unpacked, and read.
    left: usize,
    work: Work,
    /// A stream was damaged since this was taken.
    is_damaged: bool,
    stream_ends: Vec<usize>,
    object_ends: Vec<usize>,
    keep: &'c mut dyn FnMut(&[u8]),
}

impl Reading<'_> {
    /// Unpacks a stream; `false` when that is more than is read.
    fn stream(&mut self, stream: &Stream<'_>) -> bool {
        let content = self.content;
        let Stream { place, dictionary, named, .. } = stream;
        let rest = content.get(place.at + 6..).unwrap_or_default();
        let strict = line_end(rest);
        let predictor = stream.predictor();
        // Blanks may be the stream's own, or stand before the line's end.
        let loose = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line = match line_end(rest.get(blanks..).unwrap_or_default()) {
            0 => strict,
            width => blanks + width,
        };
        let lengths = dictionary.lengths();
        let certain = self.certain_end(stream);
        let mut starts = vec![strict, loose, line];
        // Some pass over what stands on the line of the word.
        let next_line = rest.iter().take(MAX_JUNK).position(|byte| matches!(byte, b'\n' | b'\r'));
        if let Some(at) = next_line.filter(|_| certain.is_some()) {
            starts.push(at + line_end(rest.get(at..).unwrap_or_default()));
        }
        starts.sort_unstable();
        starts.dedup();
        for start in starts {
            let from = place.at + 6 + start;
            let ends = match certain {
                Some(end) => vec![end.max(from)],
                None => self.ends(from, &lengths),
            };
            let longest = if certain.is_some() { ends.first().copied() } else { None };
            let stream = content.get(from..longest.unwrap_or(content.len())).unwrap_or_default();
            let ends: Vec<usize> = ends.into_iter().map(|end| end - from).collect();
            if named.is_empty() && self.attached.is_any() {
                for end in &ends {
                    let stream = stream.get(..*end).unwrap_or_default();
                    if !self.work.spend(stream.len()) {
                        return false;
                    }
                    (self.keep)(stream);
                }
            }
            let how = How { predictor, first_object: dictionary.first_object(), filters: MAX_FILTERS };
            if !self.unpack(stream, &ends, how, named) {
                return false;
            }
        }
        true
    }

    /// Whether it is a damaged stream of objects: more of them, and what they attach, come out of lax readers.
    fn has_lost_objects(&self, stream: &Stream<'_>) -> bool {
        self.is_damaged && stream.dictionary.has("/ObjStm")
    }

    /// What the length may be, with the values of objects that hold it.
    fn known(&self, lengths: &Lengths) -> Vec<usize> {
        let referred = lengths.references.iter().filter_map(|object| self.values.get(object)).flatten();
        lengths.numbers.iter().chain(referred).copied().collect()
    }

    /// How long a stream is by its dictionary, if that is plain, and the word that ends it follows there.
    fn length(&self, stream: &Stream<'_>) -> Option<usize> {
        let length = match stream.plain.as_ref()?.length()? {
            Length::Number(length) => length,
            Length::Reference(object) => match self.values.get(&object)?[..] {
                [length] => length,
                _ => return None,
            },
        };
        let from = stream.place.at + 6;
        let after = from + line_end(self.content.get(from..)?);
        let rest = self.content.get(after.checked_add(length)?..)?;
        rest.trim_ascii_start().starts_with(b"endstream").then_some(length)
    }

    /// Where a stream ends for every reader: the word that ends it follows there, and not before.
    fn certain_end(&self, stream: &Stream<'_>) -> Option<usize> {
        let (from, length) = (stream.place.at + 6, self.length(stream)?);
        let end = from + line_end(self.content.get(from..)?) + length;
        let next = *self.stream_ends.get(self.stream_ends.partition_point(|end| *end < from))?;
        (next >= end).then_some(end)
    }

    /// Where a stream that begins at `from` may end: by each length, before each word that ends one, and where its object ends.
    fn ends(&self, from: usize, lengths: &Lengths) -> Vec<usize> {
        let mut ends: Vec<usize> = Vec::new();
        let next = |all: &[usize]| all.partition_point(|end| *end < from);
        let object_end = self.object_ends.get(next(&self.object_ends)).copied().unwrap_or(self.content.len());
        let streams = next(&self.stream_ends)..self.stream_ends.len();
        let in_object = self.stream_ends.partition_point(|end| *end < object_end);
        let last = in_object.checked_sub(1).filter(|last| *last >= streams.start);
        let places = streams.take(MAX_ENDS).chain(last).filter_map(|at| self.stream_ends.get(at).copied());
        for end in places.chain([object_end]) {
            // The line's end before the word is the stream's own to some.
            let stream = self.content.get(from..end).unwrap_or_default();
            let line = stream.strip_suffix(b"\n").unwrap_or(stream);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            ends.extend([stream.len(), line.len()]);
        }
        for length in self.known(lengths).into_iter().take(MAX_ENDS) {
            ends.extend([length, length.saturating_add(READ_PAST)]);
        }
        let most = self.content.len().saturating_sub(from);
        let mut ends: Vec<usize> = ends.into_iter().map(|end| from + end.min(most)).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Unpacks what may end at each of `ends`, by all filters whose marks it bears, and by those that are `named`.
    fn unpack(&mut self, stream: &[u8], ends: &[usize], how: How, named: &[usize]) -> bool {
        let Some(filters) = how.filters.checked_sub(1) else {
            return !filters::is_marked(stream) && named.is_empty();
        };
        let how = How { filters, ..how };
        let readings = filters::readings(stream, ends, named, &mut self.work);
        self.is_damaged |= readings.is_damaged;
        for (reading, named) in readings.found {
            if reading.len() >= MAX_OUTPUT || self.work.left == 0 {
                return false;
            }
            let Some(left) = self.left.checked_sub(reading.len()) else { return false };
            self.left = left;
            self.work.grant(reading.len());
            self.attached.add(Attached::of(&reading));
            if let Some(first) = how.first_object {
                self.add_values(&reading, first);
            }
            (self.keep)(&reading);
            if let Some(predictor) = how.predictor {
                let undone = predictor.undo(&reading);
                let Some(left) = self.left.checked_sub(undone.len()) else { return false };
                self.left = left;
                (self.keep)(&undone);
                if !self.unpack(&undone, &[], how, named) {
                    return false;
                }
            }
            if !self.unpack(&reading, &[], how, named) {
                return false;
            }
        }
        self.work.left > 0
    }

    /// Adds the numbers among the objects of a stream of objects, of which `first` is the place of the first: a list of their own numbers
    /// and of their places is before it.
    fn add_values(&mut self, objects: &[u8], first: usize) {
        let Some((list, objects)) = objects.split_at_checked(first) else { return };
        let mut words = list.split(|byte| is_pdf_space(*byte)).filter_map(number);
        while let Some((own, at)) = words.next().zip(words.next()) {
            let text = usize::try_from(at).ok().and_then(|at| objects.get(at..)).unwrap_or_default();
            let word = text.split(|byte| !byte.is_ascii_digit()).next().and_then(number);
            if let Some(value) = word.and_then(|value| usize::try_from(value).ok()) {
                self.values.entry(own).or_default().push(value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
