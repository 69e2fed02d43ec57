//! Containers that nothing here opens, by their marks.

use super::{
    bytes::{has, le16, le32},
    disks, openpgp, packers, streams, volumes,
};

/// What marks a container.
pub(super) enum Mark {
    /// These bytes at this place.
    At(usize, &'static [u8]),
    /// A test of the whole content.
    Is(fn(&[u8]) -> bool),
}

/// A container: its name, as reports have it, and its mark.
pub(super) type Container = (&'static str, Mark);

/// Archives and packages that the second reader opens: a row counts where it does not.
const OPENED: &[Container] = &[("RPM", Mark::At(0, b"\xED\xAB\xEE\xDB"))];

/// Archives, packages and mailboxes that no reader here opens.
const ARCHIVES: &[Container] = &[
    ("WIM", Mark::At(0, b"MSWIM\0\0\0")),
    ("WIM", Mark::At(0, b"WLPWM\0\0\0")),
    ("a compressed OpenPGP message", Mark::Is(openpgp::is_compressed)),
    ("ACE", Mark::At(7, b"**ACE**")),
    ("ZOO", Mark::At(20, b"\xDC\xA7\xC4\xFD")),
    ("StuffIt", Mark::At(0, b"StuffIt (c)1997-")),
    ("StuffIt", Mark::At(10, b"rLau")),
    ("StuffIt X", Mark::At(0, b"StuffIt!")),
    ("StuffIt X", Mark::At(0, b"StuffIt?")),
    ("ZPAQ", Mark::At(0, b"7kSt\xA0\x31\x83\xD3\x8C\xB2\x28\xB0\xD3")),
    ("FreeArc", Mark::At(0, b"ArC\x01")),
    ("UHarc", Mark::At(0, b"UHA\x06")),
    ("dar", Mark::Is(|content| has(content, 0, b"\0\0\0\x7B") && content.len() > 64)),
    ("a backup of Android", Mark::At(0, b"ANDROID BACKUP\n")),
    ("Apple Archive", Mark::At(0, b"AA01")),
    ("Apple Archive", Mark::At(0, b"YAA1")),
    ("pbzx", Mark::At(0, b"pbzx\0\0\0\0")),
    ("pack200", Mark::At(0, b"\xCA\xFE\xD0\x0D")),
    ("a cabinet with an odd header", Mark::Is(has_odd_cabinet)),
    ("KWAJ", Mark::At(0, b"KWAJ\x88\xF0\x27\xD1")),
    ("compress.exe of QBasic", Mark::At(0, b"SZ \x88\xF0\x27\x33\xD1")),
    // Outlook's mailboxes permute each byte.
    ("a mailbox of Outlook", Mark::Is(|content| has(content, 0, b"!BDN") && has(content, 8, b"SM"))),
    ("a mailbox of Outlook", Mark::Is(|content| has(content, 0, b"!BDN") && has(content, 8, b"SO"))),
];

/// The name of the container that `content` is, unless it is one that the second reader opens and it got out all that is in it. A
/// volume is not whole by itself, and what a file system's image holds beside an archive's marks no archive reader says.
pub(super) fn container(content: &[u8], read_whole: bool) -> Option<&'static str> {
    let opened_by_a_reader = [streams::OPENED, OPENED].into_iter().filter(|_| !read_whole);
    let tables =
        opened_by_a_reader.chain([streams::UNOPENED, ARCHIVES, packers::UNOPENED, disks::IMAGES, volumes::VOLUMES]);
    let found = tables.flatten().find(|(_, mark)| match mark {
        Mark::At(at, bytes) => has(content, *at, bytes),
        Mark::Is(test) => test(content),
    });
    found.map(|(name, _)| *name)
}

/// A cabinet anywhere whose reserved numbers are none, or whose version is another, which `cabextract` passes over and other readers do not.
fn has_odd_cabinet(content: &[u8]) -> bool {
    memchr::memmem::find_iter(content, b"MSCF").any(|at| {
        let number = |field| le32(content, at + field);
        let (Some(size), Some(files)) = (number(8), number(16)) else { return false };
        let is_there = (36..=content.len() - at).contains(&(size as usize)) && (36..size).contains(&files);
        let holds = [26, 28].iter().all(|count| le16(content, at + count).is_some_and(|count| count > 0));
        let is_usual =
            [4, 12, 20].iter().all(|reserved| number(*reserved) == Some(0)) && has(content, at + 24, &[3, 1]);
        is_there && holds && !is_usual
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_container_has_no_name() {
        assert_eq!(container(&vec![0; 70_000], false), None);
        for content in [&b""[..], b"just some words", b"]\0\0", b"\x1F\x9D", b"BZh9", b"\x7FELF"] {
            assert_eq!(container(content, false), None, "{:?}", &content[..content.len().min(10)]);
        }
    }

    #[test]
    fn a_cabinet_with_an_odd_header_is_known_anywhere() {
        let cabinet = |reserved: u8, size: u8| {
            let head = [
                b"MSCF",
                &[reserved, 0, 0, 0, size, 0, 0, 0][..],
                &[0; 4],
                &[44, 0, 0, 0],
                &[0; 4],
                &[3, 1, 1, 0, 1, 0],
            ];
            [b"words", &head.concat()[..], &[0; 50]].concat()
        };
        assert_eq!(container(&cabinet(1, 60), false), Some("a cabinet with an odd header"));
        assert_eq!(container(&cabinet(0, 60), false), None);
        assert_eq!(container(&cabinet(1, 99), false), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, fill: u8, length in 0_usize..3000) {
            container(&bytes, false);
            container(&[&vec![fill; length], &bytes[..]].concat(), false);
        }
    }
}
