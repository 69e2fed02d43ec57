//! The files that every set of definitions must leave alone: documents of the common kinds, and our own programs.

use std::io::{Cursor, Write};

use base64ct::{Base64, Encoding};
use flate2::{Compression, write::GzEncoder};
use nacre_clamav::archive::to_tar;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// EICAR in five containers, by name: a set that does not find it in one of them cannot open that container.
pub(crate) fn eicar_containers(eicar: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let tar = to_tar([("eicar.com", eicar)].into_iter());
    vec![
        ("eicar.zip", zip("eicar.com", eicar)),
        ("eicar.tar", tar.clone()),
        ("eicar.tar.gz", gzip(&tar)),
        ("eicar.cpio", cpio("eicar.com", eicar)),
        ("eicar.eml", mail("eicar.com", eicar)),
    ]
}

/// Harmless files of the kinds that people upload.
pub(crate) fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let text = b"Minutes of the meeting\n\nThe pearl is kept by its nacre.\n".as_slice();
    let html = b"<!DOCTYPE html>\n<html><head><title>Nacre</title></head><body><p>Nothing to see.</p></body></html>\n";
    vec![
        ("notes.txt", text.to_vec()),
        ("page.html", html.to_vec()),
        ("table.csv", b"date,objects,infected\n2026-11-23,7306,0\n".to_vec()),
        ("record.json", br#"{"verdict":"clean","layers":1,"targets":[7]}"#.to_vec()),
        ("page.pdf", pdf()),
        ("pixel.gif", b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;".to_vec()),
        ("script.sh", b"#!/bin/sh\necho nothing to see\n".to_vec()),
        ("letter.eml", mail("notes.txt", text)),
        ("notes.zip", zip("notes.txt", text)),
        ("notes.tar.gz", gzip(&to_tar([("notes.txt", text), ("page.html", html)].into_iter()))),
    ]
}

#[expect(clippy::expect_used, reason = "compressing to memory cannot fail")]
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// A zip archive of one member.
#[expect(clippy::expect_used, reason = "writing to memory cannot fail")]
fn zip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    archive.start_file(name, options).expect("memory takes everything");
    archive.write_all(bytes).expect("memory takes everything");
    archive.finish().expect("memory takes everything").into_inner()
}

/// A cpio archive ("newc") of one member.
fn cpio(name: &str, bytes: &[u8]) -> Vec<u8> {
    let member = |name: &str, bytes: &[u8]| {
        let fields = [1, 0o100_644, 0, 0, 1, 0, bytes.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let numbers = fields.map(|field| format!("{field:08x}")).concat();
        let mut member = format!("070701{numbers}{name}\0").into_bytes();
        member.resize(member.len().next_multiple_of(4), 0);
        member.extend(bytes);
        member.resize(member.len().next_multiple_of(4), 0);
        member
    };
    [member(name, bytes), member("TRAILER!!!", b"")].concat()
}

/// A mail with one attachment.
fn mail(name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = "From: a@example.org\r\nTo: b@example.org\r\nSubject: attachment\r\nMIME-Version: 1.0\r\n\
                Content-Type: multipart/mixed; boundary=\"nacre\"\r\n\r\n--nacre\r\nContent-Type: text/plain\r\n\r\n\
                See the attachment.\r\n\r\n--nacre\r\nContent-Type: application/octet-stream\r\n\
                Content-Transfer-Encoding: base64\r\n";
    let disposition = format!("Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n");
    format!("{head}{disposition}{}\r\n--nacre--\r\n", base64(bytes)).into_bytes()
}

/// A document of one empty page.
fn pdf() -> Vec<u8> {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
    ];
    let (mut parts, mut table) = (vec!["%PDF-1.4\n".to_owned()], vec!["0000000000 65535 f \n".to_owned()]);
    for (number, object) in objects.iter().enumerate() {
        table.push(format!("{:010} 00000 n \n", parts.concat().len()));
        parts.push(format!("{} 0 obj\n{object}\nendobj\n", number + 1));
    }
    let (body, table) = (parts.concat(), table.concat());
    let at = body.len();
    format!("{body}xref\n0 4\n{table}trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n").into_bytes()
}

/// Base 64 in lines of 76 characters, as mail wants it.
fn base64(bytes: &[u8]) -> String {
    let digits = Base64::encode_string(bytes);
    let lines = digits.as_bytes().chunks(76).map(String::from_utf8_lossy);
    lines.map(|line| line.into_owned() + "\r\n").collect()
}
