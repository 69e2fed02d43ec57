//! Import libraries, and what programs carry within other bytes: opened, and no reason to refuse them.

use std::io::Write;

use nacre_core::verdict::{Reason, Verdict};
use nacre_engine_protocol::Limits;

use crate::{
    driver::eicar,
    fail_closed::{World, noise},
    second_reader::made,
};

/// A member of an `ar`.
fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{name:16}{:12}{:6}{:6}{:8}{:<10}`\n", -1, "", "", 0, content.len());
    [header.as_bytes(), content, &b"\n"[..content.len() % 2]].concat()
}

/// A library as Microsoft's tools make one: two tables, names that no table has, and many imports.
fn library(members: &[Vec<u8>]) -> Vec<u8> {
    let tables = [member("/", &[0; 20]), member("/", &noise(30)), member("//", b"other.dll\0")];
    [b"!<arch>\n", &tables.concat()[..], &members.concat()].concat()
}

#[test]
fn a_library_of_microsofts_tools_is_read() {
    let mut world = World::new();
    let imports: Vec<_> = (0..12_000)
        .map(|number| {
            let names = format!("function{number}\0library.dll\0");
            let size = u8::try_from(names.len()).unwrap();
            member(
                "/400",
                &[&b"\0\0\xFF\xFF\0\0\x64\x86\0\0\0\0"[..], &[size, 0, 0, 0, 0, 0, 4, 0], names.as_bytes()].concat(),
            )
        })
        .collect();
    assert_eq!(world.ours(&library(&imports), Limits::default()), Verdict::Clean);
    world.find("in a library", &library(&[&imports[..], &[member("/777", &eicar())]].concat()));
    let cut = library(&[member("/777", &noise(500))]);
    world.guard("cut", &cut[..cut.len() - 9], Limits::default(), &[], Reason::UnsupportedFormat);
}

/// Attack: what follows a small stream is an error of it to libarchive, before any of it came out.
#[test]
fn streams_between_other_bytes() {
    let mut world = World::new();
    for filter in [
        &["xz", "-c"][..],
        &["xz", "-c", "--check=crc32"],
        &["zstd", "-qc"],
        &["bzip2", "-c"],
        &["lzip", "-c"],
        &["lz4", "-qc"],
    ] {
        let [eicar, words] = ["eicar", "words"].map(|file| made(filter[0], &[&filter[1..], &[file]].concat()));
        for follows in [noise(300), b"and words".to_vec(), vec![0; 64], [&[0; 7][..], b"YZ"].concat()] {
            let between = |stream: &[u8]| [b"\x7FELF and more\0", stream, &follows].concat();
            let verdict = world.ours(&between(&eicar), Limits::default());
            assert!(verdict.is_infected(), "{filter:?}: {verdict:?}");
            assert_eq!(world.ours(&between(&words), Limits::default()), Verdict::Clean, "{filter:?}");
        }
    }
}

/// Attack: methods that libarchive lists, and gives nothing of.
#[test]
fn an_lha_of_another_method_behind_other_bytes() {
    let mut world = World::new();
    for method in ["lh4", "lhx", "pm0", "pm2", "lhd"] {
        let data = noise(50);
        let common = [format!("-{method}-").as_bytes(), &[50, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0x20]].concat();
        let fields = [&common[..], b"\x01\x01a\0\0U\0\0"].concat();
        let sum = fields.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        let archive = [&[u8::try_from(fields.len()).unwrap(), sum], &fields[..], &data, b"\0"].concat();
        for prefix in [&b""[..], b"x", b"MZ and a stub\0"] {
            let content = [prefix, &archive].concat();
            world.guard(method, &content, Limits::default(), &[], Reason::UnsupportedFormat);
        }
    }
}

/// A number as headers have it.
fn number(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

/// Files that installers and bundlers pack behind a program.
#[test]
fn what_is_packed_behind_a_program_without_a_mark() {
    let mut world = World::new();
    let deflated = |content: &[u8]| {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        deflate.write_all(content).unwrap();
        deflate.finish().unwrap()
    };
    let installer = |files: &[&[u8]]| {
        let stream: Vec<u8> = files.iter().flat_map(|file| [&number(file.len())[..], file].concat()).collect();
        let data = deflated(&stream);
        let head = [&number(files[0].len())[..], &number(28 + data.len())].concat();
        [b"MZ and a stub\0\0\0\0\xEF\xBE\xAD\xDENullsoftInst", &head[..], &data, &[7; 4]].concat()
    };
    assert_eq!(world.ours(&installer(&[&noise(90), b"words"]), Limits::default()), Verdict::Clean);
    world.find("an installer", &installer(&[&noise(90), &noise(70_000), &eicar()]));
    let bundle = |file: &[u8]| {
        // Nobody compares its sum.
        let data = [b"x\xDA", &deflated(file)[..], &[0; 4]].concat();
        let big = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
        let entry = [&big(24)[..], &big(0), &big(data.len()), &big(file.len()), b"\x01b", b"name\0\0"].concat();
        let cookie = [b"MEI\x0C\x0B\x0A\x0B\x0E", &big(88 + 24 + data.len())[..], &big(data.len()), &big(24), &[0; 68]];
        [b"\x7FELF and a loader", &data[..], &entry, &cookie.concat()].concat()
    };
    assert_eq!(world.ours(&bundle(&noise(500)), Limits::default()), Verdict::Clean);
    world.find("a bundle", &bundle(&eicar()));
}
