//! One segment of the table: page, plan, publish, until its time or its pass is over.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use nacre_shared::{
    changes::{Changes, ChangesError},
    definitions::{
        history::MAX_STEPS,
        manifest::{Generation, Manifest},
    },
    event::{Recorded, RescanKind, RescanTrigger},
    port::{DefinitionsStore, RecordPages, Segment, StoreError, Topic, TopicMessage},
    published::{PointerRead, PublishedError, read_pointer},
    rescan_pass::{Progress, Tally, Work, read_begun},
    rescan_plan::{RescanPlan, plan_rescan},
    scan_record::{EngineVersion, RecordSummary},
    verdict::Verdict,
};

use crate::config::Budget;

/// Most objects that one message names: when one of them fails, all of them come again.
const MAX_OBJECTS: usize = 25;

/// Most bytes of objects that one message names, unless it names one alone.
const MAX_BYTES: u64 = 64 << 20;

/// Most bytes of keys that one message names, unless it names one alone: a message has at most 256 KiB.
const MAX_KEY_BYTES: usize = 24 << 10;

/// A record that needs no scan is brought to the generation all the same when it is this many generations behind: what changed
/// before that is soon forgotten.
const RENEWED_AFTER: u64 = MAX_STEPS as u64 / 2;

/// Why a segment cannot go on; its message comes again, and goes on where it began.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The scan records could not be read.
    #[error("the scan records could not be read or renewed")]
    Records(#[source] StoreError),
    /// What is published could not be read.
    #[error("what is published could not be read")]
    Published(#[from] PublishedError),
    /// What changed since a record's generation could not be told.
    #[error("what changed since generation {from} could not be told")]
    Changes {
        /// The record's generation.
        from: u64,
        /// Why.
        #[source]
        source: ChangesError,
    },
    /// The cursor in the message is none of this table's.
    #[error("the message's cursor is not one of this table")]
    Cursor(#[source] serde_json::Error),
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

/// What a segment is worked with.
#[derive(Debug)]
pub struct SegmentWorker<'a, Definitions, Records, Triggers> {
    /// The definitions bucket.
    pub definitions: &'a Definitions,
    /// The scan records.
    pub records: &'a Records,
    /// The topic of rescans.
    pub triggers: &'a Triggers,
    /// The published manifest, which is of the pass's generation.
    pub manifest: Arc<Manifest>,
    /// Region that triggers name.
    pub region: &'a str,
    /// What the pass may ask for.
    pub budget: Budget,
    /// When to leave the rest to another message.
    pub until: Instant,
    /// The time of day.
    pub now: DateTime<Utc>,
}

impl<Definitions: DefinitionsStore, Records: RecordPages, Triggers: Topic>
    SegmentWorker<'_, Definitions, Records, Triggers>
{
    /// Works on from where the message says, at least one page, holding one at a time. Answers how far it came, with the message
    /// that goes on.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub async fn run(&self, mut work: Work) -> Result<(Progress, Work), SegmentError> {
        let engine = EngineVersion {
            version: self.manifest.engine.clamav_version.clone(),
            functionality_level: self.manifest.engine.functionality_level,
        };
        let mut changes = Changes::new(Arc::clone(&self.manifest), engine);
        let segment = Segment { index: work.index, total: work.total };
        let budget = self.budget.of_one(work.total);
        loop {
            if let Some(over) = self.over(&work).await? {
                return Ok((over, work));
            }
            let cursor = work.cursor.take().map(serde_json::from_value).transpose().map_err(SegmentError::Cursor)?;
            let page = self.records.page(segment, cursor).await.map_err(SegmentError::Records)?;
            let tally = self.work_page(&page.records, &mut changes, budget, &work.tally).await?;
            work.tally.add(&tally);
            work.tally.unreadable += page.unreadable;
            let Some(next) = page.next else { return Ok((Progress::Finished, work)) };
            work.cursor = Some(serde_json::to_value(next).map_err(SegmentError::Cursor)?);
            if Instant::now() >= self.until {
                return Ok((Progress::Working, work));
            }
        }
    }

    /// Why the pass is over for this segment; `None` while it is not.
    async fn over(&self, work: &Work) -> Result<Option<Progress>, SegmentError> {
        let published = match read_pointer(self.definitions, None).await? {
            PointerRead::Read { pointer, .. } => pointer.generation,
            PointerRead::Missing | PointerRead::Unchanged => Generation(0),
        };
        let begun = read_begun(self.definitions, work.generation).await?;
        Ok(match begun {
            _ if published != work.generation => Some(Progress::Overtaken),
            Some((begun, _)) if begun.attempt != work.attempt => Some(Progress::Overtaken),
            Some((begun, _)) if begun.cancelled => Some(Progress::Cancelled),
            _ => None,
        })
    }

    async fn work_page(
        &self,
        records: &[RecordSummary],
        changes: &mut Changes,
        budget: Budget,
        before: &Tally,
    ) -> Result<Tally, SegmentError> {
        let mut tally = Tally::default();
        let mut wanted: BTreeMap<RescanKind, Vec<&RecordSummary>> = BTreeMap::new();
        let (mut objects, mut bytes) = (before.published, before.delta_bytes.saturating_add(before.full_bytes));
        for record in records {
            let since = changes.since(self.definitions, record.generation).await;
            let change = since.map_err(|source| SegmentError::Changes { from: record.generation.0, source })?;
            let plan = plan_rescan(record, self.manifest.generation, changes.engine(), &change);
            tally.count(plan, record);
            let kind = match plan {
                RescanPlan::UpToDate => continue,
                RescanPlan::Unaffected(_) => {
                    // Of an infected one, a part of what convicted it may be gone: a renewed record would not tell.
                    let is_infected =
                        record.view.as_ref().is_some_and(|view| matches!(view.verdict, Verdict::Infected { .. }));
                    if !is_infected && record.generation.0 + RENEWED_AFTER < self.manifest.generation.0 {
                        self.records.renew(record, self.manifest.generation).await.map_err(SegmentError::Records)?;
                        tally.renewed += 1;
                    }
                    continue;
                }
                RescanPlan::DeltaScan => RescanKind::Delta,
                RescanPlan::FullScan(_) => RescanKind::Full,
            };
            bytes = bytes.saturating_add(record.size);
            objects += 1;
            if budget.allows(objects, bytes) {
                wanted.entry(kind).or_default().push(record);
            } else {
                tally.carried += 1;
            }
        }
        let messages: Vec<TopicMessage> =
            wanted.iter().flat_map(|(kind, records)| self.messages(*kind, records)).collect();
        let refused = self.triggers.publish_all(&messages).await.map_err(SegmentError::Publish)?;
        if !refused.is_empty() {
            return Err(SegmentError::Refused { unpublished: refused.len() });
        }
        tally.published = wanted.values().map(Vec::len).sum::<usize>() as u64;
        tally.messages = messages.len() as u64;
        Ok(tally)
    }

    /// The messages that ask for these objects.
    fn messages(&self, kind: RescanKind, records: &[&RecordSummary]) -> Vec<TopicMessage> {
        let trigger = RescanTrigger { generation: self.manifest.generation, kind, region: self.region, at: self.now };
        let mut messages = Vec::new();
        let mut rest = records;
        while !rest.is_empty() {
            let (mut bytes, mut keys) = (0_u64, 0);
            let fits = |record: &&&RecordSummary| {
                bytes = bytes.saturating_add(record.size);
                keys += record.object.key.len();
                bytes <= MAX_BYTES && keys <= MAX_KEY_BYTES
            };
            let count = rest.iter().take(MAX_OBJECTS).take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            messages.push(trigger.message(now.iter().map(|record| Recorded::from(*record))));
            rest = later;
        }
        messages
    }
}
