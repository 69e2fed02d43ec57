//! Goes through a source page by page: finds objects without a record, requests their scans, saves the progress.

use std::time::Duration;

use nacre_core::{
    event::{RescanKind, RescanTarget, RescanTrigger},
    generation::Generation,
    port::{Clock, DefinitionsStore, RecordLookup, StoreError, Topic},
    rescan::trigger::{PublishError, messages, publish},
    retry::RetryPolicy,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Candidate,
    progress::{Progress, ProgressError, Tally},
    source::{Source, SourceError},
};

/// What a backfill works with.
pub(super) struct Backfill<'a, Definitions, Records, Triggers, Time> {
    pub(super) definitions: &'a Definitions,
    pub(super) records: &'a Records,
    pub(super) triggers: &'a Triggers,
    pub(super) clock: Time,
    /// The published generation.
    pub(super) generation: Generation,
    pub(super) region: String,
    /// Most objects that are requested in a second.
    pub(super) rate: u32,
    /// Whether nothing is requested, and nothing saved.
    pub(super) dry_run: bool,
    pub(super) retry: RetryPolicy,
}

/// Why a backfill stopped. What was requested stays requested; the next run continues with the page that was under way.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    #[error("objects cannot be listed")]
    Source(#[from] SourceError),
    #[error("the table of records cannot be read: is its name right?")]
    Records(#[source] StoreError),
    #[error("scans cannot be requested")]
    Publish(#[from] PublishError),
    #[error("the progress cannot be saved")]
    Progress(#[from] ProgressError),
}

impl<Definitions, Records, Triggers, Time> Backfill<'_, Definitions, Records, Triggers, Time>
where
    Definitions: DefinitionsStore,
    Records: RecordLookup,
    Triggers: Topic,
    Time: Clock,
{
    /// Continues from `progress` to the end; `see` is called after each step.
    pub(super) async fn run(
        &self,
        source: &mut impl Source,
        mut progress: Progress,
        mut see: impl FnMut(&Progress, Option<&Candidate>),
    ) -> Result<Progress, WorkError> {
        let mut due = Instant::now();
        while !progress.finished {
            let page = source.page(progress.cursor.clone()).await?;
            let missing = self.missing(&page.candidates).await?;
            progress.tally.objects += page.candidates.len() as u64;
            progress.tally.recorded += (page.candidates.len() - missing.len()) as u64;
            // A second's worth at a time, so that the rate holds within a page, too.
            for some in missing.chunks(self.rate.max(1) as usize) {
                if !self.dry_run {
                    sleep_until(due).await;
                    due = due.max(Instant::now()) + Duration::from_secs(some.len() as u64) / self.rate.max(1);
                    self.request_scans(some).await?;
                }
                count(&mut progress.tally, some);
                see(&progress, some.last().copied());
            }
            progress.finished = page.next.is_none();
            progress.cursor = page.next;
            if !self.dry_run {
                progress.save(self.definitions, self.clock.now()).await?;
            }
            see(&progress, page.candidates.last());
        }
        Ok(progress)
    }

    /// Those whose bytes no record is of.
    async fn missing<'c>(&self, candidates: &'c [Candidate]) -> Result<Vec<&'c Candidate>, WorkError> {
        let objects: Vec<_> = candidates.iter().map(|candidate| candidate.object.clone()).collect();
        let etags =
            self.retry.call(sleep, || self.records.recorded_etags(&objects)).await.map_err(WorkError::Records)?;
        let is_recorded = |candidate: &Candidate, etag: Option<&String>| match (etag, &candidate.etag) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(recorded), Some(there)) => recorded == there,
        };
        let missing = candidates.iter().zip(&etags).filter(|(candidate, etag)| !is_recorded(candidate, etag.as_ref()));
        Ok(missing.map(|(candidate, _)| candidate).collect())
    }

    /// Requests full scans, by the topic of rescans: uploads do not wait for a backfill.
    async fn request_scans(&self, missing: &[&Candidate]) -> Result<(), WorkError> {
        let (generation, kind, at) = (self.generation, RescanKind::Full, self.clock.now());
        let trigger = RescanTrigger { generation, kind, region: &self.region, at };
        let objects: Vec<RescanTarget<'_>> = missing
            .iter()
            .map(|candidate| RescanTarget {
                object: &candidate.object,
                etag: candidate.etag.as_deref().unwrap_or_default(),
                size: candidate.size,
                sequencer: None,
            })
            .collect();
        Ok(publish(self.triggers, messages(&trigger, &objects), self.retry, sleep).await?)
    }
}

fn count(tally: &mut Tally, requested: &[&Candidate]) {
    tally.requested += requested.len() as u64;
    tally.bytes = requested.iter().fold(tally.bytes, |bytes, candidate| bytes.saturating_add(candidate.size));
}

#[cfg(test)]
mod tests;
