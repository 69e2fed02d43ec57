//! One pass over the scan records for one published generation.

use std::iter::Sum;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use nacre_shared::{
    definitions::manifest::Generation,
    port::{RecordPages, Segment, Topic},
};
use serde::Serialize;

use crate::segment::{SegmentError, work_segment};

/// What a pass works with.
#[derive(Debug)]
pub struct Pass<'a, Records, Triggers> {
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
    /// Items of the table that are no records of ours.
    pub unreadable: u64,
}

impl Sum for Tally {
    fn sum<Tallies: Iterator<Item = Self>>(tallies: Tallies) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self {
            examined: sum.examined + tally.examined,
            published: sum.published + tally.published,
            unreadable: sum.unreadable + tally.unreadable,
        })
    }
}

impl<Records: RecordPages, Triggers: Topic> Pass<'_, Records, Triggers> {
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
