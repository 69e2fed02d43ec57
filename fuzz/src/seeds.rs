//! Makes what the fuzzer begins with: one right file of each form, signed with fresh keys, and these keys beside them.
//!
//! A target in form only, since whatever is instrumented needs libFuzzer to be linked with: it ends before any input comes.
#![no_main]

use std::{fs, io, process::exit};

use libfuzzer_sys::fuzz_target;
use nacre_fuzz::seeds;
use nacre_clamav::{builder::{CvdBuilder, certificates::SigningCertificates, eicar_signature}, cvd::Cvd, database::{ContainerKind, DatabaseName, DatabaseVersion, FunctionalityLevel}, signing::SigningKeys};
use nacre_scan_set::builder::SetBuilder;
use nacre_core::generation::{Generation, manifest::{DatabaseEntry, EngineProof, Manifest, Pointer}};

/// What detached signatures of the seeds are over.
const SIGNED: &[u8] = b"signed content";

fuzz_target!(init: end(make()), |_data: &[u8]| {});

fn end(made: io::Result<()>) {
    if let Err(error) = &made {
        eprintln!("the seeds could not be written: {error}");
    }
    exit(i32::from(made.is_err()))
}

fn make() -> io::Result<()> {
    let root = seeds();
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let directory = root.join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), bytes)
    };
    let keys = SigningKeys::generate("fuzz").expect("a name other than clamav");
    let certificates = SigningCertificates::generate();
    fs::create_dir_all(&root)?;
    fs::write(root.join("keys.json"), keys.to_json())?;
    fs::write(root.join("root.pem"), certificates.root_pem())?;

    let older = CvdBuilder::new("daily").version(1).member("daily.ndb", eicar_signature() + "A:0:*:6161\n");
    let older = older.member("daily.hdb", "# one\n");
    let newer = CvdBuilder::new("daily").version(2).member("daily.ndb", eicar_signature() + "B:0:*:6262\nC:0:*:63\n");
    let newer = newer.member("daily.ldb", "# two\n");
    let (cvd, cld) = (older.build(&keys), older.build_cld(&keys));
    put("cvd", "cvd", &[b"v", cvd.as_slice()].concat())?;
    put("cvd", "cld", &[b"l", cld.as_slice()].concat())?;
    put("info", "info", &older.unpacked(&keys).members["daily.info"])?;
    let cdiff = newer.cdiff_from(&older, &keys);
    put("cdiff", "cdiff", &cdiff)?;
    put("cdiff", "small", &keys.cdiff(DatabaseVersion(2), b"OPEN a\nADD b\nCLOSE\n"))?;
    for (number, script) in SCRIPTS.iter().enumerate() {
        put("script", &number.to_string(), script.as_bytes())?;
    }
    put("signature", "info", keys.sign_info(SIGNED, &[7; 32]).as_bytes())?;
    put("signature", "one", b"b")?;
    put("detached", "sign", &certificates.sign(SIGNED))?;
    put("dns", "record", b"0.103.1:59:26104:1615408140:0:63:49191:333")?;
    for (number, head) in HEADS.iter().enumerate() {
        put("http", &number.to_string(), head.as_bytes())?;
    }
    for (number, file) in LOOSE_FILES.iter().enumerate() {
        put("loose", &number.to_string(), file)?;
    }
    for (number, content) in CONTENTS.iter().enumerate() {
        for target in ["archive_index", "marks", "second_reader"] {
            put(target, &number.to_string(), content)?;
        }
    }
    put("inflate", "fixed", b"+\xcf/J)VH\xccKQ(\x87\xb3\xf2K2R\x8b |\0")?;
    put("inflate", "dynamic", DYNAMIC)?;
    put("unlzma", "words", LZMA)?;
    for target in ["marks", "second_reader"] {
        put(target, "program", &program_with_resource())?;
        put(target, "winmail", &envelope_with_text())?;
        put(target, "lzma", LZMA)?;
    }
    put_scan_set(&put)?;
    put_json(&keys, &cvd, &put)
}

/// Small files of the formats that the engine's own parsers read.
const CONTENTS: [&[u8]; 9] = [
    // A zip of one stored member, with its directory.
    b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0\x35\x1a\x6e\x36\x05\0\0\0\x05\0\0\0\x01\0\0\0awordsPK\x01\x02\x14\0\x14\0\0\0\0\0\0\0!\0\x35\x1a\x6e\x36\x05\0\0\0\x05\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0aPK\x05\x06\0\0\0\0\x01\0\x01\0/\0\0\0$\0\0\0\0\0",
    // gzip, of a stored block.
    b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x05\0\xfa\xffwords\x35\x1a\x6e\x36\x05\0\0\0",
    b"!<arch>\na/              0           0     0     100644  6         `\nwords\n",
    b"0707070000010000011006440000000000000000010000000000000000000000200000000006a\0words\n0707070000000000000000000000000000000000010000000000000000000001300000000000TRAILER!!!\0",
    b"\x19\x3e-lh0-\x05\0\0\0\x05\0\0\0\0\0\0\0 \0\x03abc\0\0words\0",
    b"Rar!\x1a\x07\x01\0\x33\x92\xb5\xe5\x0a\x01\x05\x06\0\x05\x01\x01\x80\x80\0",
    b"%PDF-1.4\n1 0 obj\n<</Length 5/Filter/FlateDecode/DecodeParms<</Predictor 12>>>>\nstream\nwords\nendstream\nendobj\ntrailer<</Encrypt 2 0 R>>\n",
    b"From: a@b\nContent-Type: multipart/mixed;\n boundary=x\n\n--x\n\nwords\n--x--\n",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x3e\0\x03\0\xfe\xff\x09\0\x06\0",
];

/// A block of deflate that brings its codes, and lzma, as Python packs them.
const DYNAMIC: &[u8] = b"\xcd\xca\xb1\x01\0 \x08\x03\xb0[\x81\x82E\xca\xff\xabo\x989\xc6\xd8K\xb2\xe5\xa5\x14a+Y\xd4DC,\x04\xf2\x8c\x1f\xfb\xbd=";
const LZMA: &[u8] = b"]\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0;\x9b\xca\xaa\xd4\xb0RB\x0d\xbe\x8eH\x0a\xf0\x1c\xd86\x0e\x08]\xe2`\xd7\xff\xff\x01\xb4\0\0";

/// A Windows program with a section of one resource.
fn program_with_resource() -> Vec<u8> {
    let mut program = vec![0; 0x200];
    for (at, bytes) in [
        (0, &b"MZ"[..]),
        (0x3c, b"\x40"),
        (0x40, b"PE\0\0\x4c\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0\0\x02\x01\x0b\x01"),
        (0x40 + 24 + 96 + 16, b"\0\x10"),
        (0x40 + 24 + 0xe0, b".rsrc\0\0\0\0\x10\0\0\0\x10\0\0\0\x10\0\0\0\x02"),
    ] {
        program[at..at + bytes.len()].copy_from_slice(bytes);
    }
    // Tables of a type, a name and a language, then where the resource is.
    for (id, child) in [(10_u32, 0x8000_0018_u32), (1, 0x8000_0030), (1033, 72)] {
        program.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        program.extend(id.to_le_bytes());
        program.extend(child.to_le_bytes());
    }
    program.extend(b"\x58\x10\0\0\x05\0\0\0\0\0\0\0\0\0\0\0words");
    program
}

/// Outlook's envelope with a compressed text: four letters, and a copy of them.
fn envelope_with_text() -> Vec<u8> {
    let packed = b"\x10abcd\x0c\xf2";
    let length = u32::try_from(packed.len()).expect("a few bytes");
    let text = [&(12 + length).to_le_bytes()[..], &[8, 0, 0, 0], b"LZFu", &[0; 4], packed].concat();
    let size = u32::try_from(text.len()).expect("a few bytes").to_le_bytes();
    let properties = [&[1, 0, 0, 0, 2, 1, 9, 0x10, 1, 0, 0, 0][..], &size, &text, &[0; 1]].concat();
    let size = u32::try_from(properties.len()).expect("a few bytes").to_le_bytes();
    [&b"\x78\x9f\x3e\x22\0\0\x01\x03\x90\x06\0"[..], &size, &properties, &[0; 2]].concat()
}

fn put_scan_set(put: &impl Fn(&str, &str, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let md5 = "07".repeat(16);
    let mut builder = SetBuilder::new(|| Ok(io::Cursor::new(Vec::new())), Vec::new())?;
    builder.add("a.hdb", format!("{md5}:68:A\n").as_bytes()).map_err(io::Error::other)?;
    builder.add("a.mdb", format!("512:{md5}:A\n*:{md5}:B:73\n").as_bytes()).map_err(io::Error::other)?;
    builder.add("a.ndb", b"A:0:*:6161\n").map_err(io::Error::other)?;
    let mut shards = Vec::new();
    let built = builder.finish(&mut shards).map_err(io::Error::other)?;
    put("scan_set", "filter", &[b"f", built.filter.as_slice()].concat())?;
    put("scan_set", "shard", &[b"s", shards.as_slice()].concat())?;
    put("scan_set", "body", &[b"b", built.body.as_slice()].concat())?;
    put("scan_set", "line", format!("l{md5}:68:A:73:99").as_bytes())?;
    let mut program = vec![0; 0x400];
    for (at, bytes) in [(0, &b"MZ"[..]), (60, b"\x40"), (0x40, b"PE\0\0\x4c\x01\x02"), (0x54, b"\x60"), (0xc8, b"\0\x02\0\0\0\x02")] {
        program[at..at + bytes.len()].copy_from_slice(bytes);
    }
    put("scan_set", "program", &[b"p", program.as_slice()].concat())
}

fn put_json(keys: &SigningKeys, cvd: &[u8], put: &impl Fn(&str, &str, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let daily = DatabaseName::new("daily").expect("a name");
    let cvd = Cvd::parse_as(ContainerKind::Cvd, cvd).expect("a header");
    let verified = cvd.verify(&daily, &keys.trust_anchors(), nacre_fuzz::LIMITS).expect("what we signed");
    let proof = EngineProof {
        clamav_version: "1.4.6".into(),
        functionality_level: FunctionalityLevel(216),
        signatures: 3,
        eicar: Vec::new(),
        expected_signatures: 3,
        clean_files: 9,
    };
    let published = chrono::DateTime::UNIX_EPOCH;
    let anchor = keys.trust_anchors().identity();
    let manifest = Manifest::new(Generation(7), published, anchor, vec![DatabaseEntry::of(&verified)], proof);
    put("json", "manifest", &manifest.to_bytes())?;
    put("json", "pointer", &Pointer::to(Generation(7), &manifest.to_bytes()).to_bytes())?;
    put("json", "anchors", keys.trust_anchors().to_json().as_bytes())?;
    Ok(())
}

/// The number of a name, and a line.
const LOOSE_FILES: [&[u8]; 4] =
    [b"\0A:0:*:00ff\n", b"\x01A;Engine:51-255,Target:0;0;00ff\n", b"\x04aa:*:A:73\n", b"\x05A.B\n# a comment\n"];

/// A base, a byte that ends it, and a script.
const SCRIPTS: [&str; 4] = [
    "one\ntwo\nthree\n\0OPEN a.ndb\nDEL 1 one\nXCHG 2 two zwei\nADD four\nCLOSE\n",
    "one\ntwo\nthree\n\0MOVE a.ndb b.ndb 1 one 2 two\n",
    "one\n\0UNLINK a.ndb\nOPEN c.ndb\nADD x\nADD\nCLOSE\n",
    "one\n\0# a comment\nOPEN a.ndb\nCLOSE\n",
];

/// `Retry-After`, `Date` and `Content-Range`, a line each.
const HEADS: [&str; 3] = [
    "120\nSun, 06 Nov 1994 08:49:37 GMT\nbytes 0-511/1000",
    "Sun, 06 Nov 1994 09:49:37 GMT\nSun, 06 Nov 1994 08:49:37 GMT\nbytes 0-511/*",
    "99999999999999999999\n\nbytes 5-4/3",
];
