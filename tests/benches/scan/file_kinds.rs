//! The kinds of files that people upload, made from numbers.

use std::io::{Cursor, Write};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use nacre_test_support::{Random, bench::pe};

/// How a file is made, of about so many bytes, with these among them.
type Maker = fn(usize, &[u8], &mut Random) -> Vec<u8>;

/// Each kind's extension, and how it is made. None needs what it is not given: makers write to memory alone.
pub(crate) const KINDS: [Kind; 7] =
    [("txt", text), ("html", html), ("zip", zip), ("exe", program), ("bin", noise), ("pdf", pdf), ("gz", gzip)];

/// An extension, and how a file of it is made.
pub(crate) type Kind = (&'static str, Maker);

const WORDS: [&str; 24] = [
    "pearl", "oyster", "shell", "layer", "tide", "harbour", "ledger", "report", "quarter", "invoice", "minutes",
    "meeting", "object", "record", "signed", "version", "total", "amount", "delivery", "address", "question", "answer",
    "the", "of",
];

fn text(bytes: usize, with: &[u8], random: &mut Random) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + with.len() + 80);
    while text.len() < bytes {
        for _ in 0..12 {
            let word = random.below(WORDS.len());
            text.extend_from_slice(WORDS.get(word).unwrap_or(&"").as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(b".\n");
    }
    text.extend_from_slice(with);
    text
}

fn html(bytes: usize, with: &[u8], random: &mut Random) -> Vec<u8> {
    let mut page = b"<!DOCTYPE html>\n<html><head><title>Report</title></head><body>\n".to_vec();
    while page.len() < bytes {
        let (row, paragraph) = (random.below(1000), String::from_utf8_lossy(&text(200, b"", random)).into_owned());
        page.extend(
            format!("<p class=\"row-{row}\"><a href=\"page-{row}.html\">more</a> {paragraph}</p>\n").into_bytes(),
        );
    }
    page.extend_from_slice(with);
    page.extend_from_slice(b"\n</body></html>\n");
    page
}

#[expect(clippy::expect_used, reason = "writing to memory cannot fail")]
fn zip(bytes: usize, with: &[u8], random: &mut Random) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    // What is in it has the asked-for length: that is what a scanner reads.
    let makers: [(&str, Maker); 3] = [("notes.txt", text), ("page.html", html), ("data.bin", noise)];
    for (name, make) in makers {
        archive.start_file(name, options).expect("memory takes everything");
        archive.write_all(&make(bytes / 3, with, random)).expect("memory takes everything");
    }
    archive.finish().expect("memory takes everything").into_inner()
}

#[expect(clippy::expect_used, reason = "writing to memory cannot fail")]
fn gzip(bytes: usize, with: &[u8], random: &mut Random) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&text(bytes, with, random)).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn program(bytes: usize, with: &[u8], random: &mut Random) -> Vec<u8> {
    let code = noise(bytes / 2, b"", random);
    pe::program(&[(".text", code), (".rdata", text(bytes / 4, with, random)), (".data", noise(bytes / 4, b"", random))])
}

fn noise(bytes: usize, with: &[u8], random: &mut Random) -> Vec<u8> {
    // No format begins like this.
    let mut noise = vec![0xc3; 16];
    while noise.len() < bytes {
        noise.extend(random.next().to_le_bytes());
    }
    noise.extend_from_slice(with);
    noise
}

/// A document of one page for each 4 KiB of its text, in compressed streams.
fn pdf(bytes: usize, with: &[u8], random: &mut Random) -> Vec<u8> {
    let pages = (bytes / 4096).max(1);
    let kids: Vec<String> = (0..pages).map(|page| format!("{} 0 R", 3 + 2 * page)).collect();
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!("<< /Type /Pages /Kids [{}] /Count {pages} >>", kids.join(" ")).into_bytes(),
    ];
    for page in 0..pages {
        let content = format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {} 0 R >>", 4 + 2 * page);
        objects.push(content.into_bytes());
        objects.push(stream(&text(4096, if page == 0 { with } else { b"" }, random)));
    }
    let (mut file, mut places) = (b"%PDF-1.4\n".to_vec(), vec!["0000000000 65535 f \n".to_owned()]);
    for (number, object) in objects.iter().enumerate() {
        places.push(format!("{:010} 00000 n \n", file.len()));
        file.extend(format!("{} 0 obj\n", number + 1).into_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let (at, size, places) = (file.len(), objects.len() + 1, places.concat());
    let end = format!("xref\n0 {size}\n{places}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n");
    file.extend(end.into_bytes());
    file
}

#[expect(clippy::expect_used, reason = "writing to memory cannot fail")]
fn stream(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("memory takes everything");
    let packed = encoder.finish().expect("memory takes everything");
    let head = format!("<< /Length {} /Filter /FlateDecode >>\nstream\n", packed.len());
    [head.as_bytes(), &packed, b"\nendstream"].concat()
}
