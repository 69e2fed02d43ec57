use proptest::prelude::*;

use super::*;
use crate::rescan::plan::{FullScan, RescanPlan, Unaffected};

fn pass(segments: u32) -> Pass {
    let id = PassId { generation: Generation(7), attempt: 2 };
    let started = DateTime::UNIX_EPOCH;
    let budget = Budget::default();
    Pass { format: FORMAT, id, cause: Cause::Announced, started, segments, budget, dispatched: true }
}

fn report(segment: u32, state: State, minutes: i64) -> SegmentReport {
    let Pass { id, started, .. } = pass(1);
    let updated = started + TimeDelta::minutes(minutes);
    SegmentReport {
        format: FORMAT,
        id,
        segment,
        started,
        state,
        continued_after: 0,
        continuation: String::new(),
        updated,
        stats: PassStats { examined: 10, ..PassStats::default() },
    }
}

#[test]
fn keys_tell_their_generation_and_nothing_else_does() {
    let id = pass(1).id;
    for key in [pass_key(id.generation), id.report_key(3), id.cancel_key()] {
        assert_eq!(generation_of(&key), Some(Generation(7)), "{key}");
    }
    for key in ["nacre/passes/x/pass.json", "nacre/passes/7", "nacre/manifests/7.json"] {
        assert_eq!(generation_of(key), None, "{key}");
    }
}

#[test]
fn parallelism_follows_the_size_of_the_table() {
    for (items, segments) in [(0, 1), (50_000, 1), (50_001, 2), (1_000_000, 20), (u64::MAX, MAX_SEGMENTS)] {
        assert_eq!(segments_for(items), segments, "{items}");
    }
}

#[test]
fn a_pass_is_done_when_every_segment_is() {
    let (working, done) = (report(1, State::Working, 3), report(0, State::Finished, 2));
    let progress = pass(2).progress(&[done.clone(), working], false);
    assert_eq!((progress.state, progress.done, progress.stats.examined), (State::Working, 1, 20));
    assert_eq!(progress.updated, DateTime::UNIX_EPOCH + TimeDelta::minutes(3));
    assert_eq!(pass(2).progress(std::slice::from_ref(&done), true).state, State::Cancelled);
    let overtaken = report(1, State::Overtaken, 1);
    assert_eq!(pass(2).progress(&[overtaken, done.clone()], false).state, State::Overtaken);
    assert_eq!(pass(1).progress(&[done], false).state, State::Finished);
}

#[test]
fn what_was_not_handed_out_or_not_heard_of_for_long_is_handed_out_again() {
    let reports = [report(0, State::Finished, 1), report(1, State::Working, 10)];
    let lost = |dispatched, minutes| {
        let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        Pass { dispatched, ..pass(3) }.stalled_segments(&reports, now)
    };
    assert_eq!(lost(true, 30), [0; 0]);
    assert_eq!(lost(false, 30), [2], "it may never have been sent");
    assert_eq!(lost(true, 65), [2]);
    assert_eq!(lost(true, 80), [1, 2]);
}

#[test]
fn documents_survive_their_bytes() {
    let whole = pass(3);
    assert_eq!(serde_json::from_slice::<Pass>(&serde_json::to_vec(&whole).unwrap()).unwrap(), whole);
    let mut part = report(1, State::Overtaken, 5);
    part.stats.count(RescanPlan::FullScan(FullScan::SignatureRemoved), 9);
    part.stats.count(RescanPlan::Unaffected(Unaffected::NeverScanned), 9);
    assert_eq!(serde_json::from_slice::<SegmentReport>(&serde_json::to_vec(&part).unwrap()).unwrap(), part);
}

proptest! {
    #[test]
    fn the_parts_of_a_budget_are_the_whole(objects: Option<u64>, bytes: Option<u64>, total in 1_u32..300) {
        let whole = Budget { objects, bytes };
        let parts: Vec<Budget> = (0..total).map(|segment| whole.part(segment, total)).collect();
        let sum = |of: fn(&Budget) -> Option<u64>| parts.iter().map(of).sum::<Option<u64>>();
        prop_assert_eq!(sum(|part| part.objects), objects);
        prop_assert_eq!(sum(|part| part.bytes), bytes);
    }

    #[test]
    fn a_budget_that_is_spent_allows_nothing(objects in 0_u64..9, spent in 0_u64..9, bytes: u64) {
        let budget = Budget { objects: Some(objects), bytes: None };
        let spent = ObjectTotals { objects: spent, bytes };
        prop_assert_eq!(budget.allows_more(spent), spent.objects < objects);
        prop_assert_eq!(budget.minus(spent).allows_more(ObjectTotals::default()), spent.objects < objects);
        prop_assert!(Budget::default().allows_more(spent));
    }
}

/// What passes of deployed versions wrote, literally: a rename in Rust must not change a key or a value of it.
#[test]
fn what_is_written_of_a_pass_keeps_its_names() {
    let mut stats = PassStats { pages: 1, examined: 9, up_to_date: 1, unreported: 1, ..PassStats::default() };
    let unaffected = [Unaffected::NothingMatches, Unaffected::StillInfected, Unaffected::NeverScanned];
    stats.unaffected = unaffected.into_iter().zip(1..).collect();
    let reasons = [
        FullScan::UnknownRecord,
        FullScan::Engine,
        FullScan::DeltaNotKept,
        FullScan::DeltaTooLarge,
        FullScan::Context,
        FullScan::Trust,
        FullScan::SignatureRemoved,
        FullScan::RetryTransient,
        FullScan::Unscannable,
    ];
    stats.full = reasons.into_iter().map(|reason| (reason, ObjectTotals { objects: 1, bytes: 2 })).collect();
    let one = serde_json::json!({ "objects": 1, "bytes": 2 });
    let none = serde_json::json!({ "objects": 0, "bytes": 0 });
    let expected = serde_json::json!({
        "pages": 1, "examined": 9, "up_to_date": 1, "unreported": 1, "renewed": 0, "unreadable": 0,
        "unaffected": { "nothing_matches": 1, "still_infected": 2, "unseen": 3 },
        "delta": none, "carried": none, "deferred": none,
        "published": { "delta": none, "full": none, "messages": 0 },
        "full": {
            "unknown_record": one, "engine": one, "delta_not_kept": one, "delta_too_large": one, "context": one, "trust": one,
            "healing": one, "may_be_made_good": one, "unscannable": one,
        },
    });
    assert_eq!(serde_json::to_value(&stats).unwrap(), expected);
    let causes = serde_json::to_value([Cause::Announced, Cause::Scheduled, Cause::Manual]).unwrap();
    assert_eq!(causes, serde_json::json!(["announced", "scheduled", "by_hand"]));
    let pass = serde_json::to_value(pass(3)).unwrap();
    assert_eq!(
        pass,
        serde_json::json!({
            "format": 1, "generation": 7, "attempt": 2, "cause": "announced", "begun": "1970-01-01T00:00:00Z", "segments": 3,
            "budget": { "objects": null, "bytes": null }, "handed_out": true,
        })
    );
    let report = SegmentReport { continuation: "message".into(), stats, ..report(1, State::Working, 0) };
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        serde_json::json!({
            "format": 1, "generation": 7, "attempt": 2, "segment": 1, "begun": "1970-01-01T00:00:00Z", "state": "working",
            "handed_on": 0, "left": "message", "updated": "1970-01-01T00:00:00Z", "tally": expected,
        })
    );
    let plans = [
        RescanPlan::UpToDate,
        RescanPlan::Unaffected(Unaffected::NeverScanned),
        RescanPlan::DeltaScan,
        RescanPlan::FullScan(FullScan::SignatureRemoved),
        RescanPlan::Unreported,
    ];
    assert_eq!(
        serde_json::to_value(plans).unwrap(),
        serde_json::json!(["up_to_date", { "unaffected": "unseen" }, "delta_scan", { "full_scan": "healing" }, "unreported"])
    );
}
