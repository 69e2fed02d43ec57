//! What two sets of members differ in, line by line.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use nacre_clamav::{cvd::COPYING, unpacked::Unpacked};
use serde::Serialize;

use super::{
    super::{file_kind::extension, source::Location},
    Side,
};

/// What was found, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Comparison<'a> {
    old: Described,
    new: Described,
    members_added: Vec<&'a str>,
    members_removed: Vec<&'a str>,
    /// The members that differ, those that were added or removed among them.
    members: BTreeMap<&'a str, MemberChange<'a>>,
    /// The CDIFF that was written.
    cdiff: Option<String>,
}

#[derive(Debug, Serialize)]
struct Described {
    path: String,
    version: Option<u32>,
}

#[derive(Debug, Serialize)]
struct MemberChange<'a> {
    added: usize,
    removed: usize,
    lines_added: Vec<Cow<'a, str>>,
    lines_removed: Vec<Cow<'a, str>>,
}

impl<'a> Comparison<'a> {
    pub(super) fn of(old: (&Side, &'a Unpacked<'_>), new: (&Side, &'a Unpacked<'_>), cdiff: Option<&Location>) -> Self {
        let described = |side: &Side| Described { path: side.location.to_string(), version: side.version() };
        let names = |unpacked: &'a Unpacked<'_>| -> BTreeSet<&'a str> {
            let is_compared = |name: &&str| *name != COPYING && extension(name) != "info";
            unpacked.members.keys().map(String::as_str).filter(is_compared).collect()
        };
        let (old_names, new_names) = (names(old.1), names(new.1));
        let bytes = |unpacked: &'a Unpacked<'_>, name: &str| unpacked.members.get(name).map(|bytes| &**bytes);
        let change = |name: &&'a str| {
            let (old, new) = (bytes(old.1, name), bytes(new.1, name));
            (old != new).then(|| (*name, MemberChange::between(old.unwrap_or_default(), new.unwrap_or_default())))
        };
        Self {
            members_added: new_names.difference(&old_names).copied().collect(),
            members_removed: old_names.difference(&new_names).copied().collect(),
            members: old_names.union(&new_names).filter_map(change).collect(),
            old: described(old.0),
            new: described(new.0),
            cdiff: cdiff.map(Location::to_string),
        }
    }

    /// What people read.
    pub(super) fn lines(&self) -> Vec<String> {
        let side = |described: &Described, sign| {
            let version = described.version.map(|version| format!(" version {version}")).unwrap_or_default();
            format!("{sign} {}{version}", described.path)
        };
        let mut lines = vec![side(&self.old, "---"), side(&self.new, "+++")];
        for (name, MemberChange { added, removed, .. }) in &self.members {
            let remark = match () {
                () if self.members_added.contains(name) => ", a new member",
                () if self.members_removed.contains(name) => ", a removed member",
                () if *added == 0 && *removed == 0 => ", the same lines in another order or form",
                () => "",
            };
            lines.push(format!("{name}: {added} added, {removed} removed{remark}"));
        }
        if self.members.is_empty() {
            lines.push("no differences".into());
        }
        lines.extend(self.cdiff.iter().map(|cdiff| format!("{cdiff}: written")));
        lines
    }
}

impl<'a> MemberChange<'a> {
    fn between(old: &'a [u8], new: &'a [u8]) -> Self {
        let (lines_added, lines_removed) = (only_in(new, old), only_in(old, new));
        Self { added: lines_added.len(), removed: lines_removed.len(), lines_added, lines_removed }
    }
}

/// The lines of one text that another has not, or not as often; in their order.
fn only_in<'a>(text: &'a [u8], other: &[u8]) -> Vec<Cow<'a, str>> {
    let mut spare: HashMap<&[u8], usize> = HashMap::new();
    for line in lines(other) {
        *spare.entry(line).or_default() += 1;
    }
    let mut is_spare = |line: &&[u8]| match spare.get_mut(*line) {
        Some(count @ 1..) => {
            *count -= 1;
            true
        }
        _ => false,
    };
    lines(text).filter(|line| !is_spare(line)).map(String::from_utf8_lossy).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_a_multiset() {
        assert_eq!(only_in(b"a\nb\na\na\n", b"a\nc\n"), ["b", "a", "a"]);
        assert_eq!(only_in(b"a\nb", b"b\na\n"), [""; 0], "neither order nor the last line feed counts");
        assert_eq!(only_in(b"a\n\n\xff\n", b"a\n"), ["", "\u{fffd}"]);
        assert_eq!(only_in(b"", b"a\n"), [""; 0]);
    }
}
