//! One line of each kind of signature file, read as far as a rescan needs it: what it is called, and what it can have to do with an
//! object.
//!
//! The grammars are those of ClamAV's manual (*Signatures*). Whatever is not read with certainty concerns everything: a rescan then
//! costs more, and misses nothing.

use std::ops::RangeInclusive;

use crate::{
    ignored::without_line_end,
    mistaken::may_be_mistaken,
    narrowing::{Narrowing, attributes},
    pattern_length::may_exceed_probes,
    split::field,
};

/// Most bytes of a line that libclamav reads whole from a loose file of any kind: its buffer has 8,192 (`FILEBUFF`). What is longer
/// it takes for two lines, even a comment.
pub const MAX_LINE: usize = 8190;

/// Bytes of the longest extension that a kind of file has: `copying`.
const LONGEST_EXTENSION: usize = 7;

/// What a member of a database, or a loose file, holds; by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Digests of files: `hdb hsb hdu hsu`.
    FileHash,
    /// Digests in programs of Windows, of sections and import tables: `mdb msb mdu msu imp`.
    ProgramHash,
    /// Digests of files that are trusted: `fp sfp`.
    TrustHash,
    /// Byte patterns: `ndb ndu`.
    Body,
    /// Logical expressions over patterns: `ldb ldu`.
    Logical,
    /// Metadata of archive members: `cdb zmd rmd`.
    ContainerMetadata,
    /// Byte patterns without a target: `db`.
    LegacyBody,
    /// URLs that phishing is recognised by: `pdb gdb`.
    Phishing,
    /// Names of signatures that are not to be used: `ign2`.
    Ignore,
    /// URLs that are no phishing: `wdb`.
    AllowedUrl,
    /// Steers how the engine scans, and the order of its lines matters, or is a program: `cfg crb ftm idb ign pwdb sdb cat cbc`, the
    /// file as a whole.
    OpaqueContext,
    /// Rules that only their own parser understands: `yar yara`, the file as a whole.
    Yara,
    /// Says nothing of what is found: `info COPYING`.
    Nothing,
    /// An unknown kind.
    Unknown,
}

impl Kind {
    /// The kind of the file with this name.
    pub fn of(file_name: &str) -> Self {
        Self::of_extension(file_name.rsplit_once('.').map_or(file_name, |(_, extension)| extension))
    }

    /// The kind of signatures in files with an extension, which is given without its dot.
    pub fn of_extension(extension: &str) -> Self {
        // Without an allocation: sets have millions of lines.
        let mut lower = [0; LONGEST_EXTENSION];
        let Some(lower) = lower.get_mut(..extension.len()) else { return Self::Unknown };
        lower.copy_from_slice(extension.as_bytes());
        lower.make_ascii_lowercase();
        match std::str::from_utf8(lower).unwrap_or_default() {
            "hdb" | "hsb" | "hdu" | "hsu" => Self::FileHash,
            "mdb" | "msb" | "mdu" | "msu" | "imp" => Self::ProgramHash,
            "fp" | "sfp" => Self::TrustHash,
            "ndb" | "ndu" => Self::Body,
            "ldb" | "ldu" => Self::Logical,
            "cdb" | "zmd" | "rmd" => Self::ContainerMetadata,
            "db" => Self::LegacyBody,
            "pdb" | "gdb" => Self::Phishing,
            "ign2" => Self::Ignore,
            "wdb" => Self::AllowedUrl,
            // One signature of `sdb` makes libclamav 1.4 scan the raw bytes of every file in another order, so that others match
            // or do not: the differential test found it.
            "cfg" | "crb" | "ftm" | "idb" | "ign" | "pwdb" | "sdb" | "cat" | "cbc" => Self::OpaqueContext,
            "yar" | "yara" => Self::Yara,
            "info" | "copying" => Self::Nothing,
            _ => Self::Unknown,
        }
    }

    /// Whether a file of this kind is compared as a whole.
    pub fn is_opaque(self) -> bool {
        matches!(self, Self::OpaqueContext | Self::Yara | Self::Unknown)
    }

    /// Whether its lines, which are read one by one, have patterns.
    pub fn has_patterns(self) -> bool {
        matches!(self, Self::Body | Self::Logical | Self::LegacyBody)
    }

    /// Whether a delta engine needs the files of this kind whole.
    pub fn is_context(self) -> bool {
        matches!(self, Self::TrustHash | Self::Ignore | Self::AllowedUrl | Self::OpaqueContext)
    }
}

/// Whether a file names signatures that are not to be used: libclamav reads `ign` as it reads `ign2`.
pub fn is_ignoring(file_name: &str) -> bool {
    Kind::of(file_name) == Kind::Ignore
        || file_name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("ign"))
}

/// Whether files with this extension are loaded only where potentially unwanted applications are detected.
pub fn is_pua(file_name: &str) -> bool {
    let extension = file_name.rsplit_once('.').map_or(file_name, |(_, extension)| extension);
    matches!(extension.to_ascii_lowercase().as_str(), "hdu" | "hsu" | "mdu" | "msu" | "ndu" | "ldu")
}

/// A digest of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileDigest {
    /// MD5.
    Md5([u8; 16]),
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl FileDigest {
    /// Reads a digest in hexadecimal; its length determines the algorithm.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let (mut md5, mut sha1, mut sha256) = ([0; 16], [0; 20], [0; 32]);
        match text.len() {
            32 => hex::decode_to_slice(text, &mut md5).ok().map(|()| Self::Md5(md5)),
            40 => hex::decode_to_slice(text, &mut sha1).ok().map(|()| Self::Sha1(sha1)),
            64 => hex::decode_to_slice(text, &mut sha256).ok().map(|()| Self::Sha256(sha256)),
            _ => None,
        }
    }
}

/// The objects that a signature can have to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Objects with a layer of this digest, and of this size where there is one.
    File {
        /// The digest.
        digest: FileDigest,
        /// Bytes; `None` for any number.
        size: Option<u64>,
    },
    /// Objects on which the matcher of this target, 1 to 14, ran.
    Target(u8),
    /// Objects with mail, whose URLs libclamav checks.
    Phishing,
    /// The same objects, whose matches it takes back: libclamav asks for it in that check alone.
    AllowedUrl,
    /// Any object.
    Any,
    /// Objects with a layer of this digest are trusted: their matches are taken back.
    Trust {
        /// The digest.
        digest: FileDigest,
    },
    /// Objects on which the matcher of a target ran: what it matches is scanned as another type, where any signature may match, or it may
    /// be mistaken for others of that matcher.
    Interferes {
        /// 1 to 14; `None` for any object.
        target: Option<u8>,
    },
    /// It changes how other signatures work, or its effect is unknown.
    Everything,
}

/// A line as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Its name; `None` where the kind has none.
    pub name: Option<&'a [u8]>,
    /// What it can have to do with.
    pub concern: Concern,
    /// Functionality levels of the engines that load it.
    pub levels: RangeInclusive<u32>,
    /// What it demands of the content beside.
    pub narrowing: Narrowing,
}

/// What the names of libclamav's own alerts begin with.
const HEURISTICS: &[u8] = b"Heuristics.";

/// Every level.
const ALL_LEVELS: RangeInclusive<u32> = 0..=u32::MAX;

/// Highest number of a matcher's target (`cli_mtargets`).
const LAST_TARGET: u8 = 14;

impl<'a> Signature<'a> {
    /// Reads a line of a kind that is not opaque, without its line feed. `None` for lines that hold no signature: comments and empty
    /// ones.
    pub fn parse(kind: Kind, line: &'a [u8]) -> Option<Self> {
        let line = without_line_end(line);
        // C ends a line at its first NUL.
        if line.len() > MAX_LINE || line.contains(&0) {
            return Some(Self::everything(None));
        }
        if line.is_empty() || line.starts_with(b"#") {
            return None;
        }
        let signature = match kind {
            Kind::FileHash => file_hash(line),
            Kind::TrustHash => trust_hash(line),
            Kind::ProgramHash => Self::new(field(line, b':', 2), Concern::Target(1), levels(line, b':', 3)),
            Kind::Body => body(line),
            Kind::Logical => logical(line),
            Kind::ContainerMetadata => Self {
                narrowing: Narrowing::of_metadata(line),
                ..Self::new(field(line, b':', 0), Concern::Any, levels(line, b':', 10))
            },
            Kind::LegacyBody => Self::new(field(line, b'=', 0), Concern::Any, ALL_LEVELS),
            Kind::Phishing => Self::new(None, Concern::Phishing, ALL_LEVELS),
            Kind::AllowedUrl => Self::new(None, Concern::AllowedUrl, ALL_LEVELS),
            Kind::Ignore | Kind::Nothing => return None,
            Kind::OpaqueContext | Kind::Yara | Kind::Unknown => Self::everything(None),
        };
        // By a longer pattern the windows overlap more in which other signatures count their matches.
        if kind.has_patterns() && may_exceed_probes(line) {
            return Some(Self { levels: signature.levels, ..Self::everything(signature.name) });
        }
        // libclamav's own alerts have such names, and mean that content was not scanned.
        if signature.name.is_some_and(|name| name.starts_with(HEURISTICS)) {
            return Some(Self { levels: signature.levels, ..Self::everything(signature.name) });
        }
        let target = match signature.concern {
            Concern::Target(target) => Some(target),
            Concern::Any => None,
            _ => return Some(signature),
        };
        if may_be_mistaken(kind, line) {
            return Some(Self::new(signature.name, Concern::Interferes { target }, signature.levels));
        }
        Some(signature)
    }

    /// The name of a line's signature, as [`Self::parse`] reads it.
    pub fn name_of(kind: Kind, line: &'a [u8]) -> Option<&'a [u8]> {
        if !matches!(kind, Kind::FileHash | Kind::ProgramHash) {
            return Self::parse(kind, line)?.name;
        }
        // Most lines are of these kinds, and their digests need not be read for it.
        let line = without_line_end(line);
        let is_read = line.len() <= MAX_LINE && !line.is_empty() && !line.starts_with(b"#") && !line.contains(&0);
        field(line, b':', 2).filter(|_| is_read)
    }

    fn new(name: Option<&'a [u8]>, concern: Concern, levels: RangeInclusive<u32>) -> Self {
        Self { name, concern, levels, narrowing: Narrowing::default() }
    }

    fn everything(name: Option<&'a [u8]>) -> Self {
        Self::new(name, Concern::Everything, ALL_LEVELS)
    }
}

/// The digest in a line of [`Kind::FileHash`] or [`Kind::ProgramHash`], as it is written.
pub fn hash_digest(kind: Kind, line: &[u8]) -> Option<&[u8]> {
    // `mdb` has the size before it, and `imp` after it.
    // No early end: the compiler makes it a few instructions.
    let is_hex = |text: &[u8]| text.iter().fold(true, |all, byte| all & byte.is_ascii_hexdigit());
    let is_digest = |text: &&[u8]| matches!(text.len(), 32 | 40 | 64) && is_hex(text);
    let digest = |index| field(line, b':', index).filter(is_digest);
    matches!(kind, Kind::FileHash | Kind::ProgramHash).then(|| digest(0).or_else(|| digest(1)))?
}

/// `digest:size:name[:min[:max]]`.
fn file_hash(line: &[u8]) -> Signature<'_> {
    let (digest, size, name) = (field(line, b':', 0), field(line, b':', 1), field(line, b':', 2));
    let size = match size {
        Some(b"*") => Some(None),
        Some(size) => number::<u64>(size).map(Some),
        None => None,
    };
    match (digest.and_then(FileDigest::from_hex), size) {
        (Some(digest), Some(size)) => Signature::new(name, Concern::File { digest, size }, levels(line, b':', 3)),
        _ => Signature::everything(name),
    }
}

/// As [`file_hash`], but the size does not narrow anything: trust is taken more widely than it may be given.
///
/// The size 2 means no file's digest, but that of a program by Authenticode, which no record has (`cli_check_auth_header` of libclamav 1.4,
/// `pe.c`).
fn trust_hash(line: &[u8]) -> Signature<'_> {
    let (size, name) = (field(line, b':', 1).unwrap_or_default(), field(line, b':', 2));
    let is_of_file = size == b"*" || number::<u64>(size).is_some_and(|size| size != AUTHENTICODE);
    match field(line, b':', 0).and_then(FileDigest::from_hex).filter(|_| is_of_file) {
        Some(digest) => Signature::new(name, Concern::Trust { digest }, levels(line, b':', 3)),
        None => Signature { levels: levels(line, b':', 3), ..Signature::everything(name) },
    }
}

/// In place of a size: the digest of a program without its signature.
const AUTHENTICODE: u64 = 2;

/// `name:target:offset:pattern[:min[:max]]`.
fn body(line: &[u8]) -> Signature<'_> {
    let (name, target, offset) = (field(line, b':', 0), field(line, b':', 1), field(line, b':', 2));
    match (target, offset) {
        // A member of a group that logical signatures refer to.
        (None, _) | (_, None | Some([b'$', ..])) => Signature::everything(name),
        (Some(target), _) => Signature::new(name, concern_of(target), levels(line, b':', 4)),
    }
}

/// `name;Key:value,…;expression;pattern;…`.
fn logical(line: &[u8]) -> Signature<'_> {
    let name = field(line, b';', 0);
    let Some(attributes) = attributes(line) else { return Signature::everything(name) };
    let (mut concern, mut levels, mut retypes) = (Concern::Any, ALL_LEVELS, false);
    for pair in attributes {
        let (key, value) = (field(pair, b':', 0), field(pair, b':', 1).unwrap_or_default());
        match key.unwrap_or_default() {
            b"Target" => concern = concern_of(value),
            b"Engine" => levels = range(value),
            b"FileSize" | b"EntryPoint" | b"NumberOfSections" | b"Container" | b"Intermediates" | b"IconGroup1"
            | b"IconGroup2" => {}
            b"HandlerType" => retypes = true,
            _ => return Signature::everything(name),
        }
    }
    // A macro matches what other signatures define.
    if memchr::memmem::find(line, b"${").is_some() {
        return Signature::everything(name);
    }
    if retypes {
        let target = if let Concern::Target(target) = concern { Some(target) } else { None };
        return Signature::new(name, Concern::Interferes { target }, levels);
    }
    // Images are compared by the whole, whatever matcher ran on them.
    if memchr::memmem::find(line, b"fuzzy_img#").is_some() {
        concern = Concern::Any;
    }
    Signature { name, concern, levels, narrowing: Narrowing::of_logical(line) }
}

fn concern_of(target: &[u8]) -> Concern {
    match number(target) {
        Some(target @ 1..=LAST_TARGET) => Concern::Target(target),
        _ => Concern::Any,
    }
}

/// The levels in the fields from this index on: a least one, and after it a greatest one.
fn levels(line: &[u8], separator: u8, index: usize) -> RangeInclusive<u32> {
    let bound = |index, default| match field(line, separator, index) {
        None | Some(b"") => Some(default),
        Some(text) => number(text),
    };
    match (bound(index, 0), bound(index + 1, u32::MAX)) {
        (Some(least), Some(greatest)) => least..=greatest,
        _ => ALL_LEVELS,
    }
}

/// `least-greatest`.
fn range(text: &[u8]) -> RangeInclusive<u32> {
    match (field(text, b'-', 0).and_then(number), field(text, b'-', 1).and_then(number)) {
        (Some(least), Some(greatest)) => least..=greatest,
        _ => ALL_LEVELS,
    }
}

pub(crate) fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests;
