//! `docs/verdicts.md`: its table of formats is made from the table here, whose samples are scanned by the real engine.

use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use nacre_clamav::builder::eicar;
use nacre_core::verdict::{Reason, Verdict};
use nacre_engine_client::{EnginePool, protocol::Limits};
use nacre_test_support::programs_directory;
use zip::{ZipWriter, write::SimpleFileOptions};

/// What becomes of a format's files.
enum Outcome {
    /// What is in them is scanned, and a sample with the EICAR file in it is infected.
    Scanned,
    /// They are never clean.
    Refused(Reason),
    /// Nothing is in them, and they are clean.
    Clean,
}

/// Rows: the format, what becomes of it, and a sample.
fn formats() -> Vec<(&'static str, Outcome, Vec<u8>)> {
    use Outcome::{Clean, Refused, Scanned};
    let (encrypted, unsupported) = (Reason::Encrypted, Reason::UnsupportedFormat);
    let sample = |mark: &[u8]| [mark, &[0; 64]].concat();
    let at = |place: usize, length: usize, mark: &[u8]| {
        let mut sample = vec![0; length];
        sample[place..place + mark.len()].copy_from_slice(mark);
        sample
    };
    let mail = |header: &str, body: &str| format!("{header}\n\n{body}").into_bytes();
    vec![
        ("anything without a structure", Scanned, eicar()),
        ("zip, OOXML, jar, APK", Scanned, zipped(&[("a.com", &eicar())])),
        ("zip64", Scanned, zipped_as(SimpleFileOptions::default().large_file(true), &[("a.com", &eicar())])),
        ("gzip", Scanned, gzipped(&eicar())),
        ("bzip2", Scanned, packed("--bzip2")),
        (
            "bzip2 of several streams",
            Scanned,
            [packed_bytes("--bzip2", &eicar()[..30]), packed_bytes("--bzip2", &eicar()[30..])].concat(),
        ),
        ("xz", Scanned, packed("--xz")),
        ("zstd", Scanned, packed("--zstd")),
        ("lz4", Scanned, packed("--lz4")),
        ("lzip", Scanned, packed("--lzip")),
        ("lzma", Scanned, packed("--lzma")),
        ("compress (.Z)", Scanned, packed("--compress")),
        ("tar", Scanned, nacre_clamav::archive::to_tar([("a.com", &eicar()[..])].into_iter())),
        ("cpio", Scanned, archived(&["--format", "newc"])),
        ("ar, static libraries", Scanned, ar(&[("a.com", &eicar())])),
        (
            ".deb",
            Scanned,
            ar(&[("debian-binary", b"2.0\n"), ("data.tar.zst", &archived(&["--format", "ustar", "--zstd"]))]),
        ),
        ("RPM", Scanned, rpm(&archived(&["--format", "newc", "--gzip"]))),
        ("7z by LZMA", Scanned, archived(&["--format", "7zip"])),
        ("7z by other methods", Scanned, archived(&["--format", "7zip", "--options", "7zip:compression=bzip2"])),
        ("XAR", Scanned, archived(&["--format", "xar"])),
        ("ISO 9660", Scanned, archived(&["--format", "iso9660"])),
        ("RAR 5", Scanned, rar5(&eicar())),
        (
            "an archive behind a program or any other prefix",
            Scanned,
            [b"MZ words".to_vec(), archived(&["--format", "7zip"])].concat(),
        ),
        ("a signed CMS message", Scanned, signed(&eicar())),
        ("OneNote", Scanned, one_note(&eicar())),
        ("PDF behind other bytes", Scanned, [vec![b'x'; 2000], pdf(&eicar())].concat()),
        ("PDF that only an owner password protects", Scanned, encrypted_pdf("", &eicar())),
        (
            "mail",
            Scanned,
            mail("From: a@b\nTo: b@c\nSubject: x\nContent-Type: multipart/mixed; boundary=B", &in_parts(&eicar())),
        ),
        (
            "mail that libclamav takes for text",
            Scanned,
            mail("Reply-To: a@b\nContent-Type: multipart/mixed; boundary=B", &in_parts(&eicar())),
        ),
        ("archives of folders and empty files", Clean, zipped(&[("a/", b""), ("a/.gitkeep", b""), ("b/", b"")])),
        ("zip with a password", Refused(encrypted), locked(zipped(&[("a.txt", b"just some words")]))),
        ("PDF that asks for a password", Refused(encrypted), encrypted_pdf("user", b"just some words")),
        ("age", Refused(encrypted), sample(b"age-encryption.org/v1\n")),
        ("OpenPGP, encrypted", Refused(encrypted), sample(b"-----BEGIN PGP MESSAGE-----\n")),
        ("OpenPGP, compressed", Refused(unsupported), sample(b"\xA3\x03BZh9")),
        ("CMS and S/MIME, enveloped", Refused(encrypted), sample(b"0\x80\x06\x09*\x86H\x86\xF7\x0D\x01\x07\x03")),
        ("`openssl enc`", Refused(encrypted), sample(b"Salted__")),
        ("LUKS", Refused(encrypted), sample(b"LUKS\xBA\xBE\0\x02")),
        ("OpenDocument with a password", Refused(encrypted), b"<manifest><encryption-data/></manifest>\n".to_vec()),
        ("WIM", Refused(unsupported), sample(b"MSWIM\0\0\0")),
        ("squashfs", Refused(unsupported), at(28, 200, b"\x04\0").into_iter().enumerate().map(squashed).collect()),
        ("VHDX", Refused(unsupported), sample(b"vhdxfile")),
        ("QCOW2", Refused(unsupported), sample(b"QFI\xFB\0\0\0\x03")),
        ("VMDK", Refused(unsupported), sample(b"KDMV\x01\0\0\0")),
        (
            "UDF, alone or beside ISO 9660",
            Refused(unsupported),
            [at(0x8001, 0x8801, b"BEA01"), sample(b"NSR02\x01")].concat(),
        ),
        ("NTFS", Refused(unsupported), [at(3, 510, b"NTFS    "), b"\x55\xAA".to_vec(), vec![0; 8000]].concat()),
        ("a volume of a split zip", Refused(unsupported), sample(b"PK\x07\x08PK\x03\x04")),
        ("a piece of a mail", Refused(unsupported), mail("Content-Type: message/partial; id=x; number=1", "words")),
    ]
}

fn squashed((at, byte): (usize, u8)) -> u8 {
    b"hsqs".get(at).copied().unwrap_or(byte)
}

/// The EICAR file by libarchive's `bsdtar`, with these options.
fn archived(options: &[&str]) -> Vec<u8> {
    by_bsdtar(options, &eicar())
}

/// The EICAR file in a packed stream.
fn packed(packing: &str) -> Vec<u8> {
    packed_bytes(packing, &eicar())
}

fn packed_bytes(packing: &str, content: &[u8]) -> Vec<u8> {
    by_bsdtar(&["--format", "raw", packing], content)
}

fn by_bsdtar(options: &[&str], content: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.com"), content).unwrap();
    let output = Command::new("bsdtar")
        .arg("-c")
        .args(options)
        .args(["-f", "out", "a.com"])
        .current_dir(directory.path())
        .output()
        .expect("bsdtar, which dev/install names");
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(directory.path().join("out")).unwrap()
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in members {
        archive
            .extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).into_bytes());
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(2), b'\n');
    }
    archive
}

/// A lead, two headers without entries, and the payload.
fn rpm(payload: &[u8]) -> Vec<u8> {
    let lead = [&[0xED, 0xAB, 0xEE, 0xDB, 3][..], &[0; 91]].concat();
    let header = [&[0x8E, 0xAD, 0xE8, 1][..], &[0; 12]].concat();
    [&lead, &header, &header, payload].concat()
}

/// A RAR of one stored file: each header has its sum and its length before it.
fn rar5(content: &[u8]) -> Vec<u8> {
    let header = |fields: &[u8]| {
        let sized = [&[u8::try_from(fields.len()).unwrap()][..], fields].concat();
        [&checksum(&sized)[..], &sized].concat()
    };
    let length = u8::try_from(content.len()).unwrap();
    // Type 2 with a data area, a sum of the content, and a method that stores.
    let file = [&[2, 2, length, 4, length, 0x20][..], &checksum(content), &[0, 1, 5], b"a.com"].concat();
    [b"Rar!\x1A\x07\x01\0", &header(&[1, 0, 0])[..], &header(&file), content, &header(&[5, 0, 0])].concat()
}

fn checksum(content: &[u8]) -> [u8; 4] {
    let mut sum = flate2::Crc::new();
    sum.update(content);
    sum.sum().to_le_bytes()
}

/// Signed data in BER, whose content is in two pieces.
fn signed(content: &[u8]) -> Vec<u8> {
    let element = |tag: u8, parts: &[&[u8]]| [&[tag, 0x80][..], &parts.concat(), &[0, 0]].concat();
    let identifier = |last: u8| [&b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07"[..], &[last]].concat();
    let piece = |part: &[u8]| [&[4, u8::try_from(part.len()).unwrap()][..], part].concat();
    let (first, second) = content.split_at(content.len() / 2);
    let octets = element(0x24, &[&piece(first), &piece(second)]);
    let enclosed = element(0x30, &[&identifier(1), &element(0xA0, &[&octets])]);
    let data = element(0x30, &[&[2, 1, 1, 0x31, 0], &enclosed, &[0x31, 0]]);
    element(0x30, &[&identifier(2), &element(0xA0, &[&data])])
}

/// A section with a file in it.
fn one_note(content: &[u8]) -> Vec<u8> {
    let section = b"\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3";
    let object = b"\xE7\x16\xE3\xBD\x65\x26\x11\x45\xA4\xC4\x8D\x4D\x0B\x7A\x9E\xAC";
    let length = u64::try_from(content.len()).unwrap().to_le_bytes();
    [&section[..], &[0; 1008], object, &length, &[0; 12], content, &[0; 64]].concat()
}

fn pdf(content: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(content).unwrap();
    let stream = zlib.finish().unwrap();
    let start = "%PDF-1.7\n1 0 obj\n<</Type /Catalog>>\nendobj\n2 0 obj";
    let dictionary = format!("{start}\n<</Length {} /Filter /FlateDecode>>\nstream\n", stream.len());
    let end = b"\nendstream\nendobj\ntrailer\n<</Root 1 0 R>>\nstartxref\n9\n%%EOF\n";
    [dictionary.as_bytes(), &stream, end].concat()
}

/// The same, as `qpdf` encrypts it.
fn encrypted_pdf(user: &str, content: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.pdf"), pdf(content)).unwrap();
    let status = Command::new("qpdf")
        .args(["--preserve-unreferenced", "--encrypt", user, "owner", "256", "--", "in.pdf", "out.pdf"])
        .current_dir(directory.path())
        .stderr(Stdio::null())
        .status()
        .expect("qpdf, which dev/install names");
    // It warns of the table that it makes anew.
    assert_eq!(status.code(), Some(3));
    fs::read(directory.path().join("out.pdf")).unwrap()
}

/// Parts of a mail, the content in one of them.
fn in_parts(content: &[u8]) -> String {
    let encoded = aws_smithy_types::base64::encode(content);
    format!(
        "--B\nContent-Type: text/plain\n\nwords\n--B\nContent-Type: application/octet-stream\n\
         Content-Transfer-Encoding: base64\n\n{encoded}\n--B--\n"
    )
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    zipped_as(SimpleFileOptions::default(), members)
}

fn zipped_as(options: SimpleFileOptions, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Sets the flag of encryption in both headers of a zip of one member.
fn locked(mut archive: Vec<u8>) -> Vec<u8> {
    let entry = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    archive[6] |= 1;
    archive[entry + 8] |= 1;
    archive
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn the_pages_table_is_that_of_the_tests() {
    let rows: String = formats()
        .into_iter()
        .map(|(format, outcome, _)| match outcome {
            Outcome::Scanned => format!("| {format} | scanned inside | |\n"),
            Outcome::Clean => format!("| {format} | CLEAN | |\n"),
            Outcome::Refused(reason) => format!("| {format} | UNSCANNABLE | `{reason}` |\n"),
        })
        .collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verdicts.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&format!("|---|---|---|\n{rows}\n")), "docs/verdicts.md should have these rows:\n{rows}");
    for reason in Reason::ALL {
        assert!(page.contains(&format!("| `{reason}` |")), "docs/verdicts.md does not explain {reason}");
    }
}

#[tokio::test]
async fn each_format_becomes_what_the_table_says() {
    let (definitions, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // By its digest: in small samples packers leave it as it is.
    fs::write(definitions.path().join("test.hdb"), "44d88612fea8a8f36de82e1278abb02f:68:Eicar\n").unwrap();
    let program = programs_directory().unwrap().join("nacre-engine");
    let pool = EnginePool::new(program, scratch.path().to_owned());
    let timeout = std::time::Duration::from_mins(10);
    for (format, outcome, sample) in formats() {
        let write = async |path: &Path| fs::write(path, &sample);
        let examination = pool.examine(definitions.path(), write, Limits::default(), || timeout).await.unwrap();
        let verdict = examination.verdict(sample.len() as u64);
        match outcome {
            Outcome::Scanned => assert!(verdict.is_infected(), "{format}: {verdict:?}"),
            Outcome::Clean => assert_eq!(verdict, Verdict::Clean, "{format}"),
            Outcome::Refused(reason) => assert_eq!(verdict, Verdict::Unscannable { reason }, "{format}"),
        }
    }
}
