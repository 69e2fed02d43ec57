//! The words that other products have for a verdict, so that a fleet can move from or to any of them.
//!
//! Sources: GuardDuty user guide, "Monitoring S3 object scans" and "Tag-based access control"; awslabs/cdk-serverless-clamscan, README.

use std::fmt;

use crate::{
    tag_policy::Tag,
    verdict::{Reason, Verdict},
};

/// A product in whose words a verdict is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// bucket-antivirus-function and its forks: the tags of [`TagNames`](crate::tag_policy::TagNames).
    Predecessor,
    /// GuardDuty Malware Protection for S3.
    GuardDuty,
    /// awslabs/cdk-serverless-clamscan.
    CdkServerlessClamscan,
    /// Detection Findings of the Open Cybersecurity Schema Framework: events of infected objects, and no tag.
    Ocsf,
}

/// A list that names no dialects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a list of predecessor, guardduty, cdk-serverless-clamscan, ocsf, each once")]
pub struct UnknownDialect;

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 4] = [Self::Predecessor, Self::GuardDuty, Self::CdkServerlessClamscan, Self::Ocsf];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predecessor => "predecessor",
            Self::GuardDuty => "guardduty",
            Self::CdkServerlessClamscan => "cdk-serverless-clamscan",
            Self::Ocsf => "ocsf",
        }
    }

    /// Reads a list, separated by commas.
    ///
    /// # Errors
    /// [`UnknownDialect`].
    pub fn list(text: &str) -> Result<Vec<Self>, UnknownDialect> {
        let mut dialects = Vec::new();
        for name in text.split(',').map(str::trim) {
            let dialect = Self::ALL.into_iter().find(|dialect| dialect.name() == name).ok_or(UnknownDialect)?;
            if dialects.contains(&dialect) {
                return Err(UnknownDialect);
            }
            dialects.push(dialect);
        }
        Ok(dialects)
    }

    /// The key of its one tag; `None` for the predecessor's, which are configured, and for what has none.
    pub fn tag_key(self) -> Option<&'static str> {
        match self {
            Self::Predecessor | Self::Ocsf => None,
            Self::GuardDuty => Some("GuardDutyMalwareScanStatus"),
            Self::CdkServerlessClamscan => Some("scan-status"),
        }
    }

    /// Its one tag for a verdict; `None` as of [`Self::tag_key`].
    pub fn tag(self, verdict: &Verdict) -> Option<Tag> {
        let value = match self {
            Self::Predecessor | Self::Ocsf => None,
            Self::GuardDuty => Some(guardduty_status(verdict)),
            Self::CdkServerlessClamscan => Some(clamscan_status(verdict)),
        };
        self.tag_key().zip(value).map(|(key, value)| Tag::new(key, value))
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// GuardDuty's result for a verdict: nothing that was not scanned whole is `NO_THREATS_FOUND`.
pub fn guardduty_status(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "NO_THREATS_FOUND",
        Verdict::Infected { .. } => "THREATS_FOUND",
        Verdict::Unscannable { reason: Reason::AccessDenied } => "ACCESS_DENIED",
        Verdict::Unscannable { reason: Reason::EngineError | Reason::EngineDied | Reason::StaleDefinitions } => {
            "FAILED"
        }
        Verdict::Unscannable { .. } | Verdict::Skipped { .. } => "UNSUPPORTED",
    }
}

/// cdk-serverless-clamscan's status of a verdict. `N/A` is its status of objects that it was configured to skip.
pub fn clamscan_status(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "CLEAN",
        Verdict::Infected { .. } => "INFECTED",
        Verdict::Unscannable { .. } => "ERROR",
        Verdict::Skipped { .. } => "N/A",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_dialects_once_each() {
        assert_eq!(Dialect::list("guardduty, predecessor"), Ok(vec![Dialect::GuardDuty, Dialect::Predecessor]));
        for wrong in ["", "guardduty,guardduty", "predecessor,", "GuardDuty"] {
            assert_eq!(Dialect::list(wrong), Err(UnknownDialect), "{wrong}");
        }
    }

    #[test]
    fn only_clean_is_reported_as_clean_in_any_dialect() {
        let unscannable = Reason::ALL.iter().map(|reason| Verdict::Unscannable { reason: *reason });
        let skipped = Reason::ALL.iter().map(|reason| Verdict::Skipped { reason: *reason });
        let infected = Verdict::Infected { signatures: vec!["A".into()] };
        for verdict in unscannable.chain(skipped).chain([infected]) {
            assert_ne!(guardduty_status(&verdict), "NO_THREATS_FOUND", "{verdict:?}");
            assert_ne!(clamscan_status(&verdict), "CLEAN", "{verdict:?}");
        }
        let tags = Dialect::ALL.map(|dialect| dialect.tag(&Verdict::Clean));
        let tag = |key: &str, value: &str| Some(Tag::new(key, value));
        assert_eq!(
            tags,
            [None, tag("GuardDutyMalwareScanStatus", "NO_THREATS_FOUND"), tag("scan-status", "CLEAN"), None]
        );
    }
}
