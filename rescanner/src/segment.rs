//! One segment of the table: page, plan, publish.

use std::collections::BTreeMap;

use nacre_shared::{
    changes::ChangesError,
    event::{Recorded, RescanKind, RescanTrigger},
    port::{DefinitionsStore, RecordPages, Segment, StoreError, Topic, TopicMessage},
    rescan_plan::{RescanPlan, plan_rescan},
    scan_record::RecordSummary,
};

use crate::rescan::{Pass, Tally};

/// Most objects that one message names: when one of them fails, all of them come again.
const MAX_OBJECTS: usize = 25;

/// Most bytes of objects that one message names, unless it names one alone.
const MAX_BYTES: u64 = 64 << 20;

/// Why a segment was not worked to its end; what it published stands, and working it again publishes no record twice
/// that was scanned meanwhile.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The scan records could not be read.
    #[error("the scan records could not be read")]
    Records(#[source] StoreError),
    /// What changed since a record's generation could not be told.
    #[error("what changed since generation {from} could not be told")]
    Changes {
        /// The record's generation.
        from: u64,
        /// Why.
        #[source]
        source: ChangesError,
    },
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
pub async fn work_segment<Definitions: DefinitionsStore, Records: RecordPages, Triggers: Topic>(
    pass: &Pass<'_, Definitions, Records, Triggers>,
    segment: Segment,
) -> Result<Tally, SegmentError> {
    let mut tally = Tally::default();
    let mut cursor = None;
    loop {
        let page = pass.records.page(segment, cursor).await.map_err(SegmentError::Records)?;
        let mut wanted: BTreeMap<RescanKind, Vec<&RecordSummary>> = BTreeMap::new();
        for record in &page.records {
            let plan = plan(pass, record).await?;
            tally.count(plan, record);
            match plan {
                RescanPlan::UpToDate | RescanPlan::Unaffected(_) => {}
                RescanPlan::DeltaScan => wanted.entry(RescanKind::Delta).or_default().push(record),
                RescanPlan::FullScan(_) => wanted.entry(RescanKind::Full).or_default().push(record),
            }
        }
        let messages: Vec<TopicMessage> =
            wanted.iter().flat_map(|(kind, records)| messages(pass, *kind, records)).collect();
        let refused = pass.triggers.publish_all(&messages).await.map_err(SegmentError::Publish)?;
        if !refused.is_empty() {
            return Err(SegmentError::Refused { unpublished: refused.len() });
        }
        tally.unreadable += page.unreadable;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(tally);
        }
    }
}

async fn plan<Definitions: DefinitionsStore, Records, Triggers>(
    pass: &Pass<'_, Definitions, Records, Triggers>,
    record: &RecordSummary,
) -> Result<RescanPlan, SegmentError> {
    let mut changes = pass.changes.lock().await;
    let since = changes.since(pass.definitions, record.generation).await;
    let change = since.map_err(|source| SegmentError::Changes { from: record.generation.0, source })?;
    Ok(plan_rescan(record, pass.generation, changes.engine(), &change))
}

/// The messages that ask for these objects.
fn messages<Definitions, Records, Triggers>(
    pass: &Pass<'_, Definitions, Records, Triggers>,
    kind: RescanKind,
    records: &[&RecordSummary],
) -> Vec<TopicMessage> {
    let trigger = RescanTrigger { generation: pass.generation, kind, region: pass.region, at: pass.at };
    let mut messages = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let mut bytes = 0_u64;
        let fits = |record: &&&RecordSummary| {
            bytes = bytes.saturating_add(record.size);
            bytes <= MAX_BYTES
        };
        let count = rest.iter().take(MAX_OBJECTS).take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        messages.push(trigger.message(now.iter().map(|record| Recorded::from(*record))));
        rest = later;
    }
    messages
}
