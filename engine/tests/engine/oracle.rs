//! What ordinary tools get out of a file beside what is said of it: no file is clean of which some tool extracts the payload.
//!
//! The cases are built, not collected: each script in `oracle/` makes those of one kind, as files. A case whose name begins with `clean-`
//! is an ordinary file, which must be clean; of one whose name begins with `malware-` a program that is not installed here gets the payload
//! out (`oletools`), and it must not be clean.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command as Process, Stdio},
};

use nacre_core::verdict::{Verdict, judge};
use sha2::{Digest, Sha256};

use crate::driver::{Engine, eicar, hdb, ndb, zip};

/// Stands within longer content; the scripts have it, too.
const MARKER: &[u8] = b"a marker of the oracle test, within what streams in a row unpack to";

/// Commands that unpack the file `$1`, into the working directory or to their output. A tool that is not installed gets nothing.
const TOOLS: &[(&str, &str)] = &[
    ("7z", "7z x -y -psecret-of-nobody \"$1\" </dev/null >/dev/null"),
    ("unzip", "unzip -o -qq -P nobody \"$1\" </dev/null"),
    ("bsdtar", "bsdtar -xf \"$1\" --passphrase nobody"),
    ("bsdtar, streaming", "cat \"$1\" | bsdtar -xf - --passphrase nobody"),
    ("zipfile, tarfile or zlib", PYTHON),
    ("tar", "tar -xf \"$1\""),
    ("cpio", "cpio -idm --quiet --no-absolute-filenames <\"$1\""),
    ("gzip", "gzip -dc <\"$1\" >out"),
    ("bzip2", "bzip2 -dc <\"$1\" >out"),
    ("xz", "xz -dc --single-stream <\"$1\" >out"),
    ("xz, all streams", "xz -dc <\"$1\" >out"),
    ("lzma", "xz -dc --format=lzma <\"$1\" >out"),
    ("zstd", "zstd -q -dc <\"$1\" >out"),
    ("lz4", "lz4 -q -dc <\"$1\" >out"),
    ("lzip", "lzip -dc <\"$1\" >out"),
    ("uncompress", "uncompress -c <\"$1\" >out"),
    ("cabextract", "cabextract -q \"$1\""),
    ("lhasa", "lhasa xqf \"$1\" </dev/null"),
    ("arj", "arj x -y \"$1\" </dev/null >/dev/null"),
    ("ar", "ar x \"$1\""),
    ("dpkg-deb", "dpkg-deb -x \"$1\" ."),
    ("unsquashfs", "unsquashfs -q -n -f -d . \"$1\" >/dev/null"),
    ("a reader of mail", MAIL),
    ("uudecode", "uudecode -o out \"$1\""),
    ("pdfdetach", "pdfdetach -saveall \"$1\" </dev/null"),
    ("pdfinfo", "pdfinfo -meta \"$1\" >out"),
    ("tnef", "tnef --save-body --overwrite \"$1\""),
    ("qpdf", "qpdf --decrypt --decode-level=all --stream-data=uncompress \"$1\" out </dev/null"),
    ("mutool", "mutool clean -d -D \"$1\" out.pdf"),
    ("wimlib", "wimlib-imagex extract \"$1\" 1 --dest-dir=. >/dev/null"),
];

/// Cuts a file at every mark that 7-Zip knows. Only cases of OLE2 are held to it: docs/verdicts.md has what else it would get.
const CUTTER: (&str, &str) = ("7z, of any part", "7z x -y -psecret-of-nobody -t# \"$1\" </dev/null >/dev/null");
const HELD_TO_CUTTER: &str = "ole2.py";

/// What the commands above need.
const PROGRAMS: [&str; 28] = [
    "7z",
    "unzip",
    "bsdtar",
    "python3",
    "tar",
    "cpio",
    "gzip",
    "bzip2",
    "xz",
    "zstd",
    "lz4",
    "lzip",
    "uncompress",
    "cabextract",
    "lhasa",
    "arj",
    "ar",
    "dpkg-deb",
    "unsquashfs",
    "wimlib-imagex",
    "genisoimage",
    "mksquashfs",
    "uudecode",
    "pdfdetach",
    "pdfinfo",
    "tnef",
    "qpdf",
    "mutool",
];

/// Each member by itself: one that cannot be read does not hide those after it.
const PYTHON: &str = "python3 -IS -c '
import sys, tarfile, zipfile, zlib
def members():
    with zipfile.ZipFile(sys.argv[1]) as archive:
        for member in archive.infolist():
            yield lambda: archive.read(member)
def entries():
    with tarfile.open(sys.argv[1]) as archive:
        for member in archive:
            if member.isreg():
                yield lambda: archive.extractfile(member).read()
def stream():
    yield lambda: zlib.decompress(open(sys.argv[1], \"rb\").read())
number = 0
for reader in (members, entries, stream):
    try:
        for read in reader():
            number += 1
            try:
                content = read()
            except Exception:
                continue
            open(str(number), \"wb\").write(content)
    except Exception:
        continue
' \"$1\"";

/// Each part of a mail, as Python reads it.
const MAIL: &str = "python3 -IS -c '
import email, email.policy, sys
number = 0
for policy in (email.policy.compat32, email.policy.default):
    try:
        mail = email.message_from_bytes(open(sys.argv[1], \"rb\").read(), policy=policy)
        if not mail.keys():
            continue
        for part in mail.walk():
            try:
                content = None if part.is_multipart() else part.get_payload(decode=True)
            except Exception:
                continue
            if content is not None:
                number += 1
                open(str(number), \"wb\").write(content)
    except Exception:
        continue
' \"$1\"";

/// How many archives within one another are unpacked.
const DEPTH: u32 = 3;
/// One case of so many is also tried within a zip.
const NESTED: usize = 4;
/// Most files that one tool's work is searched for.
const MAX_FILES: usize = 200;

/// One case of so many is tried: all of them take many minutes, and `make oracle` tries them.
#[expect(clippy::disallowed_methods, reason = "the size of a test, which its make target says")]
fn step() -> usize {
    std::env::var("NACRE_ORACLE_STEP").ok().and_then(|step| step.parse().ok()).filter(|step| *step > 0).unwrap_or(20)
}

/// Makes the cases of one script.
fn cases(script: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/oracle").join(script);
    let made = Process::new("python3").arg("-B").arg(&script).arg(directory.path()).arg(hex::encode(eicar())).output();
    let made = made.unwrap_or_else(|error| panic!("python3: {error}; run `make setup`"));
    assert!(made.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&made.stderr));
    print!("{}", String::from_utf8_lossy(&made.stdout));
    let mut cases: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    (directory, cases)
}

/// The tools, and what they got out of contents that were tried before: most cases hold the same words.
#[derive(Default)]
struct Oracle {
    known: HashMap<[u8; 32], Option<String>>,
    cuts: bool,
}

impl Oracle {
    /// The first tool that gets the payload out of content, and those after it that unpack what it got out.
    fn extracted(&mut self, content: &[u8], depth: u32) -> Option<String> {
        if content == eicar() || memchr::memmem::find(content, MARKER).is_some() {
            return Some("nothing".to_owned());
        }
        if content.len() <= 5 || depth == 0 {
            return None;
        }
        let sum: [u8; 32] = Sha256::digest(content).into();
        if let Some(known) = self.known.get(&sum) {
            return known.clone();
        }
        // Not tried again within itself.
        self.known.insert(sum, None);
        let tools = TOOLS.iter().chain(self.cuts.then_some(&CUTTER));
        let found = tools.into_iter().find_map(|(tool, command)| {
            let inside = unpacked(command, content);
            inside.iter().find_map(|content| Some(format!("{tool} and {}", self.extracted(content, depth - 1)?)))
        });
        self.known.insert(sum, found.clone());
        found
    }
}

/// What a tool gets out. What it says of a damaged file does not matter.
fn unpacked(command: &str, content: &[u8]) -> Vec<Vec<u8>> {
    let (place, given) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    fs::write(&given, content).unwrap();
    let bounded = format!("ulimit -f 200000; ulimit -t 20; {command}");
    let mut shell = Process::new("sh");
    shell.args(["-c", &bounded, "sh"]).arg(given.path()).current_dir(place.path());
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    files(place.path()).iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// The regular files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() && found.len() < MAX_FILES => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// Holds what is said of the cases of a script against what tools get out of them, alone and some one level down.
fn hold(script: &str) {
    let mut engine = Engine::with(&[("a.hdb", &hdb("Payload", &eicar())), ("b.ndb", &ndb("Marker", MARKER))]);
    let (_directory, cases) = cases(script);
    for program in PROGRAMS {
        let found = Process::new("sh").args(["-c", "command -v \"$1\" >/dev/null", "sh", program]).status().unwrap();
        if !found.success() {
            println!("skipped: what {program} gets out; it is not installed");
        }
    }
    let mut oracle = Oracle { cuts: script == HELD_TO_CUTTER, ..Oracle::default() };
    let (mut faults, mut infected, mut refused) = (Vec::new(), 0, 0);
    for (number, case) in cases.iter().step_by(step()).enumerate() {
        let (name, content) = (case.file_name().unwrap().to_string_lossy(), fs::read(case).unwrap());
        let verdict = judge(&engine.scan(&content), content.len() as u64, false);
        if name.starts_with("clean-") {
            if verdict != Verdict::Clean {
                println!("{name}: an ordinary file is {verdict:?}");
                faults.push(format!("{name}: an ordinary file is {verdict:?}"));
            }
            continue;
        }
        let mut verdicts = vec![("alone", verdict.clone())];
        if number % NESTED == 0 {
            let nested = zip(&[("inner", &content)]);
            verdicts.push(("in a zip", judge(&engine.scan(&nested), nested.len() as u64, false)));
        }
        infected += usize::from(verdict.is_infected());
        refused += usize::from(verdict.reason().is_some());
        for (place, verdict) in verdicts {
            let known = name.starts_with("malware-").then(|| "a program that is not installed".to_owned());
            if verdict == Verdict::Clean
                && let Some(tools) = known.or_else(|| oracle.extracted(&content, DEPTH))
            {
                println!("{name}, {place}: clean, and extracted by {tools}");
                faults.push(format!("{name}, {place}: clean, and extracted by {tools}"));
            }
        }
    }
    println!("{script}: {} cases, every {}th tried, {infected} infected, {refused} refused", cases.len(), step());
    assert!(faults.is_empty(), "{} of {} cases of {script}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn zips() {
    hold("zips.py");
}

#[test]
fn streams() {
    hold("streams.py");
}

#[test]
fn archives() {
    hold("archives.py");
}

#[test]
fn packages() {
    hold("packages.py");
}

#[test]
fn mail() {
    hold("mail.py");
}

#[test]
fn ole2() {
    hold("ole2.py");
}

#[test]
fn pdf() {
    hold("pdf.py");
}

#[test]
fn encrypted() {
    hold("encrypted.py");
}

#[test]
fn envelopes() {
    hold("envelopes.py");
}

#[test]
fn polyglots() {
    hold("polyglots.py");
}

#[test]
fn programs() {
    hold("programs.py");
}
