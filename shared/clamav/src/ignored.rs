//! Signatures that `ign2` files take out of use.

use std::collections::BTreeSet;

use md5::{Digest, Md5};

use crate::split::field;

/// Names of signatures that are not loaded, and of lines that are not loaded under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    names: BTreeSet<Vec<u8>>,
    /// Name, and MD5 of the line.
    lines: BTreeSet<(Vec<u8>, [u8; 16])>,
}

impl Ignored {
    /// Takes the lines of an `ign2` file in: `name[:MD5 of the line]`.
    pub fn extend(&mut self, file: &[u8]) {
        for line in file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end) {
            let name = field(line, b':', 0).unwrap_or_default().to_vec();
            let mut md5 = [0; 16];
            match field(line, b':', 1) {
                _ if name.is_empty() || name.starts_with(b"#") => {}
                Some(digest) if hex::decode_to_slice(digest, &mut md5).is_ok() => drop(self.lines.insert((name, md5))),
                // Whatever else it means: if more counts as ignored, more is scanned, since a change counts both ways.
                _ => drop(self.names.insert(name)),
            }
        }
    }

    /// Whether a line with this name is not loaded.
    pub fn covers(&self, name: &[u8], line: &[u8]) -> bool {
        let digest = || <[u8; 16]>::from(Md5::digest(line.trim_ascii_end()));
        self.names.contains(name)
            || (self.lines.iter().any(|(of, _)| of == name) && self.lines.contains(&(name.to_vec(), digest())))
    }

    /// Whether nothing is ignored.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.lines.is_empty()
    }

    /// Names of which this list says something else than the other.
    pub fn differing<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a [u8]> {
        let names = self.names.symmetric_difference(&other.names).map(Vec::as_slice);
        let lines = self.lines.symmetric_difference(&other.lines).map(|(name, _)| name.as_slice());
        names.chain(lines).collect()
    }
}
