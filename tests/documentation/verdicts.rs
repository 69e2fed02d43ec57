//! `docs/verdicts.md`: its table of formats is made from the table here, whose samples are scanned by the real engine.

use std::{env, fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use nacre_clamav::builder::{eicar, eicar_signature};
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
    let mail = |header: &str| format!("{header}\n\nwords").into_bytes();
    vec![
        ("anything without a structure", Scanned, eicar()),
        ("zip, OOXML, jar, APK", Scanned, zipped(&[("a.com", &eicar())])),
        ("gzip", Scanned, gzipped(&eicar())),
        ("tar", Scanned, nacre_clamav::archive::to_tar([("a.com", &eicar()[..])].into_iter())),
        ("archives of folders and empty files", Clean, zipped(&[("a/", b""), ("a/.gitkeep", b""), ("b/", b"")])),
        ("zip with a password", Refused(encrypted), locked(zipped(&[("a.txt", b"just some words")]))),
        ("age", Refused(encrypted), sample(b"age-encryption.org/v1\n")),
        ("OpenPGP, encrypted", Refused(encrypted), sample(b"-----BEGIN PGP MESSAGE-----\n")),
        ("OpenPGP, compressed", Refused(unsupported), sample(b"\xA3\x03BZh9")),
        ("CMS and S/MIME, enveloped", Refused(encrypted), sample(b"0\x80\x06\x09*\x86H\x86\xF7\x0D\x01\x07\x03")),
        ("`openssl enc`", Refused(encrypted), sample(b"Salted__")),
        ("LUKS", Refused(encrypted), sample(b"LUKS\xBA\xBE\0\x02")),
        ("OpenDocument with a password", Refused(encrypted), mail("<manifest><encryption-data/></manifest>")),
        ("zstd", Refused(unsupported), sample(b"\x28\xB5\x2F\xFD")),
        ("lz4", Refused(unsupported), sample(b"\x04\x22\x4D\x18")),
        ("compress (.Z)", Refused(unsupported), sample(b"\x1F\x9D\x90")),
        ("lzip", Refused(unsupported), sample(b"LZIP\x01\x0C")),
        ("ar, .deb, static libraries", Refused(unsupported), sample(b"!<arch>\n")),
        ("RPM", Refused(unsupported), sample(b"\xED\xAB\xEE\xDB")),
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
        ("a piece of a mail", Refused(unsupported), mail("Content-Type: message/partial; id=x; number=1")),
        (
            "mail that libclamav takes for text",
            Refused(unsupported),
            mail("Reply-To: a@b\nContent-Type: multipart/mixed; boundary=x"),
        ),
    ]
}

fn squashed((at, byte): (usize, u8)) -> u8 {
    b"hsqs".get(at).copied().unwrap_or(byte)
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
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
    fs::write(definitions.path().join("test.ndb"), eicar_signature()).unwrap();
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
