//! What stands in an archive and is no member of it: fields, comments, padding, gaps. Tools search whole files, and find it there.

use std::{collections::BTreeSet, io::Write};

use nacre_core::verdict::{Reason, Verdict};
use nacre_engine_protocol::Limits;

use crate::{
    archives::entry,
    containers,
    driver::eicar,
    fail_closed::{World, gzip, noise},
    second_reader::made,
};

/// A hole of an archive that is harmless without what is put into it.
type Hole = fn(&[u8]) -> Vec<u8>;

const HOLES: [(&str, Hole); 17] = [
    ("an extra field of gzip", gzip_extra),
    ("an extra field of a later stream of gzip", |hidden| [gzip(&noise(500)), gzip_extra(hidden)].concat()),
    ("an attribute in a tar", |hidden| tar_record(b'x', hidden)),
    ("an attribute of all members of a tar", |hidden| tar_record(b'g', hidden)),
    ("the padding of a tar", |hidden| {
        let mut tar = entry(b"a", b'0', b"words that end in this block");
        let from = tar.len() - 480;
        tar[from..from + hidden.len()].copy_from_slice(hidden);
        [tar, tar_of_words()].concat()
    }),
    ("a comment in the directory of a zip", |hidden| zip(&[], &[], hidden)),
    ("an extra field in a zip", |hidden| zip(hidden, &[], &[])),
    ("a gap of a zip", |hidden| zip(&[], hidden, &[])),
    ("a gap of a 7z", |hidden| {
        let seven_zip = containers::seven_zip(&[&noise(500)]);
        let place = [(500 + hidden.len() as u64).to_le_bytes(), seven_zip[20..28].try_into().unwrap()].concat();
        let place = [&place[..], &seven_zip[28..32]].concat();
        [&seven_zip[..8], &crc32(&place).to_le_bytes(), &place, &seven_zip[32..532], hidden, &seven_zip[532..]].concat()
    }),
    ("a gap of a cabinet", |hidden| {
        let mut cabinet = containers::cabinet(&[&noise(500)]);
        for field in [8, 36] {
            let number = u32::from_le_bytes(cabinet[field..field + 4].try_into().unwrap());
            let moved = number + u32::try_from(hidden.len()).unwrap();
            cabinet[field..field + 4].copy_from_slice(&moved.to_le_bytes());
        }
        [&cabinet[..62], hidden, &cabinet[62..]].concat()
    }),
    ("the system area of an ISO", |hidden| {
        let mut iso = containers::iso(&[&noise(3000)]);
        iso[512..512 + hidden.len()].copy_from_slice(hidden);
        iso
    }),
    ("a sector of an ISO that no file has", |hidden| {
        let mut iso = containers::iso(&[&noise(3000), &noise(100)]);
        // The second record of a file is gone.
        let record = iso.windows(4).rposition(|name| name == b"M.;1").unwrap() - 33;
        iso[record] = 0;
        let data = 2048 * 21;
        iso[data..data + hidden.len()].copy_from_slice(hidden);
        iso
    }),
    ("a frame that zstd skips, before another", |hidden| [skippable(hidden), zstd()].concat()),
    ("a frame that zstd skips, between others", |hidden| [zstd(), skippable(hidden), zstd()].concat()),
    ("a frame that zstd skips, behind another", |hidden| [zstd(), skippable(hidden)].concat()),
    ("bytes between two streams of bzip2", |hidden| [bzip2(), hidden.to_vec(), bzip2()].concat()),
    ("the tags of a gzip behind a program", |hidden| [b"MZ and a stub\0", &gzip_extra(hidden)[..]].concat()),
];

#[test]
fn archives_and_texts_in_holes_of_archives() {
    let mut world = World::new();
    let fillers = [
        ("a cabinet", containers::cabinet(&[&eicar()])),
        ("a 7z", containers::seven_zip(&[&eicar()])),
        ("a cpio", containers::cpio(&[&eicar()])),
        ("a gzip", gzip(&eicar())),
        ("a file of uuencode", [b"\n", &made("uuencode", &["eicar", "eicar"])[..]].concat()),
    ];
    for (name, hole) in HOLES {
        let harmless = hole(b"a note of some words, and no more");
        assert_eq!(world.ours(&harmless, Limits::default()), Verdict::Clean, "{name}");
        for (filler, hidden) in &fillers {
            let content = hole(hidden);
            for (level, content) in
                [("", content.clone()), (" in a gzip", gzip(&content)), (" in a tar", tar(&content))]
            {
                let verdict = world.ours(&content, Limits::default());
                assert_ne!(verdict, Verdict::Clean, "{filler} in {name}{level}");
            }
        }
    }
}

/// Attack: what begins in a hole goes on in the member behind it, which is a harmless text by itself.
#[test]
fn what_begins_in_a_hole_and_goes_on_in_a_member() {
    let mut world = World::new();
    let text = made("uuencode", &["eicar", "eicar"]);
    let begin = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let name = String::from_utf8([b"a\n", &text[..begin]].concat()).unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file(name.as_str(), stored).unwrap();
    zip.write_all(&text[begin..]).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    assert_ne!(world.ours(&zip, Limits::default()), Verdict::Clean, "uuencode in a zip");
    // A header of a mail as a name, and its body as a member.
    let encoded =
        made("python3", &["-c", "import base64\nprint(base64.encodebytes(open('eicar', 'rb').read()).decode())"]);
    for field in ["Content-Transfer-Encoding: base64\nX: ", "Subject: x\nContent-Transfer-Encoding: base64\nX: "] {
        let mail = entry(field.as_bytes(), b'0', &[b"\n\n", &encoded[..], b"\n--b\n"].concat());
        let verdict = world.ours(&[mail, tar_of_words()].concat(), Limits::default());
        assert!(verdict.is_infected(), "{field:?}: {verdict:?}");
    }
    let mut iso = containers::iso(&[&noise(3000)]);
    let mail = [b"X-A: b\nContent-Transfer-Encoding: base64\n\n", &encoded[..], b"\n\n--b\n"].concat();
    iso[..mail.len()].copy_from_slice(&mail);
    assert!(world.ours(&iso, Limits::default()).is_infected());
}

/// What stands in an archive as a member is not searched once more by the marks of its own members.
#[test]
fn archives_of_archives_are_read_by_their_members() {
    let mut world = World::new();
    let packed = [gzip(&noise(900)), containers::cabinet(&[&noise(800)]), containers::cpio(&[&noise(700)])];
    let members: Vec<&[u8]> = packed.iter().map(Vec::as_slice).collect();
    let writers: [(&str, containers::Writer); 6] = [
        ("tar", containers::tar),
        ("cpio", containers::cpio),
        ("zip", containers::stored_zip),
        ("7z", containers::seven_zip),
        ("cabinet", containers::cabinet),
        ("ISO", containers::iso),
    ];
    for (name, writer) in writers {
        let content = writer(&members);
        assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{name}");
        let report = world.engine.scan(&content);
        let contents: BTreeSet<&str> = report.layers.iter().map(|layer| layer.sha256.as_str()).collect();
        assert_eq!(contents.len(), 7, "{name}: {:?}", report.layers);
    }
}

/// Attack: `cpio` takes the body of a header for a long name for a file.
#[test]
fn a_long_name_of_a_tar_that_is_none_is_a_file() {
    let mut world = World::new();
    let long = [&b"a directory/".repeat(12)[..], b"name\0"].concat();
    for kind in [b'L', b'K'] {
        let of = |body: &[u8]| [entry(b"x", kind, body), tar_of_words()].concat();
        assert!(world.ours(&of(&eicar()), Limits::default()).is_infected(), "{kind}");
        let report = world.engine.scan(&of(&long));
        assert_eq!(report.layers.len(), 2, "{kind}: a name is no file: {:?}", report.layers);
    }
}

/// Attack: an archive that libarchive knows and does not open, in a hole of one that libclamav opens by its own index.
#[test]
fn what_stays_packed_in_a_hole_is_not_clean() {
    // A member of LHA by `-lh5-` whose data is none.
    let mut header = b"-lh5-\x20\0\0\0\x4D\0\0\0\0\0\0X\x20\x01\x05x.bin\xBF\x7EU\0\0".to_vec();
    let sum = header.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    header.splice(0..0, [u8::try_from(header.len()).unwrap(), sum]);
    let hidden = [&header[..], &noise(32), &[0]].concat();
    let mut world = World::new();
    for (name, hole) in [("tar", tar_record(b'x', &hidden)), ("zip", zip(&hidden, &[], &[]))] {
        let verdict = world.ours(&hole, Limits::default());
        assert_eq!(verdict, Verdict::Unscannable { reason: Reason::UnsupportedFormat }, "{name}");
    }
}

fn crc32(content: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(content);
    sum.sum()
}

fn gzip_extra(hidden: &[u8]) -> Vec<u8> {
    let length = u16::try_from(hidden.len()).unwrap().to_le_bytes();
    [b"\x1F\x8B\x08\x04\0\0\0\0\0\x03", &length[..], hidden, &gzip(&noise(500))[10..]].concat()
}

fn tar(member: &[u8]) -> Vec<u8> {
    containers::tar(&[member])
}

fn tar_of_words() -> Vec<u8> {
    tar(&noise(600))
}

/// A tar whose first header is followed by a record of attributes.
fn tar_record(kind: u8, hidden: &[u8]) -> Vec<u8> {
    let rest = [b" comment=", hidden, b"\n"].concat();
    let length =
        (1..5).map(|digits| rest.len() + digits).find(|length| length.to_string().len() + rest.len() == *length);
    let record = [length.unwrap().to_string().as_bytes(), &rest].concat();
    [entry(b"pax", kind, &record), tar_of_words()].concat()
}

fn skippable(hidden: &[u8]) -> Vec<u8> {
    [b"\x53\x2A\x4D\x18", &u32::try_from(hidden.len()).unwrap().to_le_bytes()[..], hidden].concat()
}

fn zstd() -> Vec<u8> {
    made("zstd", &["-q", "-c", "words"])
}

fn bzip2() -> Vec<u8> {
    made("bzip2", &["-c", "words"])
}

/// A zip of two deflated members: with an extra field in the first local header, something between both, and a comment in the directory.
fn zip(extra: &[u8], gap: &[u8], comment: &[u8]) -> Vec<u8> {
    let number16 = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    let number32 = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let words = noise(500);
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflated.write_all(&words).unwrap();
    let packed = deflated.finish().unwrap();
    let extra = if extra.is_empty() { Vec::new() } else { [b"\xFE\xCA", &number16(extra.len())[..], extra].concat() };
    let (mut content, mut directory) = (Vec::new(), Vec::new());
    for (name, extra, gap, comment) in [(b"a", &extra[..], gap, comment), (b"b", &[], &[], &[])] {
        let common = [
            &[20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0][..],
            &crc32(&words).to_le_bytes(),
            &number32(packed.len()),
            &number32(words.len()),
            &[1, 0],
        ]
        .concat();
        let entry = [b"PK\x01\x02\x14\0", &common[..], &[0, 0], &number16(comment.len()), &[0; 8]].concat();
        directory.extend([&entry[..], &number32(content.len()), name, comment].concat());
        content.extend([b"PK\x03\x04", &common[..], &number16(extra.len()), name, extra, &packed, gap].concat());
    }
    let place = [number32(directory.len()), number32(content.len())].concat();
    [&content[..], &directory, b"PK\x05\x06\0\0\0\0\x02\0\x02\0", &place, &[0, 0]].concat()
}
