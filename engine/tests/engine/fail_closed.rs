//! Where libclamav answers "clean" without having read, and ours must not: what the second reader opens is found, all else not clean.
//!
//! Each case is shown to be one: `clamscan` with the same definitions calls the very file OK.

use std::{fs, io::Write, path::Path, process::Command as Process};

use flate2::{Compression, write::GzEncoder};
use nacre_clamav::archive::to_tar;
use nacre_core::verdict::{Reason, Verdict, judge};
use nacre_engine_protocol::{Command, FailureCode, Limits, Outcome};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::driver::{
    DEADLINE_MS, Engine, await_some, children, directory_of, eicar, hdb, is_running, processor_ticks, test_files, zip,
};

/// 7-Zip with a password, its names readable or not, as py7zr writes them.
const SEVEN_ZIPS: [&str; 2] = [
    "377abcaf271c00043158f378b5000000000000001400000000000000844993523854595641314a26510f27af1a9d475b4a5d59405b0ddb6c48e4bf7a98261bb715d72c2c9e5cc3694558079debc4950e7223f7040b3ce1fea144b40f3f727982e0006e006d5d0000813307ae0fd1f33e5bfbbb6255f96680d53a3f2694ac9c8c2ce374914c4676f298fd566d2dd85d149c13b7736803f3500783f24a74324e360b745b9eb24ddf639b857fb3f524001878f8c5ae5e12d79d6bcfdadf9817580742b77d5cea6dad60f480e32cc71a9db2be0000000017064001097500070b010001212101180c6f0000",
    "377abcaf271c0004dff61cd1b0000000000000002800000000000000076142ee160cce2a9846713dfadbf614d937ced193b73a8c0088861e27518d0d87a06a21c2d17d17cc0ddb61aed47b22ddfea09fd700cc4dfecb8677faebab84e3b523c3a2c474d48a25807a39664bf8039ca6e91192913e84f3592132a2cce0f685e0a2ab4618682fe8b5cdece64762a6c6eeb8c62499b6a4566d65f14b76cdef58bcf076b14e1e1f172d47ba89bb9055c65f5e8f3b71575f3f07ceae4104b3f8ef5de812819f820347665580729dc35e09d33617064001097000070b0100012406f1070112530f082c97a77788f8f70797657e86b47b5e0c6f0000",
];

/// The definitions of these tests: they know EICAR, and only as a whole file.
fn definitions() -> (&'static str, String) {
    ("a.hdb", hdb("Eicar", &eicar()))
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    definitions: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let (name, lines) = definitions();
        Self { engine: Engine::with(&[(name, &lines)]), definitions: directory_of(&[(name, &lines)]) }
    }

    pub(crate) fn ours(&mut self, content: &[u8], limits: Limits) -> Verdict {
        let report = self.engine.scan_within(content, limits);
        judge(&report, content.len() as u64, false)
    }

    /// What clamscan says, with `options` besides its own; `None` when it is not installed.
    fn clamscan_says_ok(&self, options: &[&str]) -> Option<bool> {
        let file = self.engine.directory.path().join("object");
        clamscan_says_ok(self.definitions.path(), &file, options)
    }

    /// Shows that clamscan calls `content` clean, and that we find EICAR in it.
    pub(crate) fn find(&mut self, name: &str, content: &[u8]) {
        let verdict = self.ours(content, Limits::default());
        assert!(verdict.is_infected(), "{name}: {verdict:?}");
        self.clamscan_fails_open(name, &[]);
    }

    /// Shows that clamscan calls `content` clean, and that we find EICAR in it or say that we cannot open it.
    pub(crate) fn find_or_guard(&mut self, name: &str, content: &[u8]) {
        let verdict = self.ours(content, Limits::default());
        let unopened = Verdict::Unscannable { reason: Reason::UnsupportedFormat };
        assert!(verdict.is_infected() || verdict == unopened, "{name}: {verdict:?}");
        self.clamscan_fails_open(name, &[]);
    }

    /// Shows that clamscan calls `content` clean, and that we call it unscannable and why.
    pub(crate) fn guard(&mut self, name: &str, content: &[u8], limits: Limits, options: &[&str], reason: Reason) {
        let verdict = self.ours(content, limits);
        assert_eq!(verdict, Verdict::Unscannable { reason }, "{name}");
        self.clamscan_fails_open(name, options);
    }

    fn clamscan_fails_open(&self, name: &str, options: &[&str]) {
        let naive = self.clamscan_says_ok(options).unwrap_or(true);
        assert!(naive, "{name}: clamscan does not fail open here; the case shows nothing");
    }
}

fn clamscan_says_ok(definitions: &Path, file: &Path, options: &[&str]) -> Option<bool> {
    let mut clamscan = Process::new("clamscan");
    clamscan.arg("--no-summary").arg("--database").arg(definitions).args(options).arg(file);
    let Ok(output) = clamscan.output() else {
        println!("skipped: clamscan is not installed");
        return None;
    };
    Some(output.status.code() == Some(0) && String::from_utf8_lossy(&output.stdout).contains(": OK"))
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

/// Bytes that do not compress, so that half of the packed is about half of the content.
pub(crate) fn noise(length: u32) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    (0..length).map(step).collect()
}

/// A zip of the named members, deflated.
pub(crate) fn deflated(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        archive.start_file(*name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn encrypted_archives_and_documents() {
    let mut world = World::new();
    for archive in SEVEN_ZIPS {
        world.guard("7z", &hex::decode(archive).unwrap(), Limits::default(), &[], Reason::Encrypted);
    }
    let mut archive = zip(&[("secret.txt", b"nobody knows what this is")]);
    archive[6] |= 1;
    let directory = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    archive[directory + 8] |= 1;
    world.guard("zip", &archive, Limits::default(), &[], Reason::Encrypted);
    let pdf = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n\
        3 0 obj\n<< /Filter /Standard /V 1 /R 2 /O (00000000000000000000000000000000) /U (11111111111111111111111111111111) /P -4 >>\nendobj\n\
        xref\n0 4\n0000000000 65535 f \ntrailer\n<< /Size 4 /Root 1 0 R /Encrypt 3 0 R /ID [<00> <00>] >>\nstartxref\n300\n%%EOF\n";
    world.guard("pdf", pdf, Limits::default(), &[], Reason::Encrypted);
}

#[test]
fn a_rar_archive_without_libclamunrar() {
    // The mark, the main header, and one file of which nobody reads the content.
    let mut rar = hex::decode("526172211a0700cf907300000d00000000000000").unwrap();
    rar.extend(hex::decode("000074208024000000440000004400000003000000000000001d300500a4810000").unwrap());
    rar.extend(eicar());
    World::new().guard("rar", &rar, Limits::default(), &[], Reason::UnsupportedFormat);
}

#[test]
fn every_limit() {
    let mut world = World::new();
    let usual = Limits::default();
    let members: Vec<_> = (0..20).map(|n| format!("{n}.txt")).collect();
    let mut many: Vec<(&str, &[u8])> = members.iter().map(|name| (&**name, &b"just some words\n"[..])).collect();
    let eicar = eicar();
    many.push(("last", &eicar));
    let large = noise(2 << 20);
    let deep = (0..6).fold(eicar.clone(), |content, _| deflated(&[("inner", &content)]));
    let cases = [
        ("files", deflated(&many), Limits { max_files: 5, ..usual }, "--max-files=5", Reason::FileCountLimit),
        ("recursion", deep, Limits { max_recursion: 3, ..usual }, "--max-recursion=3", Reason::RecursionLimit),
        (
            "file size",
            [&large[..], &eicar].concat(),
            Limits { max_file_size: 1 << 20, ..usual },
            "--max-filesize=1M",
            Reason::LayerTooLarge,
        ),
        (
            "scan size",
            deflated(&[("large", &large), ("eicar", &eicar)]),
            Limits { max_scan_size: 1 << 20, ..usual },
            "--max-scansize=1M",
            Reason::ScanSizeLimit,
        ),
    ];
    for (name, content, limits, option, reason) in cases {
        world.guard(name, &content, limits, &[option], reason);
    }
    // The sizes are enough work for a millisecond to be too short.
    let long = deflated(&[("1", &noise(20 << 20)), ("2", &noise(20 << 20)), ("eicar", &eicar)]);
    let hurried = Limits { max_scan_time_ms: 1, ..usual };
    world.guard("time", &long, hurried, &["--max-scantime=1"], Reason::TimeLimit);
}

#[test]
fn archives_that_end_too_soon() {
    let mut world = World::new();
    let bulk = noise(200_000);
    let files = deflated(&[("a", &bulk), ("eicar", &eicar())]);
    let cut = |archive: &[u8]| archive[..archive.len() / 2].to_vec();
    world.guard("zip", &cut(&files), Limits::default(), &[], Reason::UnsupportedFormat);
    let gz = gzip(&[&bulk[..], &eicar()].concat());
    world.guard("gzip", &cut(&gz), Limits::default(), &[], Reason::UnsupportedFormat);
    let nested = deflated(&[("cut.gz", &cut(&gz))]);
    world.guard("gzip in zip", &nested, Limits::default(), &[], Reason::UnsupportedFormat);
    for file in test_files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        if ["clam.7z", "clam.exe.bz2", "clam.cab", "clam.arj", "clam.tar.gz", "clam.zip"].contains(&name) {
            let content = cut(&fs::read(&file).unwrap());
            let verdict = world.ours(&content, Limits::default());
            assert!(matches!(verdict, Verdict::Unscannable { .. }), "{name}: {verdict:?}");
        }
    }
}

#[test]
fn tars_of_which_others_read_more() {
    let mut world = World::new();
    let (bulk, eicar) = (noise(20_000), eicar());
    let files = to_tar([("a", &bulk[..]), ("eicar", &eicar)].into_iter());
    world.guard("cut", &files[..10_000], Limits::default(), &[], Reason::UnsupportedFormat);
    world.guard("cut in a header", &files[..512 + 20_480 + 100], Limits::default(), &[], Reason::UnsupportedFormat);
    let end = [0; 1024];
    let behind = [&to_tar([("a", &bulk[..])].into_iter())[..], &end, &files[512 + 20_480..], &end].concat();
    world.find("behind the end", &behind);
    let evil = to_tar([("eicar", &eicar[..])].into_iter());
    let mut binary = evil.clone();
    binary[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 68]);
    seal(&mut binary);
    world.find("a binary size", &binary);
    let mut unsized_ = evil;
    unsized_[124..136].copy_from_slice(b"00000000000\0");
    seal(&mut unsized_);
    let mut extended = to_tar([("pax", &b"11 size=68\n"[..])].into_iter());
    extended[156] = b'x';
    seal(&mut extended);
    let extended = [extended, unsized_].concat();
    world.find("a size of pax", &extended);
}

/// Makes the sum of a tar's first header right.
fn seal(tar: &mut [u8]) {
    tar[148..156].fill(b' ');
    let sum: u64 = tar[..512].iter().map(|byte| u64::from(*byte)).sum();
    tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

#[test]
fn whole_tars_as_gnu_tar_writes_them() {
    let mut world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join("files").join(name);
    fs::create_dir_all(path("folder")).unwrap();
    fs::write(path("folder/a file of words"), noise(3000)).unwrap();
    fs::write(path("empty"), b"").unwrap();
    fs::write(path(&format!("{}.txt", "long".repeat(40))), noise(700)).unwrap();
    fs::hard_link(path("folder/a file of words"), path("the same file")).unwrap();
    std::os::unix::fs::symlink("empty", path("link")).unwrap();
    for (format, options) in [
        ("v7", &["--exclude=*long*"][..]),
        ("ustar", &["--exclude=*long*"]),
        ("gnu", &[]),
        ("pax", &[]),
        ("gnu", &["-b1"]),
    ] {
        let mut tar = Process::new("tar");
        tar.arg("--create").arg(format!("--format={format}")).args(options).arg("--directory").arg(directory.path());
        let Ok(output) = tar.arg("files").output() else {
            println!("skipped: tar is not installed");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(world.ours(&output.stdout, Limits::default()), Verdict::Clean, "{format} {options:?}");
        let packed = gzip(&output.stdout);
        assert_eq!(world.ours(&packed, Limits::default()), Verdict::Clean, "{format}.gz");
    }
}

#[test]
fn archives_of_which_only_some_members_could_be_opened() {
    let mut world = World::new();
    let words = noise(1000);
    let whole = deflated(&[("a", &words), ("b", &words)]);
    assert_eq!(world.ours(&whole, Limits::default()), Verdict::Clean);
    // Zstandard, which libclamav does not know, in the local header and in the directory.
    let mut foreign = whole.clone();
    let second = foreign.windows(4).rposition(|bytes| bytes == b"PK\x03\x04").unwrap();
    let entry = foreign.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    foreign[second + 8] = 93;
    foreign[entry + 10] = 93;
    world.guard("foreign packing", &foreign, Limits::default(), &[], Reason::UnsupportedFormat);
    let mut damaged = whole.clone();
    damaged[second + 31..second + 200].fill(0xFF);
    let verdict = world.ours(&damaged, Limits::default());
    assert!(matches!(verdict, Verdict::Unscannable { .. }), "damaged member: {verdict:?}");
}

#[test]
fn whole_archives_of_every_kind_are_not_taken_for_damaged() {
    let mut world = World::new();
    let words = noise(1000);
    let several = [gzip(&words), gzip(b"and some more words"), gzip(b"")].concat();
    for (name, content) in [
        ("gzip", gzip(&words)),
        ("gzip of nothing", gzip(b"")),
        ("gzips in a row", several),
        ("zip with folders", deflated(&[("folder/", b""), ("folder/a", &words), ("empty", b""), ("tiny", b"abc")])),
        ("zip in zip", deflated(&[("a.zip", &deflated(&[("a", &words)])), ("b", b"just some words")])),
    ] {
        assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{name}");
    }
    for file in test_files() {
        let content = fs::read(&file).unwrap();
        let report = world.engine.scan(&content);
        // One of them is nested too deep for any limit.
        let stopped = !report.limits_exceeded.is_empty();
        assert!(report.unopened == 0 || stopped, "{}: {:?}", file.display(), report.layers);
    }
}

#[test]
fn a_file_larger_than_libclamav_can_take() {
    let mut world = World::new();
    let path = world.engine.directory.path().join("object");
    let size = (2 << 30) + 1000;
    fs::File::create(&path).unwrap().set_len(size).unwrap();
    let limits = Limits { max_file_size: u64::MAX, ..Limits::default() };
    let scan = Command::Scan { engine: 1, file: "object".into(), limits, deadline_ms: DEADLINE_MS };
    let Outcome::Scanned(report) = world.engine.ask(scan) else { panic!("not scanned") };
    assert_eq!(judge(&report, size, true), Verdict::Unscannable { reason: Reason::LayerTooLarge });
    if let Some(naive) = world.clamscan_says_ok(&["--max-filesize=4000M", "--max-scansize=4000M"]) {
        assert!(naive, "clamscan does not fail open here");
    }
}

/// Stops the one worker that is at work, unless it is past the beginning of its file.
fn stop_at_the_beginning(engine: &Engine) -> Option<Pid> {
    let ticks = |child: i32| processor_ticks(child).unwrap_or_default();
    let worker = await_some("a worker at work, or its answer", || {
        let at_work = children(engine.child.id()).into_iter().find(|child| is_running(*child) && ticks(*child) > 0);
        at_work.map(Some).or_else(|| engine.has_answered().then_some(None))
    })?;
    let process = Pid::from_raw(worker);
    kill(process, Signal::SIGSTOP).ok()?;
    // A sixteenth of a second is too little for the three digests of 64 MiB.
    let is_early = (1..6).contains(&ticks(worker));
    if !is_early {
        kill(process, Signal::SIGCONT).ok();
    }
    is_early.then_some(process)
}

#[test]
fn a_file_that_shrinks_while_it_is_scanned() {
    let mut world = World::new();
    let content = noise(64 << 20);
    let mut shrunk_midway = 0;
    while shrunk_midway < 5 {
        world.engine.put("object", &content);
        let path = world.engine.directory.path().join("object");
        let limits = Limits::default();
        let scan = Command::Scan { engine: 1, file: "object".into(), limits, deadline_ms: DEADLINE_MS };
        world.engine.send(scan);
        let Some(worker) = stop_at_the_beginning(&world.engine) else {
            world.engine.receive();
            continue;
        };
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
        kill(worker, Signal::SIGCONT).unwrap();
        shrunk_midway += 1;
        match world.engine.receive() {
            Outcome::Scanned(report) => {
                let verdict = judge(&report, content.len() as u64, true);
                assert!(matches!(verdict, Verdict::Unscannable { .. }), "{verdict:?}");
            }
            Outcome::Failed(failure) => assert_eq!(failure.code, FailureCode::WorkerDied),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unusable_temporary_directory() {
    let mut world = World::new();
    let archive = deflated(&[("eicar.com", &eicar())]);
    world.engine.put("object", &archive);
    let tmp = world.engine.directory.path().join("tmp");
    fs::remove_dir_all(&tmp).unwrap();
    let (code, _) = world.engine.refuse(crate::driver::scan("object"));
    assert_eq!(code, FailureCode::Internal);
    if let Some(naive) = world.clamscan_says_ok(&["--tempdir=/absent"]) {
        // clamscan itself checks whether it is there; libclamav would answer "clean".
        println!("clamscan without a temporary directory says OK: {naive}");
    }
}

#[test]
fn an_unreadable_file() {
    let mut world = World::new();
    let (code, _) = world.engine.refuse(crate::driver::scan("absent"));
    assert_eq!(code, FailureCode::BadRequest);
    world.engine.put("object", b"");
    assert_eq!(world.ours(b"", Limits::default()), Verdict::Clean, "nothing is in it");
}
