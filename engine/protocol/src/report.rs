//! The report on one file.

use serde::{Deserialize, Serialize};

/// Most proposals in one report; [`Report::unlooked`] counts those past it.
pub const MAX_PROPOSALS: usize = 4096;

/// Most layers in one report. [`Report::layer_count`] counts those past it, too.
pub const MAX_LAYERS: usize = 10_000;

/// Most names of matching signatures in one report, the first ones by the alphabet: a file with every known pattern in it must not drown
/// its own verdict, and engines that loaded the same in another order must report the same ones.
pub const MAX_NAMES: usize = 256;

/// What the engine found in one file. The client decides the verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// libclamav's return code (`cl_error_t`): 0 clean, 1 virus, everything else a failure to scan.
    pub status: u32,
    /// Names of the signatures that matched, each once, sorted, at most [`MAX_NAMES`]; without the engine's own probes.
    pub alerts: Vec<String>,
    /// Limits that were exceeded, by libclamav's names (`Heuristics.Limits.Exceeded.MaxFiles`, …).
    pub limits_exceeded: Vec<String>,
    /// Encryption that hid content, by libclamav's names (`Heuristics.Encrypted.Zip`, …), or by the engine's own where libclamav reports
    /// nothing (`Nacre.Encrypted.Age`, …); `Heuristics.Encrypted.Archive` when only the second reader met it.
    pub encrypted: Vec<String>,
    /// Bit set of the matcher targets (0 to 14) that ran.
    pub targets: u16,
    /// Every layer that the engine scanned, the file itself first; at most [`MAX_LAYERS`].
    pub layers: Vec<Layer>,
    /// Number of layers, those past the cap included.
    pub layer_count: u64,
    /// Content that the engine matched on and that is not a layer: text and macros that libclamav derived from layers. Hash signatures
    /// match it, too. Equal contents are listed once.
    #[serde(default)]
    pub derived: Vec<Digests>,
    /// Number of matches on content that could not be read or listed.
    #[serde(default)]
    pub unread: u64,
    /// What the directory's filters do not rule out. Such a report decides nothing yet: [`Proposal`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<Proposal>,
    /// Number of matches on content that could not be looked up in the filters, and of proposals past [`MAX_PROPOSALS`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlooked: u64,
    /// Number of archive parts that are no layers: members with a compression method that neither reader knows, members that both
    /// skipped, and missing ends of archives.
    pub unopened: u64,
    /// Which of the layers, by their place in the list, are archives of which the second reader got out all that is in them. Ascending.
    #[serde(default)]
    pub read_whole: Vec<u32>,
    /// Containers among the layers that nothing opens, by their names (`squashfs`, `a volume of a zip`, …), each once, sorted.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Indexes of the layers that are archives without content: of folders, empty files, and files too small to be layers.
    #[serde(default)]
    pub empty: Vec<u32>,
    /// libclamav's messages of severity warning and above, at most 100.
    pub messages: Vec<Message>,
    /// Bytes scanned over all layers, as libclamav counts them.
    pub bytes_scanned: u64,
    /// Milliseconds that the scan took.
    pub duration_ms: u64,
}

/// One file that the engine scanned: the object itself or something unpacked from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// libclamav's file type, such as `CL_TYPE_ZIP`.
    pub file_type: String,
    /// Bytes.
    pub size: u64,
    /// Depth of nesting; 0 is the object itself.
    pub depth: u32,
    /// MD5 in lower-case hexadecimal.
    pub md5: String,
    /// SHA-1 in lower-case hexadecimal.
    pub sha1: String,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// Size and digests of content. Of content that no digest of a virus is compared with, only the MD5 may be known: then the others are
/// [`Digests::NO_SHA1`] and [`Digests::NO_SHA256`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Bytes.
    pub size: u64,
    /// MD5 in lower-case hexadecimal.
    pub md5: String,
    /// SHA-1 in lower-case hexadecimal.
    pub sha1: String,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

impl Digests {
    /// Stands for a SHA-1 that is not known.
    pub const NO_SHA1: &str = "0000000000000000000000000000000000000000";
    /// Stands for a SHA-256 that is not known.
    pub const NO_SHA256: &str = "0000000000000000000000000000000000000000000000000000000000000000";
}

/// A digest that a filter does not rule out: a signature behind the filter may match it, and nobody has compared it yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Proposal {
    /// The filter's file name without its extension.
    pub filter: String,
    /// What has the digest.
    pub of: Proposed,
    /// MD5, SHA-1 or SHA-256 in lower-case hexadecimal.
    pub digest: String,
    /// The size that the signature has; `None` for one of any size.
    pub size: Option<u32>,
}

/// What has a proposal's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proposed {
    /// A layer, or content that libclamav derived from one.
    File,
    /// A section of a Windows program.
    Section,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A message of libclamav during a scan or a load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub severity: Severity,
    /// Its text, at most 500 bytes.
    pub text: String,
}

/// libclamav's message severities (`enum cl_msg`) from warning up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// `CL_MSG_WARN`.
    Warning,
    /// `CL_MSG_ERROR`.
    Error,
}
