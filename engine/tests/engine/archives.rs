//! Archives that are nothing but members in a row: what libclamav made of each of them is held against the archive's own headers.

use std::{fs, os::unix::fs::FileExt, path::Path, process::Command as Process};

use nacre_core::verdict::{Reason, Verdict};
use nacre_engine_protocol::Limits;

use crate::{
    driver::{eicar, test_files},
    fail_closed::{World, gzip, noise},
};

/// Runs a program in `directory`; false, loudly, when it is not installed.
fn run(directory: &Path, program: &str, arguments: &[&str]) -> bool {
    let Ok(output) = Process::new(program).args(arguments).current_dir(directory).output() else {
        println!("skipped: {program} is not installed");
        return false;
    };
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

/// A directory with what tars are made of: a long name, a folder, links, nothing, little, and much.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let at = tree.path();
    let folder = at.join("tree").join("folder".repeat(15));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("name".repeat(30)), noise(1000)).unwrap();
    fs::write(at.join("tree/large"), noise(100_000)).unwrap();
    fs::write(at.join("tree/empty"), b"").unwrap();
    fs::write(at.join("tree/tiny"), b"abc").unwrap();
    fs::hard_link(at.join("tree/large"), at.join("tree/hard")).unwrap();
    std::os::unix::fs::symlink("large", at.join("tree/soft")).unwrap();
    fs::write(at.join("more"), noise(700)).unwrap();
    tree
}

fn header(name: &[u8], kind: u8, size: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name);
    header[124..124 + size.len()].copy_from_slice(size);
    header[148..156].fill(b' ');
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

pub(crate) fn entry(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    let mut entry = header(name, kind, format!("{:011o}", data.len()).as_bytes());
    entry.extend(data);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

#[test]
fn a_tar_of_which_libclamav_sees_less_than_an_unpacker() {
    let mut world = World::new();
    let (eicar, end) = (entry(b"eicar", b'0', &eicar()), [0; 1024]);
    let (bulk, words) = (entry(b"bulk", b'0', &noise(2000)), entry(b"words", b'0', b"just some words"));
    let whole = [&bulk[..], &eicar, &end].concat();
    assert!(matches!(world.ours(&whole, Limits::default()), Verdict::Infected { .. }));
    assert_eq!(world.ours(&[&bulk[..], &words, &end].concat(), Limits::default()), Verdict::Clean);
    let data = &eicar[512..];
    for (name, content) in [
        ("cut in a member", whole[..1000].to_vec()),
        ("cut in a header", whole[..bulk.len() + 100].to_vec()),
        ("after the end", [&bulk[..], &end, &eicar].concat()),
        ("no header", [&bulk[..], &noise(512), &words].concat()),
        ("size in base 256", [&header(b"a", b'0', b"\x80\0\0\0\0\0\0\0\0\0\0\x44"), data, &end].concat()),
        ("size in pax", [&entry(b"pax", b'x', b"11 size=68\n")[..], &header(b"a", b'0', b"0 "), data, &end].concat()),
        ("no name", [&entry(b"pax", b'x', b"10 path=a\n")[..], &header(b"", b'0', b"104 "), data, &end].concat()),
        ("empty pax", [&header(b"pax", b'x', b"0 ")[..], &eicar, &end].concat()),
        ("a type passed over", [&bulk[..], &entry(b"a", b'A', data)[..], &end].concat()),
        ("another format's mark", [&entry(b"\xC7\x71", b'0', b"just some words")[..], &eicar, &end].concat()),
    ] {
        world.find_or_guard(name, &content);
    }
}

#[test]
fn whole_tars_by_whatever_writes_them_are_clean() {
    let (mut world, tree) = (World::new(), tree());
    let mut seen = 0;
    let mut is_clean = |name: &str| {
        let content = fs::read(tree.path().join("a.tar")).unwrap();
        assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{name}");
        let without_end = content.len() - content.iter().rev().take_while(|byte| **byte == 0).count();
        let as_go_flushes = &content[..without_end.next_multiple_of(512)];
        assert_eq!(world.ours(as_go_flushes, Limits::default()), Verdict::Clean, "{name} without an end mark");
        seen += 1;
    };
    for format in ["v7", "ustar", "oldgnu", "gnu", "posix"] {
        // The oldest have no room for long names.
        let name = if format == "v7" { "more" } else { "tree" };
        let name = if format == "ustar" { "tree/large" } else { name };
        if run(tree.path(), "tar", &["--format", format, "-cf", "a.tar", name]) {
            is_clean(format);
            run(tree.path(), "tar", &["--format", format, "-cf", "b.tar", "more"]);
            run(tree.path(), "tar", &["-Af", "a.tar", "b.tar"]);
            is_clean("one appended to another");
            run(tree.path(), "tar", &["--format", format, "-rf", "a.tar", "more"]);
            is_clean("with a file appended");
        }
    }
    if run(tree.path(), "tar", &["--listed-incremental=list", "-V", "label", "-cf", "a.tar", "tree"]) {
        is_clean("incremental");
    }
    for format in ["USTAR", "GNU", "PAX"] {
        let name = if format == "USTAR" { "more" } else { "tree" };
        let script =
            format!("with tarfile.open('a.tar', 'w', format=tarfile.{format}_FORMAT) as tar: tar.add('{name}')");
        if run(tree.path(), "python3", &["-c", &format!("import tarfile\n{script}")]) {
            is_clean(&format!("Python, {format}"));
        }
    }
    for format in ["ustar", "pax", "gnutar", "v7"] {
        if run(tree.path(), "bsdtar", &["--format", format, "-cf", "a.tar", "more"]) {
            is_clean(&format!("bsdtar, {format}"));
        }
    }
    assert!(seen > 0, "no program wrote a tar");
}

#[test]
fn a_sparse_tar_holds_other_files_than_libclamav_sees() {
    let mut world = World::new();
    let tree = tempfile::tempdir().unwrap();
    let holes = fs::File::create(tree.path().join("holes")).unwrap();
    holes.write_all_at(&noise(8192), 0).unwrap();
    holes.write_all_at(&noise(4096), 1 << 20).unwrap();
    for format in ["--format=gnu", "--format=posix"] {
        if run(tree.path(), "tar", &[format, "-cf", "a.tar", "holes"]) {
            let content = fs::read(tree.path().join("a.tar")).unwrap();
            assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{format}");
            run(tree.path(), "tar", &[format, "--sparse", "-cf", "a.tar", "holes"]);
            let sparse = fs::read(tree.path().join("a.tar")).unwrap();
            assert!(sparse.len() < content.len(), "nothing sparse about it");
            let shown = world.engine.scan(&sparse).layers;
            assert!(shown.iter().any(|layer| layer.size == (1 << 20) + 4096), "the second reader puts the holes back");
            world.guard(format, &sparse, Limits::default(), &[], Reason::UnsupportedFormat);
        }
    }
}

#[test]
fn the_volumes_of_a_tar() {
    let (mut world, tree) = (World::new(), tree());
    if !run(tree.path(), "tar", &["-cM", "-L", "60", "-f", "1.tar", "-f", "2.tar", "tree/large", "more"]) {
        return;
    }
    let [first, second] = ["1.tar", "2.tar"].map(|name| fs::read(tree.path().join(name)).unwrap());
    let cut = Verdict::Unscannable { reason: Reason::UnsupportedFormat };
    assert_eq!(world.ours(&first, Limits::default()), cut, "its last member ends in the next volume");
    assert_eq!(world.ours(&second, Limits::default()), Verdict::Clean);
}

#[test]
fn cpios_that_end_too_soon_or_go_on_after_their_end() {
    let mut world = World::new();
    for file in test_files().into_iter().filter(|file| file.extension().is_some_and(|form| form == "cpio")) {
        let (name, content) = (file.display(), fs::read(&file).unwrap());
        assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{name}");
        let unseen = Reason::UnsupportedFormat;
        let cut = &content[..content.len() / 2];
        world.guard(&format!("half of {name}"), cut, Limits::default(), &[], unseen);
        let twice = content.repeat(2);
        world.guard(&format!("two of {name}"), &twice, Limits::default(), &[], unseen);
    }
}

#[test]
fn an_ar_of_which_libclamav_opens_nothing() {
    let member = |name: &str, content: &[u8]| {
        let header = format!("{name:16}{:12}{:6}{:6}{:8}{:<10}`\n", 0, 0, 0, 100_644, content.len());
        [header.as_bytes(), content, &b"\n"[..content.len() % 2]].concat()
    };
    let mut world = World::new();
    let tar = gzip(&entry(b"eicar", b'0', &eicar()));
    assert!(matches!(world.ours(&tar, Limits::default()), Verdict::Infected { .. }));
    for (name, members) in [
        ("deb", [member("debian-binary", b"2.0\n"), member("data.tar.gz", &tar)].concat()),
        ("ar", member("eicar.com/", &eicar())),
    ] {
        let content = [b"!<arch>\n", &members[..]].concat();
        world.find(name, &content);
    }
    assert_eq!(world.ours(b"!<arch>\n", Limits::default()), Verdict::Clean, "nothing is in it");
}

/// Checks that an archive of two members, by its builder, is read whole; and none that is cut in the second, which starts at half.
fn two_members(name: &str, archive: impl Fn(&[u8], &[u8]) -> Vec<u8>) {
    let (mut world, bulk) = (World::new(), noise(1000));
    assert_eq!(world.ours(&archive(&bulk, &noise(900)), Limits::default()), Verdict::Clean, "{name}");
    let infected = world.ours(&archive(&bulk, &eicar()), Limits::default());
    assert!(matches!(infected, Verdict::Infected { .. }), "{name}: {infected:?}");
    let whole = archive(&noise(900), &bulk);
    for kept in [600, 800, 990] {
        let cut = &whole[..whole.len() - 1000 + kept];
        world.guard(&format!("{name}, cut"), cut, Limits::default(), &[], Reason::UnsupportedFormat);
    }
}

#[test]
fn arjs_of_which_a_member_is_cut() {
    two_members("arj", |first, second| {
        let header = |kind: u8, size: usize| {
            let size = u32::try_from(size).unwrap().to_le_bytes();
            let fixed = [&[30, 11, 1, 2, 0, 0, kind, 0, 0, 0, 0, 0][..], &size, &size, &[0; 10], b"a\0\0"].concat();
            [&[0x60, 0xEA, u8::try_from(fixed.len()).unwrap(), 0][..], &fixed, &[0; 6]].concat()
        };
        let members = [&header(0, first.len()), first, &header(0, second.len()), second].concat();
        [header(2, 0), members, vec![0x60, 0xEA, 0, 0]].concat()
    });
}

#[test]
fn lhas_of_which_a_member_is_cut() {
    /// The sum of a member, without which libclamav does not take it for one.
    fn sum(content: &[u8]) -> u16 {
        let step = |sum: u16| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 };
        content.iter().fold(0, |sum, byte| (0..8).fold(sum ^ u16::from(*byte), |sum, _| step(sum)))
    }
    let common = |content: &[u8], level: u8| {
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        [b"-lh0-", &size[..], &size, &[0, 0, 0, 0, 0x20, level]].concat()
    };
    let oldest = |content: &[u8]| {
        let header = [&common(content, 0)[..], b"\x01a", &sum(content).to_le_bytes()].concat();
        let of_header = header.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        [&[u8::try_from(header.len()).unwrap(), of_header], &header[..], content].concat()
    };
    let newer = |content: &[u8]| {
        let header = [&common(content, 2)[..], &sum(content).to_le_bytes(), b"U\x04\0\x01a\0\0"].concat();
        [&[u8::try_from(header.len() + 2).unwrap(), 0], &header[..], content].concat()
    };
    two_members("lha, level 0", |first, second| [oldest(first), oldest(second), vec![0]].concat());
    two_members("lha, level 2", |first, second| [newer(first), newer(second), vec![0]].concat());
}

#[test]
fn a_tnef_of_which_libclamav_makes_one_file_or_none() {
    let attribute = |level: u8, name: u32, content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        [&[level][..], &name.to_le_bytes(), &length, content, &[0; 2]].concat()
    };
    let attached = |content: &[u8]| {
        [(0x69002, &[1; 14][..]), (0x6800F, content), (0x18010, b"name\0")]
            .map(|(name, content)| attribute(2, name, content))
            .concat()
    };
    let version = attribute(1, 0x89006, &[0, 0, 1, 0]);
    let tnef = |attachments: &[u8]| [&[0x78, 0x9F, 0x3E, 0x22, 1, 0][..], &version, attachments].concat();
    let (mut world, bulk) = (World::new(), attached(&noise(1000)));
    let eicar = attached(&eicar());
    assert!(matches!(world.ours(&tnef(&eicar), Limits::default()), Verdict::Infected { .. }));
    assert_eq!(world.ours(&tnef(&bulk), Limits::default()), Verdict::Clean);
    assert_eq!(world.ours(&[&tnef(&bulk)[..], b"\r\n"].concat(), Limits::default()), Verdict::Clean);
    for (name, content) in [
        ("two", tnef(&[&bulk[..], &eicar].concat())),
        ("cut after one", tnef(&[&eicar[..], &bulk[..500]].concat())),
        ("nothing first", tnef(&[&attached(b"")[..], &eicar].concat())),
    ] {
        world.guard(name, &content, Limits::default(), &[], Reason::UnsupportedFormat);
    }
}

#[test]
fn what_is_packed_by_itself_and_ends_too_soon() {
    let mut world = World::new();
    for file in test_files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        if ["clam.chm", "clam.exe.szdd", "clam.tnef", "clam.arj"].contains(&name) {
            let content = fs::read(&file).unwrap();
            assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{name}");
            for length in [content.len() / 2, content.len() - 10] {
                world.guard(name, &content[..length], Limits::default(), &[], Reason::UnsupportedFormat);
            }
        }
    }
}
