//! The last passes, as their records have them, and what the functions logged since.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use nacre_aws::SystemClock;
use nacre_core::{
    generation::manifest::Manifest,
    port::{Clock, DefinitionsStore},
    rescan::pass::{Pass, PassStoreError, Progress, StoredPass, is_cancelled, read_pass, reports},
};
use tokio::time::timeout;

use crate::{deployment::Deployment, function_logs::FunctionLogs};

/// Most passes that are shown.
const PASSES: usize = 10;

/// How far back logs are read: their search reads all that was logged.
const LOGGED: TimeDelta = TimeDelta::days(7);

/// How long that may take: a report does without this number rather than wait.
const LONGEST_SEARCH: Duration = Duration::from_secs(30);

/// What the scanner logs of an object that a rescan cleared.
const CLEARED: &str = "object cleared";

/// A pass, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct ShownPass {
    pub(super) pass: Pass,
    pub(super) progress: Progress,
    /// Objects that were infected before it and are not since; `None` when that is not known.
    pub(super) cleared: Option<u64>,
}

/// The last passes of these generations, newest first.
///
/// # Errors
/// The store's.
pub(super) async fn last(
    store: &impl DefinitionsStore,
    generations: &[Manifest],
) -> Result<Vec<ShownPass>, PassStoreError> {
    let mut passes = Vec::new();
    for manifest in generations {
        let Some(StoredPass { pass, .. }) = read_pass(store, manifest.generation).await? else { continue };
        let progress = pass.progress(&reports(store, pass.id).await?, is_cancelled(store, pass.id).await?);
        passes.push(ShownPass { pass, progress, cleared: None });
        if passes.len() >= PASSES {
            break;
        }
    }
    Ok(passes)
}

/// Adds what was cleared, where logs reach back to the start of a pass and can be read: no record says what it said before.
pub(super) async fn add_cleared(deployment: &Deployment, passes: &mut [ShownPass]) {
    let oldest = SystemClock.now() - LOGGED;
    let Some(since) = passes.iter().map(|shown| shown.pass.started).filter(|at| *at >= oldest).min() else { return };
    let search = async {
        let logs = FunctionLogs::open(deployment).await?;
        logs.search(&["scanner", "rescan"], since, Some(CLEARED)).await
    };
    let Ok(Ok(found)) = timeout(LONGEST_SEARCH, search).await else { return };
    if found.cut {
        return;
    }
    let times: Vec<_> =
        found.lines.iter().filter(|line| line.message.starts_with(CLEARED)).map(|line| line.at).collect();
    count_cleared(passes, since, &times);
}

/// Counts each time for the last pass that was started before it. Pure.
fn count_cleared(passes: &mut [ShownPass], since: DateTime<Utc>, times: &[DateTime<Utc>]) {
    let starts: Vec<_> = passes.iter().map(|shown| shown.pass.started).collect();
    for shown in passes.iter_mut().filter(|shown| shown.pass.started >= since) {
        let next = starts.iter().filter(|at| **at > shown.pass.started).min();
        let is_its = |at: &&DateTime<Utc>| **at >= shown.pass.started && next.is_none_or(|next| **at < *next);
        shown.cleared = Some(times.iter().filter(is_its).count() as u64);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use nacre_core::{
        generation::Generation,
        rescan::pass::{Budget, Cause, FORMAT, ObjectTotals, PassId},
    };

    use super::*;

    pub(in crate::report) fn pass(generation: u64, day: i64) -> ShownPass {
        let pass = Pass {
            format: FORMAT,
            id: PassId { generation: Generation(generation), attempt: 1 },
            cause: Cause::Announced,
            started: DateTime::UNIX_EPOCH + TimeDelta::days(day),
            segments: 4,
            budget: Budget::default(),
            forgotten: ObjectTotals::default(),
            dispatched: true,
        };
        let progress = pass.progress(&[], false);
        ShownPass { pass, progress, cleared: None }
    }

    #[test]
    fn what_was_cleared_counts_for_the_pass_before_it() {
        let mut passes = [pass(9, 30), pass(8, 20), pass(7, 10)];
        let at = |day| DateTime::UNIX_EPOCH + TimeDelta::days(day);
        count_cleared(&mut passes, at(20), &[at(20), at(29), at(30), at(99), at(15)]);
        assert_eq!(passes.map(|shown| shown.cleared), [Some(2), Some(2), None]);
    }
}
