//! What changed in what is ignored, and in what the ignoring reaches.

use std::collections::{BTreeMap, BTreeSet};

use super::{Count, Delta, DeltaLine, ONCE, SignatureFile, lines::Line, unread::may_be_borne};
use crate::{
    ignored::{Ignored, normalized, without_line_end},
    signature::is_ignoring,
};

/// What the `ign` and `ign2` files of a set say, together and one by one.
pub(super) struct Ignoring<'a> {
    pub(super) all: Ignored,
    /// Each file, in the order of loading: its database, name and bytes.
    files: Vec<(Option<&'a str>, &'a str, &'a [u8])>,
}

/// The names that the `ign` and `ign2` files of a set take out of use.
pub fn ignored(files: &[SignatureFile<'_>]) -> Ignored {
    let mut ignored = Ignored::default();
    for file in files.iter().filter(|file| is_ignoring(&file.name)) {
        ignored.extend(&file.bytes);
    }
    ignored
}

impl<'a> Ignoring<'a> {
    /// Reads the files of a set, which are in the order of loading.
    pub(super) fn of(files: &[&'a SignatureFile<'_>]) -> Self {
        let mut ignoring = Self { all: Ignored::default(), files: Vec::new() };
        for file in files.iter().filter(|file| is_ignoring(&file.name)) {
            ignoring.all.extend(&file.bytes);
            ignoring.files.push((file.database(), &file.name, &file.bytes));
        }
        ignoring
    }

    /// Counts what changed from these in the set `old` to those in the set `new`.
    pub(super) fn changes(
        &self,
        now: &Self,
        old: &[&SignatureFile<'_>],
        new: &[&SignatureFile<'_>],
        delta: &mut Delta,
    ) {
        if self.all.is_empty() && now.all.is_empty() {
            return;
        }
        // Of a line with an MD5 depends what the lines after it mean, and of a line of the old form which signature it means.
        if (self.all.is_complex() || now.all.is_complex()) && self.files != now.files {
            delta.add(DeltaLine::everything(b"*"), ONCE);
        }
        let names = self.all.differing(&now.all);
        if !names.is_empty() {
            self.count_ignored(now, &names, (old, new), delta);
        }
        // Whether a name reaches a line depends on the order in which their files are loaded: the differential test found it.
        let before = self.reach(now, &names, old);
        for (line, places) in self.reach(now, &names, new) {
            if before.get(&line).is_some_and(|before| *before != places) {
                delta.add(DeltaLine::everything(line.1), ONCE);
            }
        }
    }

    /// Counts the lines whose being ignored changed.
    fn count_ignored(
        &self,
        now: &Self,
        names: &BTreeSet<&[u8]>,
        (old, new): (&[&SignatureFile<'_>], &[&SignatureFile<'_>]),
        delta: &mut Delta,
    ) {
        let mut unknown = names.clone();
        for (files, ignored, sign) in [(old, &self.all, -1), (new, &now.all, 1)] {
            for line in files.iter().flat_map(|file| Line::all(file)) {
                let Some(name) = line.name().filter(|name| Ignored::is_meant(names, name)) else { continue };
                unknown.remove(normalized(name).as_ref());
                if !ignored.covers(name) {
                    delta.add(line.to_owned(), Count { raw: 0, effective: sign });
                }
            }
        }
        // What is compared as a whole may have a signature of that name.
        let all: Vec<&SignatureFile<'_>> = old.iter().chain(new).copied().collect();
        for name in unknown.into_iter().filter(|name| may_be_borne(name, &all)) {
            delta.add(DeltaLine::everything(name), ONCE);
        }
    }

    /// In which files each name is ignored, and which lines with an ignored name are loaded after it, so that it reaches them, and which
    /// before it. Names that only one of the sets ignores are left out.
    fn reach<'f>(&self, now: &Self, differing: &BTreeSet<&[u8]>, files: &[&'f SignatureFile<'_>]) -> Reach<'f> {
        let (mut reach, mut so_far) = (Reach::new(), Ignored::default());
        for file in files {
            if is_ignoring(&file.name) {
                so_far.extend(&file.bytes);
                let place = format!("{}/{}", file.database().unwrap_or_default(), file.name);
                for line in file.bytes.split(|byte| *byte == b'\n').map(without_line_end) {
                    if !line.is_empty() {
                        reach.entry((true, line)).or_default().push(place.clone());
                    }
                }
            }
            for line in Line::all(file) {
                let name = line.name().filter(|name| self.all.covers(name) || now.all.covers(name));
                if let Some(name) = name.filter(|name| !Ignored::is_meant(differing, name)) {
                    let place = if so_far.covers(name) { "ignored" } else { "loaded" };
                    reach.entry((false, line.bytes)).or_default().push(place.to_owned());
                }
            }
        }
        for places in reach.values_mut() {
            places.sort_unstable();
        }
        reach
    }
}

/// By whether it is a line that ignores, and the line.
type Reach<'a> = BTreeMap<(bool, &'a [u8]), Vec<String>>;
