//! What is uploaded, and the verdict that it must get: known by how it is made.

use std::io::{Cursor, Write};

use flate2::{Compression, write::GzEncoder};
use nacre_clamav::builder::eicar;
use nacre_core::verdict::{Reason, Verdict};
use nacre_test_support::{Random, deployed::EVIL};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Content {
    Empty,
    Text,
    /// Large enough to be fetched in several ranges.
    Large,
    ZippedText,
    Eicar,
    ZippedEicar,
    /// Infected by the second generation of definitions only.
    Evil,
    ZippedEvil,
    EncryptedZip,
    TruncatedGzip,
}

impl Content {
    /// A kind, the harmless ones most often.
    pub(crate) fn any(random: &mut Random) -> Self {
        match random.below(1000) {
            0..40 => Self::Empty,
            40..560 => Self::Text,
            560..640 => Self::ZippedText,
            640..720 => Self::Eicar,
            720..790 => Self::ZippedEicar,
            790..860 => Self::Evil,
            860..900 => Self::ZippedEvil,
            900..950 => Self::EncryptedZip,
            _ => Self::TruncatedGzip,
        }
    }

    /// Whether the first generation of definitions convicts it.
    pub(crate) fn is_infected_from_the_first(self) -> bool {
        matches!(self, Self::Eicar | Self::ZippedEicar)
    }

    /// The bytes. Those of two `salt`s differ, save where there is nothing to salt: with versions of the same bytes, too, each has
    /// its record.
    pub(crate) fn bytes(self, salt: u64) -> Vec<u8> {
        let text = |lines: u64| {
            (0..lines).map(|line| format!("line {line} of {salt}, harmless\n")).collect::<Vec<_>>().concat()
        };
        let evil = format!("{salt} says: {EVIL}\n").into_bytes();
        match self {
            Self::Empty => Vec::new(),
            Self::Text => text(1 + salt % 200).into_bytes(),
            Self::Large => text(400_000).into_bytes(),
            Self::ZippedText => zip(&[("a.txt", text(20).as_bytes()), ("b.txt", text(2).as_bytes())]),
            Self::Eicar => eicar(),
            Self::ZippedEicar => zip(&[("salt", text(1).as_bytes()), ("eicar.com", &eicar())]),
            Self::Evil => evil,
            Self::ZippedEvil => zip(&[("evil", &evil)]),
            Self::EncryptedZip => encrypted(zip(&[("secret.txt", text(3).as_bytes())])),
            Self::TruncatedGzip => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
                gzip.write_all(&noise(salt, 6000)).unwrap();
                let mut packed = gzip.finish().unwrap();
                packed.truncate(packed.len() / 2);
                packed
            }
        }
    }

    /// The verdict by the second generation.
    pub(crate) fn verdict(self) -> Verdict {
        let infected = |signature: &str| Verdict::Infected { signatures: vec![format!("{signature}.UNOFFICIAL")] };
        match self {
            Self::Empty | Self::Text | Self::Large | Self::ZippedText => Verdict::Clean,
            Self::Eicar | Self::ZippedEicar => infected("Eicar-Test-Signature"),
            Self::Evil | Self::ZippedEvil => infected("Test.Evil"),
            Self::EncryptedZip => Verdict::Unscannable { reason: Reason::Encrypted },
            Self::TruncatedGzip => Verdict::Unscannable { reason: Reason::UnsupportedFormat },
        }
    }
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        archive.start_file(*name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Says of a zip's one member that it is encrypted.
fn encrypted(mut archive: Vec<u8>) -> Vec<u8> {
    let directory = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    archive[6] |= 1;
    archive[directory + 8] |= 1;
    archive
}

/// Bytes that do not compress, so that half of the packed is about half of the content.
fn noise(salt: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(salt);
    (0..length / 8).flat_map(|_| random.next().to_be_bytes()).collect()
}
