//! Divides the budget of a pass once its segments have counted what they need, and sends them on.

use nacre_core::{
    port::{Clock, WorkQueue},
    rescan::pass::{
        Budget, FORMAT, PassId, PassStoreError, SegmentReport,
        allotment::{Allotment, allot},
        counted, mark_counted, read_waiting, reports, write_allotment, write_waiting,
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
        let allotment = self.allot(task.id, task.budget, Some(task.segment), &reports).await?;
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

    /// Divides a budget by these reports, unless that was done; returns how it is divided.
    pub(crate) async fn allot(
        &self,
        id: PassId,
        budget: Budget,
        by: Option<u32>,
        reports: &[SegmentReport],
    ) -> Result<Allotment, PassStoreError> {
        let definitions = &self.ports.definitions;
        let demands = reports.iter().filter_map(|report| Some((report.segment, report.demand.clone()?)));
        let (shares, left) = allot(budget, &demands.collect::<Vec<_>>());
        let waiting = read_waiting(definitions).await?.after(left.into_iter(), self.ports.clock.now());
        let ours = Allotment { format: FORMAT, by, shares, waiting_since: waiting.longest() };
        let stands = write_allotment(definitions, id, ours.clone()).await?;
        if stands == ours {
            write_waiting(definitions, &waiting).await?;
        }
        Ok(stands)
    }
}
