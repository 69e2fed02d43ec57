use chrono::DateTime;
use nacre_core::{
    object::ObjectId,
    port::WriteCondition,
    rescan::pass::{Budget, Cause, FORMAT, ObjectTotals, Pass, PassId, PassStats, SegmentReport, write_pass},
};
use nacre_testing::memory_definitions::MemoryDefinitions;
use serde_json::json;

use super::{
    digest::{Day, digest},
    *,
};

#[test]
fn a_task_is_known_by_the_input_of_its_rule() {
    assert_eq!(Task::read(&json!({ "watch": "hourly" })), Some(Task::Hourly));
    assert_eq!(Task::read(&json!({ "watch": "daily" })), Some(Task::Daily));
    for other in [json!({}), json!(null), json!({ "watch": "yearly" }), json!({ "Records": [{ "watch": "hourly" }] })] {
        assert_eq!(Task::read(&other), None, "{other}");
    }
}

/// A pass of one segment, with the segment's state; `None` without its report.
async fn pass(store: &MemoryDefinitions, generation: u64, started: &str, state: Option<State>) {
    let id = PassId { generation: Generation(generation), attempt: 1 };
    let (started, budget) = (started.parse().unwrap(), Budget::default());
    let (cause, forgotten) = (Cause::Announced, ObjectTotals::default());
    let pass = Pass { format: FORMAT, id, cause, started, segments: 1, budget, forgotten, dispatched: true };
    write_pass(store, &pass, None).await.unwrap().unwrap();
    if let Some(state) = state {
        let report = SegmentReport {
            format: FORMAT,
            id,
            segment: 0,
            started,
            state,
            continued_after: 0,
            continuation: String::new(),
            turn: 0,
            demand: None,
            updated: started,
            reserved: ObjectTotals::default(),
            stats: PassStats::default(),
        };
        let bytes = serde_json::to_vec(&report).unwrap();
        store.write(&id.report_key(0), bytes, &[], WriteCondition::Always).await.unwrap();
    }
}

#[tokio::test]
async fn passes_that_are_always_overtaken_count_from_the_first_since_the_last_that_finished() {
    let store = &MemoryDefinitions::default();
    let since = async |generation| {
        let since = unfinished_since(store, Generation(generation)).await.unwrap();
        since.map(|since: DateTime<Utc>| since.format("%d").to_string())
    };
    assert_eq!(since(5).await, None, "there was none");
    pass(store, 1, "2026-11-01T00:00:00Z", Some(State::Working)).await;
    assert_eq!(since(1).await.as_deref(), Some("01"));
    pass(store, 2, "2026-11-02T00:00:00Z", Some(State::Finished)).await;
    assert_eq!(since(2).await, None, "what was older does not matter");
    pass(store, 3, "2026-11-03T00:00:00Z", Some(State::Overtaken)).await;
    pass(store, 5, "2026-11-05T00:00:00Z", None).await;
    assert_eq!(since(5).await.as_deref(), Some("03"));
    assert_eq!(since(6).await.as_deref(), Some("03"), "no pass is not a finished one");
    for generation in 7..60 {
        pass(store, generation, "2026-11-07T00:00:00Z", Some(State::Overtaken)).await;
    }
    assert_eq!(since(59).await.as_deref(), Some("03"), "many in two days");
    pass(store, 6, "2026-11-06T00:00:00Z", Some(State::Cancelled)).await;
    assert_eq!(since(6).await, None, "its operator knows");
}

#[test]
fn a_digest_is_one_message_whatever_happened() {
    let quiet = Day { definitions: "generation 7, built 5 hours ago".into(), pass: "none".into(), ..Day::default() };
    let alert = digest(&quiet, Some("prod"), DateTime::UNIX_EPOCH);
    assert_eq!(alert.title, "prod: 0 infected, 0 unscannable, 0 dead letters");
    assert!(alert.facts.contains(&("infected in 24 hours", "none".into())) && alert.next_steps.is_empty());

    let busy = Day {
        infected: (0..1_000).map(|n| ObjectId::new("uploads", format!("<{n}>"), None)).collect(),
        unscannable: [("encrypted", 3), ("damaged", 1)].into(),
        dead_letters: [("a".to_owned(), 2), ("b".to_owned(), 0)].into(),
        ..quiet
    };
    let alert = digest(&busy, None, DateTime::UNIX_EPOCH);
    assert_eq!(alert.title, "nacre: 1000 or more infected, 4 unscannable, 2 dead letters");
    assert!(alert.facts.contains(&("unscannable in 24 hours", "1 damaged, 3 encrypted".into())), "{alert:?}");
    assert!(alert.facts.contains(&("dead letters", "2 in a".into())), "{alert:?}");
    let (_, named) = &alert.facts[1];
    assert!(named.starts_with("s3://uploads/%3C0%3E, ") && named.matches("s3://").count() == 10, "{named}");
}
