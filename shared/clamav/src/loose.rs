//! What is wrong with a loose signature file of which libclamav would load less than it holds, without a word.
//!
//! Sources: ClamAV's manual (*Signatures*), and how `libclamav/readdb.c` of 1.4 reads lines.

use std::str;

use crate::{
    signature::{Kind, Signature, is_pua},
    split::field,
};

/// Extensions of signature files that libclamav loads from a directory, those of unsigned bytecode left out: it runs code.
const EXTENSIONS: [&str; 33] = [
    "cat", "cdb", "cfg", "crb", "db", "fp", "ftm", "gdb", "hdb", "hdu", "hsb", "hsu", "idb", "ign", "ign2", "imp",
    "ioc", "ldb", "ldu", "mdb", "mdu", "msb", "msu", "ndb", "ndu", "pdb", "pwdb", "sdb", "sfp", "wdb", "yar", "yara",
    "zmd",
];

/// Whether libclamav loads a loose file of this name, and a definitions bucket may have it.
pub fn is_loose_file(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, extension)| !stem.is_empty() && EXTENSIONS.contains(&extension))
}

/// Longest line that libclamav reads whole, its end and a zero included; it takes the rest for a line of its own.
const LONGEST_LINE: usize = 8192;
/// The same of logical signatures.
const LONGEST_LOGICAL_LINE: usize = 32_769;
/// Most faults reported of one file.
const MAX_FAULTS: usize = 20;

/// A fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; none where it is the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a file, or a line of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It begins with the mark of an editor.
    #[error("it begins with a byte order mark, which becomes part of the first line: save it without one")]
    ByteOrderMark,
    /// It is in UTF-16.
    #[error("it is in UTF-16: save it in UTF-8 without a byte order mark")]
    Utf16,
    /// libclamav ends itself when it finds a signature of such a name.
    #[error("the name is not in UTF-8, on which libclamav dies: rename the signature")]
    Name,
    /// libclamav cuts it.
    #[error("the line has {length} bytes, and libclamav reads {longest}: shorten it")]
    Long {
        /// Bytes of the line.
        length: usize,
        /// Most bytes that are read.
        longest: usize,
    },
    /// No engine of this level loads it.
    #[error("it is for functionality levels {least} to {greatest}, and this engine's is {level}: widen the range")]
    Level {
        /// The least level.
        least: u32,
        /// The greatest one.
        greatest: u32,
        /// The engine's.
        level: u32,
    },
    /// Each archive is hashed again for each of its members.
    #[error("trust without a size makes scans of archives take minutes: write the file's size for the `*`")]
    WildTrust,
    /// It has a blank in it, which names of signatures do not have.
    #[error("the name has a blank in it, so that it silences nothing: remove the blank")]
    Blank,
    /// What libclamav appends to names when it reports them.
    #[error("the name ends in .UNOFFICIAL, which is no part of it, so that it silences nothing: leave that away")]
    Unofficial,
    /// Files that are loaded only on demand.
    #[error("signatures of potentially unwanted applications are not loaded: name the file without the u at its end")]
    Unwanted,
}

/// What is wrong with a file of this name, for an engine of this functionality level: the first faults, in their order.
pub fn faults(name: &str, bytes: &[u8], level: u32) -> Vec<Fault> {
    let whole = |reason| vec![Fault { line: None, reason }];
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return whole(Reason::ByteOrderMark);
    }
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return whole(Reason::Utf16);
    }
    if is_pua(name) {
        return whole(Reason::Unwanted);
    }
    let kind = Kind::of(name);
    if kind.is_opaque() {
        return Vec::new();
    }
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    let faults = lines
        .filter_map(|(n, line)| fault_of_line(kind, line, level).map(|reason| Fault { line: Some(n + 1), reason }));
    faults.take(MAX_FAULTS).collect()
}

/// The first line with the name of a signature that is not in UTF-8, in a member of a database of this name.
pub fn foreign_name(name: &str, bytes: &[u8]) -> Option<usize> {
    let kind = Kind::of(name);
    if kind.is_opaque() || str::from_utf8(bytes).is_ok() {
        return None;
    }
    let is_foreign = |line: &[u8]| {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        Signature::parse(kind, text).and_then(|it| it.name).is_some_and(|name| str::from_utf8(name).is_err())
    };
    bytes.split(|byte| *byte == b'\n').position(is_foreign).map(|at| at + 1)
}

fn fault_of_line(kind: Kind, line: &[u8], level: u32) -> Option<Reason> {
    let longest = if kind == Kind::Logical { LONGEST_LOGICAL_LINE } else { LONGEST_LINE } - 1;
    if line.len() > longest {
        return Some(Reason::Long { length: line.len(), longest });
    }
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if kind == Kind::Ignore {
        return ignored_name(text);
    }
    let signature = Signature::parse(kind, text)?;
    if signature.name.is_some_and(|name| str::from_utf8(name).is_err()) {
        return Some(Reason::Name);
    }
    if kind == Kind::TrustHash && field(text, b':', 1) == Some(b"*") {
        return Some(Reason::WildTrust);
    }
    let levels = signature.levels;
    (!levels.contains(&level)).then_some(Reason::Level { least: *levels.start(), greatest: *levels.end(), level })
}

/// What is wrong with a line of an `ign2` file.
fn ignored_name(line: &[u8]) -> Option<Reason> {
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let name = field(line, b':', 0).unwrap_or_default();
    if str::from_utf8(name).is_err() {
        return Some(Reason::Name);
    }
    if name.iter().any(u8::is_ascii_whitespace) {
        return Some(Reason::Blank);
    }
    name.ends_with(b".UNOFFICIAL").then_some(Reason::Unofficial)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MD5: &str = "0123456789abcdef0123456789abcdef";

    fn fault(name: &str, bytes: &[u8]) -> Option<(Option<usize>, String)> {
        let fault = faults(name, bytes, 213).into_iter().next()?;
        Some((fault.line, fault.reason.to_string()))
    }

    #[test]
    fn each_fault_is_named_with_its_line_and_remedy() {
        let long = format!("A:0:*:{}\n", "00".repeat(5000));
        for (name, bytes, line, says) in [
            ("local.ign2", "\u{feff}A.B\n".as_bytes().to_vec(), None, "byte order mark"),
            ("x.yar", "\u{feff}rule a { condition: true }\n".as_bytes().to_vec(), None, "byte order mark"),
            ("x.ndb", b"\xFF\xFEA\0:\0".to_vec(), None, "UTF-16"),
            ("x.ndb", b"A:0:*:00ff\nField.\xFCml:0:*:00ff\n".to_vec(), Some(2), "not in UTF-8"),
            ("x.ldb", b"Field.\xFCml;Engine:51-255,Target:0;0;00ff\n".to_vec(), Some(1), "not in UTF-8"),
            ("x.ldb", b"# a\n\nA;Engine:500-600,Target:0;0;00ff".to_vec(), Some(3), "levels 500 to 600"),
            ("x.ndb", b"A:0:*:00ff:51:90".to_vec(), Some(1), "this engine's is 213"),
            ("x.ndb", long.clone().into_bytes(), Some(1), "libclamav reads 8191"),
            ("x.sfp", format!("{MD5}:*:A:73\n").into_bytes(), Some(1), "write the file's size"),
            ("local.ign2", b"A.B\nA.C \n".to_vec(), Some(2), "remove the blank"),
            ("local.ign2", b"A.B.UNOFFICIAL\r\n".to_vec(), Some(1), "leave that away"),
            ("x.ndu", b"A:0:*:00ff\n".to_vec(), None, "unwanted"),
        ] {
            let (at, text) = fault(name, &bytes).unwrap_or_else(|| panic!("{name}: {says}"));
            assert_eq!(at, line, "{text}");
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_not_in_utf8_is_found_in_a_member() {
        assert_eq!(foreign_name("daily.ndb", b"A:0:*:00ff\nField.\xFCml:0:*:00ff\n"), Some(2));
        assert_eq!(foreign_name("daily.ldb", b"Field.\xFCml;Engine:51-255,Target:0;0;00ff\r\n"), Some(1));
        assert_eq!(foreign_name("daily.ndb", b"# \xFC\nA:0:*:00ff\n"), None);
        assert_eq!(foreign_name("COPYING", b"\xFC"), None);
    }

    #[test]
    fn what_libclamav_loads_whole_has_no_fault() {
        let long = format!("A;Engine:51-255,Target:0;0;{}\n", "00".repeat(8000));
        for (name, bytes) in [
            ("x.ndb", b"# \xFC\nA:0:*:00ff\r\n\n".to_vec()),
            ("x.ldb", long.into_bytes()),
            ("x.hdb", format!("{MD5}:68:A\n").into_bytes()),
            ("x.hsb", format!("{MD5}:*:A:73\n").into_bytes()),
            ("x.sfp", format!("{MD5}:68:A\n").into_bytes()),
            ("local.ign2", format!("A.B\r\nA.C:{MD5}\n# a comment\n").into_bytes()),
            ("x.yar", b"rule a { condition: true }".to_vec()),
        ] {
            assert_eq!(fault(name, &bytes), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, extension in "(ndb|ldb|hdb|sfp|ign2|cdb|mdb|yar|db|pdb)") {
            assert!(faults(&format!("x.{extension}"), &bytes, 213).len() <= MAX_FAULTS);
        }
    }
}
