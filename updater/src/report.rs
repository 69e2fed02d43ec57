//! What a run is told as metrics. Pure.

use chrono::{DateTime, Utc};
use nacre_shared::{published::Published, telemetry::Metric};

use crate::update::{Update, UpdateError, newest_built};

/// The metrics of a run: always the age of what is published, so that silence is an alarm too.
pub fn metrics(
    outcome: &Result<Update, UpdateError>,
    published: Option<&Published>,
    now: DateTime<Utc>,
) -> Vec<(Metric, u64)> {
    let flag = |metric, is: bool| (metric, u64::from(is));
    let cooling = matches!(outcome, Ok(Update::CoolingDown { .. }) | Err(UpdateError::Stale { .. }));
    let age = published.and_then(newest_built).and_then(|built| u64::try_from((now - built).num_hours()).ok());
    let told = [
        flag(Metric::UpdateFailed, outcome.is_err()),
        flag(Metric::CoolingDown, cooling),
        flag(Metric::GenerationPublished, matches!(outcome, Ok(Update::Published { .. }))),
        flag(Metric::SetRejected, matches!(outcome, Err(UpdateError::Prove { .. }))),
    ];
    told.into_iter().chain(age.map(|age| (Metric::DefinitionsAgeHours, age))).collect()
}
