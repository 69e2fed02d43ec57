//! The files that sets are drawn from and tried on.

pub(crate) mod unseen;

use nacre_core::{scan_record::FunctionalityLevel, targets::Targets};
use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use flate2::{
    Compression, Crc,
    write::{GzEncoder, ZlibEncoder},
};
use nacre_engine_client::{
    EnginePool, Examination,
    protocol::{Digests, Limits},
};
use sha2::{Digest, Sha256};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{genes::md5_hex, read};

/// Where Debian's package `clamav-testfiles` puts them; the corpus does without where they are not installed.
const TEST_FILES: &str = "/usr/share/clamav-testfiles";

/// Those of them that are small, and of many kinds.
pub(super) const CHOSEN: [&str; 19] = [
    "clam.exe",
    "clam-upx.exe",
    "clam-fsg.exe",
    "clam.zip",
    "clam.cab",
    "clam.arj",
    "clam.7z",
    "clam.tar.gz",
    "clam.ole.doc",
    "clam.pdf",
    "clam.exe.rtf",
    "clam.exe.mbox.base64",
    "clam.tnef",
    "clam.chm",
    "clam.exe.html",
    "clam.newc.cpio",
    "clam-nsis.exe",
    "clam.mail",
    "clam.ea05.exe",
];

/// A file, and what an engine sees in it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// Its layers, and what libclamav makes of them.
    pub(super) layers: Vec<Digests>,
    /// Number of layers.
    pub(super) layer_count: u64,
    pub(super) targets: Vec<u8>,
    /// Size, MD5 and SHA-256 of the sections of a program of Windows.
    pub(super) sections: Vec<(usize, String, String)>,
}

#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) files: Vec<Known>,
    /// Of the engine that saw them.
    pub(super) functionality_level: FunctionalityLevel,
}

impl Corpus {
    /// Makes files in a directory, and copies these test files there.
    pub(super) async fn gather(directory: &Path, test_files: &[&str], pool: &EnginePool) -> Self {
        fs::create_dir_all(directory).unwrap();
        for (name, bytes) in made() {
            fs::write(directory.join(name), bytes).unwrap();
        }
        if let Ok(program) = fs::read("/bin/true") {
            fs::write(directory.join("true"), program).unwrap();
        }
        for name in test_files {
            match fs::read(Path::new(TEST_FILES).join(name)) {
                Ok(bytes) => fs::write(directory.join(name), bytes).unwrap(),
                Err(_) => println!("{name} of clamav-testfiles is not installed, and not tried"),
            }
        }
        let nothing = directory.with_file_name("nothing");
        fs::create_dir_all(&nothing).unwrap();
        fs::write(nothing.join("nothing.ndb"), "Nothing:0:*:00112233445566778899aabbccddeeff00112233\n").unwrap();
        let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            let fetch = async |to: &Path| fs::copy(&path, to).map(drop);
            let seen = pool.examine(&nothing, fetch, Limits::default(), || Duration::from_mins(10)).await.unwrap();
            let Examination::Seen { report, .. } = seen else { panic!("{} was not seen", path.display()) };
            let targets = Targets::from_bits(report.targets).iter().collect();
            let bytes = read(&path);
            let sections = sections(&bytes).unwrap_or_default();
            let layers = report.layers.into_iter().map(|layer| Digests {
                size: layer.size,
                md5: layer.md5,
                sha1: layer.sha1,
                sha256: layer.sha256,
            });
            let layers = layers.chain(report.derived).collect();
            files.push(Known { path, sections, bytes, layers, layer_count: report.layer_count, targets });
        }
        pool.dismiss(&nothing);
        Self { files, functionality_level: FunctionalityLevel(pool.hello().await.unwrap().functionality_level) }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().map(|known| known.path.clone())
    }

    pub(super) fn named(&self, name: &str) -> &Known {
        self.files.iter().find(|known| known.path.ends_with(name)).unwrap_or_else(|| panic!("{name} is in the corpus"))
    }
}

fn made() -> Vec<(&'static str, Vec<u8>)> {
    let text = b"A plain text of some length, which says nothing of note, and says it twice over.\n".repeat(3);
    let page = b"<html><head><title>page</title></head><body><p>Hello, reader of pages.</p><script>var answer = 42;</script></body></html>\n";
    let inner = zip(&[("inner.txt", &text), ("page.html", page)]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&text).unwrap();
    let mail = "From: a@example.org\nTo: b@example.org\nSubject: hi\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n\
        --b\nContent-Type: text/plain\n\nDear friend, nothing is attached but this.\n--b\nContent-Type: application/octet-stream\n\
        Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"a.bin\"\n\nTm90IGEgcHJvZ3JhbSBhdCBhbGwsIGp1c3QgYSBsaW5lLg==\n--b--\n";
    let phishing = "From: a@example.org\nTo: b@example.org\nSubject: hi\nMIME-Version: 1.0\nContent-Type: text/html\n\n\
        <html><body><a href=\"http://evil.example.net/x\">http://www.paypal-test.com/login</a></body></html>\n";
    let anchor = "<a\nhref=\"http://evil.example.net/x\">http://www.paypal-test.com/login</a>";
    let pdf = "%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n\
        trailer\n<< /Root 1 0 R >>\n%%EOF\n";
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(4096, 0x5a);
    let many: Vec<(String, Vec<u8>)> =
        (0..300).map(|n| (format!("{n}"), format!("member {n} of many").into())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let script =
        b"#!/bin/sh\n# Says Hello   to everybody.\nexport GREETING='Hello,   World'\necho \"$GREETING\"\nexit 0\n";
    vec![
        ("windows", windows()),
        ("many.zip", zip(&many)),
        ("secret.zip", encrypted(zip(&[("secret.txt", &text)]))),
        ("hello.sh", script.to_vec()),
        ("a.tar", tar("a.txt", &text)),
        ("empty", Vec::new()),
        ("tiny", b"abc".to_vec()),
        ("a.txt", text.clone()),
        ("page.html", page.to_vec()),
        ("a.zip", zip(&[("a.txt", &text), ("b.bin", &[7; 900])])),
        ("nested.zip", zip(&[("inner.zip", &inner)])),
        ("a.gz", gzip.finish().unwrap()),
        ("mail.eml", mail.into()),
        ("phishing.eml", phishing.into()),
        ("phishing.mht", format!("Some words.\nMIME-Version: 1.0\nContent-Type: text/html\n\n{anchor}\n").into()),
        ("a.pdf", pdf.into()),
        ("a.elf", elf),
        ("noise", (0..5000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect()),
        ("looks.png", image()),
        ("a.lzh", unseen::lha(&text.repeat(2))),
        ("a.sfx", unseen::self_extracting("a.txt", &text.repeat(3)).0),
        ("a16.html", unseen::utf16("<html><body><p>A page of wide characters.</p></body></html>\n")),
        (
            "a.png",
            [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde".as_slice(), &[0; 64]]
                .concat(),
        ),
    ]
}

/// A file of three of the windows in which libclamav reads, with a pattern of two parts before the end of the first two: in the part by
/// which windows overlap, and before it.
fn windows() -> Vec<u8> {
    let mut file: Vec<u8> = (0..300_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1] | 0x80).collect();
    for at in [131_032, 250_000] {
        file[at..at + 19].copy_from_slice(b"MARKALPHA..MARKBETA");
    }
    file
}

/// An image that can be read: eight by eight grey points.
fn image() -> Vec<u8> {
    let rows: Vec<u8> =
        (0..8_u8).flat_map(|y| [0].into_iter().chain((0..8_u8).map(move |x| (x * 30) ^ (y * 17)))).collect();
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&rows).unwrap();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = b"\0\0\0\x08\0\0\0\x08\x08\0\0\0\0";
    for (name, content) in [(b"IHDR", header.as_slice()), (b"IDAT", &packed.finish().unwrap()), (b"IEND", &[])] {
        let named = [name.as_slice(), content].concat();
        let mut sum = Crc::new();
        sum.update(&named);
        png.extend_from_slice(&u32::try_from(content.len()).unwrap().to_be_bytes());
        png.extend_from_slice(&named);
        png.extend_from_slice(&sum.sum().to_be_bytes());
    }
    png
}

/// An archive whose one file is marked as encrypted.
fn encrypted(mut archive: Vec<u8>) -> Vec<u8> {
    let central = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    archive[6] |= 1;
    archive[central + 8] |= 1;
    archive
}

fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    nacre_clamav::archive::to_tar([(name, content)].into_iter())
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Sizes and digests of the sections of a program of Windows, as `mdb` and `msb` signatures name them.
fn sections(bytes: &[u8]) -> Option<Vec<(usize, String, String)>> {
    let u16_at = |at: usize| Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    if !bytes.starts_with(b"MZ") {
        return None;
    }
    let header = u32_at(0x3c)?;
    let (count, optional) = (u16_at(header + 6)?, u16_at(header + 20)?);
    let table = header + 24 + optional;
    let mut sections = Vec::new();
    for number in 0..count {
        let (size, at) = (u32_at(table + 40 * number + 16)?, u32_at(table + 40 * number + 20)?);
        let content = bytes.get(at..at + size).filter(|content| !content.is_empty());
        sections.extend(content.map(|content| (size, md5_hex(content), hex::encode(Sha256::digest(content)))));
    }
    Some(sections)
}
