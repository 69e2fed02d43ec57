//! The record of one scanned object version, and when one record may replace another.

mod summary;

use chrono::{DateTime, Utc};
pub use nacre_clamav::{database::FunctionalityLevel, file_types::FileTypes};
use nacre_engine_protocol::Report;
use serde::{Deserialize, Serialize};
pub use summary::{REPORT_GRACE_PERIOD, RecordSummary, RecordView};

use crate::{
    generation::{Generation, manifest::EngineProof},
    object::{ObjectId, Sequencer},
    rescan::request_mark::RequestMark,
    targets::Targets,
    verdict::{Reason, Verdict},
};

/// Version of the record's own format; a record of another format proves nothing and is scanned in full.
pub const RECORD_FORMAT: u32 = 3;

/// Most layers that a record keeps. Past it none are kept, which only ever costs a delta scan: DynamoDB charges every
/// read of a record by its whole size.
pub const MAX_RECORDED_LAYERS: usize = 256;

/// Most names of what hid content that a record keeps, and the longest.
pub const MAX_UNREAD: usize = 8;
const MAX_UNREAD_NAME: usize = 64;

/// What hid content from a scan, as a record keeps it: each name once, in order.
pub fn unread(report: &Report) -> Vec<String> {
    let names = report.encrypted.iter().chain(&report.containers);
    // Attack: a worker that was taken over writes what a terminal obeys.
    let is_text = |name: &str| name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let is_name = |name: &&String| (1..=MAX_UNREAD_NAME).contains(&name.len()) && is_text(name);
    names.filter(is_name).cloned().collect::<std::collections::BTreeSet<_>>().into_iter().take(MAX_UNREAD).collect()
}

/// The record of one object version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRecord {
    /// The object, at the version that was scanned.
    pub object: ObjectId,
    /// ETag of the bytes that were scanned.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// What the scan concluded.
    pub verdict: Verdict,
    /// The generation of definitions that it was concluded with: the *last scanned version*.
    pub generation: Generation,
    /// The engine that it was concluded with.
    pub engine: EngineVersion,
    /// The matcher targets that ran.
    pub targets: Targets,
    /// Every layer that the engine scanned, and the derived contents that it matched on; `None` when there were too many, none was
    /// reported, or not all are known.
    pub layers: Option<Vec<LayerDigest>>,
    /// Number of layers.
    pub layer_count: u64,
    /// The types of all layers; `None` when not all are known, or an older version of this program wrote the record.
    pub types: Option<FileTypes>,
    /// When.
    pub scanned_at: DateTime<Utc>,
    /// When the object was written, if S3 says so.
    pub written_at: Option<DateTime<Utc>>,
    /// S3's order stamp of the event that led here, when there was one.
    pub sequencer: Option<Sequencer>,
    /// Whether tags are written and the result is published. A crash before that leaves `false`, and the next delivery of
    /// the message finishes the work without a second scan.
    pub reported: bool,
    /// Whether the result is published, though tags may be missing: they could not be written, or the object could not be
    /// contained yet. The next delivery does not publish it again.
    pub published: bool,
    /// The last request of a rescan since this scan. A newer record has none.
    pub requested: Option<RequestMark>,
    /// When a rescan found the object archived. A newer record has none: its bytes were read again.
    pub archived_at: Option<DateTime<Utc>>,
    /// Names of the encryption and of the containers that hid content, at most [`MAX_UNREAD`]: what the verdict's reason is about.
    pub unread: Vec<String>,
    /// When the earliest known of the scans ended that found these bytes infected, and without a break since; `None` when they are not
    /// infected, or an older version of this program wrote the record.
    pub first_infected: Option<DateTime<Utc>>,
}

/// The libclamav that scanned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineVersion {
    /// Such as `1.4.6`.
    pub version: String,
    /// Its functionality level, which decides the signatures that it loads.
    pub functionality_level: FunctionalityLevel,
}

impl From<&EngineProof> for EngineVersion {
    fn from(proof: &EngineProof) -> Self {
        Self { version: proof.clamav_version.clone(), functionality_level: proof.functionality_level }
    }
}

impl ScanRecord {
    /// What [`ScanRecord::first_infected`] is of this scan, `previous` being the record that it takes the place of.
    ///
    /// A record of before knows nothing earlier than its own scan. Other bytes, and a later upload of the same, begin anew.
    pub fn first_infected_after(&self, previous: Option<&Self>) -> Option<DateTime<Utc>> {
        let same = |stored: &&Self| {
            stored.verdict.is_infected() && stored.etag == self.etag && !stored.is_before(self.sequencer.as_ref())
        };
        let earlier = previous.filter(same).map(|stored| stored.first_infected.unwrap_or(stored.scanned_at));
        self.verdict.is_infected().then(|| earlier.unwrap_or(self.scanned_at).min(self.scanned_at))
    }

    /// Whether this record may take the place of `stored`.
    ///
    /// The same bytes are only ever judged by newer definitions, except that a transient failure may be retried and
    /// that a later event may be about other bytes of the same ETag. For
    /// other bytes S3's own order decides; where that is unknown the newer scan wins, and the scanner reads the object's HEAD
    /// after its write to see whether the bytes are still the same.
    pub fn may_replace(&self, stored: &Self) -> bool {
        if self.etag == stored.etag {
            let again = stored.is_transient_failure() || stored.is_before(self.sequencer.as_ref());
            return self.generation > stored.generation || (self.generation == stored.generation && again);
        }
        match (&self.sequencer, &stored.sequencer) {
            (Some(ours), Some(theirs)) => ours.order(theirs).is_ge(),
            _ => true,
        }
    }

    /// Whether this record is valid for these bytes under these definitions.
    pub fn answers_for(&self, etag: &str, generation: Generation) -> bool {
        self.etag == etag && self.generation >= generation && !self.is_transient_failure()
    }

    /// Whether S3 stamped a later event than the one that this record comes from. The same ETag then does not mean the same
    /// bytes: where it is an MD5, two contents can be made to share one.
    pub fn is_before(&self, event: Option<&Sequencer>) -> bool {
        matches!((&self.sequencer, event), (Some(ours), Some(later)) if later.order(ours).is_gt())
    }

    /// Whether it records a failure that may have passed at the next attempt.
    pub fn is_transient_failure(&self) -> bool {
        self.verdict.reason().is_some_and(Reason::is_transient)
    }
}

/// Size and digests of one layer, or of other content that libclamav may trust. Of content that it compares no digest of a virus with,
/// only the MD5 may be known; the others are zeros then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerDigest {
    /// Bytes.
    pub size: u64,
    /// MD5.
    pub md5: [u8; 16],
    /// SHA-1, or zeros.
    pub sha1: [u8; 20],
    /// SHA-256, or zeros.
    pub sha256: [u8; 32],
}

/// Bytes of one layer in a record: size (big-endian), MD5, SHA-1, SHA-256.
const LAYER_BYTES: usize = 8 + 16 + 20 + 32;

impl LayerDigest {
    /// Whether more than its MD5 is known.
    pub fn has_sha(&self) -> bool {
        self.sha256 != [0; 32]
    }

    /// Takes a layer from the engine's report; `None` when its digests are not digests.
    fn from_hex(size: u64, md5: &str, sha1: &str, sha256: &str) -> Option<Self> {
        let mut digest = Self { size, md5: [0; 16], sha1: [0; 20], sha256: [0; 32] };
        hex::decode_to_slice(md5, &mut digest.md5).ok()?;
        hex::decode_to_slice(sha1, &mut digest.sha1).ok()?;
        hex::decode_to_slice(sha256, &mut digest.sha256).ok()?;
        Some(digest)
    }

    fn from_bytes(bytes: &[u8; LAYER_BYTES]) -> Self {
        let (size, rest) = bytes.split_at(8);
        let (md5, rest) = rest.split_at(16);
        let (sha1, sha256) = rest.split_at(20);
        let mut digest = Self { size: 0, md5: [0; 16], sha1: [0; 20], sha256: [0; 32] };
        digest.size = size.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
        digest.md5.copy_from_slice(md5);
        digest.sha1.copy_from_slice(sha1);
        digest.sha256.copy_from_slice(sha256);
        digest
    }
}

/// Writes layers in the record's compact form: 76 bytes each.
pub fn layers_to_bytes(layers: &[LayerDigest]) -> Vec<u8> {
    layers
        .iter()
        .flat_map(|layer| {
            let size = layer.size.to_be_bytes();
            [&size[..], &layer.md5, &layer.sha1, &layer.sha256].concat()
        })
        .collect()
}

/// Reads layers from the record's compact form; `None` when it is no such form.
pub fn layers_from_bytes(bytes: &[u8]) -> Option<Vec<LayerDigest>> {
    let (layers, rest) = bytes.as_chunks::<LAYER_BYTES>();
    rest.is_empty().then(|| layers.iter().map(LayerDigest::from_bytes).collect())
}

/// The layers of a report as a record keeps them, and what else was matched on; `None` when it cannot keep all, or not all is known.
pub fn recorded_layers(report: &Report) -> Option<Vec<LayerDigest>> {
    let complete = report.layer_count == report.layers.len() as u64 && report.unread == 0;
    let number = report.layers.len() + report.derived.len();
    if !complete || report.layers.is_empty() || number > MAX_RECORDED_LAYERS {
        return None;
    }
    let layers = report.layers.iter().map(|of| LayerDigest::from_hex(of.size, &of.md5, &of.sha1, &of.sha256));
    let derived = report.derived.iter().map(|of| LayerDigest::from_hex(of.size, &of.md5, &of.sha1, &of.sha256));
    layers.chain(derived).collect()
}

/// The types of a report's layers; `None` when not all are listed.
pub fn recorded_types(report: &Report) -> Option<FileTypes> {
    let complete = report.layer_count == report.layers.len() as u64 && !report.layers.is_empty();
    complete.then(|| report.layers.iter().map(|layer| FileTypes::of(&layer.file_type)).collect())
}

#[cfg(test)]
mod tests {
    use nacre_engine_protocol::{Digests, Layer};
    use proptest::prelude::*;

    use super::*;

    fn record(etag: &str, generation: u64, sequencer: Option<&str>, verdict: Verdict) -> ScanRecord {
        ScanRecord {
            object: ObjectId::new("bucket", "key", None),
            etag: etag.into(),
            size: 1,
            verdict,
            generation: Generation(generation),
            engine: EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(216) },
            targets: Targets::of(0),
            layers: None,
            layer_count: 0,
            types: None,
            scanned_at: DateTime::UNIX_EPOCH,
            written_at: None,
            sequencer: sequencer.map(|text| Sequencer::try_from(text.to_owned()).unwrap()),
            reported: false,
            published: false,
            requested: None,
            archived_at: None,
            unread: Vec::new(),
            first_infected: None,
        }
    }

    prop_compose! {
        fn any_layer()(size: u64, md5: [u8; 16], sha1: [u8; 20], sha256: [u8; 32]) -> LayerDigest {
            LayerDigest { size, md5, sha1, sha256 }
        }
    }

    proptest! {
        #[test]
        fn layers_survive_their_compact_form(layers in prop::collection::vec(any_layer(), 0..20)) {
            prop_assert_eq!(layers_from_bytes(&layers_to_bytes(&layers)), Some(layers));
        }

        #[test]
        fn no_bytes_panic_the_layer_reader(bytes: Vec<u8>) {
            prop_assert_eq!(layers_from_bytes(&bytes).is_some(), bytes.len().is_multiple_of(LAYER_BYTES));
        }

        #[test]
        fn of_two_records_of_the_same_bytes_the_newer_definitions_win(a in 0_u64..5, b in 0_u64..5) {
            let (a, b) = (record("e", a, Some("1"), Verdict::Clean), record("e", b, Some("1"), Verdict::Clean));
            prop_assert_eq!(a.may_replace(&b), a.generation > b.generation);
        }

        #[test]
        fn of_two_records_of_other_bytes_the_later_event_wins(a in "[0-9A-F]{1,8}", b in "[0-9A-F]{1,8}") {
            let (a, b) = (record("a", 1, Some(&a), Verdict::Clean), record("b", 2, Some(&b), Verdict::Clean));
            prop_assert!(a.may_replace(&b) || b.may_replace(&a));
            prop_assert_eq!(a.may_replace(&b), a.sequencer >= b.sequencer);
        }
    }

    #[test]
    fn a_transient_failure_is_retried_with_the_same_definitions() {
        let died = record("e", 2, None, Verdict::Unscannable { reason: Reason::EngineDied });
        let clean = record("e", 2, None, Verdict::Clean);
        assert!(clean.may_replace(&died) && !clean.may_replace(&clean));
        assert!(!died.answers_for("e", Generation(2)) && clean.answers_for("e", Generation(2)));
        assert!(!clean.answers_for("e", Generation(3)) && !clean.answers_for("other", Generation(1)));
    }

    #[test]
    fn a_later_event_may_stand_for_other_bytes_of_the_same_etag() {
        let (first, later) = (record("e", 2, Some("1"), Verdict::Clean), record("e", 2, Some("2"), Verdict::Clean));
        assert!(later.may_replace(&first) && !first.may_replace(&later));
        assert!(first.is_before(later.sequencer.as_ref()) && !later.is_before(first.sequencer.as_ref()));
        assert!(!first.is_before(None));
    }

    #[test]
    fn what_was_found_infected_once_stays_so_until_it_is_clean_or_other() {
        let at = |second| DateTime::from_timestamp(second, 0).expect("a time");
        let of = |etag: &str, sequencer: &str, verdict: Verdict, second| {
            let record = ScanRecord { scanned_at: at(second), ..record(etag, 1, Some(sequencer), verdict) };
            move |previous: Option<&ScanRecord>| {
                let first_infected = record.first_infected_after(previous);
                ScanRecord { first_infected, ..record.clone() }
            }
        };
        let evil = || Verdict::Infected { signatures: vec!["Evil".into()] };
        let first = of("e", "1", evil(), 10)(None);
        assert_eq!(first.first_infected, Some(at(10)));
        let renewed = of("e", "1", Verdict::Infected { signatures: vec!["Other".into()] }, 20)(Some(&first));
        assert_eq!(renewed.first_infected, Some(at(10)), "newer definitions call it otherwise");
        let clean = of("e", "1", Verdict::Clean, 30)(Some(&renewed));
        assert_eq!(clean.first_infected, None);
        assert_eq!(of("e", "1", evil(), 40)(Some(&clean)).first_infected, Some(at(40)), "and again");
        assert_eq!(of("f", "2", evil(), 40)(Some(&renewed)).first_infected, Some(at(40)), "other bytes");
        assert_eq!(of("e", "2", evil(), 40)(Some(&renewed)).first_infected, Some(at(40)), "a later upload");
        let of_before = ScanRecord { first_infected: None, ..renewed };
        assert_eq!(of("e", "1", evil(), 40)(Some(&of_before)).first_infected, Some(at(20)), "no earlier scan is known");
    }

    #[test]
    fn too_many_layers_are_not_recorded_in_part() {
        let layer = Layer {
            file_type: "CL_TYPE_TEXT_ASCII".into(),
            size: 1,
            depth: 1,
            md5: "0".repeat(32),
            sha1: "0".repeat(40),
            sha256: "0".repeat(64),
        };
        let report = |listed: usize, counted: u64| Report {
            layers: vec![layer.clone(); listed],
            layer_count: counted,
            ..Report::default()
        };
        assert_eq!(recorded_layers(&report(3, 3)).map(|layers| layers.len()), Some(3));
        assert_eq!(recorded_layers(&report(3, 4)), None);
        assert_eq!(recorded_layers(&report(MAX_RECORDED_LAYERS + 1, MAX_RECORDED_LAYERS as u64 + 1)), None);
        assert_eq!(recorded_layers(&report(0, 0)), None);
        let text = Some(FileTypes::of("CL_TYPE_TEXT_ASCII"));
        assert_eq!([report(3, 3), report(3, 4), report(0, 0)].map(|of| recorded_types(&of)), [text, None, None]);
        let digests =
            Digests { size: 2, md5: layer.md5.clone(), sha1: layer.sha1.clone(), sha256: layer.sha256.clone() };
        let with = |derived: usize, unread| Report { derived: vec![digests.clone(); derived], unread, ..report(3, 3) };
        let recorded = recorded_layers(&with(2, 0)).expect("few");
        assert_eq!(recorded.iter().map(|layer| layer.size).collect::<Vec<_>>(), [1, 1, 1, 2, 2]);
        assert_eq!(recorded_layers(&with(MAX_RECORDED_LAYERS, 0)), None);
        assert_eq!(recorded_layers(&with(0, 1)), None, "not all are known");
    }
}
