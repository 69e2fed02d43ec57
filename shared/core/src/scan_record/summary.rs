//! The part of a record that a rescan is planned by.

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::file_types::FileTypes;

use super::{EngineVersion, LayerDigest, ScanRecord};
use crate::{
    generation::Generation,
    object::{ObjectId, Sequencer},
    rescan::request_mark::{ARCHIVED_FOR, REQUEST_LIFETIME, RequestMark, is_within},
    targets::Targets,
    verdict::Verdict,
};

/// How long a scan may take from its record to its tags and result: longer than an invocation and the first retries of its message.
pub const REPORT_GRACE_PERIOD: TimeDelta = TimeDelta::hours(1);

/// The part of a record that a rescan is planned by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSummary {
    /// The object, at the version that was scanned.
    pub object: ObjectId,
    /// ETag of the bytes that were scanned.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// The generation that it was last scanned with.
    pub generation: Generation,
    /// S3's order stamp, when known.
    pub sequencer: Option<Sequencer>,
    /// When it was written, or else scanned; `None` when neither is known.
    pub written_at: Option<DateTime<Utc>>,
    /// When the scan ended; `None` when that cannot be read.
    pub scanned_at: Option<DateTime<Utc>>,
    /// Whether tags are written and the result is published.
    pub reported: bool,
    /// The last request of a rescan, where there was one since the scan.
    pub requested: Option<RequestMark>,
    /// When a rescan last found the object archived, where one did since the scan.
    pub archived_at: Option<DateTime<Utc>>,
    /// When it was first found infected, as far as is known; `None` when it is not infected.
    pub first_infected: Option<DateTime<Utc>>,
    /// What the scan saw; `None` when the record is of another format, and proves nothing.
    pub view: Option<RecordView>,
}

/// What a scan saw of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView {
    /// What it concluded.
    pub verdict: Verdict,
    /// The engine.
    pub engine: EngineVersion,
    /// The matcher targets that ran.
    pub targets: Targets,
    /// Every layer that the engine scanned; `None` when they are not recorded.
    pub layers: Option<Vec<LayerDigest>>,
    /// The types of all layers; `None` when they are not recorded, and may be any.
    pub types: Option<FileTypes>,
}

impl RecordSummary {
    /// Whether tags and result are missing though the scan that should have written them ended more than an hour before `now`.
    pub fn is_report_overdue(&self, now: DateTime<Utc>) -> bool {
        !self.reported && self.scanned_at.is_none_or(|at| !is_within(REPORT_GRACE_PERIOD, at, now))
    }

    /// The last request of a rescan, unless a scan ended since.
    pub fn last_request(&self) -> Option<RequestMark> {
        self.requested.filter(|mark| self.scanned_at.is_none_or(|scanned| scanned < mark.at))
    }

    /// The last request, while its message may still wait.
    pub fn open_request(&self, now: DateTime<Utc>) -> Option<RequestMark> {
        self.last_request().filter(|mark| is_within(REQUEST_LIFETIME, mark.at, now))
    }

    /// Whether the object is archived, as far as is known.
    pub fn is_archived(&self, now: DateTime<Utc>) -> bool {
        self.archived_at.is_some_and(|at| is_within(ARCHIVED_FOR, at, now))
    }
}

impl From<&ScanRecord> for RecordSummary {
    fn from(record: &ScanRecord) -> Self {
        Self {
            object: record.object.clone(),
            etag: record.etag.clone(),
            size: record.size,
            generation: record.generation,
            sequencer: record.sequencer.clone(),
            written_at: record.written_at.or(Some(record.scanned_at)),
            scanned_at: Some(record.scanned_at),
            reported: record.reported,
            requested: record.requested,
            archived_at: record.archived_at,
            first_infected: record.first_infected,
            view: Some(RecordView {
                verdict: record.verdict.clone(),
                engine: record.engine.clone(),
                targets: record.targets,
                layers: record.layers.clone(),
                types: record.types,
            }),
        }
    }
}
