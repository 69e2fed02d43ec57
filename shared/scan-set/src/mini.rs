//! The mini engine's signatures: the lines that match an object exactly, and everything that steers how an engine scans.
//!
//! It scans the object again, and libclamav decides: allow-lists on any ancestor, ignore lists, trusted certificates, functionality
//! levels and limits are its own code. It must see every layer that the body's engine saw, so whatever makes libclamav open a file
//! otherwise is in it, too: types, switches, passwords, bytecode, and signatures with a handler.

use std::collections::BTreeSet;

use memchr::memmem;

use crate::{body::NamedFile, line::Class, shard::Hit};

/// A file of two signatures that match nothing. With them every engine has hash signatures of files and of sections, as one with all
/// signatures has: libclamav takes other paths where it has none. A mini engine may have no other signature that is not ignored.
const NOTHING: [(&str, &str); 2] = [
    // No content of one byte has this SHA-256.
    ("nacre-nothing.hsb", "0000000000000000000000000000000000000000000000000000000000000001:1:Nacre.Nothing.File\n"),
    ("nacre-nothing.msb", "1:0000000000000000000000000000000000000000000000000000000000000001:Nacre.Nothing.Section\n"),
];

/// Number of signatures in [`fillers`].
pub const FILLERS: u64 = NOTHING.len() as u64;

/// Files that are laid out beside every body, and are part of every mini set.
pub fn fillers() -> impl Iterator<Item = NamedFile> {
    NOTHING.iter().map(|(name, line)| ((*name).to_owned(), line.as_bytes().to_vec()))
}

/// Whether a file is a list of signatures that are not loaded: of all that come after it.
pub fn is_ignore_list(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "ign" | "ign2")))
}

/// What a mini engine needs of a file of the body, or of a loose one; `None` for nothing.
pub fn context_of(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let extension = name.rsplit_once('.').map_or(name, |(_, extension)| extension);
    let lines = match extension {
        // They find something in what was opened, and change nothing about what is opened.
        "db" | "pdb" | "gdb" | "cdb" | "zmd" | "rmd" | "yar" | "yara" | "ioc" => return None,
        _ if Class::of_file(name).is_some() => return None,
        "ldb" | "ldu" => lines_with(bytes, has_handler),
        // Members of groups, which a signature with a handler may refer to.
        "ndb" | "ndu" => lines_with(bytes, is_group_member),
        _ => return Some(bytes.to_vec()),
    };
    (!lines.is_empty()).then_some(lines)
}

/// The files of exact matches in one database, to be loaded where its digests were: behind its ignore lists.
pub fn files_of(stem: &str, hits: &BTreeSet<Hit>) -> Vec<NamedFile> {
    let of_class = |class: Class| {
        let lines = hits.iter().filter(|hit| hit.class == class);
        let lines = lines.flat_map(|hit| [hit.line.as_slice(), b"\n"]);
        (format!("{stem}.{}", class.extension()), lines.collect::<Vec<_>>().concat())
    };
    Class::ALL.into_iter().map(of_class).filter(|(_, bytes)| !bytes.is_empty()).collect()
}

fn lines_with(bytes: &[u8], is_needed: fn(&[u8]) -> bool) -> Vec<u8> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| is_needed(line)).collect::<Vec<_>>().concat()
}

/// Whether a logical signature has a layer scanned as another type.
fn has_handler(line: &[u8]) -> bool {
    let description = line.split(|byte| *byte == b';').nth(1).unwrap_or_default();
    memmem::find(description, b"HandlerType").is_some()
}

fn is_group_member(line: &[u8]) -> bool {
    line.split(|byte| *byte == b':').nth(2).is_some_and(|offset| offset.starts_with(b"$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_an_engine_is_taken_and_what_finds_something_is_not() {
        for whole in [
            "a.fp", "a.sfp", "a.ign2", "a.ign", "a.imp", "a.cfg", "a.crb", "a.ftm", "a.pwdb", "a.wdb", "a.idb",
            "a.cat", "a.sdb",
        ] {
            assert_eq!(context_of(whole, b"x\n").as_deref(), Some(&b"x\n"[..]), "{whole}");
        }
        for left in ["a.ndb", "a.ldb", "a.hdb", "a.msb", "a.pdb", "a.yar", "a.cdb", "a.db"] {
            assert_eq!(context_of(left, b"x\n"), None, "{left}");
        }
        let logical = b"A;Engine:51-255,Target:0;0;61\nB;Engine:51-255,Target:0,HandlerType:CL_TYPE_HTML;0;61\n";
        assert_eq!(context_of("a.ldb", logical).as_deref(), logical.get(30..));
        assert_eq!(context_of("a.ndb", b"A:0:*:61\nB:0:$12:62\n").as_deref(), Some(&b"B:0:$12:62\n"[..]));
    }

    #[test]
    fn hits_are_written_by_class() {
        let hit = |class, line: &str| Hit { class, line: line.into() };
        let files = files_of("h", &[hit(Class::File, "a"), hit(Class::Section, "b"), hit(Class::File, "c")].into());
        let names: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        assert_eq!(names, [("h.hdb", &b"a\nc\n"[..]), ("h.mdb", &b"b\n"[..])]);
    }
}
