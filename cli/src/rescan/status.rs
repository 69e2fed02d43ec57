//! The state of a pass, in words and as JSON.

use chrono::SecondsFormat;
use nacre_core::{
    port::DefinitionsStore,
    rescan::{
        cost::{PassWork, cost},
        pass::{Amount, Pass, PassStoreError, Progress, State, Tally, is_cancelled, reports},
        plan::{FullScan, Unaffected},
    },
};
use serde_json::{Value, json};

/// Adds up what the segments report.
pub(super) async fn progress(store: &impl DefinitionsStore, pass: &Pass) -> Result<Progress, PassStoreError> {
    let reports = reports(store, pass.id).await?;
    Ok(pass.progress(&reports, is_cancelled(store, pass.id).await?))
}

/// One JSON object.
pub(super) fn as_json(pass: &Pass, progress: &Progress) -> String {
    let mut report = json!(pass);
    let more = json!({ "state": progress.state, "segments_done": progress.done, "updated": progress.updated, "tally": progress.tally,
        "dollars": dollars(&progress.tally) });
    if let (Value::Object(report), Value::Object(more)) = (&mut report, more) {
        report.extend(more);
    }
    report.to_string()
}

/// Some lines, one fact each.
pub(super) fn in_words(pass: &Pass, progress: &Progress) -> String {
    let state = match progress.state {
        State::Working => "under way",
        State::Finished => "finished",
        State::Overtaken => "overtaken by a newer generation",
        State::Cancelled => "cancelled",
    };
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (done, all, tally) = (progress.done, pass.segments, &progress.tally);
    let mut lines = vec![
        format!(
            "generation {}, pass {}: {state}, {done} of {all} segments done",
            pass.id.generation.0, pass.id.attempt
        ),
        format!("started {}, last report {}", time(pass.begun), time(progress.updated)),
        format!("examined {}", tally.examined),
    ];
    lines.extend(planned(tally));
    let (requested, messages) = (tally.published, tally.published.messages);
    let kinds = format!("delta {}, full {}", amount(requested.delta), amount(requested.full));
    lines.push(format!("requested: {kinds}, in {messages} messages"));
    for (what, of) in [("left to the next pass", tally.carried), ("still to be decided", tally.deferred)] {
        if of.objects > 0 {
            lines.push(format!("{what}: {}", amount(of)));
        }
    }
    for (what, count) in [("renewed", tally.renewed), ("items that are not valid records", tally.unreadable)] {
        if count > 0 {
            lines.push(format!("{what}: {count}"));
        }
    }
    lines.push(format!("about ${:.4}", dollars(tally)));
    lines.join("\n")
}

/// What it cost so far, by the model of docs/scale.md.
fn dollars(tally: &Tally) -> f64 {
    cost(PassWork::of_tally(tally)).total()
}

/// What records need, a line for each plan and its reason.
pub(super) fn planned(tally: &Tally) -> Vec<String> {
    let mut lines = vec![format!("  up to date {}", tally.up_to_date)];
    lines.extend(tally.unaffected.iter().map(|(why, count)| format!("  unaffected {count}: {}", unaffected(*why))));
    lines.push(format!("  delta scans {}", amount(tally.delta)));
    lines.extend(tally.full.iter().map(|(why, of)| format!("  full scans {}: {}", amount(*of), full(*why))));
    if tally.unreported > 0 {
        lines.push(format!("  unreported {}: tags and result are missing", tally.unreported));
    }
    lines
}

fn amount(Amount { objects, bytes }: Amount) -> String {
    format!("{objects} ({bytes} bytes)")
}

fn unaffected(why: Unaffected) -> &'static str {
    match why {
        Unaffected::NothingMatches => "nothing that was added can match them",
        Unaffected::StillInfected => "a signature that matched them is unchanged",
        Unaffected::Unseen => "not scanned, whatever the definitions",
    }
}

fn full(why: FullScan) -> &'static str {
    match why {
        FullScan::UnknownRecord => "recorded by another version of Nacre",
        FullScan::Engine => "scanned by another engine",
        FullScan::DeltaNotKept => "what changed since is no longer known",
        FullScan::DeltaTooLarge => "more changed since than is worth a delta",
        FullScan::Context => "how signatures work has changed",
        FullScan::Trust => "whether a part of them is trusted has changed",
        FullScan::Healing => "the signatures that matched them were removed",
        FullScan::MayBeMadeGood => "the failure to scan them may have passed",
        FullScan::Unscannable => "not scannable, and something added may match",
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use nacre_core::{
        generation::Generation,
        rescan::{
            pass::{Budget, Cause, PassId},
            plan::RescanPlan,
        },
    };

    use super::*;

    fn example() -> (Pass, Progress) {
        let (id, begun) = (PassId { generation: Generation(7), attempt: 2 }, DateTime::UNIX_EPOCH);
        let (cause, budget) = (Cause::ByHand, Budget { objects: Some(10), bytes: None });
        let pass = Pass { format: 1, id, cause, begun, segments: 20, budget, handed_out: true };
        let mut tally = Tally { renewed: 3, carried: Amount { objects: 1, bytes: 9 }, ..Tally::default() };
        for plan in [
            RescanPlan::UpToDate,
            RescanPlan::Unaffected(Unaffected::NothingMatches),
            RescanPlan::DeltaScan,
            RescanPlan::FullScan(FullScan::Healing),
        ] {
            tally.count(plan, 9);
        }
        tally.published.delta.count(9);
        tally.published.messages = 1;
        (pass, Progress { state: State::Working, done: 19, tally, updated: begun + TimeDelta::seconds(90) })
    }

    #[test]
    fn a_pass_is_shown_one_fact_a_line() {
        let (pass, progress) = example();
        let expected = "\
generation 7, pass 2: under way, 19 of 20 segments done
started 1970-01-01T00:00:00Z, last report 1970-01-01T00:01:30Z
examined 4
  up to date 1
  unaffected 1: nothing that was added can match them
  delta scans 1 (9 bytes)
  full scans 1 (9 bytes): the signatures that matched them were removed
requested: delta 1 (9 bytes), full 0 (0 bytes), in 1 messages
left to the next pass: 1 (9 bytes)
renewed: 3
about $0.0000";
        assert_eq!(in_words(&pass, &progress), expected);
    }

    #[test]
    fn json_has_the_pass_and_its_tally() {
        let (pass, progress) = example();
        let report: Value = serde_json::from_str(&as_json(&pass, &progress)).unwrap();
        assert_eq!(
            (&report["generation"], &report["attempt"], &report["state"]),
            (&json!(7), &json!(2), &json!("working"))
        );
        assert_eq!(report["tally"]["full"]["healing"]["objects"], 1);
        assert_eq!(report["budget"]["objects"], 10);
    }
}
