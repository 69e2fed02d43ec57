//! A mirror that wants to be left alone is, for as long as it wants, whatever becomes of the process that it refused.

use chrono::TimeDelta;
use nacre_core::telemetry::error_chain;
use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::update::Update;

use crate::world::{START, World, whole};

fn at(update: &Update) -> Option<TimeDelta> {
    let Update::CoolingDown { until, .. } = update else { return None };
    Some(*until - START.parse::<chrono::DateTime<chrono::Utc>>().unwrap())
}

#[tokio::test]
async fn a_403_is_a_day_and_a_429_what_it_says_or_four_hours() {
    for (behaviour, expected) in [
        (Behaviour::status(403), TimeDelta::hours(24)),
        (Behaviour::status(429), TimeDelta::hours(4)),
        (Behaviour::Status { code: 429, headers: vec![("Retry-After".into(), "60".into())] }, TimeDelta::seconds(60)),
    ] {
        let mut world = World::with(1, &[("NACRE_UPDATE_STALENESS_LIMIT_HOURS", "100")]).await;
        world.put("test.cvd", behaviour);
        assert_eq!(at(&world.run().await.unwrap()), Some(expected));

        // Another process, a moment before its end: nobody is asked.
        let asked = world.mirror.requests().len();
        world.serve(9);
        world.pass(expected - TimeDelta::seconds(1));
        assert_eq!(at(&world.run().await.unwrap()), Some(expected));
        assert_eq!(world.mirror.requests().len(), asked);
        world.pass(TimeDelta::seconds(1));
        assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
        assert!(world.state().await.cool_downs.is_empty());
    }
}

#[tokio::test]
async fn a_cool_down_fails_only_when_the_definitions_are_too_old_to_wait() {
    let mut world = World::with(1, &[("NACRE_UPDATE_STALENESS_LIMIT_HOURS", "400")]).await;
    world.put("test.cvd", Behaviour::status(403));
    assert!(at(&world.run().await.unwrap()).is_some());
    world.pass(TimeDelta::hours(400));
    world.put("test.cvd", Behaviour::status(403));
    let error = world.run().await.unwrap_err().to_string();
    assert!(error.contains("hours old, and all mirrors are rate-limiting us until"), "{error}");
    assert_eq!(world.published().await.1, 1, "what is published stays");
}

#[tokio::test]
async fn with_nothing_published_a_refusal_is_a_failure_that_is_remembered_too() {
    let world = World::new(&[]).await;
    world.put("test.cvd", Behaviour::status(403));
    let error = error_chain(&world.run().await.unwrap_err());
    assert!(error.starts_with("the definitions are not there yet, and all mirrors are rate-limiting us"), "{error}");
    assert_eq!(world.state().await.cool_downs.len(), 1);
}

#[tokio::test]
async fn another_mirror_is_asked_while_one_cools_down() {
    let other = HostileMirror::start().await.unwrap();
    let first = HostileMirror::start().await.unwrap();
    let mirrors = format!("{},{}", first.url(), other.url());
    let world = World::new(&[("NACRE_DEFINITIONS_MIRROR", &mirrors)]).await;
    first.put("/test.cvd", Behaviour::status(429));
    other.put("/test.cvd", Behaviour::Bytes(whole(1)));
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
    assert!(matches!(world.run().await.unwrap(), Update::UpToDate { .. }));
    assert_eq!(first.requests().len(), 1, "the first was left alone");
}

#[tokio::test]
async fn a_refusal_of_a_cdiff_cools_down_and_one_of_a_signature_does_not() {
    let world = World::with(1, &[]).await;
    world.serve(2);
    world.serve_cdiffs([2]);
    world.put("test-2.cdiff.sign", Behaviour::status(403));
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
    world.serve(3);
    world.put("test-3.cdiff", Behaviour::status(403));
    assert_eq!(at(&world.run().await.unwrap()), Some(TimeDelta::hours(24)));
}
