//! Our programs beside ClamAV's own, on the same files and definitions. Where `clamscan` is not installed, each test says so.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nacre_clamav::{
    archive::ArchiveLimits,
    builder::{CvdBuilder, eicar, eicar_signature},
    cvd::Cvd,
    database::DatabaseName,
    signing::SigningKeys,
};
use nacre_core::generation::{engine_form::engine_form, manifest::DatabaseEntry};
use nacre_test_support::programs_directory;
use serde_json::Value;

/// Debian's package `clamav-testfiles`.
const TEST_FILES: &str = "/usr/share/clamav-testfiles";

/// Where a Debian system has files of many kinds.
const SYSTEM: [&str; 4] = ["/usr/bin", "/usr/share/doc", "/usr/share/perl5", "/usr/share/fonts"];

/// Most of them that are compared.
const MAX_SYSTEM_FILES: usize = 2_000;

/// Larger ones take both of us long and show nothing more.
const MAX_SYSTEM_FILE: u64 = 1 << 20;

/// Runs a tool of ClamAV's; `None`, saying so, when it is not installed.
fn run(program: &str, arguments: &[&Path]) -> Option<Output> {
    let output = Command::new(program).args(arguments).output();
    if output.is_err() {
        eprintln!("skipped: {program} is not installed");
    }
    output.ok()
}

/// A directory with a database that knows EICAR and the test files' common content, as our builder and engine form make it.
fn definitions() -> tempfile::TempDir {
    let keys = SigningKeys::fixed();
    let hash = "aa15bcf478d165efd2065190eb473bcb:544:ClamAV-Test-File\n";
    let file = CvdBuilder::new("main").member("main.ndb", eicar_signature()).member("main.hdb", hash).build(keys);
    let name = DatabaseName::new("main").unwrap();
    let cvd = Cvd::parse(&file).unwrap().verify(&name, &keys.trust_anchors(), ArchiveLimits::default()).unwrap();
    let (file_name, bytes) = engine_form(&DatabaseEntry::of(&cvd), &file, false).unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(file_name), bytes).unwrap();
    directory
}

/// Files to disagree about: every installed container, and some of our own.
fn corpus() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("eicar.com"), eicar()).unwrap();
    fs::write(directory.path().join("text.txt"), "nothing at all\n").unwrap();
    fs::write(directory.path().join("empty"), "").unwrap();
    let mut files: Vec<PathBuf> = [directory.path(), Path::new(TEST_FILES)]
        .into_iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    (directory, files)
}

/// What `nacre scan --json` says of each file: verdict and signatures.
fn nacre(definitions: &Path, files: &[PathBuf]) -> BTreeMap<String, (String, Vec<String>)> {
    let mut command = Command::new(programs_directory().unwrap().join("nacre"));
    let output = command.args(["scan", "--json", "--definitions"]).arg(definitions).args(files).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let results = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    results
        .map(|result| {
            let signatures = result["signatures"].as_array().unwrap().iter();
            let signatures = signatures.map(|signature| signature.as_str().unwrap().to_owned()).collect();
            (result["path"].as_str().unwrap().to_owned(), (result["verdict"].as_str().unwrap().to_owned(), signatures))
        })
        .collect()
}

#[test]
fn verdicts_are_clamscans() {
    let (_directory, files) = corpus();
    compare(&files);
}

/// Programs, libraries, archives and documents of this very machine, a thousand and more.
#[test]
fn verdicts_on_the_files_of_a_system_are_clamscans() {
    let directory = tempfile::tempdir().unwrap();
    let infected = directory.path().join("eicar.com");
    fs::write(&infected, eicar()).unwrap();
    let (mut files, mut places) = (vec![infected], SYSTEM.map(PathBuf::from).to_vec());
    while let Some(place) = places.pop() {
        let mut entries: Vec<_> = fs::read_dir(place).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                places.push(entry.path());
            } else if metadata.is_file() && metadata.len() < MAX_SYSTEM_FILE && files.len() < MAX_SYSTEM_FILES {
                files.push(entry.path());
            }
        }
    }
    compare(&files);
}

fn compare(files: &[PathBuf]) {
    let definitions = definitions();
    let database: PathBuf = format!("--database={}", definitions.path().display()).into();
    let options =
        [Path::new("--no-summary"), Path::new("--alert-exceeds-max=yes"), Path::new("--allmatch=yes"), &database];
    let arguments: Vec<&Path> = options.into_iter().chain(files.iter().map(PathBuf::as_path)).collect();
    let Some(output) = run("clamscan", &arguments) else { return };
    let ours = nacre(definitions.path(), files);
    let said = String::from_utf8(output.stdout).unwrap();
    let mut theirs: BTreeMap<String, Vec<String>> =
        files.iter().map(|file| (file.display().to_string(), vec![])).collect();
    for line in said.lines() {
        if let Some((path, name)) = line.rsplit_once(": ")
            && let (Some(found), Some(name)) = (theirs.get_mut(path), name.strip_suffix(" FOUND"))
        {
            found.push(name.to_owned());
        }
    }
    for (path, names) in &theirs {
        let (verdict, signatures) = &ours[path];
        let real: Vec<_> = names.iter().filter(|name| !name.starts_with("Heuristics.Limits")).collect();
        assert_eq!(
            verdict == "infected",
            !real.is_empty(),
            "{path}: {verdict} {signatures:?}, clamscan says {names:?}"
        );
        assert!(real.iter().all(|name| signatures.contains(name)), "{path}: {signatures:?}, clamscan says {names:?}");
    }
    assert_eq!(theirs.len(), ours.len());
}

#[test]
fn sigtool_reads_what_our_builder_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.cvd");
    let file = CvdBuilder::new("main").version(62).member("main.ndb", eicar_signature()).build(SigningKeys::fixed());
    fs::write(&path, file).unwrap();
    let info: PathBuf = format!("--info={}", path.display()).into();
    let Some(output) = run("sigtool", &[&info]) else { return };
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("Version: 62") && said.contains("Signatures: 1") && said.contains("Builder: nacre"),
        "{said}"
    );
    let refused = run("clamscan", &[Path::new("--database"), &path, Path::new("/dev/null")]);
    assert!(refused.is_none_or(|output| output.status.code() == Some(2)), "ClamAV trusts no keys but its own");
}
