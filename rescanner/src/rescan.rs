//! One pass over the scan records for one published generation.

use std::iter::Sum;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use nacre_shared::{
    changes::Changes,
    definitions::manifest::Generation,
    port::{DefinitionsStore, RecordPages, Segment, Topic},
    rescan_plan::RescanPlan,
    scan_record::RecordSummary,
};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::segment::{SegmentError, work_segment};

/// What a pass works with.
#[derive(Debug)]
pub struct Pass<'a, Definitions, Records, Triggers> {
    /// The definitions bucket.
    pub definitions: &'a Definitions,
    /// What changed up to the generation.
    pub changes: Mutex<Changes>,
    /// The scan records.
    pub records: &'a Records,
    /// The `ScannerTrigger` topic.
    pub triggers: &'a Triggers,
    /// The generation that records are brought up to.
    pub generation: Generation,
    /// Region that triggers name.
    pub region: &'a str,
    /// The time of the pass.
    pub at: DateTime<Utc>,
}

/// What a pass, or a part of it, found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records that were looked at.
    pub examined: u64,
    /// Of them, those whose objects were asked to be scanned again.
    pub published: u64,
    /// Of these, those for which what was added is enough.
    pub delta: u64,
    /// Bytes of the objects that were asked for.
    pub bytes: u64,
    /// Items of the table that are no records of ours.
    pub unreadable: u64,
}

impl Tally {
    /// Counts a record and what it needs.
    pub(crate) fn count(&mut self, plan: RescanPlan, record: &RecordSummary) {
        self.examined += 1;
        if matches!(plan, RescanPlan::DeltaScan | RescanPlan::FullScan(_)) {
            self.published += 1;
            self.bytes += record.size;
        }
        self.delta += u64::from(plan == RescanPlan::DeltaScan);
    }
}

impl Sum for Tally {
    fn sum<Tallies: Iterator<Item = Self>>(tallies: Tallies) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self {
            examined: sum.examined + tally.examined,
            published: sum.published + tally.published,
            delta: sum.delta + tally.delta,
            bytes: sum.bytes + tally.bytes,
            unreadable: sum.unreadable + tally.unreadable,
        })
    }
}

impl<Definitions: DefinitionsStore, Records: RecordPages, Triggers: Topic> Pass<'_, Definitions, Records, Triggers> {
    /// Works all segments of the table side by side.
    ///
    /// # Errors
    /// The first segment's; running the pass again makes it whole.
    pub async fn run(&self, segments: u32) -> Result<Tally, SegmentError> {
        let parts = (0..segments).map(|index| work_segment(self, Segment { index, total: segments }));
        let tallies: Vec<Tally> = stream::iter(parts).buffer_unordered(segments as usize).try_collect().await?;
        Ok(tallies.into_iter().sum())
    }
}
