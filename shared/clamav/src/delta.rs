//! What changed from one set of signatures to another.
//!
//! A delta counts lines: how many more of each the newer set has, or fewer. Deltas therefore compose by addition, a signature that
//! was added and taken back vanishes, and the delta from the newer set to the older is the same one with its signs turned.

mod collect;
mod ignoring;
mod lines;
mod text;
mod twins;
mod unread;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, btree_map::Entry as MapEntry},
};

use ignoring::Ignoring;
pub use ignoring::ignored;
use lines::{Line, Uneven, extension_of, uneven_lines};
use sha2::{Digest, Sha256};
pub use text::DeltaError;
use twins::{Set, rearranged, url_hashes_differ};
pub use twins::{TwinSearch, Twins};

use crate::{
    ignored::Ignored,
    load_order::in_load_order,
    mistaken::{may_be_mistaken, may_rules_be_mistaken},
    pattern_length::may_rules_exceed_probes,
    signature::{Kind, Signature},
};

/// One file of a set: a member of a database, or a loose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFile<'a> {
    /// Whether it is of a signed database, and not the operator's own.
    pub official: bool,
    /// File name of the database whose member it is, such as `daily.cvd`; `None` for a loose file.
    pub container: Option<String>,
    /// Its name, such as `daily.ndb`.
    pub name: String,
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> SignatureFile<'a> {
    /// A loose file.
    pub fn loose(name: impl Into<String>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { official: false, container: None, name: name.into(), bytes: bytes.into() }
    }

    /// A member of a database. Members must stand in a set as they stand in their database.
    pub fn member(
        container: impl Into<String>,
        official: bool,
        name: impl Into<String>,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Self {
        Self { official, container: Some(container.into()), name: name.into(), bytes: bytes.into() }
    }

    /// The database whose member it is, whatever the kind of its file.
    pub fn database(&self) -> Option<&str> {
        self.container.as_deref().map(|file| file.rsplit_once('.').map_or(file, |(stem, _)| stem))
    }

    /// The file with those of its lines alone that one of these ignored names means, or that are of one of these digests; where there are
    /// names, opaque kinds stay as they are.
    #[must_use]
    pub fn concerned_by(self, names: &BTreeSet<&[u8]>, twins: &Twins) -> SignatureFile<'static> {
        let mut bytes = Vec::new();
        // An unread line may have a name that we do not know.
        if Kind::of(&self.name).is_opaque() && !names.is_empty() {
            bytes = self.bytes.clone().into_owned();
        }
        for line in Line::all(&self) {
            let is_meant = || line.name().is_some_and(|name| Ignored::is_meant(names, name));
            if twins.have(line) || (!names.is_empty() && is_meant()) {
                bytes.extend_from_slice(line.bytes);
                bytes.push(b'\n');
            }
        }
        SignatureFile { official: self.official, container: self.container, name: self.name, bytes: bytes.into() }
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

/// Extension of marks that say that everything is concerned.
const EVERYTHING: &str = "ign2";

/// What the extension of marks begins with for digests of which another line may now be reported than before, for hashes of URLs, for
/// digests of import tables that are the first or were the last, and for rules that change how others count.
const MOVED: &str = "moved-";

/// The extension of digests of import tables.
const IMPORTS: &str = "imp";

impl DeltaLine {
    /// The extension of the file of a digest that changed its place among others; `None` for lines that are counted.
    pub fn moved(&self) -> Option<&str> {
        self.extension.strip_prefix(MOVED)
    }

    fn everything(line: &[u8]) -> Self {
        Self { official: false, extension: EVERYTHING.to_owned(), line: line.to_vec() }
    }

    /// The mark of all lines of an extension.
    fn all_moved(extension: &str) -> Self {
        Self { official: false, extension: format!("{MOVED}{extension}"), line: b"*".to_vec() }
    }

    /// Whether it says that something happened on the way, which nothing later takes back.
    pub fn is_mark(&self) -> bool {
        self.extension == EVERYTHING || self.moved().is_some()
    }
}

/// The count of a mark.
const ONCE: Count = Count { raw: 1, effective: 1 };

impl Delta {
    /// What leads from `old` to `new`.
    pub fn between(old: &[SignatureFile<'_>], new: &[SignatureFile<'_>]) -> Self {
        let (twins, _) = TwinSearch::between(old, new).end();
        Self::with_twins(old, new, &twins)
    }

    /// What leads from `old` to `new`, whose twins are known. Files that are in both may be left out of both, but for the lines that other
    /// ignored names ([`ignored`]) and these twins concern ([`SignatureFile::concerned_by`]); `ign` and `ign2` files never may.
    pub fn with_twins(old: &[SignatureFile<'_>], new: &[SignatureFile<'_>], twins: &Twins) -> Self {
        let (old, new) = (in_load_order(old), in_load_order(new));
        let (before, now) = (Ignoring::of(&old), Ignoring::of(&new));
        let mut delta = Self::default();
        let Uneven { counts, moved } = uneven_lines(&old, &new);
        for (line, more) in counts {
            let name = line.name();
            // Lines whose being ignored changed are counted below.
            let covered = name.is_some_and(|name| before.all.covers(name) || now.all.covers(name));
            delta.add(line.to_owned(), Count { raw: more, effective: if covered { 0 } else { more } });
        }
        let tables = |files, ignored| Set { files, ignored };
        for line in moved.into_iter().chain(rearranged(tables(&old, &before.all), tables(&new, &now.all), twins)) {
            let DeltaLine { official, extension, line } = line.to_owned();
            delta.add(DeltaLine { official, extension: format!("{MOVED}{extension}"), line }, ONCE);
        }
        if url_hashes_differ(&old, &new) {
            delta.add(DeltaLine::all_moved("gdb"), ONCE);
        }
        if has_imports(&old) != has_imports(&new) {
            delta.add(DeltaLine::all_moved(IMPORTS), ONCE);
        }
        if !rules_that_reach_others(&old).eq(rules_that_reach_others(&new)) {
            delta.add(DeltaLine::all_moved("yar"), ONCE);
        }
        if mistaken_change_places(&old, &new, &delta) {
            delta.add(DeltaLine::everything(b"mistaken"), ONCE);
        }
        for (files, sign) in [(&old, -1), (&new, 1)] {
            for line in whole_files(files) {
                delta.add(line, Count { raw: sign, effective: sign });
            }
        }
        before.changes(&now, &old, &new, &mut delta);
        let in_group = |line: &&DeltaLine| !line.is_mark() && twins.have_in_group(&line.extension, &line.line);
        for line in delta.lines.keys().filter(in_group).cloned().collect::<Vec<_>>() {
            delta.add(DeltaLine::everything(&line.line), ONCE);
        }
        delta
    }

    fn add(&mut self, line: DeltaLine, count: Count) {
        let is_mark = line.is_mark();
        match self.lines.entry(line) {
            MapEntry::Vacant(entry) => {
                if count != Count::default() {
                    entry.insert(count);
                }
            }
            MapEntry::Occupied(mut entry) => {
                let sum = entry.get_mut();
                // What was marked on the way there is not taken back by the way back.
                *sum = if is_mark {
                    ONCE
                } else {
                    Count { raw: sum.raw + count.raw, effective: sum.effective + count.effective }
                };
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
        for (_, count) in self.lines.iter_mut().filter(|(line, _)| !line.is_mark()) {
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

    /// Names of the signatures that were added, of those that are official or of others: loaded from loose files all are called
    /// `.UNOFFICIAL`.
    pub fn added_names(&self, official: bool) -> BTreeSet<String> {
        let added = self.lines.iter().filter(|(line, count)| line.official == official && count.effective > 0);
        let names = added.filter_map(|(line, _)| {
            Signature::parse(Kind::of_extension(&line.extension), &line.line)?
                .name
                .map(|name| String::from_utf8_lossy(name).into_owned())
        });
        names.collect()
    }
}

/// Whether a set has digests of import tables, be they few or none: where it has a file for them, libclamav reads no program further whose
/// import table is damaged, and unpacks nothing of it (`cli_scanpe` of libclamav 1.4, `pe.c`).
fn has_imports(files: &[&SignatureFile<'_>]) -> bool {
    files.iter().any(|file| extension_of(&file.name).eq_ignore_ascii_case(IMPORTS))
}

/// Rules that may change what other signatures find: by which windows may overlap more than by an engine's own probes, or that may be
/// mistaken for others.
fn rules_that_reach_others<'a>(files: &'a [&'a SignatureFile<'_>]) -> impl Iterator<Item = &'a [u8]> {
    let rules = files.iter().filter(|file| Kind::of(&file.name) == Kind::Yara).map(|file| &*file.bytes);
    rules.filter(|rules| may_rules_exceed_probes(rules) || may_rules_be_mistaken(rules))
}

/// Whether lines that may be mistaken for one another, and did not change, are loaded in another order.
fn mistaken_change_places(old: &[&SignatureFile<'_>], new: &[&SignatureFile<'_>], delta: &Delta) -> bool {
    let stay = |files: &[&SignatureFile<'_>]| -> Vec<(Option<String>, DeltaLine)> {
        let lines =
            files.iter().flat_map(|file| Line::all(file).map(|line| (file.database().map(str::to_owned), line)));
        lines
            .filter(|(_, line)| may_be_mistaken(Kind::of_extension(line.extension), line.bytes))
            .map(|(database, line)| (database, line.to_owned()))
            .filter(|(_, line)| !delta.lines.contains_key(line))
            .collect()
    };
    stay(old) != stay(new)
}

/// The opaque files of a set, each as a line.
fn whole_files(files: &[&SignatureFile<'_>]) -> Vec<DeltaLine> {
    let mut places = BTreeMap::<_, usize>::new();
    let opaque = files.iter().filter(|file| Kind::of(&file.name).is_opaque());
    let lines = opaque.map(|file| {
        let extension = match extension_of(&file.name) {
            "" => file.name.clone(),
            extension => extension.to_ascii_lowercase(),
        };
        // Loose files stand by their names, but members of a database may be in any order, and of two the last or the first counts.
        let place = places.entry((file.container.as_deref(), extension.clone())).or_default();
        *place += 1;
        let database = file.database().map(|database| format!("{database}/")).unwrap_or_default();
        let order = if file.container.is_some() && *place > 1 { format!(" {place}") } else { String::new() };
        let digest = hex::encode(Sha256::digest(&file.bytes));
        let line = format!("{database}{} {digest}{order}", file.name).into_bytes();
        DeltaLine { official: file.official, extension, line }
    });
    lines.collect()
}

#[cfg(test)]
mod tests;
