//! What changed from one set of signatures to another.
//!
//! A delta counts lines: how many more of each the newer set has, or fewer. Deltas therefore compose by addition, a signature that
//! was added and taken back vanishes, and the delta from the newer set to the older is the same one with its signs turned.

mod lines;
mod text;
mod unread;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, btree_map::Entry as MapEntry},
};

use lines::{Line, uneven_lines};
use sha2::{Digest, Sha256};
pub use text::DeltaError;
use unread::may_be_borne;

use crate::{
    ignored::Ignored,
    signature::{Kind, Signature},
};

/// One file of a set: a member of a database, or a loose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFile<'a> {
    /// Whether it is a member of a database, and not the operator's own.
    pub official: bool,
    /// Its name, such as `daily.ndb`.
    pub name: String,
    pub bytes: Cow<'a, [u8]>,
}

impl SignatureFile<'_> {
    /// The file with those of its lines alone that have one of these names; kinds whose lines are not
    /// read stay as they are.
    #[must_use]
    pub fn named(self, names: &BTreeSet<&[u8]>) -> SignatureFile<'static> {
        let kind = Kind::of(&self.name);
        let mut bytes = Vec::new();
        // An unread line may have a name that we do not know.
        if kind.is_opaque() || kind == Kind::Context {
            bytes = self.bytes.clone().into_owned();
        }
        for line in Line::all(&self).filter(|_| kind != Kind::Context) {
            let name = Signature::parse(kind, line.bytes).and_then(|signature| signature.name);
            if name.is_some_and(|name| names.contains(name)) {
                bytes.extend_from_slice(line.bytes);
                bytes.push(b'\n');
            }
        }
        SignatureFile { official: self.official, name: self.name, bytes: bytes.into() }
    }
}

/// What a delta counts: a line, or for opaque kinds a file's name and digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeltaLine {
    /// Whether it is of a database, and not the operator's own.
    pub official: bool,
    /// Extension of its file.
    pub extension: String,
    /// The line without its line feed.
    pub line: Vec<u8>,
}

/// How many more of a line the newer set has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// As the files stand.
    pub raw: i64,
    /// Those left out that are ignored by name.
    pub effective: i64,
}

/// What changed from one set of signatures to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Never with counts that are both zero.
    lines: BTreeMap<DeltaLine, Count>,
}

/// Extension under which a delta keeps names that are ignored only in one of the sets, where the named signature is unknown.
const UNKNOWN_NAME: &str = "ign2";

impl Delta {
    /// What leads from `old` to `new`. Files that are in both may be left out of both, unless the two sets ignore different names
    /// ([`ignored`]); `ign2` files never may.
    pub fn between(old: &[SignatureFile<'_>], new: &[SignatureFile<'_>]) -> Self {
        let (ignored_before, ignored_now) = (ignored(old), ignored(new));
        let mut delta = Self::default();
        for (line, more) in uneven_lines(old, new) {
            let covered = |ignored: &Ignored| {
                let signature = Signature::parse(Kind::of(line.extension), line.bytes);
                signature.and_then(|signature| signature.name).is_some_and(|name| ignored.covers(name, line.bytes))
            };
            // Lines whose being ignored changed are counted below.
            let effective = if covered(&ignored_before) || covered(&ignored_now) { 0 } else { more };
            delta.add(line.to_owned(), Count { raw: more, effective });
        }
        for (file, sign) in old.iter().map(|file| (file, -1)).chain(new.iter().map(|file| (file, 1))) {
            if Kind::of(&file.name).is_opaque() {
                delta.add(whole(file), Count { raw: sign, effective: sign });
            }
        }
        delta.count_ignored((old, &ignored_before), (new, &ignored_now));
        if !(ignored_before.is_empty() && ignored_now.is_empty()) {
            let covered =
                |name: &[u8], line: &[u8]| ignored_before.covers(name, line) || ignored_now.covers(name, line);
            delta.count_moved(&places(old, covered), &places(new, covered));
        }
        delta
    }

    /// Counts what moved to another file of that which ignores, and of that which is ignored: whether the one reaches the other depends
    /// on the order in which libclamav loads their files. The differential test found it.
    fn count_moved(&mut self, before: &Places<'_>, now: &Places<'_>) {
        for (line, files) in now {
            if before.get(line).is_some_and(|older| older != files) {
                let line = DeltaLine { official: false, extension: UNKNOWN_NAME.to_owned(), line: line.to_vec() };
                self.add(line, Count { raw: 1, effective: 1 });
            }
        }
    }

    /// Counts the lines whose being ignored changed.
    fn count_ignored(
        &mut self,
        (old, before): (&[SignatureFile<'_>], &Ignored),
        (new, now): (&[SignatureFile<'_>], &Ignored),
    ) {
        let names = before.differing(now);
        if names.is_empty() {
            return;
        }
        let mut unknown = names.clone();
        for (files, ignored, sign) in [(old, before, -1), (new, now, 1)] {
            for line in files.iter().flat_map(Line::all) {
                let signature = Signature::parse(Kind::of(line.extension), line.bytes);
                let Some(name) = signature.and_then(|signature| signature.name).filter(|name| names.contains(name))
                else {
                    continue;
                };
                unknown.remove(name);
                if !ignored.covers(name, line.bytes) {
                    self.add(line.to_owned(), Count { raw: 0, effective: sign });
                }
            }
        }
        let all: Vec<&SignatureFile<'_>> = old.iter().chain(new).collect();
        for name in unknown.into_iter().filter(|name| may_be_borne(name, &all)) {
            let line = DeltaLine { official: false, extension: UNKNOWN_NAME.to_owned(), line: name.to_vec() };
            self.add(line, Count { raw: 1, effective: 1 });
        }
    }

    fn add(&mut self, line: DeltaLine, count: Count) {
        match self.lines.entry(line) {
            MapEntry::Vacant(entry) => {
                if count != Count::default() {
                    entry.insert(count);
                }
            }
            MapEntry::Occupied(mut entry) => {
                let sum = entry.get_mut();
                *sum = Count { raw: sum.raw + count.raw, effective: sum.effective + count.effective };
                if *sum == Count::default() {
                    entry.remove();
                }
            }
        }
    }

    /// What leads from where this begins to where `next` ends, which begins where this ends.
    #[must_use]
    pub fn then(mut self, next: &Self) -> Self {
        for (line, count) in &next.lines {
            self.add(line.clone(), *count);
        }
        self
    }

    /// What leads back.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        for count in self.lines.values_mut() {
            *count = Count { raw: -count.raw, effective: -count.effective };
        }
        self
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What changed, line by line.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = (&DeltaLine, Count)> {
        self.lines.iter().map(|(line, count)| (line, *count))
    }

    /// The signatures that the newer set has and the older had not, as files that an engine can load, by name. Rules of opaque kinds
    /// are not among them.
    pub fn added_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (DeltaLine { official, extension, line }, count) in &self.lines {
            let kind = Kind::of_extension(extension);
            if count.effective <= 0 || kind.is_opaque() || kind.is_context() {
                continue;
            }
            let source = if *official { "added" } else { "added-custom" };
            let file = files.entry(format!("{source}.{extension}")).or_default();
            file.extend_from_slice(line);
            file.push(b'\n');
        }
        files
    }

    /// Names of the official signatures that were added: loaded from loose files they are called `.UNOFFICIAL`.
    pub fn added_official_names(&self) -> BTreeSet<String> {
        let added = self.lines.iter().filter(|(line, count)| line.official && count.effective > 0);
        let names = added.filter_map(|(line, _)| {
            Signature::parse(Kind::of_extension(&line.extension), &line.line)?
                .name
                .map(|name| String::from_utf8_lossy(name).into_owned())
        });
        names.collect()
    }
}

/// The files that lines are in, sorted.
type Places<'a> = BTreeMap<&'a [u8], Vec<&'a str>>;

/// Where the lines are that ignore others, or that others ignore.
fn places<'a>(files: &'a [SignatureFile<'_>], covered: impl Fn(&[u8], &[u8]) -> bool) -> Places<'a> {
    let mut places = Places::new();
    for file in files {
        if Kind::of(&file.name) == Kind::Ignore {
            for line in file.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                places.entry(line).or_default().push(&file.name);
            }
        }
        for line in Line::all(file) {
            let name = Signature::parse(Kind::of(line.extension), line.bytes).and_then(|signature| signature.name);
            if name.is_some_and(|name| covered(name, line.bytes)) {
                places.entry(line.bytes).or_default().push(&file.name);
            }
        }
    }
    for files in places.values_mut() {
        files.sort_unstable();
    }
    places
}

/// The names that the `ign2` files of a set take out of use.
pub fn ignored(files: &[SignatureFile<'_>]) -> Ignored {
    let mut ignored = Ignored::default();
    for file in files.iter().filter(|file| Kind::of(&file.name) == Kind::Ignore) {
        ignored.extend(&file.bytes);
    }
    ignored
}

/// An opaque file as a line.
fn whole(file: &SignatureFile<'_>) -> DeltaLine {
    let extension = file.name.rsplit_once('.').map_or(file.name.as_str(), |(_, extension)| extension).to_owned();
    let line = format!("{} {}", file.name, hex::encode(Sha256::digest(&file.bytes))).into_bytes();
    DeltaLine { official: file.official, extension, line }
}

#[cfg(test)]
mod tests;
