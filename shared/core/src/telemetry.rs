//! Error chains, and the names of all metrics.

use std::error::Error;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

/// The CloudWatch namespace of every metric.
pub const NAMESPACE: &str = "Nacre";

/// Most values of one metric in a line ("Specification: Embedded metric format").
const MAX_VALUES: usize = 100;

/// A metric; a count unless its name has another unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Objects scanned to a verdict.
    Scanned,
    /// Of them, clean.
    Clean,
    /// Of them, infected.
    Infected,
    /// Of the clean, those that were infected before.
    Cleared,
    /// Of them, unscannable or skipped.
    Unscanned,
    /// Messages handed on to where scans with all definitions are done.
    Forwarded,
    /// Messages answered by the record of an earlier scan.
    AlreadyScanned,
    /// Rescans of objects that are archived by now, which keep the verdict of their last scan.
    NotRescanned,
    /// Messages about objects that were removed before their scan.
    Gone,
    /// Messages acknowledged without a scan: test events, folder markers, tagging and foreign events.
    Ignored,
    /// New objects that are not scanned because of their keys.
    LeftOut,
    /// Messages acknowledged because no retry could ever read them.
    Malformed,
    /// Messages that failed and will come again.
    Failed,
    /// Records that were found to need a rescan.
    RescansPublished,
    /// Records that were found up to date.
    RescansUnneeded,
    /// Hours that the object has been waiting that waits longest for a rescan: for its turn, or in a queue.
    RescanWaitHours,
    /// Hours since the newest published database was built.
    DefinitionsAgeHours,
    /// The published generation.
    Generation,
    /// Hours since a pass was started since which none has finished; 0 when there is none.
    PassAgeHours,
    /// Self-tests that failed; 0 for one that did not.
    SelfTestFailed,
    /// Milliseconds from the upload of an object to its verdict, by S3's time of the event.
    UploadToVerdictTime,
    /// Updates that failed; 0 for one that did not.
    UpdateFailed,
    /// Updates that found every mirror wanting to be left alone.
    CoolingDown,
    /// Generations published.
    GenerationPublished,
    /// Sets of databases that did not pass their proof.
    SetRejected,
    /// Milliseconds to fetch a generation's databases, their digests checked.
    DefinitionsFetchTime,
    /// Milliseconds to convert them to the form that the engine loads.
    DefinitionsLayOutTime,
    /// Milliseconds in which the engine loaded them.
    EngineLoadTime,
    /// Milliseconds in which it compiled them.
    EngineCompileTime,
    /// Milliseconds in which it found its canary.
    EngineCanaryTime,
    /// Layers of the engine's sandbox that the system allowed, of 4.
    SandboxLayers,
}

impl Metric {
    /// The metric's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scanned => "Scanned",
            Self::Clean => "Clean",
            Self::Infected => "Infected",
            Self::Cleared => "Cleared",
            Self::Unscanned => "Unscanned",
            Self::Forwarded => "Forwarded",
            Self::AlreadyScanned => "AlreadyScanned",
            Self::NotRescanned => "NotRescanned",
            Self::Gone => "Gone",
            Self::Ignored => "Ignored",
            Self::LeftOut => "LeftOut",
            Self::Malformed => "Malformed",
            Self::Failed => "Failed",
            Self::RescansPublished => "RescansPublished",
            Self::RescansUnneeded => "RescansUnneeded",
            Self::RescanWaitHours => "RescanWaitHours",
            Self::DefinitionsAgeHours => "DefinitionsAgeHours",
            Self::Generation => "Generation",
            Self::PassAgeHours => "PassAgeHours",
            Self::SelfTestFailed => "SelfTestFailed",
            Self::UploadToVerdictTime => "UploadToVerdictTime",
            Self::UpdateFailed => "UpdateFailed",
            Self::CoolingDown => "CoolingDown",
            Self::GenerationPublished => "GenerationPublished",
            Self::SetRejected => "SetRejected",
            Self::DefinitionsFetchTime => "DefinitionsFetchTime",
            Self::DefinitionsLayOutTime => "DefinitionsLayOutTime",
            Self::EngineLoadTime => "EngineLoadTime",
            Self::EngineCompileTime => "EngineCompileTime",
            Self::EngineCanaryTime => "EngineCanaryTime",
            Self::SandboxLayers => "SandboxLayers",
        }
    }

    /// The metric's unit, by CloudWatch's names.
    fn unit(self) -> &'static str {
        match self {
            // CloudWatch has no unit of hours.
            Self::DefinitionsAgeHours | Self::RescanWaitHours | Self::PassAgeHours | Self::Generation => "None",
            Self::UploadToVerdictTime
            | Self::DefinitionsFetchTime
            | Self::DefinitionsLayOutTime
            | Self::EngineLoadTime
            | Self::EngineCompileTime
            | Self::EngineCanaryTime => "Milliseconds",
            _ => "Count",
        }
    }
}

/// Whose metrics they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricSource {
    /// The function: `scanner`, `rescanner`, `updater`.
    pub function: &'static str,
    /// The stack, a dimension beside the function: without it, the metrics of two stacks of one account and region are the same, and
    /// one hides or raises the alarms of the other.
    pub stack: Option<String>,
    /// A field of the line, not a dimension: alarms name functions and stacks.
    pub environment: Option<String>,
}

impl MetricSource {
    /// One line of CloudWatch's embedded metric format for these counts; `None` when there are none. A metric that occurs more than once
    /// has all its values, of which the format takes 100 at most.
    ///
    /// Source: CloudWatch user guide, "Specification: Embedded metric format".
    pub fn line(&self, at: DateTime<Utc>, counts: &[(Metric, u64)]) -> Option<String> {
        if counts.is_empty() {
            return None;
        }
        let mut values: Vec<(Metric, Vec<u64>)> = Vec::new();
        for (metric, value) in counts {
            match values.iter_mut().find(|(known, _)| known == metric) {
                Some((_, values)) if values.len() < MAX_VALUES => values.push(*value),
                Some(_) => {}
                None => values.push((*metric, vec![*value])),
            }
        }
        let metrics: Vec<_> =
            values.iter().map(|(metric, _)| json!({ "Name": metric.name(), "Unit": metric.unit() })).collect();
        let function = ("Function", Some(self.function));
        let dimensions: Vec<_> = [function, ("Stack", self.stack.as_deref())]
            .into_iter()
            .filter_map(|(name, value)| value.map(|_| name))
            .collect();
        let directive = json!({
            "Timestamp": at.timestamp_millis(),
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics }],
        });
        let fields = [function, ("Stack", self.stack.as_deref()), ("Environment", self.environment.as_deref())];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
        let values = values.into_iter().map(|(metric, values)| match values[..] {
            [value] => (metric.name().to_owned(), json!(value)),
            _ => (metric.name().to_owned(), json!(values)),
        });
        let line: Map<String, Value> =
            [("_aws".to_owned(), directive)].into_iter().chain(fields).chain(values).collect();
        Some(Value::Object(line).to_string())
    }
}

/// An error and all its causes, in one line: Display of our errors has only their own layer.
pub fn error_chain(error: &dyn Error) -> String {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        cause = error.source();
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the tag write failed")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("access denied")]
    struct Inner;

    #[test]
    fn no_cause_is_lost() {
        assert_eq!(error_chain(&Outer(Inner)), "the tag write failed: access denied");
    }

    #[test]
    fn counts_are_in_the_embedded_metric_format() {
        let counts = [(Metric::Scanned, 3), (Metric::Infected, 1)];
        for (stack, dimensions) in [(None, json!([["Function"]])), (Some("nacre"), json!([["Function", "Stack"]]))] {
            let source =
                MetricSource { function: "scanner", stack: stack.map(str::to_owned), environment: Some("prod".into()) };
            let line: Value = serde_json::from_str(&source.line(DateTime::UNIX_EPOCH, &counts).unwrap()).unwrap();
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!((&line["Scanned"], &line["Infected"]), (&json!(3), &json!(1)));
            assert_eq!((&line["Function"], &line["Environment"]), (&json!("scanner"), &json!("prod")));
            assert_eq!(
                (&directive["Dimensions"], line.get("Stack")),
                (&dimensions, stack.map(|name| json!(name)).as_ref())
            );
            assert_eq!(directive["Metrics"][1], json!({ "Name": "Infected", "Unit": "Count" }));
            assert_eq!(source.line(DateTime::UNIX_EPOCH, &[]), None);
        }
    }

    #[test]
    fn a_metric_with_several_values_has_all_of_them_up_to_the_formats_bound() {
        let source = MetricSource { function: "scanner", stack: None, environment: None };
        let times: Vec<_> = (0..150).map(|time| (Metric::UploadToVerdictTime, time)).collect();
        let line: Value = serde_json::from_str(&source.line(DateTime::UNIX_EPOCH, &times).unwrap()).unwrap();
        assert_eq!(line["UploadToVerdictTime"], json!((0..100).collect::<Vec<u64>>()));
        let declared = json!([{ "Name": "UploadToVerdictTime", "Unit": "Milliseconds" }]);
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"], declared);
    }
}
