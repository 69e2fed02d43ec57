//! Signatures of every kind, drawn from what the corpus holds.

use md5::{Digest, Md5};
use proptest::prelude::*;
use sha2::Sha256;

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
        sha: bool,
    },
    /// A pattern of the oldest kind.
    Legacy {
        file: usize,
        at: usize,
    },
    /// A member of an archive, by its name or its size.
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
    /// The signature of another gene, ignored by its name, or by its line, too.
    Ignore {
        gene: usize,
        line: bool,
    },
    /// What steers the engine, and matters to few files here.
    Context {
        kind: u8,
    },
    /// Another signature of the digest, or the rule, of another gene.
    Twin {
        gene: usize,
    },
    /// How often a pattern of several parts occurs in the file of several windows.
    Counted {
        count: u8,
        handler: bool,
    },
    /// A pattern of this length, which is nowhere, and by which windows may overlap.
    Long {
        length: usize,
    },
    /// A comparison of bytes, a regular expression, the hash of an image, a macro, a pattern that libclamav takes for another, the digest of
    /// an import table, or a name as of libclamav's own alerts.
    Special {
        kind: u8,
    },
}

impl Gene {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let file = 0_usize..1000;
        let at = 0_usize..100_000;
        prop_oneof![
            15 => (file.clone(), 0_usize..40, 0_u8..3, 0_u8..3, prop::bool::weighted(0.1))
                .prop_map(|(file, layer, algorithm, size, pua)| Self::Hash { file, layer, algorithm, size, pua }),
            18 => (file.clone(), at.clone(), 0_u8..18, 0_u8..4, 0_u8..6, 0_u8..24)
                .prop_map(|(file, at, target, offset, window, extension)| Self::Body { file, at, target, offset, window, extension }),
            12 => (file.clone(), (at.clone(), at.clone()), 0_u8..18, 0_u8..4, 0_u8..8, prop::bool::weighted(0.1))
                .prop_map(|(file, at, target, expression, more, pua)| Self::Logical { file, at, target, expression, more, pua }),
            6 => (file.clone(), 0_usize..8, any::<bool>(), any::<bool>())
                .prop_map(|(file, section, any_size, sha)| Self::Section { file, section, any_size, sha }),
            3 => (file.clone(), at.clone()).prop_map(|(file, at)| Self::Legacy { file, at }),
            3 => (0_u8..6).prop_map(|file| Self::Member { file }),
            3 => (file.clone(), at).prop_map(|(file, at)| Self::Rule { file, at }),
            3 => Just(Self::Phishing),
            1 => Just(Self::AllowedUrl),
            6 => (file, 0_usize..40, 0_u8..3, any::<bool>()).prop_map(|(file, layer, size, sha)| Self::Trust { file, layer, size, sha }),
            6 => (0_usize..14, any::<bool>()).prop_map(|(gene, line)| Self::Ignore { gene, line }),
            2 => (0_u8..8).prop_map(|kind| Self::Context { kind }),
            3 => (0_usize..14).prop_map(|gene| Self::Twin { gene }),
            3 => (0_u8..6, prop::bool::weighted(0.2)).prop_map(|(count, handler)| Self::Counted { count, handler }),
            2 => (17_usize..6000).prop_map(|length| Self::Long { length }),
            6 => (0_u8..13).prop_map(|kind| Self::Special { kind }),
        ]
    }

    /// The gene as another signature of the same; others have none.
    pub(super) fn as_twin(&self) -> bool {
        matches!(self, Self::Hash { .. } | Self::Section { .. } | Self::Rule { .. } | Self::Body { .. })
    }

    /// The extension of its file, and its line; `None` when the corpus has nothing for it.
    pub(super) fn line(&self, number: usize, corpus: &Corpus) -> Option<(&'static str, String)> {
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
                let target = target_of(known, target);
                let (at, pattern) = piece(known, at, 12)?;
                let pattern = &as_seen(target, pattern);
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
                let extension = match extension {
                    0 => "sdb",
                    1 | 2 => "ndu",
                    _ => "ndb",
                };
                (extension, format!("{name}:{target}:{offset}:{pattern}{levels}"))
            }
            Self::Logical { file, at, target, expression, more, pua } => {
                let known = pick(file)?;
                let engine = if target % 5 == 0 { "Engine:1-2," } else { "Engine:81-255," };
                let target = target_of(known, target);
                let (one, other) = (piece(known, at.0, 10)?.1, piece(known, at.1, 10)?.1);
                let (one, other) = (as_seen(target, one), as_seen(target, other));
                let expression = ["0&1", "0|1", "0&(1>0)", "0&1&2"].get(usize::from(expression)).copied()?;
                let regex = if expression.contains('2') { ";0/[a-z]{2}/" } else { "" };
                let more = match more {
                    0 => format!(",FileSize:1-{}", known.bytes.len()),
                    1 => known.layers.last().map(|of| format!(",FileSize:{0}-{0}", of.size)).unwrap_or_default(),
                    2 => ",Container:CL_TYPE_ZIP".to_owned(),
                    _ => String::new(),
                };
                let extension = if pua { "ldu" } else { "ldb" };
                let (one, other) = (hex::encode(one), hex::encode(other));
                (extension, format!("{name};{engine}Target:{target}{more};{expression};{one};{other}{regex}"))
            }
            Self::Legacy { file, at } => ("db", format!("{name}={}", hex::encode(piece(pick(file)?, at, 12)?.1))),
            Self::Section { file, section, any_size, sha } => {
                section_line(corpus, (file, section), any_size, sha, &name)?
            }
            Self::Member { file } => {
                let member =
                    ["^a\\.txt$:*:*", "^inner\\.zip$:*:*", "^b\\.bin$:*:*", "none:*:*", "*:*:900", "*:1-400:*"];
                ("cdb", format!("{name}:CL_TYPE_ZIP:*:{}:*:*:*:*", member.get(usize::from(file)).copied()?))
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
            Self::Ignore { gene, .. } => ("ign2", format!("G.{gene}")),
            // Written by those who know the other genes.
            Self::Twin { .. } => return None,
            Self::Counted { count, handler } => counted_line(count, handler, &name)?,
            Self::Long { length } => long_line(length, number, &name),
            Self::Special { kind } => special_line(kind, &name),
            Self::Context { kind } => context_line(kind, number, &name),
        })
    }
}

/// What steers the engine.
fn context_line(kind: u8, number: usize, name: &str) -> (&'static str, String) {
    match kind {
        0 => ("pwdb", format!("{name};Engine:51-255;0;secret{number}")),
        1 => ("idb", format!("{name}:group{number}:group2:{}", icon(number))),
        2 => {
            ("cfg", ["DOCUMENT:0x0", "DOCUMENT:0xffffffff", "ARCHIVE:0xffffffff", "MAIL:0xffffffff"][number % 4].into())
        }
        3 => ("ftm", format!("0:0:2321{:02x}:A script:CL_TYPE_ANY:CL_TYPE_SCRIPT", 0x2f - number % 2)),
        4 => ("crb", format!("{name};1;{};;{};010001;1;0;0;;", "ab".repeat(20), "c5".repeat(128))),
        5 => ("ign", format!("G.{}", number % 7)),
        6 => ("gdb", format!("S:{}:{}", ["P", "F"][number % 2], url_hash(number.is_multiple_of(2)))),
        _ => ("wdb", format!("X:http\\:\\/\\/a{number}\\.example\\.org:http\\:\\/\\/b\\.example\\.org")),
    }
}

/// How often a pattern of two parts occurs.
fn counted_line(count: u8, handler: bool, name: &str) -> Option<(&'static str, String)> {
    let count = ["0>1", "0=1", "0=2", "0>0,2", "0<2&1", "0=0&1"].get(usize::from(count)).copied()?;
    let handler = if handler { ",HandlerType:CL_TYPE_HTML" } else { "" };
    let (alpha, beta) = (hex::encode("MARKALPHA"), hex::encode("MARKBETA"));
    Some(("ldb", format!("{name};Engine:81-255,Target:0{handler};{count};{alpha}{{-5}}{beta};{alpha}")))
}

/// A pattern that is nowhere.
fn long_line(length: usize, number: usize, name: &str) -> (&'static str, String) {
    let bytes: Vec<u8> =
        (0..length).map(|at| u8::try_from((at * 31 + number * 7 + at / 3) % 128).unwrap_or_default() | 0x80).collect();
    ("ldb", format!("{name};Engine:81-255,Target:{};0;{}", number % 2 * 7, hex::encode(bytes)))
}

/// What is matched otherwise than by patterns alone.
fn special_line(kind: u8, name: &str) -> (&'static str, String) {
    match kind {
        0 => ("ldb", format!("{name};Engine:81-255,Target:0;0&1;{};0(>>4#hb1#>0)", hex::encode("MARKALPHA"))),
        1 => ("ldb", format!("{name};Engine:81-255,Target:0;0;0/MARK[A-Z]{{5}}/g")),
        2 => ("ldb", format!("{name};Engine:150-255,Target:0;0;fuzzy_img#af2ad01ed42993c7#0")),
        3 => ("ndb", format!("{name}:0:$12:{}", hex::encode("MARKALPHA"))),
        4 => ("ldb", format!("{name};Engine:81-255,Target:0;0&1;{};${{0-99}}12$", hex::encode("MARKALPHA"))),
        5..=8 => {
            let rest = ["(4142|41)504841", "(414c|41)504841", "414c[1-1]48", "414c[3-4]48"][usize::from(kind) - 5];
            ("ndb", format!("{name}:0:*:{}{rest}", hex::encode("MARK")))
        }
        // The import tables of clam.exe and clam-upx.exe, as pefile digests them.
        10 => ("imp", format!("98c88d882f01a3f6ac1e5f7dfd761624:*:{name}:73")),
        11 => ("imp", format!("2b07ba9c1e54b04624dfdda69d875a1d:*:{name}:73")),
        9 => ("ndb", format!("Heuristics.Encrypted.{name}:0:*:{}", hex::encode("MARKALPHA"))),
        _ => (
            "ldb",
            format!(
                "{name};Engine:81-255,Target:0,Intermediates:CL_TYPE_ZIP>CL_TYPE_TEXT_ASCII;0;{}",
                hex::encode("plain text")
            ),
        ),
    }
}

/// A line that finds a section of a program of Windows.
fn section_line(
    corpus: &Corpus,
    (file, section): (usize, usize),
    any_size: bool,
    sha: bool,
    name: &str,
) -> Option<(&'static str, String)> {
    let with: Vec<&Known> = corpus.files.iter().filter(|known| !known.sections.is_empty()).collect();
    let known = with.get(file % with.len().max(1))?;
    let (size, md5, sha256) = known.sections.get(section % known.sections.len())?;
    let (extension, digest) = if sha { ("msb", sha256) } else { ("mdb", md5) };
    let (size, level) = if any_size { ("*".to_owned(), ":73") } else { (size.to_string(), "") };
    Some((extension, format!("{size}:{digest}:{name}{level}")))
}

/// The digest of a URL in the phishing mail, as a list of dangerous ones has it: whole, or its start.
pub(super) fn url_hash(start: bool) -> String {
    let digest = hex::encode(Sha256::digest(b"evil.example.net/"));
    if start { digest[..8].to_owned() } else { digest }
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

/// A piece as the matchers of a target see it: HTML and text in lower case.
fn as_seen(target: u8, piece: &[u8]) -> Vec<u8> {
    if matches!(target, 3 | 7) { piece.to_ascii_lowercase() } else { piece.to_vec() }
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

pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}
