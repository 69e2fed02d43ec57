use proptest::prelude::*;

use super::*;
use crate::{
    builder::record,
    event::RescanKind,
    rescan::{
        pass::{
            allotment::allot,
            demand::{Rank, Waiting},
        },
        plan::{FullScan, RescanPlan, Unaffected},
        request_mark::RequestMark,
    },
    scan_record::{RecordSummary, ScanRecord},
};

fn pass(segments: u32) -> Pass {
    let id = PassId { generation: Generation(7), attempt: 2 };
    let started = DateTime::UNIX_EPOCH;
    let budget = Budget::default();
    let forgotten = ObjectTotals::default();
    Pass { format: FORMAT, id, cause: Cause::Announced, started, segments, budget, forgotten, dispatched: true }
}

fn rank(generation: u64) -> Rank {
    let record = ScanRecord { generation: Generation(generation), ..record("uploads", "key") };
    Rank::of(&RecordSummary::from(&record), RescanKind::Delta, Generation(7), true)
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
        turn: 0,
        demand: None,
        updated,
        reserved: ObjectTotals::default(),
        stats: PassStats { examined: 10, ..PassStats::default() },
    }
}

#[test]
fn keys_name_their_generation_and_nothing_else_does() {
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
fn a_segment_that_has_counted_waits_for_those_that_still_count() {
    let counted = SegmentReport { demand: Some(Demand::default()), ..report(0, State::Working, 1) };
    let lost = |minutes, other: SegmentReport| {
        let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        pass(2).stalled_segments(&[counted.clone(), other], now)
    };
    assert_eq!(lost(80, report(1, State::Working, 70)), [0; 0], "it counts");
    assert_eq!(
        lost(80, report(1, State::Working, 5)),
        [0, 1],
        "it is lost, and must not keep the other from its share"
    );
    assert_eq!(lost(80, report(1, State::Finished, 70)), [0]);
}

/// What was requested is behind all that was not, whether the request was answered or not; the oldest is first.
#[test]
fn ranks_are_in_the_order_of_waiting() {
    let now = DateTime::UNIX_EPOCH + TimeDelta::days(10);
    let at = |generation, requested: Option<u64>, kind| {
        let mark =
            |generation| RequestMark { pass: PassId { generation: Generation(generation), attempt: 1 }, at: now };
        let requested = requested.map(mark);
        let record = ScanRecord { generation: Generation(generation), requested, ..record("uploads", "key") };
        Rank::of(&RecordSummary::from(&record), kind, Generation(200), true)
    };
    let (delta, full) = (RescanKind::Delta, RescanKind::Full);
    let ordered = [
        at(1, None, delta),
        at(109, None, full),
        at(110, None, delta),
        at(110, None, full),
        at(111, None, delta),
        at(110, Some(150), delta),
        at(1, Some(199), delta),
        Rank::LAST,
    ];
    assert!(ordered.is_sorted(), "{ordered:?}");
    assert!(at(1, None, full) < at(109, None, full), "also where both need a full scan for their age alone");
    assert!(at(400, None, delta) < at(1, None, delta), "a generation that is not known is older than all");
}

#[test]
fn what_waits_keeps_its_time_until_its_turn() {
    let at = |days| DateTime::UNIX_EPOCH + TimeDelta::days(days);
    let first = Waiting::default().after([rank(1), rank(2)].into_iter(), at(1));
    let second = first.after([rank(2), rank(3)].into_iter(), at(2));
    assert_eq!(second.longest(), Some(at(1)));
    let third = second.after([rank(3)].into_iter(), at(3));
    assert_eq!((third.longest(), third.after([].into_iter(), at(4)).longest()), (Some(at(2)), None));
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
    /// However what is needed is spread over ranks and segments, the budget is used up as far as it is needed, and never exceeded.
    #[test]
    fn shares_are_the_budget_as_far_as_it_is_needed(
        needs in prop::collection::vec(prop::collection::vec((0_u8..4, 1_u64..9), 0..6), 1..6),
        objects in 1_u64..30,
    ) {
        let demands: Vec<(u32, Demand)> = (0..).zip(&needs).map(|(segment, ranks)| {
            let mut demand = Demand::default();
            for (generation, bytes) in ranks {
                demand.count(rank(u64::from(*generation)), *bytes);
            }
            (segment, demand)
        }).collect();
        let (shares, left) = allot(Budget { objects: Some(objects), bytes: None }, &demands);
        let needed: u64 = needs.iter().map(|ranks| ranks.len() as u64).sum();
        let mut requested = 0;
        for ((segment, demand), (of, share)) in demands.iter().zip(&shares) {
            prop_assert_eq!(segment, of);
            for (rank, total) in demand.ranks() {
                requested += match rank.cmp(&share.before) {
                    std::cmp::Ordering::Less => total.objects,
                    std::cmp::Ordering::Equal => total.objects.min(share.last.objects.unwrap_or(u64::MAX)),
                    std::cmp::Ordering::Greater => 0,
                };
                prop_assert!(rank >= share.before || !left.contains(&rank), "the oldest are not left");
            }
        }
        prop_assert_eq!(requested, needed.min(objects));
        prop_assert_eq!(left.is_empty(), needed <= objects);
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
    let unaffected =
        [Unaffected::NothingMatches, Unaffected::StillInfected, Unaffected::NeverScanned, Unaffected::Archived];
    stats.unaffected = unaffected.into_iter().zip(1..).collect();
    let reasons = [
        FullScan::UnknownRecord,
        FullScan::UnknownGeneration,
        FullScan::LimitRaised,
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
        "unaffected": { "nothing_matches": 1, "still_infected": 2, "unseen": 3, "archived": 4 },
        "delta": none, "queued": none, "carried": none, "deferred": none,
        "published": { "delta": none, "full": none, "overdue": none, "messages": 0 },
        "full": {
            "unknown_record": one, "unknown_generation": one, "limit_raised": one, "engine": one, "delta_not_kept": one, "delta_too_large": one, "context": one, "trust": one,
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
            "budget": { "objects": null, "bytes": null }, "forgotten": { "objects": 0, "bytes": 0 }, "handed_out": true,
        })
    );
    let report = SegmentReport { continuation: "message".into(), stats, ..report(1, State::Working, 0) };
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        serde_json::json!({
            "format": 1, "generation": 7, "attempt": 2, "segment": 1, "begun": "1970-01-01T00:00:00Z", "state": "working",
            "handed_on": 0, "left": "message", "turn": 0, "updated": "1970-01-01T00:00:00Z",
            "reserved": { "objects": 0, "bytes": 0 }, "tally": expected,
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
