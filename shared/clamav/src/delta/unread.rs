//! Names of signatures that we do not read.

use memchr::memmem::Finder;

use super::SignatureFile;
use crate::signature::Kind;

/// Whether a signature of a kind whose lines are not read may have an ignored name.
///
/// Its file then holds that name: libclamav compares what `ign2` says with the name of a rule as it is written, with that of the logical
/// signature of a bytecode, which is a line of its file, and with the first field of a line; and what it cuts off a name is at its end.
///
/// Source: the callers of `cli_chkign` in libclamav 1.4 (`readdb.c`), and `cli_bytecode_load` (`bytecode.c`).
pub(super) fn may_be_borne(name: &[u8], files: &[&SignatureFile<'_>]) -> bool {
    // libclamav pads names of fewer than 3 bytes with blanks.
    let finder = Finder::new(name.trim_ascii_end());
    files.iter().any(|file| match Kind::of(&file.name) {
        Kind::Unknown => true,
        Kind::Yara | Kind::OpaqueContext => finder.find(&file.bytes).is_some(),
        // A name with an MD5, or after the name and line of a database, may mean something else than what stands before the first colon.
        Kind::Ignore => memchr::memchr(b':', &file.bytes).is_some(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Delta, Twins};
    use super::*;

    fn file(name: &str, text: &str) -> SignatureFile<'static> {
        SignatureFile::loose(name, text.as_bytes().to_vec())
    }

    #[test]
    fn an_ignored_name_that_nothing_bears_changes_nothing() {
        for (ignored, beside, borne) in [
            ("Gone.Name", file("daily.ndb", "Other:0:*:00ff"), false),
            ("Gone.Name", file("1.cbc", "ClamBC\nBC.Exploit.{A};Engine:56-255,Target:0;0;00ff"), false),
            ("BC.Exploit", file("1.cbc", "ClamBC\nBC.Exploit.{A};Engine:56-255,Target:0;0;00ff"), true),
            ("Gone", file("own.yar", "rule other { condition: true }"), false),
            ("other", file("own.yar", "rule other { condition: true }"), true),
            ("Gone.Name", file("own.sdb", "Other:0:*:00ff"), false),
            ("Other", file("own.sdb", "Other:0:*:00ff"), true),
            ("A", file("own.idb", "A:group:group:00"), true),
            ("Gone.Name", file("own.new", "anything"), true),
            ("own.ndb:1:Gone", file("daily.ndb", "Other:0:*:00ff"), true),
            ("Gone:d41d8cd98f00b204e9800998ecf8427e", file("daily.ndb", "Other:0:*:00ff"), true),
        ] {
            let (old, new) = ([beside.clone()], [beside.clone(), file("daily.ign2", ignored)]);
            assert_eq!(Delta::between(&old, &new).is_empty(), !borne, "{ignored}: {beside:?}");
            assert_eq!(Delta::between(&new, &old).is_empty(), !borne, "{ignored}: {beside:?}");
        }
    }

    #[test]
    fn files_in_which_a_name_may_be_are_kept_whole() {
        let (names, twins) = ([b"Gone".as_slice()].into(), Twins::default());
        for name in ["own.sdb", "own.yar", "1.cbc", "daily.crb"] {
            let whole = file(name, "Gone:0:*:00ff");
            assert_eq!(whole.clone().concerned_by(&names, &twins), whole);
        }
    }
}
