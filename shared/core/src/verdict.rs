//! What a scan concludes, and how the engine's report becomes it.

use std::fmt;

use nacre_engine_protocol::{Layer, Report, Severity};
use serde::{Deserialize, Serialize};

/// The result for one object version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// A proven engine read all of it within its limits and found nothing.
    Clean,
    /// At least one signature matched.
    Infected {
        /// Names of the signatures, sorted, at least one.
        signatures: Vec<String>,
    },
    /// Nobody knows; never to be mistaken for clean.
    Unscannable {
        /// Why.
        reason: Reason,
    },
    /// Not scanned, by the operator's choice.
    Skipped {
        /// Why.
        reason: Reason,
    },
}

impl Verdict {
    /// Whether signatures matched.
    pub fn is_infected(&self) -> bool {
        matches!(self, Self::Infected { .. })
    }

    /// The verdict's stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Infected { .. } => "infected",
            Self::Unscannable { .. } => "unscannable",
            Self::Skipped { .. } => "skipped",
        }
    }

    /// The signatures that matched; empty unless infected.
    pub fn signatures(&self) -> &[String] {
        match self {
            Self::Infected { signatures } => signatures,
            Self::Clean | Self::Unscannable { .. } | Self::Skipped { .. } => &[],
        }
    }

    /// Why the object has no scan result; `None` when it has one.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Unscannable { reason } | Self::Skipped { reason } => Some(*reason),
            Self::Clean | Self::Infected { .. } => None,
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why an object was not scanned. The names are stable: tags, records and automation depend on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The reason's stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The reason of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    /// Larger than the operator's limit for objects.
    TooLarge = "too_large",
    /// A layer is larger than the engine's limit.
    LayerTooLarge = "layer_too_large",
    /// All layers together are larger than the engine's limit.
    ScanSizeLimit = "scan_size_limit",
    /// More files inside than the engine's limit.
    FileCountLimit = "file_count_limit",
    /// Nested deeper than the engine's limit.
    RecursionLimit = "recursion_limit",
    /// Took longer than allowed.
    TimeLimit = "time_limit",
    /// A limit of the engine that has no name of its own here.
    EngineLimit = "engine_limit",
    /// Encrypted, so that content stayed unseen.
    Encrypted = "encrypted",
    /// A format that this engine cannot open.
    UnsupportedFormat = "unsupported_format",
    /// The engine reported an error, or did not scan the whole file.
    EngineError = "engine_error",
    /// The engine's process died over it, twice.
    EngineDied = "engine_died",
    /// Cannot be read as it is stored.
    Unreadable = "unreadable",
    /// In an archive tier of S3: restore it to have it scanned.
    Archived = "archived",
    /// Encrypted with a key that only its uploader has (SSE-C).
    CustomerKey = "customer_key",
    /// Encrypted with a KMS key that may not be used.
    KeyUnusable = "key_unusable",
    /// Nothing was found, by definitions that are too old.
    StaleDefinitions = "stale_definitions",
    /// Access denied by a policy.
    AccessDenied = "access_denied",
    /// Not a regular file (command line only).
    NotAFile = "not_a_file",
    /// No such file (command line only).
    NotFound = "not_found",
}

impl Reason {
    /// The reasons that may have passed at the next attempt: their cause is not in the object's bytes.
    pub const TRANSIENT: [Self; 7] = [
        Self::EngineDied,
        Self::AccessDenied,
        Self::Unreadable,
        Self::Archived,
        Self::CustomerKey,
        Self::KeyUnusable,
        Self::StaleDefinitions,
    ];

    /// Whether the next attempt may succeed.
    pub fn is_transient(self) -> bool {
        Self::TRANSIENT.contains(&self)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Files of this size or less are clean by libclamav's definition: it scans none of them.
const NEVER_INSPECTED_BYTES: u64 = 5;

/// Returns the verdict on a file of `size` bytes by the engine's report; `unrar` says whether the engine can open RAR archives.
///
/// A match wins over everything: what was found is there, whatever else was not scanned. Clean is what remains when nothing,
/// not even a warning about reading, speaks against it: libclamav itself returns "clean" on most of its own failures.
pub fn judge(report: &Report, size: u64, unrar: bool) -> Verdict {
    if !report.alerts.is_empty() {
        return Verdict::Infected { signatures: report.alerts.clone() };
    }
    objection(report, size, unrar).map_or(Verdict::Clean, |reason| Verdict::Unscannable { reason })
}

/// The first thing in the report that speaks against "clean".
fn objection(report: &Report, size: u64, unrar: bool) -> Option<Reason> {
    if let Some(limit) = report.limits_exceeded.first() {
        return Some(limit_reason(limit));
    }
    // Signatures that the engine has not loaded may match: nobody has compared them.
    if !report.proposals.is_empty() || report.unlooked > 0 {
        return Some(Reason::EngineError);
    }
    if !report.encrypted.is_empty() {
        return Some(Reason::Encrypted);
    }
    // Some failures come back as codes of their own; 0 is clean and 1 a match, here of a target probe.
    if report.status > 1
        || report.messages.iter().any(|message| message.severity == Severity::Error || lost_a_page(&message.text))
    {
        return Some(Reason::EngineError);
    }
    let is_listed = |list: &[u32], at: usize| u32::try_from(at).is_ok_and(|at| list.binary_search(&at).is_ok());
    let is_unpacked = |(at, layer)| {
        is_listed(&report.empty, at)
            || is_unpacked(layer, report.layers.get(at + 1), unrar, is_listed(&report.read_whole, at))
    };
    if !report.layers.iter().enumerate().all(is_unpacked) || report.unopened > 0 || !report.containers.is_empty() {
        return Some(Reason::UnsupportedFormat);
    }
    if report.messages.iter().any(|message| refuses(&message.text)) {
        return Some(Reason::UnsupportedFormat);
    }
    // An unusable temporary directory makes libclamav return "clean" without a scan.
    let whole = report.layers.first().is_some_and(|root| root.size == size);
    if size > NEVER_INSPECTED_BYTES && !whole {
        return Some(Reason::EngineError);
    }
    // No matcher at all: only libclamav's trust in a signed program explains that, for it takes back every match.
    let trusted = report.layers.first().is_some_and(|root| root.file_type == "CL_TYPE_MSEXE");
    (size > NEVER_INSPECTED_BYTES && report.targets == 0 && !trusted).then_some(Reason::UnsupportedFormat)
}

/// Formats that are nothing but other files, packed.
const ARCHIVES: [&str; 9] = [
    "CL_TYPE_ZIP",
    "CL_TYPE_ARJ",
    "CL_TYPE_7Z",
    "CL_TYPE_MSCAB",
    "CL_TYPE_GZ",
    "CL_TYPE_BZ",
    "CL_TYPE_XZ",
    "CL_TYPE_LHA_LZH",
    "CL_TYPE_ALZ",
];

/// An archive of this size or less may well be empty.
const EMPTY_ARCHIVE_BYTES: u64 = 64;

/// Whether libclamav or the second reader unpacked a layer. libclamav silently skips formats that it ignores, over archives whose
/// packing it does not know or finds damaged, and over RAR archives without libclamunrar.
fn is_unpacked(layer: &Layer, next: Option<&Layer>, unrar: bool, read_whole: bool) -> bool {
    let file_type = layer.file_type.as_str();
    if read_whole {
        return true;
    }
    // No matcher ran on it, whatever is inside.
    if file_type == "CL_TYPE_IGNORED" {
        return false;
    }
    if !unrar && file_type.starts_with("CL_TYPE_RAR") {
        return false;
    }
    let opened = next.is_some_and(|next| next.depth > layer.depth);
    opened || layer.size <= EMPTY_ARCHIVE_BYTES || !ARCHIVES.contains(&file_type)
}

/// libclamav only warns when it could not read part of a file, and then calls the file clean.
fn lost_a_page(message: &str) -> bool {
    message.contains("fmap_readpage")
}

/// libclamav only warns of mail that it refuses, such as a piece of one: "message cannot be scanned".
fn refuses(message: &str) -> bool {
    message.contains("cannot be scanned")
}

fn limit_reason(alert: &str) -> Reason {
    match alert.rsplit('.').next() {
        Some("MaxFileSize") => Reason::LayerTooLarge,
        Some("MaxScanSize") => Reason::ScanSizeLimit,
        Some("MaxFiles") => Reason::FileCountLimit,
        Some("MaxRecursion") => Reason::RecursionLimit,
        Some("MaxScanTime") => Reason::TimeLimit,
        _ => Reason::EngineLimit,
    }
}

#[cfg(test)]
mod tests {
    use nacre_engine_protocol::Message;

    use super::*;

    fn layer(file_type: &str, size: u64) -> Layer {
        let digest = String::new();
        Layer { file_type: file_type.into(), size, depth: 0, md5: digest.clone(), sha1: digest.clone(), sha256: digest }
    }

    fn scanned(size: u64) -> Report {
        Report {
            status: 1,
            layers: vec![layer("CL_TYPE_BINARY_DATA", size)],
            layer_count: 1,
            targets: 1,
            ..Report::default()
        }
    }

    fn unscannable(report: &Report) -> Reason {
        match judge(report, 100, true) {
            Verdict::Unscannable { reason } => reason,
            verdict => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn clean_is_what_was_scanned_whole_without_objection() {
        assert_eq!(judge(&scanned(100), 100, false), Verdict::Clean);
        assert_eq!(judge(&Report::default(), 5, false), Verdict::Clean);
    }

    #[test]
    fn a_match_wins_over_every_objection() {
        let report = Report {
            alerts: vec!["Eicar".into()],
            encrypted: vec!["Heuristics.Encrypted.Zip".into()],
            status: 9,
            ..scanned(100)
        };
        assert_eq!(judge(&report, 100, true), Verdict::Infected { signatures: vec!["Eicar".into()] });
    }

    #[test]
    fn a_file_that_was_not_scanned_whole_is_not_clean() {
        assert_eq!(unscannable(&Report::default()), Reason::EngineError);
        assert_eq!(unscannable(&scanned(99)), Reason::EngineError);
    }

    #[test]
    fn engine_errors_and_lost_pages_are_not_clean() {
        let message =
            |severity, text: &str| Report { messages: vec![Message { severity, text: text.into() }], ..scanned(100) };
        assert_eq!(unscannable(&message(Severity::Error, "cannot create directory")), Reason::EngineError);
        assert_eq!(unscannable(&message(Severity::Warning, "fmap_readpage: fstat failed")), Reason::EngineError);
        assert_eq!(judge(&message(Severity::Warning, "odd PDF"), 100, true), Verdict::Clean);
        assert_eq!(unscannable(&Report { status: 20, ..scanned(100) }), Reason::EngineError);
    }

    #[test]
    fn encryption_and_limits_are_not_clean() {
        let limit = |name: &str| {
            unscannable(&Report { limits_exceeded: vec![format!("Heuristics.Limits.Exceeded.{name}")], ..scanned(100) })
        };
        assert_eq!(limit("MaxFileSize"), Reason::LayerTooLarge);
        assert_eq!(limit("MaxScanSize"), Reason::ScanSizeLimit);
        assert_eq!(limit("MaxFiles"), Reason::FileCountLimit);
        assert_eq!(limit("MaxRecursion"), Reason::RecursionLimit);
        assert_eq!(limit("MaxScanTime"), Reason::TimeLimit);
        assert_eq!(limit("EmailLineFoldcnt"), Reason::EngineLimit);
        assert_eq!(
            unscannable(&Report { encrypted: vec!["Heuristics.Encrypted.PDF".into()], ..scanned(100) }),
            Reason::Encrypted
        );
    }

    #[test]
    fn a_rar_archive_is_not_clean_without_unrar() {
        let report = Report { layers: vec![layer("CL_TYPE_RAR", 100)], ..scanned(100) };
        assert_eq!(judge(&report, 100, true), Verdict::Clean);
        assert_eq!(judge(&report, 100, false), Verdict::Unscannable { reason: Reason::UnsupportedFormat });
        let read = Report { read_whole: vec![0], ..report };
        assert_eq!(judge(&read, 100, false), Verdict::Clean, "the second reader got out all that is in it");
    }

    #[test]
    fn what_libclamav_passes_over_in_silence_is_not_clean() {
        let only = |file_type: &str| Report { layers: vec![layer(file_type, 100)], ..scanned(100) };
        assert_eq!(unscannable(&only("CL_TYPE_IGNORED")), Reason::UnsupportedFormat);
        assert_eq!(unscannable(&only("CL_TYPE_ZIP")), Reason::UnsupportedFormat);
        let mut opened = only("CL_TYPE_ZIP");
        opened.layers.push(Layer { depth: 1, ..layer("CL_TYPE_TEXT_ASCII", 10) });
        assert_eq!(judge(&opened, 100, true), Verdict::Clean);
        opened.layers.push(Layer { depth: 1, ..layer("CL_TYPE_ARJ", 100) });
        assert_eq!(unscannable(&opened), Reason::UnsupportedFormat);
        assert_eq!(judge(&Report { empty: vec![0], ..only("CL_TYPE_ZIP") }, 100, true), Verdict::Clean);
        assert_eq!(unscannable(&Report { empty: vec![1], ..only("CL_TYPE_ZIP") }), Reason::UnsupportedFormat);
        assert_eq!(unscannable(&Report { containers: vec!["VHD".into()], ..scanned(100) }), Reason::UnsupportedFormat);
        let text = "Partial message received from MUA/MTA - message cannot be scanned".to_owned();
        let refused = Report { messages: vec![Message { severity: Severity::Warning, text }], ..scanned(100) };
        assert_eq!(unscannable(&refused), Reason::UnsupportedFormat);
        let passed_over = Report { unopened: 1, ..scanned(100) };
        assert_eq!(unscannable(&passed_over), Reason::UnsupportedFormat);
        let no_matcher = |file_type: &str| Report { targets: 0, status: 0, ..only(file_type) };
        assert_eq!(unscannable(&no_matcher("CL_TYPE_HTML")), Reason::UnsupportedFormat);
        assert_eq!(
            judge(&no_matcher("CL_TYPE_MSEXE"), 100, true),
            Verdict::Clean,
            "trusted by its publisher's signature"
        );
    }

    #[test]
    fn reasons_keep_their_names() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.name()), Some(*reason));
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{}\"", reason.name()));
        }
    }
}
