//! Content that libclamav matches on without reporting it as a layer.
//!
//! HTML without its comments and tags, scripts taken out of it, text in lower case, macros of documents, the headers of an installer:
//! libclamav writes them to files of its own and runs its matchers on them, hash matchers included, but does not call the file
//! inspection callback. Each time the generic probe matches, the file that it matched on is hashed.
//!
//! Source: the callers of `cli_scan_desc` and `cli_scan_fmap` in libclamav 1.4 (`scanners.c`, `nsis/nulsft.c`).

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use md5::{Digest, Md5};
use nacre_engine_protocol::Digests;
use nacre_scan_set::propose;
use sha1::Sha1;
use sha2::Sha256;

use crate::lookup::Lookup;

/// Most contents that are reported. A record keeps fewer.
const MAX_DERIVED: usize = 1_000;

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Content that was matched on and is not a layer.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    /// Its digests, at most [`MAX_DERIVED`].
    pub(crate) found: Vec<Digests>,
    /// Number of matches on content that cannot be read or is past the cap.
    pub(crate) unread: u64,
    /// SHA-256 of layers and of reported contents.
    known: HashSet<[u8; 32]>,
    /// Device and inode of the object itself, which stays open.
    object: Option<(u64, u64)>,
}

impl Derived {
    /// Remembers the object: it is a layer, and may be too large to be read twice.
    pub(crate) fn is_object(&mut self, file: &File) {
        self.object = file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    }

    /// Remembers the SHA-256 of a layer.
    pub(crate) fn is_layer(&mut self, sha256: [u8; 32]) {
        self.known.insert(sha256);
    }

    /// Records the content that was matched on, and looks it up; `None` when it is not a file.
    pub(crate) fn matched_on(&mut self, file: Option<&File>, mut lookup: Option<&mut Lookup>) {
        let digested = file.map(|file| self.digest(file, lookup.as_deref_mut()));
        if !matches!(digested, Some(Ok(()))) {
            self.unread += 1;
            if let Some(lookup) = lookup {
                lookup.cannot_look_up();
            }
        }
    }

    fn digest(&mut self, file: &File, lookup: Option<&mut Lookup>) -> io::Result<()> {
        let metadata = file.metadata()?;
        if self.object == Some((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        let mut sha256 = Sha256::new();
        read(file, |piece| sha256.update(piece))?;
        let sha256 = <[u8; 32]>::from(sha256.finalize());
        if metadata.len() == 0 || !self.known.insert(sha256) {
            return Ok(());
        }
        let is_past_the_cap = self.found.len() >= MAX_DERIVED;
        if is_past_the_cap && lookup.is_none() {
            self.unread += 1;
            return Ok(());
        }
        let (mut md5, mut sha1) = (Md5::new(), Sha1::new());
        read(file, |piece| {
            md5.update(piece);
            sha1.update(piece);
        })?;
        let (md5, sha1) = (<[u8; 16]>::from(md5.finalize()), <[u8; 20]>::from(sha1.finalize()));
        if let Some(lookup) = lookup {
            lookup.content(metadata.len(), &propose::Digests { md5, sha1, sha256 });
        }
        if is_past_the_cap {
            self.unread += 1;
            return Ok(());
        }
        self.found.push(Digests {
            size: metadata.len(),
            md5: hex::encode(md5),
            sha1: hex::encode(sha1),
            sha256: hex::encode(sha256),
        });
        Ok(())
    }
}

/// Reads a file by offset: libclamav uses the descriptor's position.
fn read(file: &File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut piece, mut at) = (vec![0; PIECE], 0);
    loop {
        match file.read_at(&mut piece, at) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                take(piece.get(..length).unwrap_or_default());
                at += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn only_content_of_no_layer_is_reported_once() {
        let mut derived = Derived::default();
        let object = file(b"object");
        derived.is_object(&object);
        derived.matched_on(Some(&object), None);
        derived.is_layer(Sha256::digest(b"layer").into());
        for content in [&b"layer"[..], b"", b"made of it", b"made of it"] {
            derived.matched_on(Some(&file(content)), None);
        }
        let [one] = &derived.found[..] else { panic!("{derived:?}") };
        assert_eq!((one.size, &one.md5), (10, &hex::encode(Md5::digest(b"made of it"))));
        assert_eq!(derived.unread, 0);
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let mut derived = Derived::default();
        derived.matched_on(None, None);
        for n in 0..=MAX_DERIVED {
            derived.matched_on(Some(&file(n.to_string().as_bytes())), None);
        }
        assert_eq!((derived.found.len(), derived.unread), (MAX_DERIVED, 2));
    }
}
