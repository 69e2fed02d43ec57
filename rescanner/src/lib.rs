//! The rescanner: when a generation is published, asks for every recorded object that needs another look.

pub mod config;
pub mod rescan;
pub mod segment;

use std::sync::Arc;

use lambda_runtime::Diagnostic;
use nacre_shared::{
    changes::Changes,
    definitions::manifest::{EngineProof, Generation},
    port::{Clock, DefinitionsStore, RecordPages, Topic},
    published::{PointerRead, PublishedError, read_manifest, read_pointer},
    scan_record::EngineVersion,
    telemetry::{Metric, error_chain},
};
use rescan::{Pass, Tally};
use segment::SegmentError;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// What the rescanner speaks to.
#[derive(Debug)]
pub struct Ports<Definitions, Records, Triggers, Time> {
    /// The definitions bucket.
    pub definitions: Definitions,
    /// The scan records.
    pub records: Records,
    /// The `ScannerTrigger` topic.
    pub triggers: Triggers,
    /// The time of day.
    pub clock: Time,
}

/// What an invocation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The generation that records were brought up to.
    pub generation: Generation,
    /// What was found and done.
    pub tally: Tally,
}

impl Handled {
    /// The function's answer.
    pub fn response(&self) -> Value {
        json!({ "generation": self.generation, "pass": self.tally })
    }

    /// What happened, counted.
    pub fn counts(&self) -> [(Metric, u64); 2] {
        let unneeded = self.tally.examined - self.tally.published;
        [(Metric::RescansPublished, self.tally.published), (Metric::RescansUnneeded, unneeded)]
    }
}

/// Why a pass failed; it is to be run again.
#[derive(Debug, thiserror::Error)]
pub enum RescanError {
    /// What is published cannot be told.
    #[error("the published generation cannot be told")]
    Published(#[from] PublishedError),
    /// Nothing was ever published.
    #[error("no definitions are published yet: run the updater")]
    NonePublished,
    /// A segment was not worked to its end.
    #[error("the pass for generation {} was not finished", generation.0)]
    Unfinished {
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

impl<Definitions, Records, Triggers, Time> Ports<Definitions, Records, Triggers, Time>
where
    Definitions: DefinitionsStore,
    Records: RecordPages,
    Triggers: Topic,
    Time: Clock,
{
    /// Runs a pass for the generation that is published *now*: an announcement only says that it is time to look, so late,
    /// repeated and reordered ones do no harm.
    ///
    /// # Errors
    /// [`RescanError`].
    pub async fn handle(&self, segments: u32, region: &str) -> Result<Handled, RescanError> {
        let PointerRead::Read { pointer, .. } = read_pointer(&self.definitions, None).await? else {
            return Err(RescanError::NonePublished);
        };
        let manifest = Arc::new(read_manifest(&self.definitions, &pointer).await?);
        let generation = manifest.generation;
        let EngineProof { clamav_version: version, functionality_level, .. } = manifest.engine.clone();
        let changes = Mutex::new(Changes::new(manifest, EngineVersion { version, functionality_level }));
        let (definitions, records, triggers) = (&self.definitions, &self.records, &self.triggers);
        let pass = Pass { definitions, changes, records, triggers, generation, region, at: self.clock.now() };
        let tally = pass.run(segments).await.map_err(|source| RescanError::Unfinished { generation, source })?;
        Ok(Handled { generation, tally })
    }
}

#[cfg(test)]
mod tests;
