//! The rescanner: when a generation is published, asks for every recorded object that needs another look.
//!
//! A pass reads the table in segments, each by messages of its own that tell where to go on: no invocation needs more than its time,
//! one that is killed goes on where it was, and a slow segment holds up none.

pub mod config;
pub mod segment;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use config::Config;
use lambda_runtime::{Diagnostic, tracing};
use nacre_shared::{
    definitions::manifest::{Generation, Manifest},
    port::{Clock, DefinitionsStore, RecordPages, StoreError, Topic, TopicMessage, WriteCondition},
    published::{PointerRead, PublishedError, read_manifest, read_pointer},
    rescan_pass::{
        Begun, MAX_SEGMENTS, Progress, SegmentReport, Tally, Work, pass_key, read_begun, read_segment, segment_key,
        write_report,
    },
    telemetry::{Metric, error_chain},
};
use segment::{SegmentError, SegmentWorker};
use serde_json::{Value, json};

/// Records that one segment should have at most: about as many as one invocation works through.
const SEGMENT_RECORDS: u64 = 50_000;

/// What an invocation leaves to telling where to go on.
const SETTLING_TIME: Duration = Duration::from_secs(20);

/// What the rescanner speaks to.
#[derive(Debug)]
pub struct Ports<Definitions, Records, Triggers, Time> {
    /// The definitions bucket.
    pub definitions: Definitions,
    /// The scan records.
    pub records: Records,
    /// The topic of rescans.
    pub triggers: Triggers,
    /// The topic of our own work, which comes back by a queue.
    pub work: Triggers,
    /// The time of day.
    pub clock: Time,
}

/// What an invocation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The function's answer.
    pub response: Value,
    /// What was found and done in it.
    pub tally: Tally,
}

impl Handled {
    /// What happened, counted.
    pub fn counts(&self) -> [(Metric, u64); 2] {
        let unneeded = self.tally.examined.saturating_sub(self.tally.published);
        [(Metric::RescansPublished, self.tally.published), (Metric::RescansUnneeded, unneeded)]
    }
}

/// Why an invocation failed; it comes again.
#[derive(Debug, thiserror::Error)]
pub enum RescanError {
    /// What is published cannot be told.
    #[error("the published generation cannot be told")]
    Published(#[from] PublishedError),
    /// Nothing was ever published.
    #[error("no definitions are published yet: run the updater")]
    NonePublished,
    /// The table cannot be looked at.
    #[error("the table of scan records cannot be looked at")]
    Table(#[source] StoreError),
    /// Its own work cannot be sent.
    #[error("the pass for generation {} cannot go on: its work cannot be sent", generation.0)]
    Send {
        /// The pass's generation.
        generation: Generation,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A segment cannot go on.
    #[error("a segment of the pass for generation {} cannot go on", generation.0)]
    Segment {
        /// The pass's generation.
        generation: Generation,
        /// Why.
        #[source]
        source: SegmentError,
    },
}

impl From<RescanError> for Diagnostic {
    fn from(error: RescanError) -> Self {
        Self { error_type: "RescanError".into(), error_message: error_chain(&error) }
    }
}

/// What an invocation is about.
enum Asked {
    /// A generation was announced.
    Announced,
    /// The schedule, or somebody, wants a pass.
    Wanted,
    /// Segments, by the id of their message; `None` for one that is no work of ours.
    Work(Vec<(String, Option<Work>)>),
}

impl Asked {
    fn read(payload: &Value) -> Self {
        let records = payload["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
        let source =
            |record: &Value| record["eventSource"].as_str().or(record["EventSource"].as_str()).map(str::to_owned);
        match records.first().and_then(source).as_deref() {
            Some("aws:sqs") => Self::Work(records.iter().map(work_of).collect()),
            Some("aws:sns") => Self::Announced,
            _ => Self::Wanted,
        }
    }
}

fn work_of(record: &Value) -> (String, Option<Work>) {
    let id = record["messageId"].as_str().unwrap_or_default().to_owned();
    (id, record["body"].as_str().and_then(|body| serde_json::from_str(body).ok()))
}

impl<Definitions, Records, Triggers, Time> Ports<Definitions, Records, Triggers, Time>
where
    Definitions: DefinitionsStore,
    Records: RecordPages,
    Triggers: Topic,
    Time: Clock,
{
    /// Handles one invocation: begins a pass, or works on segments of one.
    ///
    /// # Errors
    /// [`RescanError`], of what no queue brings again by itself.
    pub async fn handle(&self, payload: &Value, config: &Config, deadline: Instant) -> Result<Handled, RescanError> {
        match Asked::read(payload) {
            Asked::Announced => self.begin(config, false).await,
            Asked::Wanted => self.begin(config, true).await,
            Asked::Work(works) => {
                let (mut returned, mut tally) = (Vec::new(), Tally::default());
                for (id, work) in works {
                    let Some(work) = work else {
                        // Trying again would never help, so it is acknowledged.
                        tracing::error!(message = id, "message is no work of a pass");
                        continue;
                    };
                    match self.work(work, config, deadline).await {
                        Ok(found) => tally.add(&found),
                        Err(error) => {
                            tracing::error!(cause = error_chain(&error), "segment failed and will come again");
                            returned.push(json!({ "itemIdentifier": id }));
                        }
                    }
                }
                Ok(Handled { response: json!({ "batchItemFailures": returned }), tally })
            }
        }
    }

    async fn published(&self) -> Result<Arc<Manifest>, RescanError> {
        match read_pointer(&self.definitions, None).await? {
            PointerRead::Read { pointer, .. } => Ok(Arc::new(read_manifest(&self.definitions, &pointer).await?)),
            PointerRead::Missing | PointerRead::Unchanged => Err(RescanError::NonePublished),
        }
    }

    /// Begins a pass for the generation that is published *now*: an announcement only says that it is time to look, so late,
    /// repeated and reordered ones do no harm. One that is announced twice is begun once.
    async fn begin(&self, config: &Config, wanted: bool) -> Result<Handled, RescanError> {
        let generation = self.published().await?.generation;
        let before = read_begun(&self.definitions, generation).await?;
        let attempt = before.as_ref().map_or(1, |(begun, _)| begun.attempt + 1);
        if let Some((begun, _)) = before.as_ref().filter(|(begun, _)| !wanted && self.is_sent(begun)) {
            let response = json!({ "generation": generation, "attempt": begun.attempt, "begun": false });
            return Ok(Handled { response, tally: Tally::default() });
        }
        let segments = if let Some(segments) = config.segments {
            segments
        } else {
            let about = self.records.about().await.map_err(RescanError::Table)?;
            u32::try_from(about.div_ceil(SEGMENT_RECORDS)).unwrap_or(MAX_SEGMENTS).clamp(1, MAX_SEGMENTS)
        };
        let begun = Begun { generation, attempt, at: self.clock.now(), segments, cancelled: false };
        let condition = before.as_ref().map_or(WriteCondition::Absent, |(_, etag)| WriteCondition::Etag(etag));
        match write_report(&self.definitions, &pass_key(generation), &begun, condition).await {
            Ok(()) => {}
            // Somebody else begins it.
            Err(PublishedError::Store { source: StoreError::PreconditionFailed, .. }) => {
                let response = json!({ "generation": generation, "begun": false });
                return Ok(Handled { response, tally: Tally::default() });
            }
            Err(error) => return Err(error.into()),
        }
        let works = (0..segments).map(|index| {
            message(&Work { generation, attempt, index, total: segments, cursor: None, tally: Tally::default() })
        });
        self.send(generation, &works.collect::<Vec<_>>()).await?;
        tracing::info!(generation = generation.0, attempt, segments, "rescan pass begun");
        let response = json!({ "generation": generation, "attempt": attempt, "segments": segments, "begun": true });
        Ok(Handled { response, tally: Tally::default() })
    }

    /// Whether the segments' messages were sent, as far as can be told: a pass that was begun a while ago, or now.
    fn is_sent(&self, begun: &Begun) -> bool {
        // One that died before it sent them is begun anew by the second delivery of its announcement, which comes after a minute.
        self.clock.now() - begun.at < chrono::TimeDelta::seconds(30)
    }

    async fn send(&self, generation: Generation, messages: &[TopicMessage]) -> Result<(), RescanError> {
        let refused = self.work.publish_all(messages).await;
        let refused = refused.map_err(|source| RescanError::Send { generation, source })?;
        if refused.is_empty() {
            return Ok(());
        }
        let source = StoreError::Unavailable(format!("{} messages were refused", refused.len()).into());
        Err(RescanError::Send { generation, source })
    }

    /// Works on one segment, and says where to go on.
    async fn work(&self, work: Work, config: &Config, deadline: Instant) -> Result<Tally, RescanError> {
        let (generation, before) = (work.generation, work.tally.clone());
        let key = segment_key(generation, work.attempt, work.index);
        if let Some(told) = read_segment(&self.definitions, &key).await?
            && (told.progress != Progress::Working || told.tally.examined > before.examined)
        {
            // The message came twice: somebody went on from there already.
            return Ok(Tally::default());
        }
        let manifest = self.published().await?;
        let segment = SegmentWorker {
            definitions: &self.definitions,
            records: &self.records,
            triggers: &self.triggers,
            manifest,
            region: &config.region,
            budget: config.budget,
            until: deadline.checked_sub(SETTLING_TIME).unwrap_or(deadline),
            now: self.clock.now(),
        };
        let worked = segment.run(work).await;
        let (progress, work) = worked.map_err(|source| RescanError::Segment { generation, source })?;
        let report = SegmentReport { index: work.index, progress, tally: work.tally.clone() };
        // Sent first: what is told before it is sent would be lost by a kill between the two.
        if progress == Progress::Working {
            self.send(generation, &[message(&work)]).await?;
        }
        write_report(&self.definitions, &key, &report, WriteCondition::Always).await?;
        if progress != Progress::Working {
            tracing::info!(
                generation = generation.0,
                segment = work.index,
                progress = ?progress,
                examined = work.tally.examined,
                published = work.tally.published,
                "segment of a rescan pass is over"
            );
        }
        let mut found = work.tally;
        found.examined -= before.examined.min(found.examined);
        found.published -= before.published.min(found.published);
        Ok(found)
    }
}

fn message(work: &Work) -> TopicMessage {
    TopicMessage { subject: None, body: json!(work).to_string(), attributes: Vec::new(), per_protocol: false }
}

#[cfg(test)]
mod tests;
