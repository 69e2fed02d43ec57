//! The sections of programs beside libclamav's own: no section that libclamav hashes may be missing.
//!
//! With a signature of any size loaded, libclamav hashes every section, and says so when it debugs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::format_collect,
    reason = "a test that panics fails, as it should"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use md5::{Digest, Md5};
use nacre_scan_set::pe;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use tempfile::TempDir;

/// Where Debian's package `clamav-testfiles` puts them.
const TEST_FILES: &str = "/usr/share/clamav-testfiles";

/// Size and MD5 of a section, as `mdb` signatures name them.
type Hashed = (u64, String);

/// libclamav, which says what it hashes.
struct Oracle {
    database: TempDir,
}

impl Oracle {
    fn new() -> Option<Self> {
        if Command::new("clamscan").arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("skipped: clamscan is not installed");
            return None;
        }
        let database = TempDir::new().unwrap();
        fs::write(database.path().join("any.mdb"), format!("*:{}:Any:73\n", "0".repeat(32))).unwrap();
        Some(Self { database })
    }

    /// What libclamav hashes of a file and all that it unpacks, and what we see in the same contents.
    fn ask(&self, file: &Path) -> (BTreeSet<Hashed>, BTreeSet<Hashed>) {
        let layers = TempDir::new().unwrap();
        let output = Command::new("clamscan")
            .args(["--debug", "--leave-temps=yes", "--allmatch", "--no-summary", "--database"])
            .arg(self.database.path())
            .arg(format!("--tempdir={}", layers.path().display()))
            .arg(file)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("LibClamAV debug"), "{text}");
        let hashed = text.lines().filter_map(|line| {
            let (size, md5) = line.split_once("MDB hashset: ")?.1.split_once(':')?;
            Some((size.parse().ok()?, md5.to_owned()))
        });
        let hashed: BTreeSet<Hashed> = hashed.collect();
        let files = walk(layers.path()).into_iter().chain([file.to_owned()]);
        let ours = files.flat_map(|path| ours_anywhere(&fs::read(path).unwrap())).collect();
        (hashed, ours)
    }
}

fn ours(content: &[u8]) -> BTreeSet<Hashed> {
    let sections = pe::sections(content).into_iter();
    sections.map(|section| (section.size.into(), hex::encode(Md5::digest(section.of(content))))).collect()
}

/// Of a program at the start, and of those within: libclamav leaves no file of a layer that lies in another as it is.
fn ours_anywhere(content: &[u8]) -> BTreeSet<Hashed> {
    let starts = content.windows(2).enumerate().filter(|(_, bytes)| *bytes == b"MZ" || *bytes == b"ZM");
    starts.flat_map(|(at, _)| ours(&content[at..])).collect()
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

fn test_files() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(TEST_FILES) else {
        println!("skipped: {TEST_FILES} is not installed");
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_sections_of_real_programs_are_libclamavs() {
    let Some(oracle) = Oracle::new() else { return };
    let (mut seen, mut exact) = (0, 0);
    for file in test_files() {
        let (hashed, ours) = oracle.ask(&file);
        let missing: Vec<_> = hashed.difference(&ours).collect();
        assert!(missing.is_empty(), "{}: {missing:?} of {hashed:?}", file.display());
        seen += hashed.len();
        exact += usize::from(!hashed.is_empty() && hashed == ours);
    }
    println!("{seen} sections, and no other in {exact} files with programs");
    assert!(seen > 50 || !Path::new(TEST_FILES).exists());
}

/// The number of mutants; more of them by `NACRE_DIFFERENTIAL_CASES`.
#[expect(clippy::disallowed_methods, reason = "a test is its own composition root")]
fn cases() -> usize {
    env::var("NACRE_DIFFERENTIAL_CASES")
        .ok()
        .and_then(|cases| cases.parse::<usize>().ok())
        .map_or(100, |cases| cases * 20)
}

#[test]
fn no_section_of_a_program_with_changed_headers_is_missing() {
    let Some(oracle) = Oracle::new() else { return };
    let programs: Vec<Vec<u8>> = test_files().into_iter().map(|path| fs::read(path).unwrap()).collect();
    let programs: Vec<_> = programs.into_iter().filter(|content| !pe::sections(content).is_empty()).collect();
    if programs.is_empty() {
        return;
    }
    // Words that headers have, or that lie just beside what they may have.
    let word = proptest::prop_oneof![
        proptest::sample::select(vec![
            0_u32,
            1,
            2,
            0x1ff,
            0x200,
            0x201,
            0x400,
            0x1000,
            0x1001,
            0x10000,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_fe00,
            0xffff_ffff,
        ]),
        0_u32..0x4000,
        proptest::num::u32::ANY,
    ];
    let change = (0_usize..0x60, 0_usize..40, word);
    let mutant = (0..programs.len(), proptest::collection::vec(change, 1..5), 0_u8..8);
    let (mut runner, directory) = (TestRunner::deterministic(), TempDir::new().unwrap());
    let path = directory.path().join("mutant.exe");
    let (mut seen, mut extra) = (0, 0);
    for _ in 0..cases() {
        let (program, changes, cut) = mutant.new_tree(&mut runner).unwrap().current();
        let mut content = programs[program].clone();
        let header = u32::from_le_bytes(content[60..64].try_into().unwrap()) as usize;
        let optional = usize::from(u16::from_le_bytes([content[header + 20], content[header + 21]]));
        for (place, field, word) in changes {
            // Half of the changes are to the fields of the section table.
            let at = if place < 0x30 {
                header + 6 + place * 2
            } else {
                header + 24 + optional + place % 4 * 40 + field / 4 * 4
            };
            if let Some(bytes) = content.get_mut(at..at + 4) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
        if cut == 0 {
            content.truncate(content.len() * 2 / 3);
        }
        fs::write(&path, &content).unwrap();
        let (hashed, ours) = oracle.ask(&path);
        let missing: Vec<_> = hashed.difference(&ours).collect();
        if !missing.is_empty() {
            let kept = env::temp_dir().join("nacre-missing-section.exe");
            fs::copy(&path, &kept).unwrap();
            panic!("{missing:?} of {hashed:?} in {}", kept.display());
        }
        seen += hashed.len();
        extra += ours.difference(&hashed).count();
    }
    println!("{seen} sections in {} mutants, none missing, {extra} more of ours", cases());
    assert!(seen > cases() / 4, "libclamav accepts many of them");
}
