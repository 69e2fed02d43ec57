//! The files that the demo uploads: real containers, office and text files, and one EICAR test file.

use std::{
    fs, io,
    io::{Cursor, Write},
    path::Path,
};

use nacre_clamav::builder::eicar;
use zip::{ZipWriter, write::SimpleFileOptions};

/// Where Debian's package `clamav-testfiles` puts harmless files in every container that ClamAV opens.
const TEST_FILES: &str = "/usr/share/clamav-testfiles";

/// The key of the EICAR test file.
pub(super) const EICAR_KEY: &str = "inbox/eicar.com";

/// The key of the object that a later signature finds.
pub(super) const LATENT_KEY: &str = "reports/Quarterly report 2026-Q3.docx";

/// What that document says.
const LATENT_TEXT: &str = "Please enable the macro to read invoice 4711-0815";

/// Keys and contents.
pub(super) type Corpus = Vec<(String, Vec<u8>)>;

/// Gathers the files.
pub(super) fn gather() -> io::Result<Corpus> {
    let mut corpus = vec![
        (EICAR_KEY.to_owned(), eicar()),
        (LATENT_KEY.to_owned(), document(LATENT_TEXT)?),
        ("reports/Minutes of the board.docx".to_owned(), document("Nothing was decided, unanimously.")?),
        ("notes/read me.txt".to_owned(), b"A text file, as plain as they come.\n".to_vec()),
        ("notes/prices+taxes.csv".to_owned(), b"item,price\npearl,12.50\nshell,0.75\n".to_vec()),
        ("notes/h\u{e9}llo.html".to_owned(), b"<!doctype html><title>hello</title><p>Hello, world.</p>\n".to_vec()),
        ("mail/welcome.eml".to_owned(), mail().into_bytes()),
        ("src/hello.py".to_owned(), b"print('hello')\n".to_vec()),
    ];
    corpus.extend(test_files(Path::new(TEST_FILES))?);
    Ok(corpus)
}

/// The installed test files; none where the package is not installed.
fn test_files(directory: &Path) -> io::Result<Corpus> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let key = format!("containers/{}", entry.file_name().to_string_lossy());
            files.push((key, fs::read(entry.path())?));
        }
    }
    files.sort();
    Ok(files)
}

/// A small word-processing document: a zip of XML.
fn document(text: &str) -> io::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let types = r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"#;
    let body = body(text);
    for (name, content) in [("[Content_Types].xml", types), ("word/document.xml", &body)] {
        zip.start_file(name, SimpleFileOptions::default())?;
        zip.write_all(content.as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

/// The member of the latent document that a later signature knows by its digest.
pub(super) fn latent_member() -> String {
    body(LATENT_TEXT)
}

fn body(text: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>"#
    )
}

fn mail() -> String {
    let header = "From: shell@example.org\nTo: pearl@example.org\nSubject: welcome\nMIME-Version: 1.0\n";
    let text = "Content-Type: text/plain\n\nWelcome aboard.\n";
    format!("{header}Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\n{text}--b--\n")
}
