//! An infected object as security teams' tools know it: one finding, from when it is found to when nothing is left to do. Pure.

pub mod asff;
pub mod import;
pub mod ocsf;

use chrono::{DateTime, Utc};
use nacre_clamav::digest::Sha256Digest;

use crate::{
    alert::address,
    object::{ObjectId, partition_of},
    scan_record::ScanRecord,
};

/// Most signatures that a finding names: an uploader may make a file match any number.
const MAX_SIGNATURES: usize = 100;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was found.
    Found,
    /// It was found before, and newer definitions find it too.
    FoundAgain,
    /// It is clean by newer definitions, or was written over.
    Cleared,
    /// It was deleted.
    Deleted,
    /// It was moved to quarantine.
    Quarantined,
}

impl State {
    /// Whether somebody has something to do.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Found | Self::FoundAgain)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::FoundAgain => "found_again",
            Self::Cleared => "cleared",
            Self::Deleted => "deleted",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A finding.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// The record of the object.
    pub record: &'a ScanRecord,
    /// What became of it.
    pub state: State,
    /// Since when.
    pub at: DateTime<Utc>,
    /// The region of the bucket.
    pub region: &'a str,
}

impl Finding<'_> {
    /// Its name, always the same for a version of an object. No part of it derives from the key in a way that its uploader could choose.
    pub fn id(&self) -> String {
        let ObjectId { bucket, key, version_id } = &self.record.object;
        // No part holds a NUL, so that no two objects are written alike.
        let digest = Sha256Digest::of([bucket, key, version_id.as_deref().unwrap_or_default()].join("\0").as_bytes());
        format!("nacre/{digest}")
    }

    fn title(&self) -> String {
        format!("Malware in {}", address(&self.record.object))
    }

    fn description(&self) -> String {
        let what = match self.state {
            State::Found | State::FoundAgain => "ClamAV's signatures match the object.",
            State::Cleared => {
                "The object was infected and is clean now: its signatures no longer match, or it was written over."
            }
            State::Deleted => "The infected object was deleted.",
            State::Quarantined => "The infected object was moved to quarantine.",
        };
        let ScanRecord { engine, generation, .. } = self.record;
        format!("{what} Generation {} of the definitions, libclamav {}.", generation.0, engine.version)
    }

    fn signatures(&self) -> &[String] {
        let signatures = self.record.verdict.signatures();
        signatures.get(..MAX_SIGNATURES).unwrap_or(signatures)
    }

    fn bucket_arn(&self) -> String {
        format!("arn:{}:s3:::{}", partition_of(self.region), self.record.object.bucket)
    }

    fn object_arn(&self) -> String {
        format!("{}/{}", self.bucket_arn(), self.record.object.key)
    }

    /// The digest of the object's bytes, where it is known.
    fn sha256(&self) -> Option<String> {
        let layers = self.record.layers.as_ref()?;
        layers.first().filter(|layer| layer.size == self.record.size).map(|layer| hex::encode(layer.sha256))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{builder::record, verdict::Verdict};

    pub(super) const STATES: [State; 5] =
        [State::Found, State::FoundAgain, State::Cleared, State::Deleted, State::Quarantined];

    /// A record whose names are as long and as strange as they may be.
    pub(super) fn hostile() -> ScanRecord {
        let signatures = (0..300).map(|n| format!("{}{n}", "x\u{202e}".repeat(60))).collect();
        ScanRecord { verdict: Verdict::Infected { signatures }, ..record("uploads", &"ß<\n\"".repeat(200)) }
    }

    pub(super) fn infected() -> ScanRecord {
        ScanRecord {
            verdict: Verdict::Infected { signatures: vec!["Eicar".into(), "Other".into()] },
            ..record("uploads", "a/b c.com")
        }
    }

    fn id(bucket: &str, key: &str, version: Option<&str>) -> String {
        let record = ScanRecord { object: ObjectId::new(bucket, key, version.map(str::to_owned)), ..infected() };
        Finding { record: &record, state: State::Found, at: DateTime::UNIX_EPOCH, region: "eu-west-1" }.id()
    }

    #[test]
    fn an_id_is_that_of_a_version_whatever_becomes_of_it() {
        let objects =
            [("b", "k", None), ("b", "k", Some("1")), ("b", "k", Some("2")), ("b", "k1", None), ("bk", "", None)];
        let ids: BTreeSet<String> = objects.iter().map(|(bucket, key, version)| id(bucket, key, *version)).collect();
        assert_eq!(ids.len(), objects.len());
        let record = infected();
        let of = |state| Finding { record: &record, state, at: DateTime::UNIX_EPOCH, region: "us-gov-west-1" }.id();
        assert!(STATES.iter().all(|state| of(*state) == of(State::Found)));
    }
}
