//! The daily digest: one message with what a person should know, and none for each file.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use nacre_core::{
    alert::{Alert, address, instant},
    generation::manifest::Manifest,
    object::ObjectId,
    port::{AttentionIndex, QueueLengths, RecordStore, StoreError, Topic},
    rescan::pass::State,
    telemetry::error_chain,
    verdict::Reason,
};

use super::{Watch, WatchServices, hours, newest_built, pass_of};

/// What a digest covers.
const DAY: TimeDelta = TimeDelta::days(1);

/// Most objects of a verdict that are counted: a record is read for each unscannable one.
const MAX_COUNTED: usize = 1_000;

/// Most infected objects that are named.
const MAX_NAMED: usize = 10;

/// What happened in a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) infected: Vec<ObjectId>,
    /// Unscannable objects, by reason.
    pub(super) unscannable: BTreeMap<&'static str, u64>,
    /// Messages in each dead-letter queue, by its name.
    pub(super) dead_letters: BTreeMap<String, u64>,
    /// What is published, in words.
    pub(super) definitions: String,
    /// The last pass, in words.
    pub(super) pass: String,
}

impl<S: WatchServices> Watch<S> {
    /// Publishes the digest; what goes wrong is logged, and the next one is a day away.
    pub(super) async fn publish_digest(&self, published: Option<&Manifest>, now: DateTime<Utc>) {
        let Some(topic) = &self.ports.alerts else { return };
        let outcome = match self.day(published, now).await {
            Ok(day) => topic.publish(&digest(&day, self.settings.stack.as_deref(), now).message()).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => tracing::info!("digest published"),
            Err(error) => tracing::error!(cause = error_chain(&error), "the digest could not be published"),
        }
    }

    async fn day(&self, published: Option<&Manifest>, now: DateTime<Utc>) -> Result<Day, StoreError> {
        let (records, since) = (&self.ports.records, now - DAY);
        let mut day = Day { infected: records.newest("infected", since, MAX_COUNTED).await?, ..Day::default() };
        for object in records.newest("unscannable", since, MAX_COUNTED).await? {
            // It may have been scanned again, or removed, since the index was read.
            if let Some(reason) = records.load(&object).await?.and_then(|record| record.verdict.reason()) {
                *day.unscannable.entry(Reason::name(reason)).or_default() += 1;
            }
        }
        for url in &self.settings.dead_letters {
            let name = url.rsplit('/').next().unwrap_or_default().to_owned();
            day.dead_letters.insert(name, self.ports.queues.length(url).await?);
        }
        day.definitions = match published {
            None => "none are published, so nothing is scanned".to_owned(),
            Some(manifest) => {
                let age = newest_built(manifest).map_or(0, |built| hours(now, built));
                format!("generation {}, built {age} hours ago", manifest.generation.0)
            }
        };
        day.pass = match published {
            None => "none".to_owned(),
            Some(manifest) => match pass_of(&self.ports.definitions, manifest.generation).await {
                Ok(None) => format!("none for generation {} yet", manifest.generation.0),
                Ok(Some((stored, progress))) => {
                    let state = match progress.state {
                        State::Working => "under way",
                        State::Finished => "finished",
                        State::Overtaken => "overtaken",
                        State::Cancelled => "cancelled",
                    };
                    let (started, id) = (instant(stored.pass.started), stored.pass.id);
                    format!("pass {} for generation {}, started {started}: {state}", id.attempt, id.generation.0)
                }
                Err(error) => format!("cannot be read: {}", error_chain(&error)),
            },
        };
        Ok(day)
    }
}

/// The message about a day. Pure.
pub(super) fn digest(day: &Day, stack: Option<&str>, now: DateTime<Utc>) -> Alert {
    let unscannable: u64 = day.unscannable.values().sum();
    let dead: u64 = day.dead_letters.values().sum();
    let at_least =
        |count: u64| if count >= MAX_COUNTED as u64 { format!("{count} or more") } else { count.to_string() };
    let stack = stack.unwrap_or("nacre");
    let infected = at_least(day.infected.len() as u64);
    let title = format!("{stack}: {infected} infected, {} unscannable, {dead} dead letters", at_least(unscannable));
    let list = |counts: Vec<String>| if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    let named = day.infected.iter().take(MAX_NAMED).map(address).collect();
    let reasons = day.unscannable.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let queues = day.dead_letters.iter().filter(|(_, count)| **count > 0);
    let queues = queues.map(|(queue, count)| format!("{count} in {queue}")).collect();
    let next_steps = (dead > 0).then(|| "Dead letters: docs/runbook.md#scandeadlettersalarm".to_owned());
    Alert {
        title: title.clone(),
        subject: title,
        facts: vec![
            ("until", instant(now)),
            ("infected in 24 hours", list(named)),
            ("unscannable in 24 hours", list(reasons)),
            ("dead letters", list(queues)),
            ("definitions", day.definitions.clone()),
            ("pass", day.pass.clone()),
        ],
        next_steps: next_steps.into_iter().collect(),
        thread: format!("{stack} digest"),
    }
}
