//! Signatures of one digest that changed places: of two, libclamav reports the one that it loaded last. Of two hashes of a URL one alone
//! counts, too, and one that allows it silences others.

use std::collections::{BTreeMap, BTreeSet};

use super::{SignatureFile, lines::Line};
use crate::signature::{Kind, hash_digest};

/// Bytes by which digests are distinguished at first: few enough to sort those of a whole database.
const PREFIX: usize = 16;

/// Lines of digests that several lines have, where what is in both sets is in another order.
pub(super) fn reordered<'a>(old: &[&'a SignatureFile<'_>], new: &[&'a SignatureFile<'_>]) -> BTreeSet<Line<'a>> {
    let (old, new) = (changed(old, new), changed(new, old));
    let repeated: BTreeSet<u64> = [&old, &new].into_iter().flat_map(|files| repeated(files)).collect();
    if repeated.is_empty() {
        return BTreeSet::new();
    }
    let (before, now) = (by_digest(&old, &repeated), by_digest(&new, &repeated));
    let mut reordered = BTreeSet::new();
    for (digest, lines) in &now {
        let Some(earlier) = before.get(digest) else { continue };
        let kept = |of: &[Line<'a>], others: &[Line<'a>]| -> Vec<Line<'a>> {
            of.iter().filter(|line| others.contains(line)).copied().collect()
        };
        if kept(lines, earlier) != kept(earlier, lines) {
            reordered.extend(lines.iter().copied());
        }
    }
    reordered
}

/// Files of digests that are not the same in the other set.
fn changed<'a, 'f>(files: &[&'a SignatureFile<'f>], others: &[&SignatureFile<'_>]) -> Vec<&'a SignatureFile<'f>> {
    let of_digests = files.iter().filter(|file| has_digests(Kind::of(&file.name)));
    let same = |file: &SignatureFile<'_>, other: &SignatureFile<'_>| {
        (file.official, &file.name) == (other.official, &other.name) && file.bytes == other.bytes
    };
    of_digests.filter(|file| !others.iter().any(|other| same(file, other))).copied().collect()
}

pub(super) fn has_digests(kind: Kind) -> bool {
    matches!(kind, Kind::FileHash | Kind::ProgramHash)
}

/// Prefixes of digests that several lines have.
fn repeated(files: &[&SignatureFile<'_>]) -> Vec<u64> {
    let mut all: Vec<u64> = files.iter().flat_map(|file| Line::all(file)).filter_map(prefix).collect();
    all.sort_unstable();
    let mut repeated: Vec<u64> =
        all.windows(2).filter(|pair| pair.first() == pair.last()).filter_map(|pair| pair.first().copied()).collect();
    repeated.dedup();
    repeated
}

fn prefix(line: Line<'_>) -> Option<u64> {
    let text = hash_digest(Kind::of_extension(line.extension), line.bytes)?.get(..PREFIX)?;
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn by_digest<'a>(files: &[&'a SignatureFile<'_>], repeated: &BTreeSet<u64>) -> BTreeMap<Vec<u8>, Vec<Line<'a>>> {
    let mut lines: BTreeMap<Vec<u8>, Vec<Line<'a>>> = BTreeMap::new();
    for line in files.iter().flat_map(|file| Line::all(file)) {
        if prefix(line).is_none_or(|prefix| !repeated.contains(&prefix)) {
            continue;
        }
        if let Some(digest) = hash_digest(Kind::of_extension(line.extension), line.bytes) {
            lines.entry(digest.to_ascii_lowercase()).or_default().push(line);
        }
    }
    lines
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
