//! The metrics of a run. Pure.

use chrono::{DateTime, Utc};
use nacre_core::{generation::published::Published, telemetry::Metric};

use crate::update::{Update, UpdateError, newest_built};

/// The metrics of a run: always the age of what is published, so that silence is an alarm too.
pub fn metrics(
    outcome: &Result<Update, UpdateError>,
    published: Option<&Published>,
    now: DateTime<Utc>,
) -> Vec<(Metric, u64)> {
    let flag = |metric, is: bool| (metric, u64::from(is));
    let cooling = matches!(outcome, Ok(Update::CoolingDown { .. }) | Err(UpdateError::Stale { .. }));
    let age =
        published.and_then(newest_built).map(|built| u64::try_from((now - built).num_hours()).unwrap_or_default());
    let flags = [
        flag(Metric::UpdateFailed, outcome.is_err()),
        flag(Metric::CoolingDown, cooling),
        flag(Metric::GenerationPublished, matches!(outcome, Ok(Update::Published { .. }))),
        flag(Metric::SetRejected, matches!(outcome, Err(UpdateError::Prove { .. }))),
    ];
    flags.into_iter().chain(age.map(|age| (Metric::DefinitionsAgeHours, age))).collect()
}

#[cfg(test)]
mod tests {
    use nacre_core::generation::Generation;

    use super::*;

    fn reported(outcome: &Result<Update, UpdateError>) -> Vec<(&'static str, u64)> {
        let metrics = metrics(outcome, None, DateTime::UNIX_EPOCH);
        metrics.into_iter().filter(|(_, value)| *value > 0).map(|(metric, value)| (metric.name(), value)).collect()
    }

    #[test]
    fn each_outcome_has_its_metrics() {
        let (generation, until) = (Generation(1), DateTime::UNIX_EPOCH);
        let published = Update::Published { generation, databases: Vec::new(), held: Vec::new() };
        assert_eq!(reported(&Ok(published)), [("GenerationPublished", 1)]);
        assert_eq!(reported(&Ok(Update::UpToDate { generation, held: Vec::new() })), []);
        assert_eq!(reported(&Ok(Update::CoolingDown { generation, until })), [("CoolingDown", 1)]);
        assert_eq!(reported(&Ok(Update::Pinned { generation })), []);
        let stale = UpdateError::Stale { age: "99 hours old".into(), until };
        assert_eq!(reported(&Err(stale)), [("UpdateFailed", 1), ("CoolingDown", 1)]);
        assert_eq!(reported(&Err(UpdateError::Races)), [("UpdateFailed", 1)]);
    }
}
