//! Signatures of one digest: of two that match, libclamav reports one. Of two hashes of a URL one alone counts, too, and one that allows
//! it silences others.
//!
//! libclamav has a table of digests for each algorithm and size, and one for those of any size. It sorts each by digest, not stably, and
//! searches it by halves. So which of two lines of a digest it meets depends on every other line of the table, and on their order.
//!
//! Source: `hm_addhash_bin`, `hm_sort` and `hm_scan` (`matcher-hash.c`) of libclamav 1.4.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{SignatureFile, ignored, lines::Line};
use crate::{
    ignored::Ignored,
    load_order::in_load_order,
    mistaken::{is_of_group, pieces},
    signature::{Kind, hash_digest, number},
    split::field,
};

/// Tables of digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct DigestTables(HashSet<Table>);

/// What the effect of a changed line may depend on: digests that several lines have of a table that two sets do not have alike, each as 64
/// bits of a hash, and the patterns of groups that macros refer to. By chance another digest may have these bits: its lines are compared in
/// vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins {
    tables: DigestTables,
    hashes: BTreeSet<u64>,
    groups: BTreeSet<Vec<u8>>,
}

/// Finds the twins of two sets in the tables that these do not have alike. Of each line it keeps eight bytes: sets have millions.
#[derive(Debug)]
pub struct TwinSearch<'a> {
    old: Vec<&'a SignatureFile<'a>>,
    new: Vec<&'a SignatureFile<'a>>,
    tables: DigestTables,
    both: Vec<u64>,
    groups: BTreeSet<Vec<u8>>,
}

/// A table of digests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Table {
    of: Of,
    /// Digits of a digest: each algorithm has its own number.
    digits: usize,
    size: Size,
}

/// What digests are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Of {
    Files,
    Sections,
    Imports,
}

/// As a line has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Size {
    Any,
    Bytes(u64),
    Unread(Vec<u8>),
}

/// A set's files in the order of loading, and what they ignore.
#[derive(Clone, Copy)]
pub(super) struct Set<'s, 'a> {
    pub(super) files: &'s [&'a SignatureFile<'a>],
    pub(super) ignored: &'s Ignored,
}

impl<'a> Set<'_, 'a> {
    fn digests(self) -> impl Iterator<Item = (&'a SignatureFile<'a>, Line<'a>, Entry<'a>)> {
        let files = self.files.iter().filter(|file| has_digests(Kind::of(&file.name)));
        files.flat_map(|file| Line::all(file).filter_map(move |line| Some((*file, line, Entry::of(line)?))))
    }

    /// What stands in each table, as a digest of its lines in their order, each with the database or the loose file that it is loaded
    /// from: a line that moves to another may pass the lines of files that are not among these.
    fn tables(self) -> HashMap<Table, u64> {
        let mut tables: HashMap<Table, u64> = HashMap::new();
        for (file, line, entry) in self.digests() {
            let ignored = !self.ignored.is_empty() && line.name().is_some_and(|name| self.ignored.covers(name));
            let place = file.database().unwrap_or(&file.name);
            let lines = tables.entry(entry.table).or_default();
            *lines = hash_of(&(*lines, line, ignored, place));
        }
        tables
    }

    /// The lines of each digest that may be a twin.
    fn by_digest(self, twins: &Twins) -> BTreeMap<(Table, Vec<u8>), Vec<Line<'a>>> {
        let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
        if twins.hashes.is_empty() {
            return lines;
        }
        let is_twin = |entry: &Entry<'_>| twins.tables.0.contains(&entry.table) && twins.hashes.contains(&entry.hash());
        for (_, line, Entry { table, digest }) in self.digests().filter(|(_, _, entry)| is_twin(entry)) {
            lines.entry((table, digest.to_ascii_lowercase())).or_default().push(line);
        }
        lines
    }
}

/// A line's digest, as it is written, and its table.
struct Entry<'a> {
    table: Table,
    digest: &'a [u8],
}

impl<'a> Entry<'a> {
    fn of(line: Line<'a>) -> Option<Self> {
        let kind = Kind::of_extension(line.extension);
        let digest = hash_digest(kind, line.bytes)?;
        let of = match kind {
            Kind::FileHash => Of::Files,
            _ if line.extension.eq_ignore_ascii_case("imp") => Of::Imports,
            _ => Of::Sections,
        };
        let size = [0, 1].into_iter().filter_map(|index| field(line.bytes, b':', index)).find(|text| *text != digest);
        let size = match size.unwrap_or_default() {
            b"*" => Size::Any,
            text => read_size(text).map_or_else(|| Size::Unread(text.to_vec()), Size::Bytes),
        };
        Some(Self { table: Table { of, digits: digest.len(), size }, digest })
    }

    fn hash(&self) -> u64 {
        // Of a SHA-256 at most.
        let mut lower = [0; 64];
        let length = self.digest.len().min(lower.len());
        let (lower, _) = lower.split_at_mut(length);
        lower.copy_from_slice(self.digest.get(..length).unwrap_or_default());
        lower.make_ascii_lowercase();
        hash_of(&(&self.table, &*lower))
    }
}

/// A size as `strtoul` reads it: behind blanks and a sign, up to what is no digit.
fn read_size(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    number(text.get(..digits)?)
}

impl DigestTables {
    /// The tables that the two sets do not have alike.
    fn differing(old: Set<'_, '_>, new: Set<'_, '_>) -> Self {
        let (before, now) = (old.tables(), new.tables());
        let all = before.keys().chain(now.keys());
        Self(all.filter(|table| before.get(table) != now.get(table)).cloned().collect())
    }

    /// The digests of a file's lines in these tables.
    fn hashes<'f>(&'f self, file: &'f SignatureFile<'_>) -> impl Iterator<Item = u64> + 'f {
        let lines = has_digests(Kind::of(&file.name)).then(|| Line::all(file)).into_iter().flatten();
        lines.filter_map(Entry::of).filter(|entry| self.0.contains(&entry.table)).map(|entry| entry.hash())
    }
}

impl Twins {
    pub(super) fn have(&self, line: Line<'_>) -> bool {
        !self.hashes.is_empty() && Entry::of(line).is_some_and(|entry| self.hashes.contains(&entry.hash()))
    }

    /// Whether a line has a pattern of a group.
    pub(super) fn have_in_group(&self, extension: &str, line: &[u8]) -> bool {
        !self.groups.is_empty() && pieces(Kind::of_extension(extension), line).any(|piece| self.groups.contains(&piece))
    }
}

impl<'a> TwinSearch<'a> {
    /// Begins the search. Files that are in both sets may be left out of both: [`Self::ignore`] and [`Self::add`] take them.
    pub fn between(old: &'a [SignatureFile<'a>], new: &'a [SignatureFile<'a>]) -> Self {
        let (before, now) = (ignored(old), ignored(new));
        let (old, new) = (in_load_order(old), in_load_order(new));
        let tables = DigestTables::differing(Set { files: &old, ignored: &before }, Set { files: &new, ignored: &now });
        let groups = old.iter().chain(&new).flat_map(|file| groups(file)).collect();
        Self { old, new, tables, both: Vec::new(), groups }
    }

    /// Of a file that is in both sets: the tables of those lines that one of these names means, which only one of the sets ignores, are not
    /// alike. All such files must come before the first one that is added.
    pub fn ignore(&mut self, file: &SignatureFile<'_>, names: &BTreeSet<&[u8]>) {
        let lines = has_digests(Kind::of(&file.name)).then(|| Line::all(file)).into_iter().flatten();
        let meant = lines.filter(|line| line.name().is_some_and(|name| Ignored::is_meant(names, name)));
        self.tables.0.extend(meant.filter_map(Entry::of).map(|entry| entry.table));
    }

    /// Adds a file that is in both sets.
    pub fn add(&mut self, file: &SignatureFile<'_>) {
        self.both.extend(self.tables.hashes(file));
        self.groups.extend(groups(file));
    }

    /// The twins, and whether the files that were added have lines of them.
    pub fn end(self) -> (Twins, bool) {
        let mut hashes = BTreeSet::new();
        for files in [&self.old, &self.new] {
            let mut all: Vec<u64> = files.iter().flat_map(|file| self.tables.hashes(file)).collect();
            all.extend(&self.both);
            all.sort_unstable();
            let repeated = all.iter().zip(all.iter().skip(1)).filter(|(one, next)| one == next);
            hashes.extend(repeated.map(|(one, _)| *one));
        }
        let is_any = self.both.iter().any(|hash| hashes.contains(hash));
        (Twins { tables: self.tables, hashes, groups: self.groups }, is_any)
    }
}

/// The patterns of a file's groups that macros refer to.
fn groups(file: &SignatureFile<'_>) -> impl Iterator<Item = Vec<u8>> {
    let kind = Kind::of(&file.name);
    let lines = (kind == Kind::Body).then(|| Line::all(file)).into_iter().flatten();
    lines.filter(move |line| is_of_group(kind, line.bytes)).flat_map(move |line| pieces(kind, line.bytes))
}

fn hash_of(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Lines of digests that several lines have, in tables that the two sets do not have alike.
pub(super) fn rearranged<'a>(old: Set<'_, 'a>, new: Set<'_, 'a>, twins: &Twins) -> BTreeSet<Line<'a>> {
    let (mut before, now) = (old.by_digest(twins), new.by_digest(twins));
    let mut rearranged = BTreeSet::new();
    for (digest, lines) in now {
        let earlier = before.remove(&digest).unwrap_or_default();
        if lines.len().max(earlier.len()) > 1 {
            rearranged.extend(lines.into_iter().chain(earlier));
        }
    }
    rearranged
}

pub(super) fn has_digests(kind: Kind) -> bool {
    matches!(kind, Kind::FileHash | Kind::ProgramHash)
}

/// Whether the two sets have other hashes of URLs, or these in other files or another order. Which of several lines of a hash counts
/// depends on it, and a line that allows a URL (`S:W:`) takes back what the others say.
///
/// Source: `add_hash` (`regex_list.c`) and `url_hash_match` (`phishcheck.c`) of libclamav 1.4.
pub(super) fn url_hashes_differ(old: &[&SignatureFile<'_>], new: &[&SignatureFile<'_>]) -> bool {
    !url_hashes(old).eq(url_hashes(new))
}

fn url_hashes<'a>(files: &'a [&'a SignatureFile<'_>]) -> impl Iterator<Item = (Option<&'a str>, &'a str, &'a [u8])> {
    files.iter().filter(|file| Kind::of(&file.name) == Kind::Phishing).flat_map(|file| {
        let hashes = Line::all(file).filter(|line| line.bytes.starts_with(b"S"));
        hashes.map(|line| (file.database(), file.name.as_str(), line.bytes))
    })
}
