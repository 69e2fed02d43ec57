//! Content that libclamav matches on without reporting it as a layer.
//!
//! HTML without its comments and tags, scripts taken out of it, text in lower case, macros of documents, the headers of an installer:
//! libclamav writes them to files of its own and runs its matchers on them, hash matchers included, but does not call the file
//! inspection callback. Each time the generic probe matches, the file that it matched on is hashed.
//!
//! Macros that are no file (`vba_scandata`), and what stands *around* a match without being matched on (a page in UTF-16 once it is
//! decoded, the part of a program in which an archive begins), leave no trace but the hash callback. Before each match libclamav asks
//! whether it trusts anything from the content itself up to the object, and passes on size and MD5 of each that it does not. It compares
//! no digest of a virus with such content. But trust may be given by its digest, and `FileSize` is about its size.
//!
//! Source: the callers of `cli_scan_desc`, `cli_scan_fmap`, `cli_scan_buff`, `fmap_open_memory` and `cli_recursion_stack_push`, and
//! `cli_check_fp`, in libclamav 1.4 (`scanners.c`, `matcher.c`, `nsis/nulsft.c`).

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    io, mem,
    os::unix::fs::{FileExt, MetadataExt},
};

use md5::{Digest, Md5};
use nacre_engine_protocol::{Digests, Layer, MAX_LAYERS};
use nacre_scan_set::propose;
use sha1::Sha1;
use sha2::Sha256;

use crate::lookup::Lookup;

/// Most contents that are reported. A record keeps fewer.
const MAX_DERIVED: usize = 1_000;

/// Most sizes and MD5s that are kept.
const MAX_HASHED: usize = MAX_LAYERS + 2 * MAX_DERIVED;

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
    /// Size and MD5 of all that libclamav asked about whether it trusts it, at most [`MAX_HASHED`].
    hashed: BTreeSet<(u64, String)>,
    /// Whether it asked since the last match.
    is_hashed: bool,
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

    /// Records content that is about to be matched on, or stands around that, by its size and MD5.
    pub(crate) fn is_hashed(&mut self, size: u64, md5: &[u8]) {
        self.is_hashed = true;
        let content = (size, String::from_utf8_lossy(md5).into_owned());
        if self.hashed.len() < MAX_HASHED {
            self.hashed.insert(content);
        } else if !self.hashed.contains(&content) {
            self.unread += 1;
        }
    }

    /// Records that something matched; returns whether the content was hashed before.
    pub(crate) fn matched(&mut self) -> bool {
        mem::take(&mut self.is_hashed)
    }

    /// All content, with what is known by its MD5 alone. `layers` are all layers.
    pub(crate) fn finish(mut self, layers: &[Layer]) -> (Vec<Digests>, u64) {
        let layers = layers.iter().map(|layer| (layer.size, layer.md5.as_str()));
        let known: HashSet<_> =
            layers.chain(self.found.iter().map(|content| (content.size, content.md5.as_str()))).collect();
        let is_unknown = |(size, md5): &&(u64, String)| *size > 0 && !known.contains(&(*size, md5.as_str()));
        let unknown: Vec<_> = self.hashed.iter().filter(is_unknown).cloned().collect();
        for (size, md5) in unknown {
            if self.found.len() < MAX_DERIVED {
                self.found.push(Digests {
                    size,
                    md5,
                    sha1: Digests::NO_SHA1.into(),
                    sha256: Digests::NO_SHA256.into(),
                });
            } else {
                self.unread += 1;
            }
        }
        (self.found, self.unread)
    }

    /// Records the content that was matched on, and looks it up. `None` for what is not a file: it is a layer, or libclamav compares no
    /// digest of a virus with it, so that it need not be looked up where it was hashed.
    pub(crate) fn matched_on(&mut self, file: Option<&File>, is_hashed: bool, mut lookup: Option<&mut Lookup>) {
        let is_known = match file {
            Some(file) => self.digest(file, lookup.as_deref_mut()).is_ok(),
            None => is_hashed,
        };
        if !is_known {
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
        derived.matched_on(Some(&object), true, None);
        derived.is_layer(Sha256::digest(b"layer").into());
        for content in [&b"layer"[..], b"", b"made of it", b"made of it"] {
            derived.matched_on(Some(&file(content)), true, None);
        }
        let [one] = &derived.found[..] else { panic!("{derived:?}") };
        assert_eq!((one.size, &one.md5), (10, &hex::encode(Md5::digest(b"made of it"))));
        assert_eq!(derived.unread, 0);
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let mut derived = Derived::default();
        derived.matched_on(None, false, None);
        for n in 0..=MAX_DERIVED {
            derived.matched_on(Some(&file(n.to_string().as_bytes())), true, None);
        }
        assert_eq!((derived.found.len(), derived.unread), (MAX_DERIVED, 2));
    }

    #[test]
    fn what_is_only_hashed_is_known_by_its_md5() {
        let md5 = |content: &[u8]| hex::encode(Md5::digest(content));
        let layer = Layer {
            file_type: "CL_TYPE_ZIP".into(),
            size: 5,
            depth: 0,
            md5: md5(b"layer"),
            sha1: String::new(),
            sha256: String::new(),
        };
        let mut derived = Derived::default();
        for content in [&b"layer"[..], b"made of it", b"around it", b"around it", b""] {
            derived.is_hashed(content.len() as u64, md5(content).as_bytes());
        }
        assert!(derived.matched() && !derived.matched(), "once a match");
        derived.matched_on(Some(&file(b"made of it")), true, None);
        derived.matched_on(None, true, None);
        let (found, unread) = derived.finish(&[layer]);
        assert_eq!(found.iter().map(|of| of.md5.clone()).collect::<Vec<_>>(), [md5(b"made of it"), md5(b"around it")]);
        assert_eq!((found[1].sha256.as_str(), unread), (Digests::NO_SHA256, 0));
    }

    #[test]
    fn what_is_hashed_past_the_cap_is_counted() {
        let mut derived = Derived::default();
        for n in 0..=MAX_HASHED as u64 {
            derived.is_hashed(n + 1, b"0123456789abcdef0123456789abcdef");
        }
        let (found, unread) = derived.finish(&[]);
        assert_eq!((found.len(), unread), (MAX_DERIVED, (1 + MAX_HASHED - MAX_DERIVED) as u64));
    }
}
