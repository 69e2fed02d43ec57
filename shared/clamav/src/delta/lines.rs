//! Lines that two sets do not have equally often.

use std::collections::{BTreeMap, BTreeSet};

use super::{DeltaLine, SignatureFile, twins::has_digests};
use crate::{
    ignored::without_line_end,
    signature::{Kind, MAX_LINE, Signature},
};

/// How far ahead a line is searched in the other file before both are put aside.
const LOOK_AHEAD: usize = 64;

/// A line of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Line<'a> {
    pub(super) official: bool,
    pub(super) extension: &'a str,
    pub(super) bytes: &'a [u8],
}

impl<'a> Line<'a> {
    /// The lines of a file of a kind that is compared by lines; what holds no signature is left out.
    pub(super) fn all(file: &'a SignatureFile<'_>) -> impl Iterator<Item = Self> {
        let kind = Kind::of(&file.name);
        let bytes: &[u8] = if is_compared(kind) { &file.bytes } else { &[] };
        let extension = extension_of(&file.name);
        Lines(bytes).filter(|line| !is_blank(line)).map(|bytes| Self { official: file.official, extension, bytes })
    }

    /// The name of its signature.
    pub(super) fn name(&self) -> Option<&'a [u8]> {
        Signature::name_of(Kind::of_extension(self.extension), self.bytes)
    }

    pub(super) fn to_owned(self) -> DeltaLine {
        DeltaLine { official: self.official, extension: self.extension.to_ascii_lowercase(), line: self.bytes.to_vec() }
    }
}

/// Lines without their line feeds.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (line, rest) = match memchr::memchr(b'\n', self.0) {
            Some(end) => (self.0.get(..end)?, self.0.get(end + 1..)?),
            None => (self.0, &[][..]),
        };
        self.0 = rest;
        Some(line)
    }
}

fn is_compared(kind: Kind) -> bool {
    !kind.is_opaque() && !matches!(kind, Kind::Ignore | Kind::Nothing)
}

fn is_blank(line: &[u8]) -> bool {
    // libclamav takes the end of a longer comment for a line.
    (line.starts_with(b"#") && line.len() <= MAX_LINE) || without_line_end(line).is_empty()
}

/// The extension of a file.
pub(super) fn extension_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// What [`uneven_lines`] returns.
#[derive(Debug, Default)]
pub(super) struct Uneven<'a> {
    /// Lines that the two sets do not have equally often, and how many more the newer has.
    pub(super) counts: BTreeMap<Line<'a>, i64>,
    /// Digests that went from one loose file to another.
    pub(super) moved: BTreeSet<Line<'a>>,
}

/// The lines that the two sets do not have equally often, and how many more the newer has.
///
/// Databases change little from one version to the next, and keep their order: most lines meet their like at once.
pub(super) fn uneven_lines<'a>(old: &[&'a SignatureFile<'_>], new: &[&'a SignatureFile<'_>]) -> Uneven<'a> {
    let mut uneven = Uneven::default();
    let mut put_aside = |line: Line<'a>, more: i64| {
        let count = uneven.counts.entry(line).or_insert(0);
        *count += more;
        if *count == 0 {
            uneven.counts.remove(&line);
        }
    };
    let (before, now) = (by_name(old), by_name(new));
    let mut loose = (BTreeSet::new(), BTreeSet::new());
    let alone = |files: &[&'a SignatureFile<'_>], of: &mut BTreeSet<Line<'a>>| {
        let files = files.iter().filter(|file| file.container.is_none() && has_digests(Kind::of(&file.name)));
        of.extend(files.flat_map(|file| Line::all(file)));
    };
    for (name, files) in &before {
        match (files.as_slice(), now.get(name).map(Vec::as_slice)) {
            ([file], Some([twin])) if file.bytes == twin.bytes => {}
            ([file], Some([twin])) => compare(file, twin, &mut put_aside),
            // Which is which is unknown.
            (files, twins) => {
                files.iter().copied().flat_map(Line::all).for_each(|line| put_aside(line, -1));
                let twins = twins.unwrap_or_default();
                twins.iter().copied().flat_map(Line::all).for_each(|line| put_aside(line, 1));
                alone(files, &mut loose.0);
                alone(twins, &mut loose.1);
            }
        }
    }
    for (_, files) in now.iter().filter(|(name, _)| !before.contains_key(*name)) {
        files.iter().copied().flat_map(Line::all).for_each(|line| put_aside(line, 1));
        alone(files, &mut loose.1);
    }
    uneven.moved = loose.0.intersection(&loose.1).copied().collect();
    uneven
}

/// Files by origin and name; databases may have members of the same name.
fn by_name<'a, 'f>(files: &[&'a SignatureFile<'f>]) -> BTreeMap<(bool, &'a str), Vec<&'a SignatureFile<'f>>> {
    let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in files {
        by_name.entry((file.official, file.name.as_str())).or_default().push(*file);
    }
    by_name
}

/// Walks two files side by side and puts aside what does not meet its like.
fn compare<'a>(old: &'a SignatureFile<'_>, new: &'a SignatureFile<'_>, put_aside: &mut impl FnMut(Line<'a>, i64)) {
    let (old, new): (Vec<_>, Vec<_>) = (Line::all(old).collect(), Line::all(new).collect());
    let (mut before, mut now) = (old.as_slice(), new.as_slice());
    loop {
        match (before, now) {
            ([], rest) => return put_all_aside(rest, 1, put_aside),
            (rest, []) => return put_all_aside(rest, -1, put_aside),
            ([one, rest_before @ ..], [other, rest_now @ ..]) => {
                if one == other {
                    (before, now) = (rest_before, rest_now);
                } else if let Some(at) = rest_before.iter().take(LOOK_AHEAD).position(|line| line == other) {
                    let (skipped, rest) = before.split_at(at + 1);
                    put_all_aside(skipped, -1, put_aside);
                    before = rest;
                } else if let Some(at) = rest_now.iter().take(LOOK_AHEAD).position(|line| line == one) {
                    let (skipped, rest) = now.split_at(at + 1);
                    put_all_aside(skipped, 1, put_aside);
                    now = rest;
                } else {
                    put_aside(*one, -1);
                    put_aside(*other, 1);
                    (before, now) = (rest_before, rest_now);
                }
            }
        }
    }
}

fn put_all_aside<'a>(lines: &[Line<'a>], more: i64, put_aside: &mut impl FnMut(Line<'a>, i64)) {
    for line in lines {
        put_aside(*line, more);
    }
}
