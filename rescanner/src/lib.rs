//! The rescanner: when a generation is published, asks for every recorded object that needs another look.

pub mod config;
pub mod rescan;
pub mod segment;

use lambda_runtime::Diagnostic;
use nacre_shared::{
    definitions::manifest::{Generation, ManifestError, POINTER_KEY, Pointer},
    port::{Clock, DefinitionsStore, RecordPages, StoreError, Topic},
    telemetry::{Metric, error_chain},
};
use rescan::{Pass, Tally};
use segment::SegmentError;
use serde_json::{Value, json};

/// Largest pointer that is read.
const MAX_POINTER_BYTES: u64 = 64 << 10;

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
    /// The pointer to the published generation could not be read.
    #[error("{POINTER_KEY} could not be read from the definitions bucket")]
    Pointer(#[source] StoreError),
    /// The pointer is not valid.
    #[error("{POINTER_KEY} is not valid")]
    Invalid(#[from] ManifestError),
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
        let pointer = self.definitions.read(POINTER_KEY, MAX_POINTER_BYTES).await.map_err(RescanError::Pointer)?;
        let generation = Pointer::parse(&pointer.bytes)?.generation;
        let pass = Pass { records: &self.records, triggers: &self.triggers, generation, region, at: self.clock.now() };
        let tally = pass.run(segments).await.map_err(|source| RescanError::Unfinished { generation, source })?;
        Ok(Handled { generation, tally })
    }
}

#[cfg(test)]
mod tests;
