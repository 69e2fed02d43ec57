//! The order in which the files of a directory are loaded.
//!
//! What an `ign2` reaches, and which of two YARA rules or digests counts, depend on it. `cl_load` of a directory takes files of the
//! same priority as `readdir` returns them, which another file system does in another order. A rescan must not depend on that, so
//! files are loaded one by one: by libclamav's priorities, then by name. `shared/clamav/src/load_order.rs` says the same for those who
//! compute what changed; a differential test compares the two.
//!
//! Source: `cli_loaddbdir`, `CLI_DBEXT` in libclamav 1.4 (`readdb.c`, `readdb.h`).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Extensions of the files that libclamav loads from a directory.
const EXTENSIONS: [&str; 38] = [
    "cat", "cbc", "cdb", "cfg", "cld", "crb", "cud", "cvd", "db", "fp", "ftm", "gdb", "hdb", "hdu", "hsb", "hsu",
    "idb", "ign", "ign2", "imp", "ioc", "ldb", "ldu", "mdb", "mdu", "msb", "msu", "ndb", "ndu", "pdb", "pwdb", "rmd",
    "sdb", "sfp", "wdb", "yar", "yara", "zmd",
];

/// The database files of a directory, in the order of loading.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(place) = path.file_name().and_then(|name| place(&name.to_string_lossy())) {
            files.push((place, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Where a file stands: less is earlier. `None` for what libclamav does not load. A container stands by the name of its database, of
/// whatever kind it is.
fn place(file_name: &str) -> Option<(u8, String)> {
    let lower = file_name.to_ascii_lowercase();
    let (stem, extension) = lower.rsplit_once('.')?;
    if !EXTENSIONS.contains(&extension) {
        return None;
    }
    let container = matches!(extension, "cvd" | "cld" | "cud");
    let priority = match (stem, extension) {
        (_, "ign" | "ign2") => 0,
        ("daily", _) if container => 1,
        ("local", "gdb") => 2,
        ("daily", "cfg") => 3,
        (_, "crb") => 4,
        _ => 5,
    };
    let name = if container { file_name.get(..stem.len())? } else { file_name };
    Some((priority, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use nacre_clamav::load_order::LoadOrder;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn those_who_compute_changes_have_the_same_order(
            names in prop::collection::vec(("(daily|local|main|a|Z|b\\.c)", "(cvd|cld|cud|CVD|ign2?|IGN|gdb|cfg|crb|ndb|yar)"), 2..8),
        ) {
            let names: Vec<String> = names.into_iter().map(|(stem, extension)| format!("{stem}.{extension}")).collect();
            for pair in names.windows(2) {
                let (ours, theirs) = (place(&pair[0]).cmp(&place(&pair[1])), LoadOrder::of(&pair[0]).cmp(&LoadOrder::of(&pair[1])));
                prop_assert_eq!(ours, theirs, "{:?}", pair);
            }
        }
    }

    #[test]
    fn files_are_loaded_by_priority_and_by_name() {
        let directory = tempfile::tempdir().unwrap();
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
        for name in expected.iter().rev().chain(&["freshclam.dat", "readme.txt", "ndb", "a.ndb.bak"]) {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        let files = files(directory.path()).unwrap();
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, expected);
    }
}
