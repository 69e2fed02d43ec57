//! Containers that nothing here opens, by their marks.

use super::{bytes::has, disks, openpgp, streams, volumes};

/// What tells a container.
pub(super) enum Mark {
    /// These bytes at this place.
    At(usize, &'static [u8]),
    /// A test of the whole content.
    Is(fn(&[u8]) -> bool),
}

/// A container: its name, as reports have it, and its mark.
pub(super) type Container = (&'static str, Mark);

/// Archives and packages, besides those of the other tables.
const ARCHIVES: &[Container] = &[
    ("RPM", Mark::At(0, b"\xED\xAB\xEE\xDB")),
    ("WIM", Mark::At(0, b"MSWIM\0\0\0")),
    ("a compressed OpenPGP message", Mark::Is(openpgp::is_compressed)),
    ("ACE", Mark::At(7, b"**ACE**")),
    ("ZOO", Mark::At(20, b"\xDC\xA7\xC4\xFD")),
    ("StuffIt", Mark::At(0, b"StuffIt (c)1997-")),
    ("StuffIt", Mark::At(10, b"rLau")),
    ("ZPAQ", Mark::At(0, b"7kSt\xA0\x31\x83\xD3\x8C\xB2\x28\xB0\xD3")),
];

/// The name of the container that `content` is, unless the second reader got out all that is in it. A volume is not whole by itself,
/// and what a file system's image holds beside an archive's marks no archive reader says.
pub(super) fn container(content: &[u8], read_whole: bool) -> Option<&'static str> {
    let opened_by_a_reader = [streams::STREAMS, ARCHIVES].into_iter().filter(|_| !read_whole);
    let found = opened_by_a_reader.chain([disks::IMAGES, volumes::VOLUMES]).flatten().find(|(_, mark)| match mark {
        Mark::At(at, bytes) => has(content, *at, bytes),
        Mark::Is(test) => test(content),
    });
    found.map(|(name, _)| *name)
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

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, fill: u8, length in 0_usize..3000) {
            container(&bytes, false);
            container(&[&vec![fill; length], &bytes[..]].concat(), false);
        }
    }
}
