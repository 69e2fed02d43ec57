//! The watch over a deployment, started by schedules: each hour how old the definitions and an unfinished pass are, and a self-test;
//! each day a digest for people.
//!
//! It is this function's since the updater is what it watches, the scanner is what it tests, and waiting for a verdict costs least where
//! there is no engine in memory. It never fails its invocation: Lambda would repeat it, and then give it up as an announcement that was
//! lost. What cannot be measured is not reported, and alarms treat that as they should.

mod digest;
mod self_test;

use std::time::Instant;

use chrono::{DateTime, Utc};
use nacre_core::{
    generation::{Generation, manifest::Manifest, published::Published},
    port::{AttentionIndex, Clock, DefinitionsStore, QueueLengths, RecordStore, TestObjects, Topic},
    rescan::pass::{PassStoreError, Progress, State, StoredPass, is_cancelled, read_pass, reports},
    tag_policy::TagNames,
    telemetry::{Metric, error_chain},
};
use serde_json::Value;

/// Most generations whose passes are read back to the last that finished: with one an hour, more than the alarm's limit of two days.
const LOOKED_BACK: u64 = 200;

/// What a schedule requests: the constant input of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Measure, and test.
    Hourly,
    /// Publish the digest.
    Daily,
}

impl Task {
    /// The task of an invocation's payload; `None` for what is none of the watch's.
    pub fn read(payload: &Value) -> Option<Self> {
        match payload.get("watch")?.as_str()? {
            "hourly" => Some(Self::Hourly),
            "daily" => Some(Self::Daily),
            _ => None,
        }
    }
}

/// The type of each service.
pub trait WatchServices {
    /// The definitions bucket.
    type Definitions: DefinitionsStore;
    /// The objects of self-tests.
    type Objects: TestObjects;
    /// The scan records.
    type Records: RecordStore + AttentionIndex;
    /// The dead-letter queues.
    type Queues: QueueLengths;
    /// The topic of messages for people.
    type Alerts: Topic;
    /// The clock.
    type Clock: Clock;
}

/// The services themselves.
pub struct WatchPorts<S: WatchServices> {
    /// The definitions bucket.
    pub definitions: S::Definitions,
    /// The objects of self-tests.
    pub objects: S::Objects,
    /// The scan records.
    pub records: S::Records,
    /// The dead-letter queues.
    pub queues: S::Queues,
    /// The topic of messages for people; without it, no digest is published.
    pub alerts: Option<S::Alerts>,
    /// The clock.
    pub clock: S::Clock,
}

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSettings {
    /// Buckets that are tested.
    pub buckets: Vec<String>,
    /// URLs of the dead-letter queues.
    pub dead_letters: Vec<String>,
    /// The stack, which the digest names.
    pub stack: Option<String>,
}

/// The watch.
pub struct Watch<S: WatchServices> {
    /// The services.
    pub ports: WatchPorts<S>,
    /// What is watched.
    pub settings: WatchSettings,
    /// Tag keys and values.
    pub tags: TagNames,
}

impl<S: WatchServices> Watch<S> {
    /// Does a task until `deadline` at most, and hands `report` the metrics as they are known.
    pub async fn run(&self, task: Task, deadline: Instant, report: impl Fn(DateTime<Utc>, &[(Metric, u64)])) {
        let now = self.ports.clock.now();
        let published = match Published::read(&self.ports.definitions).await {
            Ok(published) => published.manifest,
            Err(error) => {
                tracing::error!(cause = error_chain(&error), "the published definitions cannot be read");
                return;
            }
        };
        match task {
            Task::Hourly => {
                report(now, &self.measure(published.as_ref(), now).await);
                // Before the first generation nothing can be scanned, and an alarm of its own says so.
                if published.is_some() && !self.settings.buckets.is_empty() {
                    let failed = self.self_test(now, deadline).await;
                    report(now, &[(Metric::SelfTestFailed, failed)]);
                }
            }
            Task::Daily => self.publish_digest(published.as_ref(), now).await,
        }
    }

    async fn measure(&self, published: Option<&Manifest>, now: DateTime<Utc>) -> Vec<(Metric, u64)> {
        let mut counts = Vec::new();
        let Some(manifest) = published else { return counts };
        counts.push((Metric::Generation, manifest.generation.0));
        counts.extend(newest_built(manifest).map(|built| (Metric::DefinitionsAgeHours, hours(now, built))));
        match unfinished_since(&self.ports.definitions, manifest.generation).await {
            Ok(since) => counts.push((Metric::PassAgeHours, since.map_or(0, |since| hours(now, since)))),
            Err(error) => tracing::error!(cause = error_chain(&error), "the passes cannot be read"),
        }
        counts
    }
}

fn hours(now: DateTime<Utc>, since: DateTime<Utc>) -> u64 {
    u64::try_from((now - since).num_hours()).unwrap_or_default()
}

fn newest_built(manifest: &Manifest) -> Option<DateTime<Utc>> {
    let newest = manifest.databases.iter().map(|entry| entry.built).max()?;
    DateTime::from_timestamp(i64::try_from(newest).ok()?, 0)
}

/// The last pass of a generation, and how far it came; `None` before its first.
async fn pass_of(
    definitions: &impl DefinitionsStore,
    generation: Generation,
) -> Result<Option<(StoredPass, Progress)>, PassStoreError> {
    let Some(stored) = read_pass(definitions, generation).await? else { return Ok(None) };
    let segments = reports(definitions, stored.pass.id).await?;
    let cancelled = is_cancelled(definitions, stored.pass.id).await?;
    let progress = stored.pass.progress(&segments, cancelled);
    Ok(Some((stored, progress)))
}

/// When the first pass was started of those since which none has finished; `None` when the last one did, or was cancelled. A pass that a
/// newer generation ended counts on: passes that are always overtaken finish never.
async fn unfinished_since(
    definitions: &impl DefinitionsStore,
    published: Generation,
) -> Result<Option<DateTime<Utc>>, PassStoreError> {
    let mut since = None;
    for back in 0..LOOKED_BACK.min(published.0) {
        let Some((stored, progress)) = pass_of(definitions, Generation(published.0 - back)).await? else { continue };
        match progress.state {
            State::Finished | State::Cancelled => break,
            State::Working | State::Overtaken => since = Some(stored.pass.started),
        }
    }
    Ok(since)
}

#[cfg(test)]
mod tests;
