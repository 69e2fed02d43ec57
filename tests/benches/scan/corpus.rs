//! The files that are scanned: many small ones, few large ones, and among them some that are infected.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    file_kinds::{KINDS, Kind},
    measured::Verdicts,
};
use nacre_test_support::{
    Random,
    bench::{BenchError, system},
};

/// One of so many files is infected; no multiple of the number of kinds, so that each kind has its turn.
const INFECTED_EVERY: u32 = 41;
/// The first that is; among the large ones, too.
const FIRST_INFECTED: u32 = 8;
/// Files of each kind.
const OF_A_KIND: u32 = 4;
/// There are so many times as many small files as large ones.
const SMALL_FOR_EACH_LARGE: u32 = 20;
/// What the body signature finds; no word of any file.
const MARKER: &[u8] = b"nacre-bench-marker-of-something-bad";
/// What it is called.
const BODY: &str = "Bench.Body-1";

/// Files of one directory, and what is in them.
pub(crate) struct Files {
    pub(crate) directory: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) expected: Verdicts,
}

/// The files, and the signatures that find the bad ones, by the extension of their file.
pub(crate) struct Corpus {
    pub(crate) small: Files,
    pub(crate) large: Files,
    /// Those of each kind, by its extension.
    pub(crate) kinds: Vec<(&'static str, Files)>,
    pub(crate) signatures: Vec<(&'static str, String)>,
}

impl Corpus {
    /// Makes so many small files, of 1 to 64 KiB, and the large ones, of 1 to 10 MB, under `scratch`.
    pub(crate) fn make(scratch: &Path, objects: u32) -> Result<Self, BenchError> {
        let mut signatures = vec![("ndb", format!("{BODY}:0:*:{}\n", hex::encode(MARKER)))];
        let small = Files::make(scratch, ("small", &KINDS), objects, (1 << 10, 64 << 10), &mut signatures)?;
        let large = objects / SMALL_FOR_EACH_LARGE;
        let large = Files::make(scratch, ("large", &KINDS), large, (1_000_000, 10_000_000), &mut signatures)?;
        let mut kinds = Vec::new();
        for kind in KINDS {
            let files = Files::make(scratch, (kind.0, &[kind]), OF_A_KIND, (1_000_000, 4_000_000), &mut signatures)?;
            kinds.push((kind.0, files));
        }
        Ok(Self { small, large, kinds, signatures })
    }

    /// How many files are infected.
    pub(crate) fn infected(&self) -> usize {
        [&self.small, &self.large]
            .iter()
            .flat_map(|files| files.expected.values())
            .filter(|names| !names.is_empty())
            .count()
    }
}

impl Files {
    fn make(
        scratch: &Path,
        (size, kinds): (&str, &[Kind]),
        count: u32,
        (least, most): (u64, u64),
        signatures: &mut Vec<(&'static str, String)>,
    ) -> Result<Self, BenchError> {
        let directory = scratch.join(size);
        fs::create_dir_all(&directory).map_err(system("making a directory"))?;
        let mut random = Random::new(most);
        let mut files = Self { directory, bytes: 0, expected: Verdicts::new() };
        for (number, (extension, make)) in (0..count).zip(kinds.iter().cycle()) {
            let bytes = usize::try_from(least + random.next() % (most - least)).unwrap_or_default();
            let bad = number % INFECTED_EVERY == FIRST_INFECTED;
            // By the body signature and by the file's own digest in turn; libclamav looks for no digest of HTML as it is.
            let by_hash = bad && *extension != "html" && number / INFECTED_EVERY % 2 == 1;
            let content = make(bytes, if bad && !by_hash { MARKER } else { b"" }, &mut random);
            let mut names = BTreeSet::new();
            if by_hash {
                let (digest, name) = (hex::encode(Sha256::digest(&content)), format!("Bench.Hash-{number}"));
                signatures.push(("hsb", format!("{digest}:{}:{name}\n", content.len())));
                names.insert(name);
            } else if bad {
                names.insert(BODY.to_owned());
            }
            let file = format!("{size}-{number:05}.{extension}");
            fs::write(files.directory.join(&file), &content).map_err(system("writing a file to scan"))?;
            files.bytes += content.len() as u64;
            files.expected.insert(file, names);
        }
        Ok(files)
    }

    /// The names of the files.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.expected.keys().map(String::as_str).collect()
    }

    /// About so many of them, evenly chosen, with an infected one first.
    pub(crate) fn some(&self, count: usize) -> Vec<&str> {
        let bad = self.expected.iter().find(|(_, names)| !names.is_empty()).map(|(name, _)| name.as_str());
        let step = (self.expected.len() / count).max(1);
        let clean = self.expected.iter().filter(|(_, names)| names.is_empty()).map(|(name, _)| name.as_str());
        bad.into_iter().chain(clean.step_by(step)).take(count).collect()
    }
}
