//! The state of a pass, in words and as JSON.

use chrono::SecondsFormat;
use nacre_core::{
    port::DefinitionsStore,
    rescan::{
        cost::{PassWork, cost},
        pass::{ObjectTotals, Pass, PassStats, PassStoreError, Progress, State, is_cancelled, reports},
    },
};
use serde_json::{Value, json};

use super::why;

/// Adds the segments' reports up.
pub(super) async fn progress(store: &impl DefinitionsStore, pass: &Pass) -> Result<Progress, PassStoreError> {
    let reports = reports(store, pass.id).await?;
    Ok(pass.progress(&reports, is_cancelled(store, pass.id).await?))
}

/// One JSON object.
pub(super) fn as_json(pass: &Pass, progress: &Progress) -> String {
    let mut object = json!(pass);
    let more = json!({ "state": progress.state, "segments_done": progress.done, "updated": progress.updated, "tally": progress.stats,
        "dollars": dollars(&progress.stats) });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object.to_string()
}

/// Some lines, one fact each.
pub(super) fn in_words(pass: &Pass, progress: &Progress) -> String {
    let described = match progress.state {
        State::Working => "under way",
        State::Finished => "finished",
        State::Overtaken => "overtaken by a newer generation",
        State::Cancelled => "cancelled",
    };
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (done, segments, stats) = (progress.done, pass.segments, &progress.stats);
    let mut lines = vec![
        format!(
            "generation {}, pass {}: {described}, {done} of {segments} segments done",
            pass.id.generation.0, pass.id.attempt
        ),
        format!("started {}, last report {}", time(pass.started), time(progress.updated)),
        format!("examined {}", stats.examined),
    ];
    lines.extend(planned(stats));
    let (asked, messages) = (stats.requested, stats.requested.messages);
    let kinds = format!("delta {}, full {}", amount(asked.delta), amount(asked.full));
    lines.push(format!("rescans requested: {kinds}, in {messages} messages"));
    for (what, of) in [
        ("requested before, and waiting in a queue", stats.queued),
        ("left to the next pass", stats.over_budget),
        ("still to be decided", stats.deferred),
    ] {
        if of.objects > 0 {
            lines.push(format!("{what}: {}", amount(of)));
        }
    }
    for (what, count) in
        [("generation advanced", stats.advanced), ("items that are not scan records", stats.unreadable)]
    {
        if count > 0 {
            lines.push(format!("{what}: {count}"));
        }
    }
    if let Some(since) = stats.waiting_since {
        let hours = (progress.updated - since).num_hours();
        lines.push(format!("longest wait: {hours} hours, since {}", time(since)));
    }
    lines.push(format!("about ${:.4}", dollars(stats)));
    lines.join("\n")
}

/// The cost so far, by the model of docs/scale.md.
fn dollars(stats: &PassStats) -> f64 {
    cost(PassWork::of_stats(stats)).total()
}

/// The plans of records, one line for each kind and reason.
pub(super) fn planned(stats: &PassStats) -> Vec<String> {
    let mut lines = vec![format!("  up to date {}", stats.up_to_date)];
    lines.extend(
        stats.unaffected.iter().map(|(reason, count)| format!("  unaffected {count}: {}", why::unaffected(*reason))),
    );
    lines.push(format!("  delta scans {}", amount(stats.delta)));
    lines.extend(stats.full.iter().map(|(reason, of)| format!("  full scans {}: {}", amount(*of), why::full(*reason))));
    if stats.unreported > 0 {
        lines.push(format!("  unreported {}: tags and result are missing", stats.unreported));
    }
    lines
}

fn amount(ObjectTotals { objects, bytes }: ObjectTotals) -> String {
    format!("{objects} ({bytes} bytes)")
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use nacre_core::{
        generation::Generation,
        rescan::{
            pass::{Budget, Cause, PassId},
            plan::{FullScan, RescanPlan, Unaffected},
        },
    };

    use super::*;

    fn example() -> (Pass, Progress) {
        let (id, started) = (PassId { generation: Generation(7), attempt: 2 }, DateTime::UNIX_EPOCH);
        let (cause, budget) = (Cause::Manual, Budget { objects: Some(10), bytes: None });
        let forgotten = ObjectTotals::default();
        let pass = Pass { format: 1, id, cause, started, segments: 20, budget, forgotten, dispatched: true };
        let mut stats =
            PassStats { advanced: 3, over_budget: ObjectTotals { objects: 1, bytes: 9 }, ..PassStats::default() };
        for plan in [
            RescanPlan::UpToDate,
            RescanPlan::Unaffected(Unaffected::NothingMatches),
            RescanPlan::DeltaScan,
            RescanPlan::FullScan(FullScan::SignatureRemoved),
        ] {
            stats.count(plan, 9);
        }
        stats.requested.delta.count(9);
        stats.requested.messages = 1;
        stats.queued.count(7);
        stats.wait(Some(started - TimeDelta::hours(50)));
        (pass, Progress { state: State::Working, done: 19, stats, updated: started + TimeDelta::seconds(90) })
    }

    #[test]
    fn a_pass_has_one_fact_a_line() {
        let (pass, progress) = example();
        let expected = "\
generation 7, pass 2: under way, 19 of 20 segments done
started 1970-01-01T00:00:00Z, last report 1970-01-01T00:01:30Z
examined 4
  up to date 1
  unaffected 1: nothing that was added can match them
  delta scans 1 (9 bytes)
  full scans 1 (9 bytes): the signatures that convicted them were removed or changed
rescans requested: delta 1 (9 bytes), full 0 (0 bytes), in 1 messages
requested before, and waiting in a queue: 1 (7 bytes)
left to the next pass: 1 (9 bytes)
generation advanced: 3
longest wait: 50 hours, since 1969-12-29T22:00:00Z
about $0.0000";
        assert_eq!(in_words(&pass, &progress), expected);
    }

    #[test]
    fn json_has_the_pass_and_its_statistics() {
        let (pass, progress) = example();
        let printed: Value = serde_json::from_str(&as_json(&pass, &progress)).unwrap();
        assert_eq!(
            (&printed["generation"], &printed["attempt"], &printed["state"]),
            (&json!(7), &json!(2), &json!("working"))
        );
        assert_eq!(printed["tally"]["full"]["healing"]["objects"], 1);
        assert_eq!(printed["budget"]["objects"], 10);
    }
}
