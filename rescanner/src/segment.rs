//! One segment of the table: page, plan, publish.

use nacre_shared::{
    definitions::manifest::Generation,
    event::{Recorded, RescanKind, RescanTrigger},
    port::{RecordPages, Segment, StoreError, Topic, TopicMessage},
    rescan_plan::{Change, RescanPlan, plan_rescan},
    scan_record::{EngineVersion, RecordSummary},
};

use crate::rescan::{Pass, Tally};

/// Why a segment was not worked to its end; what it published stands, and working it again publishes no record twice
/// that was scanned meanwhile.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The scan records could not be read.
    #[error("the scan records could not be read")]
    Records(#[source] StoreError),
    /// The topic refused whole batches of triggers.
    #[error("rescan triggers could not be published")]
    Publish(#[source] StoreError),
    /// The topic refused single triggers, also when asked again.
    #[error("{unpublished} rescan triggers were refused")]
    Refused {
        /// How many.
        unpublished: usize,
    },
}

/// Works one segment to its end, holding one page at a time.
///
/// # Errors
/// [`SegmentError`].
pub async fn work_segment<Records: RecordPages, Triggers: Topic>(
    pass: &Pass<'_, Records, Triggers>,
    segment: Segment,
) -> Result<Tally, SegmentError> {
    let mut tally = Tally::default();
    let mut cursor = None;
    loop {
        let page = pass.records.page(segment, cursor).await.map_err(SegmentError::Records)?;
        let triggers: Vec<TopicMessage> = page
            .records
            .iter()
            .filter(|record| needs_scan(record, pass.generation))
            .map(|record| {
                let kind = RescanKind::Full;
                RescanTrigger { generation: pass.generation, kind, region: pass.region, at: pass.at }
                    .message([Recorded::from(record)])
            })
            .collect();
        let refused = pass.triggers.publish_all(&triggers).await.map_err(SegmentError::Publish)?;
        if !refused.is_empty() {
            return Err(SegmentError::Refused { unpublished: refused.len() });
        }
        tally.examined += page.records.len() as u64;
        tally.published += triggers.len() as u64;
        tally.unreadable += page.unreadable;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(tally);
        }
    }
}

fn needs_scan(record: &RecordSummary, published: Generation) -> bool {
    let nobody = EngineVersion { version: String::new(), functionality_level: 0 };
    let engine = record.view.as_ref().map_or(&nobody, |view| &view.engine);
    let plan = plan_rescan(record, published, engine, &Change::NotKept);
    matches!(plan, RescanPlan::DeltaScan | RescanPlan::FullScan(_))
}
