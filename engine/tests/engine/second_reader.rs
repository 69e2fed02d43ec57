//! What libclamav passes over and ordinary tools unpack: the second reader finds it, or the object is not clean.

use std::{fs, io::Write, path::Path, process::Command as Process};

use nacre_core::verdict::{Reason, Verdict};
use nacre_engine_protocol::Limits;

use crate::{
    archives::entry,
    driver::eicar,
    fail_closed::{World, gzip, noise},
};

const PREFIXES: [&[u8]; 4] = [b"x", b"MZ and a stub\0", b"#!/bin/sh\nexit\n", b"GIF89a\x01\0\x01\0\0\0\0;"];

/// What a program makes of files `words` and `eicar` in a directory of its own, as the file `made`.
pub(crate) fn made(program: &str, arguments: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("words"), noise(1000)).unwrap();
    fs::write(at("eicar"), eicar()).unwrap();
    let output = Process::new(program).args(arguments).current_dir(directory.path()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run `make setup`"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    if Path::exists(&at("made")) { fs::read(at("made")).unwrap() } else { output.stdout }
}

/// What bsdtar makes of both files, in the second place what must be found.
fn archive(options: &[&str]) -> Vec<u8> {
    made("bsdtar", &[&["-cf", "made"][..], options, &["words", "eicar"]].concat())
}

/// A zip of stored members, of which the directory lists those that are named in it.
fn zip(members: &[(&str, &[u8])], listed: &[&str]) -> Vec<u8> {
    let (mut content, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let mut sum = flate2::Crc::new();
        sum.update(data);
        let (offset, length) = (u32::try_from(content.len()).unwrap(), u32::try_from(data.len()).unwrap());
        let name_length = u16::try_from(name.len()).unwrap();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..],
            &sum.sum().to_le_bytes(),
            &length.to_le_bytes(),
            &length.to_le_bytes(),
            &name_length.to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        content.extend([b"PK\x03\x04", &common[..], name.as_bytes(), data].concat());
        if listed.contains(name) {
            let place = [&[0; 10][..], &offset.to_le_bytes()].concat();
            directory.extend([b"PK\x01\x02\x14\0", &common[..], &place, name.as_bytes()].concat());
        }
    }
    let [size, start] = [directory.len(), content.len()].map(|number| u32::try_from(number).unwrap().to_le_bytes());
    let count = u16::try_from(listed.len()).unwrap().to_le_bytes();
    [&content[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &size, &start, &[0, 0]].concat()
}

#[test]
fn streams_that_libclamav_does_not_know() {
    let mut world = World::new();
    let tar = [entry(b"words", b'0', &noise(2000)), entry(b"eicar", b'0', &eicar()), vec![0; 1024]].concat();
    for filter in ["--zstd", "--lz4", "--lzip", "--lzma", "--compress"] {
        world.find(filter, &archive(&[filter, "--format=ustar"]));
    }
    for program in ["zstd", "lz4"] {
        let packed = made(program, &["-q", "-c", "eicar"]);
        // A few bytes are kept as they are, and found there.
        assert!(world.ours(&packed, Limits::default()).is_infected(), "{program}");
        assert_eq!(world.ours(&made(program, &["-q", "-c", "words"]), Limits::default()), Verdict::Clean);
    }
    let (first, second) = tar.split_at(1024);
    world.find("bzip2 in a row", &[bzip2(first), bzip2(second)].concat());
    world.find("gzip, padded", &[gzip(&noise(500)), vec![0; 512], gzip(&eicar())].concat());
    assert!(world.ours(&gzip(&tar), Limits::default()).is_infected());
    assert_eq!(world.ours(&[gzip(&noise(500)), vec![0; 512]].concat(), Limits::default()), Verdict::Clean);
}

/// A bzip2 stream.
fn bzip2(content: &[u8]) -> Vec<u8> {
    let script =
        format!("import bz2\nopen('made', 'wb').write(bz2.compress(bytes.fromhex('{}')))", hex::encode(content));
    made("python3", &["-c", &script])
}

#[test]
fn what_is_cut_is_not_clean() {
    let mut world = World::new();
    for filter in ["--zstd", "--lz4", "--lzip", "--bzip2", "--xz"] {
        let content = made("bsdtar", &["-cf", "made", filter, "words"]);
        assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{filter}");
        let verdict = world.ours(&content[..content.len() / 2], Limits::default());
        assert!(matches!(verdict, Verdict::Unscannable { .. }), "{filter}: {verdict:?}");
    }
}

#[test]
fn archives_whose_packing_libclamav_does_not_know() {
    let mut world = World::new();
    for compression in ["bzip2", "deflate", "ppmd", "lzma2", "store"] {
        let options = ["--format=7zip".to_owned(), format!("--options=7zip:compression={compression}")];
        let content = archive(&options.each_ref().map(String::as_str));
        assert!(world.ours(&content, Limits::default()).is_infected(), "{compression}");
        for prefix in PREFIXES {
            let verdict = world.ours(&[prefix, &content].concat(), Limits::default());
            assert!(verdict.is_infected(), "{compression} behind {prefix:?}: {verdict:?}");
        }
    }
    world.find("ar", &archive(&["--format=ar"]));
    world.find("lzma in a zip", &made("python3", &["-c", "import zipfile\nwith zipfile.ZipFile('made', 'w', zipfile.ZIP_LZMA) as made:\n  for name in ('words', 'eicar'): made.write(name)"]));
}

#[test]
fn archives_behind_a_prefix() {
    let mut world = World::new();
    let packed = [
        ("gzip", gzip(&eicar())),
        ("xz", made("bsdtar", &["-cf", "made", "--xz", "eicar"])),
        (
            "zip",
            made(
                "python3",
                &[
                    "-c",
                    "import zipfile\nwith zipfile.ZipFile('made', 'w', zipfile.ZIP_LZMA) as made: made.write('eicar')",
                ],
            ),
        ),
        ("bzip2", made("bsdtar", &["-cf", "made", "--bzip2", "eicar"])),
        ("zstd", made("bsdtar", &["-cf", "made", "--zstd", "eicar"])),
    ];
    for (name, content) in packed {
        for prefix in PREFIXES {
            let behind = [prefix, &content].concat();
            let verdict = world.ours(&behind, Limits::default());
            assert!(verdict.is_infected(), "{name} behind {prefix:?}: {verdict:?}");
            // One level down.
            let nested = zip(&[("inner", &behind)], &["inner"]);
            assert!(world.ours(&nested, Limits::default()).is_infected(), "{name} behind {prefix:?} in a zip");
        }
    }
}

#[test]
fn archives_behind_the_end_of_another() {
    let mut world = World::new();
    let lzma =
        ["-c", "import zipfile\nwith zipfile.ZipFile('made', 'w', zipfile.ZIP_LZMA) as made: made.write('eicar')"];
    let packed = [gzip(&eicar()), made("bsdtar", &["-cf", "made", "--xz", "eicar"]), made("python3", &lzma)];
    for format in ["7zip", "ustar", "newc", "ar", "iso9660", "zip", "xar"] {
        let first = made("bsdtar", &["-cf", "made", &format!("--format={format}"), "words"]);
        assert_eq!(world.ours(&first, Limits::default()), Verdict::Clean, "{format}");
        for (second, between) in packed.iter().flat_map(|second| [(second, &[][..]), (second, &[0; 700][..])]) {
            let verdict = world.ours(&[&first[..], between, second].concat(), Limits::default());
            assert_ne!(verdict, Verdict::Clean, "behind {format}");
        }
    }
    for filter in ["--lz4", "--zstd", "--gzip", "--bzip2", "--xz", "--lzip"] {
        let first = made("bsdtar", &["-cf", "made", filter, "words"]);
        // Of the same format it would be one stream with the first.
        for second in packed.iter().filter(|second| second[..2] != first[..2]) {
            let verdict = world.ours(&[&first[..], second].concat(), Limits::default());
            assert!(verdict.is_infected(), "behind {filter}: {verdict:?}");
        }
    }
}

/// Attack: an archive of harmless files is read whole, and tools find something else before it or behind it.
#[test]
fn texts_beside_an_archive() {
    let mut world = World::new();
    let text = made("uuencode", &["eicar", "eicar"]);
    for format in
        [&["--format=zip"][..], &["--format=ustar"], &["--format=newc"], &["--format=7zip"], &["--gzip"], &["--bzip2"]]
    {
        let harmless = made("bsdtar", &[&["-cf", "made"][..], format, &["words"]].concat());
        assert_eq!(world.ours(&harmless, Limits::default()), Verdict::Clean, "{format:?}");
        for (name, object) in [("behind", [&harmless[..], &text].concat()), ("before", [&text[..], &harmless].concat())]
        {
            let verdict = world.ours(&object, Limits::default());
            assert!(verdict.is_infected(), "{name} {format:?}: {verdict:?}");
        }
        // Padding is nothing.
        assert_eq!(world.ours(&[&harmless[..], &[0; 700]].concat(), Limits::default()), Verdict::Clean, "{format:?}");
    }
}

#[test]
fn archives_behind_a_prefix_that_nothing_here_opens() {
    let mut world = World::new();
    let xar = archive(&["--format=xar"]);
    // The main header of a RAR and its sum; then a header whose sum is wrong.
    let (main, mut sum) = (b"\x05\x01\x00\x00\x00\x00", flate2::Crc::new());
    sum.update(main);
    let rar = [b"Rar!\x1A\x07\x01\x00", &sum.sum().to_le_bytes()[..], main, b"and what cannot be read"].concat();
    for prefix in PREFIXES {
        for content in [&xar, &rar] {
            let verdict = world.ours(&[prefix, content].concat(), Limits::default());
            assert!(verdict.is_infected() || verdict.reason().is_some(), "{prefix:?}: {verdict:?}");
        }
    }
    // A mark alone, as programs have it that know the format.
    for mark in
        [&b"Rar!\x1A\x07\x01\x00"[..], b"7z\xBC\xAF\x27\x1C\0\x04", b"MSCF\0\0\0\0", b"\xFD7zXZ\0", b"PK\x03\x04"]
    {
        let content = [&noise(500)[..], mark, &noise(500)].concat();
        assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{mark:?}");
    }
}

#[test]
fn a_zlib_stream() {
    let mut world = World::new();
    let packed = |content: &[u8]| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(content).unwrap();
        zlib.finish().unwrap()
    };
    world.find("zlib", &packed(&eicar()));
    assert_eq!(world.ours(&packed(&[b'a'; 4000]), Limits::default()), Verdict::Clean);
    assert_eq!(world.ours(&[b"x\x9C", &noise(500)[..]].concat(), Limits::default()), Verdict::Clean);
}

#[test]
fn a_zip_that_every_reader_reads_alike_is_unpacked_once() {
    let mut world = World::new();
    let members: [(&str, &[u8]); 2] = [("a", &noise(500)), ("eicar", &eicar())];
    let plain = zip(&members, &["a", "eicar"]);
    assert!(!world.engine.scan(&plain).read_whole.contains(&0), "by libclamav alone");
    // The directory's sum is another: then no layer is the member that it lists.
    let mut other = zip(&[("a", &noise(500)), ("b", &noise(400))], &["a", "b"]);
    let entry = other.windows(4).position(|mark| mark == b"PK\x01\x02").unwrap();
    other[entry + 16] ^= 1;
    let verdict = world.ours(&other, Limits::default());
    assert_eq!(verdict, Verdict::Unscannable { reason: Reason::UnsupportedFormat });
    // Behind the end of a deflated stream, but within the member.
    let (words, hidden) = (noise(300), made("bsdtar", &["-cf", "made", "--format=zip", "eicar"]));
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflated.write_all(&words).unwrap();
    let packed = [&deflated.finish().unwrap()[..], &hidden].concat();
    let mut carrier = zip(&[("a", &packed)], &["a"]);
    let mut sum = flate2::Crc::new();
    sum.update(&words);
    for header in [0, carrier.windows(4).position(|mark| mark == b"PK\x01\x02").unwrap() + 2] {
        carrier[header + 8] = 8;
        carrier[header + 14..header + 18].copy_from_slice(&sum.sum().to_le_bytes());
        carrier[header + 22..header + 26].copy_from_slice(&300_u32.to_le_bytes());
    }
    assert!(world.ours(&carrier, Limits::default()).is_infected());
}

#[test]
fn zips_of_which_unpackers_read_more_than_the_directory_lists() {
    let (mut world, words, eicar) = (World::new(), noise(500), eicar());
    let members: [(&str, &[u8]); 3] = [("a", &words), ("eicar", &eicar), ("b", &words)];
    world.find("in a gap", &zip(&members, &["a", "b"]));
    world.find("first", &zip(&members[1..], &["b"]));
    world.find("two in a row", &[zip(&members[1..2], &["eicar"]), zip(&members[..1], &["a"])].concat());
    world.find(
        "behind the directory",
        &[zip(&members[..1], &["a"]), zip(&members[1..2], &["eicar"])[..120].to_vec()].concat(),
    );
    // A member that was replaced, a block between the members and the directory, a comment.
    let replaced = zip(&[("a", &words), ("b", b"the older one"), ("b", &words)], &["a"]);
    assert_eq!(world.ours(&replaced, Limits::default()), Verdict::Clean);
    let mut few_entries = zip(&members, &["a", "eicar", "b"]);
    let end = few_entries.len() - 22;
    few_entries[end + 8] = 1;
    few_entries[end + 10] = 1;
    assert!(world.ours(&few_entries, Limits::default()).is_infected());
}

#[test]
fn archives_of_nothing_are_clean() {
    let mut world = World::new();
    for (name, script) in [
        ("folders", "made.mkdir('folder')"),
        ("empty files", "made.writestr('a', b''); made.writestr('b', b'')"),
        ("little", "made.writestr('a', b'abc')"),
    ] {
        let script = format!("import zipfile\nwith zipfile.ZipFile('made', 'w') as made: {script}");
        let content = made("python3", &["-c", &script]);
        assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{name}");
    }
}

#[test]
fn limits_hold_over_both_readers() {
    let mut world = World::new();
    let zeros = made(
        "python3",
        &[
            "-c",
            "open('zeros', 'wb').write(bytes(8 << 20))\nimport subprocess\nsubprocess.run(['zstd', '-q', 'zeros', '-o', 'made'], check=True)",
        ],
    );
    let few = Limits { max_file_size: 1 << 20, ..Limits::default() };
    assert_eq!(world.ours(&zeros, few), Verdict::Unscannable { reason: Reason::LayerTooLarge });
    let little = Limits { max_scan_size: 1 << 20, ..Limits::default() };
    assert_eq!(world.ours(&zeros, little), Verdict::Unscannable { reason: Reason::ScanSizeLimit });
    let flat = Limits { max_recursion: 1, ..Limits::default() };
    let Verdict::Unscannable { reason } = world.ours(&archive(&["--format=ar"]), flat) else { panic!("not refused") };
    assert_eq!(reason, Reason::RecursionLimit);
    let many = made(
        "python3",
        &[
            "-c",
            "out = open('made', 'wb')\nout.write(b'!<arch>\\n')\nfor n in range(20): out.write(b'%-16s%-12d%-6d%-6d%-8d%-10d`\\n' % (b'%d' % n, 0, 0, 0, 100644, 10) + b'content%03d' % n)",
        ],
    );
    let three = Limits { max_files: 3, ..Limits::default() };
    assert_eq!(world.ours(&many, three), Verdict::Unscannable { reason: Reason::FileCountLimit });
    assert_eq!(world.ours(&many, Limits::default()), Verdict::Clean);
}

#[test]
fn a_record_has_the_layers_of_both_readers_in_their_places() {
    let mut world = World::new();
    let inner = made("bsdtar", &["-cf", "made", "--zstd", "words"]);
    let content = zip(&[("inner", &inner), ("last", &noise(300))], &["inner", "last"]);
    let report = world.engine.scan(&content);
    let shown: Vec<_> = report.layers.iter().map(|layer| (layer.depth, layer.size)).collect();
    assert_eq!(shown.first(), Some(&(0, content.len() as u64)));
    let at = shown.iter().position(|layer| *layer == (1, inner.len() as u64)).unwrap();
    assert!(shown[at + 1].0 == 2 && shown[at + 2] == (3, 1000), "the stream, then the tar in it: {shown:?}");
    assert!(shown.contains(&(1, 300)), "{shown:?}");
    assert_eq!(world.engine.scan(&content).layers, report.layers, "each time the same");
    assert!(report.read_whole.contains(&u32::try_from(at).unwrap()));
}
