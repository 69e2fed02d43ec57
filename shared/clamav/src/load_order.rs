//! The one order in which every engine of ours loads the files of a set.
//!
//! What an `ign2` reaches, which of two YARA rules or digests of the same name counts, and which `cfg` line is the last, depend on
//! the order of loading. libclamav takes the files of a directory by priority, and within a priority as `readdir` returns them: by
//! hash on ext4, by age on tmpfs. Our engine loads file by file instead, in libclamav's order of priorities, and by name within each.
//! The engine has this order, too (`engine/src/load_order.rs`): its licence keeps it from linking this crate.
//!
//! Source: `cli_loaddbdir` in libclamav 1.4 (`readdb.c`).

use crate::delta::SignatureFile;

/// Where a file of a directory stands in the order of loading; less is earlier.
///
/// A container stands by the name of its database: that a CVD becomes a CLD, or for an engine a CUD, must move nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadOrder {
    priority: u8,
    name: String,
}

impl LoadOrder {
    /// The place of the file with this name.
    pub fn of(file_name: &str) -> Self {
        let lower = file_name.to_ascii_lowercase();
        let (stem, extension) = lower.rsplit_once('.').unwrap_or((&lower, ""));
        let container = matches!(extension, "cvd" | "cld" | "cud");
        let priority = match (stem, extension) {
            (_, "ign" | "ign2") => 0,
            // Before all other databases: what its `ign2` names is ignored in these, too.
            ("daily", _) if container => 1,
            ("local", "gdb") => 2,
            ("daily", "cfg") => 3,
            (_, "crb") => 4,
            _ => 5,
        };
        let name = if container { file_name.get(..stem.len()).unwrap_or(file_name) } else { file_name };
        Self { priority, name: name.to_owned() }
    }
}

/// The files of a set in the order of loading. Members of a container keep the order that they have among themselves.
pub fn in_load_order<'a, 'f>(files: &'a [SignatureFile<'f>]) -> Vec<&'a SignatureFile<'f>> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_cached_key(|file| LoadOrder::of(file.container.as_deref().unwrap_or(&file.name)));
    files
}

/// Extensions in the order in which ClamAV's `sigtool` packs the members of a container.
const MEMBERS: [&str; 31] = [
    "cfg", "ign", "ign2", "ftm", "db", "hdb", "hdu", "hsb", "hsu", "mdb", "mdu", "msb", "msu", "ndb", "ndu", "ldb",
    "ldu", "sdb", "zmd", "rmd", "idb", "fp", "sfp", "gdb", "pdb", "wdb", "crb", "cdb", "imp", "cat", "cbc",
];

/// Where a member stands among those of its container that have signatures, as ClamAV's own are packed.
pub fn member_rank(member: &str) -> usize {
    let extension = member.rsplit_once('.').map_or("", |(_, extension)| extension);
    MEMBERS.iter().position(|of| *of == extension).unwrap_or(MEMBERS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_loaded_by_priority_and_by_name() {
        let expected = [
            "a.ign2",
            "z.IGN",
            "daily.cld",
            "local.gdb",
            "daily.cfg",
            "z.crb",
            "a.yar",
            "bytecode.cvd",
            "local.ndb",
            "main.cud",
            "main.cfg",
            "z.cud",
            "z.hdb",
        ];
        let mut names = expected.to_vec();
        names.reverse();
        names.sort_by_key(|name| LoadOrder::of(name));
        assert_eq!(names, expected);
    }

    #[test]
    fn a_container_keeps_its_place_whatever_its_kind() {
        for kind in ["cvd", "cld", "cud"] {
            assert_eq!(LoadOrder::of(&format!("main.{kind}")), LoadOrder::of("main.cvd"));
            assert!(LoadOrder::of(&format!("main.{kind}")) < LoadOrder::of("main.cm.ndb"));
        }
    }

    #[test]
    fn members_keep_their_order_within_a_container() {
        let member = |container: &str, name: &str| SignatureFile::member(container, true, name, b"".as_slice());
        let files = [
            SignatureFile::loose("a.ndb", b"".as_slice()),
            member("daily.cvd", "daily.ndb"),
            member("daily.cvd", "daily.ign2"),
            SignatureFile::loose("z.ign2", b"".as_slice()),
        ];
        let names: Vec<_> = in_load_order(&files).into_iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["z.ign2", "daily.ndb", "daily.ign2", "a.ndb"]);
    }
}
