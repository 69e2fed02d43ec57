//! What one invocation counts for the metrics.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use nacre_core::telemetry::Metric;

/// Sums by metric, and the times that uploads waited for their verdicts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sums: BTreeMap<&'static str, (Metric, u64)>,
    /// In milliseconds.
    waits: Vec<u64>,
}

impl Counts {
    /// Counts one.
    pub(crate) fn count(&mut self, metric: Metric) {
        self.add(metric, 1);
    }

    fn add(&mut self, metric: Metric, number: u64) {
        self.sums.entry(metric.name()).or_insert((metric, 0)).1 += number;
    }

    /// Notes how long an upload waited for its verdict; S3's clock may be ahead of ours.
    pub(crate) fn waited(&mut self, wait: TimeDelta) {
        self.waits.push(u64::try_from(wait.num_milliseconds()).unwrap_or_default());
    }

    /// Adds what a message counted.
    pub(crate) fn extend(&mut self, other: Self) {
        for (metric, number) in other.sums.into_values() {
            self.add(metric, number);
        }
        self.waits.extend(other.waits);
    }

    /// The metrics, with their values. `Scanned` and `Unscanned` come together: an expression over both, such as an alarm's, has no value
    /// where one is missing.
    pub(crate) fn into_metrics(mut self) -> Vec<(Metric, u64)> {
        let pair = [Metric::Scanned, Metric::Unscanned];
        if pair.iter().any(|metric| self.sums.contains_key(metric.name())) {
            for metric in pair {
                self.add(metric, 0);
            }
        }
        let waits = self.waits.into_iter().map(|wait| (Metric::UploadToVerdictTime, wait));
        self.sums.into_values().chain(waits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_both_its_parts() {
        assert_eq!(Counts::default().into_metrics(), []);
        let mut counts = Counts::default();
        counts.count(Metric::Unscanned);
        counts.count(Metric::Unscanned);
        let mut other = Counts::default();
        other.waited(TimeDelta::milliseconds(250));
        other.waited(TimeDelta::milliseconds(-1));
        counts.extend(other);
        let waits = [(Metric::UploadToVerdictTime, 250), (Metric::UploadToVerdictTime, 0)];
        assert_eq!(counts.into_metrics(), [&[(Metric::Scanned, 0), (Metric::Unscanned, 2)][..], &waits].concat());
        let mut failed = Counts::default();
        failed.count(Metric::Failed);
        assert_eq!(failed.into_metrics(), [(Metric::Failed, 1)]);
    }
}
