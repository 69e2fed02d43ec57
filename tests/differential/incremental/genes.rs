//! Signatures of every kind, drawn from what the corpus holds.

use std::{collections::BTreeMap, fs, path::Path};

use md5::{Digest, Md5};
use nacre_shared::{
    definitions::{
        archive::ArchiveLimits, cvd::Cvd, database::DatabaseName, engine_form::engine_form, manifest::DatabaseEntry,
    },
    testing::definitions::{CvdBuilder, SigningKeys},
};
use proptest::prelude::*;

use super::corpus::{Corpus, Known};

/// A signature in the making: numbers choose what of the corpus it is drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gene {
    /// The digest of a layer.
    Hash {
        file: usize,
        layer: usize,
        algorithm: u8,
        size: u8,
        pua: bool,
    },
    /// A piece of a file.
    Body {
        file: usize,
        at: usize,
        target: u8,
        offset: u8,
        window: u8,
        extension: u8,
    },
    /// A logical expression of two pieces.
    Logical {
        file: usize,
        at: (usize, usize),
        target: u8,
        expression: u8,
        more: u8,
        pua: bool,
    },
    /// A section of a program.
    Section {
        file: usize,
        section: usize,
        any_size: bool,
    },
    /// A member of an archive, by its name.
    Member {
        file: u8,
    },
    /// A rule.
    Rule {
        file: usize,
        at: usize,
    },
    /// A URL that is imitated, and one that may be.
    Phishing,
    AllowedUrl,
    /// A layer that is trusted.
    Trust {
        file: usize,
        layer: usize,
        size: u8,
        sha: bool,
    },
    /// The signature of another gene, ignored by its name.
    Ignore {
        gene: usize,
    },
    /// What steers the engine, and matters to no file here.
    Context {
        kind: u8,
    },
}

impl Gene {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let file = 0_usize..1000;
        let at = 0_usize..100_000;
        prop_oneof![
            5 => (file.clone(), 0_usize..40, 0_u8..3, 0_u8..3, prop::bool::weighted(0.1))
                .prop_map(|(file, layer, algorithm, size, pua)| Self::Hash { file, layer, algorithm, size, pua }),
            6 => (file.clone(), at.clone(), 0_u8..18, 0_u8..4, 0_u8..6, 0_u8..4)
                .prop_map(|(file, at, target, offset, window, extension)| Self::Body { file, at, target, offset, window, extension }),
            4 => (file.clone(), (at.clone(), at.clone()), 0_u8..18, 0_u8..3, 0_u8..8, prop::bool::weighted(0.1))
                .prop_map(|(file, at, target, expression, more, pua)| Self::Logical { file, at, target, expression, more, pua }),
            2 => (file.clone(), 0_usize..8, any::<bool>()).prop_map(|(file, section, any_size)| Self::Section { file, section, any_size }),
            1 => (0_u8..4).prop_map(|file| Self::Member { file }),
            1 => (file.clone(), at).prop_map(|(file, at)| Self::Rule { file, at }),
            1 => Just(Self::Phishing),
            1 => Just(Self::AllowedUrl),
            2 => (file, 0_usize..40, 0_u8..3, any::<bool>()).prop_map(|(file, layer, size, sha)| Self::Trust { file, layer, size, sha }),
            2 => (0_usize..14).prop_map(|gene| Self::Ignore { gene }),
            1 => (0_u8..4).prop_map(|kind| Self::Context { kind }),
        ]
    }

    /// The extension of its file, and its line; `None` when the corpus has nothing for it.
    fn line(&self, number: usize, corpus: &Corpus) -> Option<(&'static str, String)> {
        let pick = |file: usize| corpus.files.get(file % corpus.files.len());
        let name = format!("G.{number}");
        Some(match *self {
            Self::Hash { file, layer, algorithm, size, pua } => {
                let known = pick(file)?;
                let layer = known.layers.get(layer % known.layers.len().max(1)).filter(|layer| layer.size > 0)?;
                let (digest, short) = match algorithm {
                    0 => (&layer.md5, true),
                    1 => (&layer.sha1, false),
                    _ => (&layer.sha256, false),
                };
                let (size, level) = match size {
                    0 => (layer.size.to_string(), ""),
                    1 => ("*".into(), ":73"),
                    _ => ((layer.size + 1).to_string(), ""),
                };
                let extension = match (short, pua) {
                    (true, false) => "hdb",
                    (true, true) => "hdu",
                    (false, false) => "hsb",
                    (false, true) => "hsu",
                };
                (extension, format!("{digest}:{size}:{name}{level}"))
            }
            Self::Body { file, at, target, offset, window, extension } => {
                let known = pick(file)?;
                let piece = piece(known, at, 12)?;
                let (at, pattern) = piece;
                let offset = match offset {
                    0 | 1 => "*".to_owned(),
                    2 => at.to_string(),
                    _ => format!("EOF-{}", known.bytes.len() - at),
                };
                let pattern = if window % 2 == 0 { hex::encode(pattern) } else { with_gap(pattern) };
                let levels = match window {
                    0 => ":51:255",
                    1 => ":1:2",
                    2 => ":300",
                    _ => "",
                };
                let extension = ["ndb", "ndb", "sdb", "ndu"].get(usize::from(extension)).copied()?;
                (extension, format!("{name}:{}:{offset}:{pattern}{levels}", target_of(known, target)))
            }
            Self::Logical { file, at, target, expression, more, pua } => {
                let known = pick(file)?;
                let (one, other) = (piece(known, at.0, 10)?.1, piece(known, at.1, 10)?.1);
                let expression = ["0&1", "0|1", "0&(1>0)"].get(usize::from(expression)).copied()?;
                let more = match more {
                    0 => ",FileSize:1-100000".to_owned(),
                    1 => ",FileSize:900000-1000000".to_owned(),
                    2 => ",Container:CL_TYPE_ZIP".to_owned(),
                    _ => String::new(),
                };
                let engine = if target % 5 == 0 { "Engine:1-2," } else { "Engine:51-255," };
                let target = target_of(known, target);
                let extension = if pua { "ldu" } else { "ldb" };
                let (one, other) = (hex::encode(one), hex::encode(other));
                (extension, format!("{name};{engine}Target:{target}{more};{expression};{one};{other}"))
            }
            Self::Section { file, section, any_size } => {
                let with: Vec<&Known> = corpus.files.iter().filter(|known| !known.sections.is_empty()).collect();
                let known = with.get(file % with.len().max(1))?;
                let (size, digest) = known.sections.get(section % known.sections.len())?;
                let (size, level) = if any_size { ("*".to_owned(), ":73") } else { (size.to_string(), "") };
                ("mdb", format!("{size}:{digest}:{name}{level}"))
            }
            Self::Member { file } => {
                let member = ["a.txt", "inner.zip", "b.bin", "none"].get(usize::from(file)).copied()?;
                ("cdb", format!("{name}:CL_TYPE_ZIP:*:^{}$:*:*:*:*:*:*", member.replace('.', "\\.")))
            }
            Self::Rule { file, at } => {
                let pattern = piece(pick(file)?, at, 8)?.1;
                let bytes: Vec<String> = pattern.iter().map(|byte| format!("{byte:02x}")).collect();
                let bytes = bytes.join(" ");
                ("yar", format!("rule G_{number} {{ strings: $a = {{ {bytes} }} condition: $a }}"))
            }
            Self::Phishing => ("pdb", "H:paypal-test.com".into()),
            Self::AllowedUrl => ("wdb", "M:evil.example.net:www.paypal-test.com".into()),
            Self::Trust { file, layer, size, sha } => {
                let known = pick(file)?;
                let layer = known.layers.get(layer % known.layers.len().max(1)).filter(|layer| layer.size > 0)?;
                let (size, level) = match size {
                    0 | 1 => (layer.size.to_string(), ""),
                    _ => ("*".into(), ":73"),
                };
                let (extension, digest) = if sha { ("sfp", &layer.sha256) } else { ("fp", &layer.md5) };
                (extension, format!("{digest}:{size}:{name}{level}"))
            }
            Self::Ignore { gene } => ("ign2", format!("G.{gene}")),
            Self::Context { kind } => match kind {
                0 => ("pwdb", format!("{name};Engine:51-255;0;secret{number}")),
                1 => ("idb", format!("{name}:group{number}:group2:{}", icon(number))),
                _ => ("wdb", format!("X:http\\:\\/\\/a{number}\\.example\\.org:http\\:\\/\\/b\\.example\\.org")),
            },
        })
    }
}

/// The hash of an icon that nothing here has.
fn icon(number: usize) -> String {
    format!("20{:0122x}", number + 1)
}

/// A piece of a file that is likely to be nowhere else, and where it is.
fn piece(known: &Known, at: usize, length: usize) -> Option<(usize, &[u8])> {
    let room = known.bytes.len().checked_sub(length + 1)?;
    let at = at % (room + 1);
    let piece = known.bytes.get(at..at + length)?;
    // Patterns of one byte over and over match everywhere, or are refused.
    piece.windows(2).filter(|pair| pair[0] != pair[1]).nth(4).map(|_| (at, piece))
}

fn with_gap(piece: &[u8]) -> String {
    let (start, end) = piece.split_at(6);
    format!("{}??{}", hex::encode(start), hex::encode(&end[1..]))
}

/// A target that ran on the file, or any other.
fn target_of(known: &Known, choice: u8) -> u8 {
    match choice {
        0..10 => known.targets.get(usize::from(choice) % known.targets.len().max(1)).copied().unwrap_or(0),
        other => [0, 1, 2, 3, 4, 6, 7, 10][usize::from(other) % 8],
    }
}

/// A gene in a set.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) gene: Gene,
    pub(super) number: usize,
    /// Whether it is in a database, and not in a loose file.
    pub(super) packed: bool,
}

/// Writes a set; it always holds something that matches nothing, as an engine wants a signature.
pub(super) fn write_set(directory: &Path, genes: &[Placed], corpus: &Corpus) {
    let (mut loose, mut packed) = (BTreeMap::<&str, String>::new(), BTreeMap::<&str, String>::new());
    for Placed { gene, number, packed: is_packed } in genes {
        let Some((extension, line)) = gene.line(*number, corpus) else { continue };
        // A rule stands in a file of its own: libclamav takes none from a database.
        let files = if *is_packed && extension != "yar" { &mut packed } else { &mut loose };
        let file = files.entry(extension).or_default();
        file.push_str(&line);
        file.push('\n');
    }
    loose.entry("ndb").or_default().push_str("Always:0:*:00112233445566778899aabbccddeeff00112233\n");
    for (extension, text) in &loose {
        fs::write(directory.join(format!("own.{extension}")), text).unwrap();
    }
    if packed.is_empty() {
        return;
    }
    let keys = SigningKeys::fixed();
    let builder = packed.iter().fold(CvdBuilder::new("daily"), |builder, (extension, text)| {
        builder.member(&format!("daily.{extension}"), text.as_str())
    });
    let file = builder.build(keys);
    let name = DatabaseName::new("daily").unwrap();
    let verified = Cvd::parse(&file).unwrap().verify(&name, &keys.trust_anchors(), ArchiveLimits::default()).unwrap();
    let (name, bytes) = engine_form(&DatabaseEntry::of(&verified), &file, false).unwrap();
    fs::write(directory.join(name), bytes).unwrap();
}

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}
