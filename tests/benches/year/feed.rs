//! The definitions of each day, as far as they change.

use std::collections::{BTreeMap, VecDeque};

use nacre_clamav::{delta::SignatureFile, signature::Kind};
use nacre_test_support::Random;

use crate::assumptions::FeedRow;

/// The lines of every row on one day.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    rows: Vec<Row<'a>>,
    random: Random,
    made: u64,
}

#[derive(Debug)]
struct Row<'a> {
    assumed: &'a FeedRow,
    lines: VecDeque<String>,
    is_absent: bool,
}

/// Files by their names, each with its lines.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

impl<'a> Feed<'a> {
    /// The definitions before the first day.
    pub(crate) fn new(rows: &'a [FeedRow], seed: u64) -> Self {
        let mut feed = Self { rows: Vec::new(), random: Random::new(seed), made: 0 };
        for assumed in rows {
            let lines = (0..assumed.initial).map(|_| feed.line(&assumed.line)).collect();
            feed.rows.push(Row { assumed, lines, is_absent: false });
        }
        feed
    }

    /// Goes on to a day, from 1. Returns what was changed.
    pub(crate) fn go_on_to(&mut self, day: u64) -> Vec<&'a str> {
        let mut changed = Vec::new();
        for at in 0..self.rows.len() {
            let Some(assumed) = self.rows.get(at).map(|row| row.assumed) else { continue };
            let is_its_day = day.is_multiple_of(assumed.every) && assumed.added + assumed.removed > 0;
            let added: Vec<String> =
                if is_its_day { (0..assumed.added).map(|_| self.line(&assumed.line)).collect() } else { Vec::new() };
            let Some(row) = self.rows.get_mut(at) else { continue };
            let is_absent = assumed.absent_on.contains(&day);
            if is_its_day {
                // A feed that begins empty has nothing to remove at first.
                let removed = assumed.removed.min(row.lines.len() as u64);
                row.lines.drain(..usize::try_from(removed).unwrap_or_default());
                row.lines.extend(added);
            }
            if is_its_day || row.is_absent != is_absent {
                changed.push(assumed.what.as_str());
            }
            row.is_absent = is_absent;
        }
        changed
    }

    /// All files.
    pub(crate) fn files(&self) -> Files {
        let mut files = Files::new();
        for row in self.rows.iter().filter(|row| !row.is_absent) {
            let file = files.entry(row.assumed.file.clone()).or_default();
            for line in &row.lines {
                file.extend_from_slice(line.as_bytes());
                file.push(b'\n');
            }
        }
        files
    }

    fn line(&mut self, form: &str) -> String {
        self.made += 1;
        let size = 1000 + self.random.next() % 9_000_000;
        form.replace("{name}", &format!("Year{}", self.made))
            .replace("{size}", &size.to_string())
            .replace("{hex}", &self.random.hex(4))
            .replace("{fuzzy}", &self.random.hex(1))
            .replace("{md5}", &self.random.hex(2))
            .replace("{sha256}", &self.random.hex(4))
    }
}

/// The files of two days that a delta needs: those that differ, or all where ignored names do.
pub(crate) fn that_differ(old: &Files, new: &Files) -> (Vec<SignatureFile<'static>>, Vec<SignatureFile<'static>>) {
    let differs = |name: &String| old.get(name) != new.get(name);
    let all = old.keys().chain(new.keys()).any(|name| Kind::of(name) == Kind::Ignore && differs(name));
    let take = |files: &Files| {
        let files = files.iter().filter(|(name, _)| all || differs(name) || Kind::of(name) == Kind::Ignore);
        files.map(|(name, bytes)| SignatureFile::member("daily.cld", true, name.clone(), bytes.clone())).collect()
    };
    (take(old), take(new))
}
