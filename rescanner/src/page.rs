//! What becomes of the records of one page.

use std::cmp::Reverse;

use futures::{StreamExt, TryStreamExt, stream};
use nacre_core::{
    event::{Recorded, RescanKind, RescanTrigger},
    generation::{Generation, history::MAX_STEPS},
    port::{Clock, DefinitionsStore, RecordPages, StoreError, Topic, TopicMessage, WorkQueue},
    rescan::{
        plan::{RescanPlan, may_be_renewed, plan_in_pass},
        trigger,
    },
    scan_record::RecordSummary,
};
use tokio::time::sleep;

use crate::{Rescanner, known::Known, segment::WorkError, task::Task};

/// Writes to the table at a time.
const RENEWALS_AT_ONCE: usize = 16;

impl<Definitions, Records, Triggers, Queue, Time> Rescanner<Definitions, Records, Triggers, Queue, Time>
where
    Definitions: DefinitionsStore,
    Records: RecordPages,
    Triggers: Topic,
    Queue: WorkQueue,
    Time: Clock,
{
    /// Plans the records of a page, and does what this reading of the table does about them.
    pub(crate) async fn look(
        &self,
        known: &mut Known,
        task: &mut Task<Records::Cursor>,
        records: &[RecordSummary],
    ) -> Result<(), WorkError> {
        let (mut needed, mut elderly, mut unreported) = (Vec::new(), Vec::new(), Vec::new());
        let now = self.ports.clock.now();
        for record in records {
            let since = known.since(&self.ports.definitions, record.generation).await;
            let (change, engine) = since.map_err(|source| WorkError::Changes { from: record.generation.0, source })?;
            let plan = plan_in_pass(record, task.id.generation, engine, &change, now);
            if task.is_first_reading() {
                task.tally.count(plan, record.size);
            }
            match plan {
                RescanPlan::DeltaScan => needed.push((RescanKind::Delta, record)),
                RescanPlan::FullScan(_) => needed.push((RescanKind::Full, record)),
                // Once in a pass. They cost no read of an object, so no budget makes them wait.
                RescanPlan::Unreported if task.is_first_reading() => unreported.push(Recorded::from(record)),
                RescanPlan::Unreported => {}
                RescanPlan::UpToDate | RescanPlan::Unaffected(_) => {
                    let is_old = record.generation.0 + (MAX_STEPS / 2) as u64 <= task.id.generation.0;
                    if is_old && task.is_first_reading() && may_be_renewed(record, plan, &change) {
                        elderly.push(record);
                    }
                }
            }
        }
        self.ask(task, unreported, needed).await?;
        task.tally.renewed += self.renew(&elderly, task.id.generation).await?;
        Ok(())
    }

    /// Asks for what is unreported, then for what this reading decides about as far as the budget goes.
    ///
    /// Delta scans go first: in their objects a *new* signature may match, while most that need everything merely cannot be proven
    /// unaffected, and by bytes both cost the same. Then what was written last, as it is most likely still in use.
    async fn ask(
        &self,
        task: &mut Task<Records::Cursor>,
        unreported: Vec<Recorded<'_>>,
        mut needed: Vec<(RescanKind, &RecordSummary)>,
    ) -> Result<(), WorkError> {
        let now = self.ports.clock.now();
        needed.sort_by_key(|(kind, record)| (!record.is_report_overdue(now), *kind, Reverse(record.written_at)));
        let (mut delta, mut full) = (unreported, Vec::new());
        for (kind, record) in needed {
            // What an earlier scan concluded was never shown: no budget makes it wait. The first reading asked for it already.
            let overdue = record.is_report_overdue(now);
            if overdue && !task.is_first_reading() {
                continue;
            }
            if !overdue && !task.decides(record) {
                // The second reading counts nothing, and finds in the first's records what it decided.
                if task.is_first_reading() {
                    task.tally.deferred.count(record.size);
                }
                continue;
            }
            if !overdue && !task.may_ask() {
                task.tally.carried.count(record.size);
                continue;
            }
            match kind {
                RescanKind::Delta => {
                    task.tally.published.delta.count(record.size);
                    delta.push(Recorded::from(record));
                }
                RescanKind::Full => {
                    task.tally.published.full.count(record.size);
                    full.push(Recorded::from(record));
                }
            }
        }
        let (generation, region, at) = (task.id.generation, self.settings.region.as_str(), self.ports.clock.now());
        let messages = [(RescanKind::Delta, delta), (RescanKind::Full, full)].into_iter();
        let messages: Vec<TopicMessage> = messages
            .flat_map(|(kind, records)| trigger::messages(&RescanTrigger { generation, kind, region, at }, &records))
            .collect();
        task.tally.published.messages += messages.len() as u64;
        Ok(trigger::publish(&self.ports.triggers, messages, self.settings.retry, sleep).await?)
    }

    /// Says of unaffected records that they are of the published generation, before what changed since theirs is forgotten; answers of
    /// how many. One that changed meanwhile needs it no more.
    async fn renew(&self, elderly: &[&RecordSummary], published: Generation) -> Result<u64, WorkError> {
        let renew = async |record: &RecordSummary| {
            let renewed = self.settings.retry.call(sleep, || self.ports.records.renew(record, published)).await;
            match renewed {
                Ok(()) => Ok(1),
                Err(StoreError::PreconditionFailed) => Ok(0),
                Err(error) => Err(WorkError::Renew(error)),
            }
        };
        let renewals = stream::iter(elderly.iter().map(|record| renew(record))).buffer_unordered(RENEWALS_AT_ONCE);
        renewals.try_fold(0, async |sum, one: u64| Ok(sum + one)).await
    }
}
