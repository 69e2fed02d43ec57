//! One page of records: which of them need a rescan, and the requests for those.

use std::cmp::Reverse;

use futures::{StreamExt, TryStreamExt, stream};
use nacre_core::{
    event::{RescanKind, RescanTarget, RescanTrigger},
    generation::{
        Generation,
        history::MAX_STEPS,
        published::{PointerRead, read_pointer},
    },
    port::{Clock, RecordPages, StoreError, TopicMessage},
    rescan::{
        pass::{PassId, PassStats, State, note_recorded},
        plan::{RescanPlan, may_advance_generation},
        planner::{Planned, RescanPlanner},
        request_mark::RequestMark,
        trigger,
    },
    scan_record::RecordSummary,
};
use tokio::time::sleep;

use crate::{
    Cursor, Rescanner, Services,
    segment::{Continuation, WorkError},
    task::{Decision, Reading, Task},
};

/// Concurrent writes to the table.
const CONCURRENT_WRITES: usize = 16;

/// The result of a page.
pub(crate) enum PageOutcome {
    /// What was found and done, which is added to the task's statistics as well.
    Worked(Box<PassStats>),
    /// The pass ended before anything of it was requested.
    Ended(State),
    /// Its segment ended, or is worked on by another message.
    Superseded,
}

/// The records of a page that something is done about.
#[derive(Default)]
struct Selected<'a> {
    /// Need a scan.
    scans: Vec<(RescanKind, &'a RecordSummary)>,
    /// Need no scan, but tags and result of the last one are missing.
    unreported: Vec<RescanTarget<'a>>,
    /// Unaffected, and of a generation whose delta expires soon.
    expiring: Vec<&'a RecordSummary>,
}

/// What is requested of a page.
struct Targets<'a> {
    delta: Vec<RescanTarget<'a>>,
    full: Vec<RescanTarget<'a>>,
    /// The records that say so afterwards.
    marked: Vec<&'a RecordSummary>,
}

impl<S: Services> Rescanner<S> {
    /// Reads the next page, plans its records, and requests the rescans that this reading of the table selects.
    pub(crate) async fn work_on_page(
        &self,
        planner: &mut RescanPlanner,
        task: &mut Task<Cursor<S>>,
        continued: &Continuation,
    ) -> Result<PageOutcome, WorkError> {
        let (part, cursor) = (task.part(), task.cursor.take());
        let records = &self.ports.records;
        let page = self.settings.retry.call(sleep, || records.page(part, cursor.clone())).await;
        let page = page.map_err(WorkError::Records)?;
        let mut stats = PassStats { pages: 1, ..PassStats::default() };
        if task.is_first_reading() {
            stats.unreadable = page.unreadable;
        }
        let selected = self.plan_page(planner, task, &page.records, &mut stats).await?;
        self.note_generation(planner, &page.records).await?;
        let targets = self.choose(task, selected.unreported, selected.scans, &mut stats);
        // Without a share of a budget, nothing else depends on what it requests.
        if task.reading == Reading::Request
            && !targets.marked.is_empty()
            && let Some(ended) = self.reserve(task, continued, stats.requested.of_budget()).await?
        {
            return Ok(ended);
        }
        self.request(task.id, targets, &mut stats).await?;
        stats.advanced = self.advance_generation(&selected.expiring, task.id.generation).await?;
        task.cursor = page.next;
        task.stats.add(&stats);
        Ok(PageOutcome::Worked(Box::new(stats)))
    }

    /// Notes the highest generation of a record that is above the published one, for the updater: the definitions bucket was emptied or
    /// replaced, and numbers that were given must not be given again.
    async fn note_generation(&self, planner: &RescanPlanner, records: &[RecordSummary]) -> Result<(), WorkError> {
        let published = planner.manifest().generation;
        let highest = records.iter().map(|record| record.generation).max().filter(|highest| *highest > published);
        let Some(highest) = highest else { return Ok(()) };
        // It may have been published while the page was read.
        let read = read_pointer(&self.ports.definitions, None).await?;
        if matches!(read, PointerRead::Read { pointer, .. } if pointer.generation >= highest) {
            return Ok(());
        }
        Ok(note_recorded(&self.ports.definitions, highest).await?)
    }

    async fn plan_page<'a>(
        &self,
        planner: &mut RescanPlanner,
        task: &Task<Cursor<S>>,
        records: &'a [RecordSummary],
        stats: &mut PassStats,
    ) -> Result<Selected<'a>, WorkError> {
        let mut selected = Selected::default();
        let now = self.ports.clock.now();
        for record in records {
            let result = planner.plan_in_pass(&self.ports.definitions, record, now).await;
            let Planned { plan, change } =
                result.map_err(|source| WorkError::Changes { from: record.generation.0, source })?;
            if task.is_first_reading() {
                stats.count(plan, record.size);
            }
            match plan {
                RescanPlan::DeltaScan => selected.scans.push((RescanKind::Delta, record)),
                RescanPlan::FullScan(_) => selected.scans.push((RescanKind::Full, record)),
                // Once in a pass. They cost no read of an object, so no budget delays them.
                RescanPlan::Unreported if task.is_first_reading() => {
                    selected.unreported.push(RescanTarget::from(record));
                }
                RescanPlan::Unreported => {}
                RescanPlan::UpToDate | RescanPlan::Unaffected(_) => {
                    let is_old = record.generation.0 + (MAX_STEPS / 2) as u64 <= task.id.generation.0;
                    if is_old && task.is_first_reading() && may_advance_generation(record, plan, &change) {
                        selected.expiring.push(record);
                    }
                }
            }
        }
        Ok(selected)
    }

    /// Chooses what is requested: what is unreported, and the scans that this reading decides about.
    ///
    /// Delta scans go first: in their objects a *new* signature may match, while most that need a full scan merely cannot be proven
    /// unaffected, and by bytes both cost the same. Then what was written last, as it is most likely still in use.
    fn choose<'a>(
        &self,
        task: &mut Task<Cursor<S>>,
        unreported: Vec<RescanTarget<'a>>,
        mut scans: Vec<(RescanKind, &'a RecordSummary)>,
        stats: &mut PassStats,
    ) -> Targets<'a> {
        let now = self.ports.clock.now();
        scans.sort_by_key(|(kind, record)| (!record.is_report_overdue(now), *kind, Reverse(record.written_at)));
        let (mut delta, mut full, mut marked) = (unreported, Vec::new(), Vec::new());
        for (kind, record) in scans {
            if record.is_report_overdue(now) {
                // The result of an earlier scan was never shown: no budget delays it. The first reading requested it already.
                if !task.is_first_reading() {
                    continue;
                }
                stats.requested.overdue.count(record.size);
            } else if let Some(open) = record.open_request(now) {
                count_requested_before(task, open, (kind, record), stats);
                continue;
            } else if task.decide(record, kind, stats) == Decision::Later {
                continue;
            } else {
                marked.push(record);
            }
            match kind {
                RescanKind::Delta => {
                    stats.requested.delta.count(record.size);
                    delta.push(RescanTarget::from(record));
                }
                RescanKind::Full => {
                    stats.requested.full.count(record.size);
                    full.push(RescanTarget::from(record));
                }
            }
        }
        Targets { delta, full, marked }
    }

    /// Requests what was chosen, and marks the records.
    async fn request(&self, pass: PassId, targets: Targets<'_>, stats: &mut PassStats) -> Result<(), WorkError> {
        let (generation, region, at) = (pass.generation, self.settings.region.as_str(), self.ports.clock.now());
        let messages = [(RescanKind::Delta, targets.delta), (RescanKind::Full, targets.full)].into_iter();
        let messages: Vec<TopicMessage> = messages
            .flat_map(|(kind, records)| trigger::messages(&RescanTrigger { generation, kind, region, at }, &records))
            .collect();
        stats.requested.messages = messages.len() as u64;
        trigger::publish(&self.ports.triggers, messages, self.settings.retry, sleep).await?;
        // After the messages: a mark without one would keep the next passes from requesting the scan.
        self.mark_requested(&targets.marked, RequestMark { pass, at }).await
    }

    /// Marks records whose rescan was requested. One that changed in the meantime was scanned.
    async fn mark_requested(&self, requested: &[&RecordSummary], mark: RequestMark) -> Result<(), WorkError> {
        let write = async |record: &RecordSummary| {
            let written = self.settings.retry.call(sleep, || self.ports.records.mark_requested(record, mark)).await;
            match written {
                Ok(()) | Err(StoreError::PreconditionFailed(_)) => Ok(()),
                Err(error) => Err(WorkError::Mark(error)),
            }
        };
        let writes = stream::iter(requested.iter().map(|record| write(record))).buffer_unordered(CONCURRENT_WRITES);
        writes.try_collect().await
    }

    /// Writes into unaffected records that they are of the published generation, before the deltas since theirs expire; returns
    /// their number. A record that changed in the meantime no longer needs it.
    async fn advance_generation(&self, expiring: &[&RecordSummary], published: Generation) -> Result<u64, WorkError> {
        let advance = async |record: &RecordSummary| {
            let advanced =
                self.settings.retry.call(sleep, || self.ports.records.advance_generation(record, published)).await;
            match advanced {
                Ok(()) => Ok(1),
                Err(StoreError::PreconditionFailed(_)) => Ok(0),
                Err(error) => Err(WorkError::Advance(error)),
            }
        };
        let writes = stream::iter(expiring.iter().map(|record| advance(record))).buffer_unordered(CONCURRENT_WRITES);
        writes.try_fold(0, async |sum, one: u64| Ok(sum + one)).await
    }
}

/// Counts a scan that was requested already: by this pass, in an invocation that was killed, or by an earlier one.
fn count_requested_before<Cursor>(
    task: &mut Task<Cursor>,
    open: RequestMark,
    (kind, record): (RescanKind, &RecordSummary),
    stats: &mut PassStats,
) {
    if open.pass == task.id {
        task.count_earlier(record, kind);
        match kind {
            RescanKind::Delta => stats.requested.delta.count(record.size),
            RescanKind::Full => stats.requested.full.count(record.size),
        }
    } else if task.is_first_reading() {
        stats.queued.count(record.size);
        stats.wait(Some(open.at));
    }
}
