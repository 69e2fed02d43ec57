//! Divides the budget of a pass once its segments have counted what they need, and sends them on.

use chrono::{DateTime, Utc};
use nacre_core::{
    port::{Clock, WorkQueue},
    rescan::pass::{
        Budget, FORMAT, PassId, PassStoreError, SegmentReport,
        allotment::{Allotment, allot},
        counted, mark_counted, note_waiting, reports, spent_on, write_allotment,
    },
};
use tokio::time::sleep;

use crate::{Cursor, Rescanner, Services, segment::WorkError, task::Task};

impl<S: Services> Rescanner<S> {
    /// Says that a segment has counted, and divides the budget if all have. Repeated, it does no harm: only the message that divided
    /// it sends the others on.
    pub(crate) async fn divide_budget(&self, task: &Task<Cursor<S>>) -> Result<(), WorkError> {
        let definitions = &self.ports.definitions;
        mark_counted(definitions, task.id, task.segment).await?;
        // Each lists after its own mark, so the last one finds all of them.
        if counted(definitions, task.id).await? < task.total as usize {
            return Ok(());
        }
        let reports = reports(definitions, task.id).await?;
        let allotment = self.allot(task.id, (task.started, task.budget), Some(task.segment), &reports).await?;
        if allotment.by != Some(task.segment) {
            return Ok(());
        }
        let left: Vec<String> = reports
            .into_iter()
            .filter(|report| report.demand.is_some() && !report.state.is_final())
            .map(|report| report.continuation)
            .collect();
        self.settings.retry.call(sleep, || self.ports.queue.send(&left)).await.map_err(WorkError::Continue)
    }

    /// Divides what is left of a day's budget by these reports, unless that was done; returns how it is divided.
    ///
    /// What other passes of the day took is read now, and not when the pass was started: one that it overtakes may have worked on
    /// since. Each takes what it is about to request before it looks whether it was overtaken, so all that it requests is seen here.
    pub(crate) async fn allot(
        &self,
        id: PassId,
        (started, budget): (DateTime<Utc>, Budget),
        by: Option<u32>,
        reports: &[SegmentReport],
    ) -> Result<Allotment, PassStoreError> {
        let definitions = &self.ports.definitions;
        let demands = reports.iter().filter_map(|report| Some((report.segment, report.demand.clone()?)));
        let budget = budget.minus(spent_on(definitions, started, id).await?);
        let (shares, left) = allot(budget, &demands.collect::<Vec<_>>());
        // Before the division stands: a repetition would not divide again, and not note it.
        let waiting = note_waiting(definitions, id, &left, self.ports.clock.now()).await?;
        let ours = Allotment { format: FORMAT, by, shares, waiting_since: waiting.longest() };
        write_allotment(definitions, id, ours).await
    }
}
