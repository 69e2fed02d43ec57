//! One record, as a report has it.

use chrono::{DateTime, Utc};
use nacre_core::{
    object::ObjectId,
    scan_record::RecordSummary,
    verdict::{Reason, Verdict},
};

/// Longest extension of a key that is taken for a type of file.
const MAX_EXTENSION: usize = 8;

/// What a record concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::report) enum Kind {
    Infected,
    Unscannable,
    /// By a record that this version does not read.
    Unknown,
    Skipped,
    Clean,
}

impl Kind {
    pub(in crate::report) const ALL: [Self; 5] =
        [Self::Infected, Self::Unscannable, Self::Unknown, Self::Skipped, Self::Clean];

    pub(in crate::report) fn name(self) -> &'static str {
        match self {
            Self::Infected => "INFECTED",
            Self::Unscannable => "UNSCANNABLE",
            Self::Unknown => "UNKNOWN",
            Self::Skipped => "SKIPPED",
            Self::Clean => "CLEAN",
        }
    }
}

/// One record.
#[derive(Clone, Debug)]
pub(in crate::report) struct Row {
    pub(in crate::report) object: ObjectId,
    pub(in crate::report) size: u64,
    /// `None` for a record of another format.
    pub(in crate::report) verdict: Option<Verdict>,
    pub(in crate::report) generation: u64,
    pub(in crate::report) engine: String,
    /// When the object was written, or else scanned.
    pub(in crate::report) written_at: Option<DateTime<Utc>>,
    pub(in crate::report) scanned_at: Option<DateTime<Utc>>,
    /// Since when it is infected, as far as is known.
    pub(in crate::report) first_infected: Option<DateTime<Utc>>,
    pub(in crate::report) reported: bool,
}

impl From<RecordSummary> for Row {
    fn from(record: RecordSummary) -> Self {
        let (verdict, engine) = record.view.map(|view| (view.verdict, view.engine.version)).unzip();
        Self {
            object: record.object,
            size: record.size,
            verdict,
            generation: record.generation.0,
            engine: engine.unwrap_or_default(),
            written_at: record.written_at,
            scanned_at: record.scanned_at,
            first_infected: record.first_infected,
            reported: record.reported,
        }
    }
}

impl Row {
    pub(in crate::report) fn kind(&self) -> Kind {
        match &self.verdict {
            Some(Verdict::Clean) => Kind::Clean,
            Some(Verdict::Infected { .. }) => Kind::Infected,
            Some(Verdict::Unscannable { .. }) => Kind::Unscannable,
            Some(Verdict::Skipped { .. }) => Kind::Skipped,
            None => Kind::Unknown,
        }
    }

    pub(in crate::report) fn reason(&self) -> Option<&'static str> {
        self.verdict.as_ref().and_then(Verdict::reason).map(Reason::name)
    }

    pub(in crate::report) fn signatures(&self) -> &[String] {
        match &self.verdict {
            Some(Verdict::Infected { signatures }) => signatures,
            _ => &[],
        }
    }

    /// The type of file that the key claims by its extension; `-` where it has none.
    pub(in crate::report) fn file_type(&self) -> String {
        let name = self.object.key.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
        let is_one = (1..=MAX_EXTENSION).contains(&extension.len())
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_one { extension.to_ascii_lowercase() } else { "-".to_owned() }
    }

    /// Whether the object was there already at that time, and was scanned since.
    pub(super) fn is_found_again_since(&self, start: DateTime<Utc>) -> bool {
        self.written_at.is_some_and(|at| at < start) && self.scanned_at.is_some_and(|at| at >= start)
    }
}
