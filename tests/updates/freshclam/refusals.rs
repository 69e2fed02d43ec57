//! A mirror that wants to be left alone is, by freshclam as by ourselves.

use chrono::TimeDelta;
use nacre_aws::SystemClock;
use nacre_core::port::Clock;
use nacre_test_support::Behaviour;
use nacre_updater::{freshclam::DataFile, state, update::Update};

use crate::world::{World, held};

/// A limit of age that no database of ours reaches, whatever the day.
const NEVER_STALE: (&str, &str) = ("NACRE_UPDATE_STALENESS_LIMIT_HOURS", "1000000");

fn until(update: &Update) -> chrono::DateTime<chrono::Utc> {
    let Update::CoolingDown { until, .. } = update else { panic!("{update:?}") };
    *until
}

async fn data(world: &World) -> DataFile {
    DataFile::from_text(&world.state().await.freshclam_data.unwrap()).unwrap()
}

#[tokio::test]
async fn a_403_is_a_day_and_a_429_what_it_says_and_neither_is_forgotten() {
    for (behaviour, least) in [
        (Behaviour::status(403), TimeDelta::hours(24)),
        (Behaviour::status(429), TimeDelta::hours(4)),
        (Behaviour::Status { code: 429, headers: vec![("Retry-After".into(), "3600".into())] }, TimeDelta::hours(1)),
    ] {
        let Some(mut world) = World::of_freshclam_with(1, &[NEVER_STALE]).await else { return };
        // freshclam reads the system's clock.
        world.now = SystemClock.now();
        world.put("test.cvd", behaviour.clone());
        let cooling = until(&world.run().await.unwrap());
        assert!(cooling >= world.now + least - TimeDelta::seconds(1), "{behaviour:?}: {cooling}");
        assert_eq!(data(&world).await.retry_after(), Some(cooling));
        assert_eq!(world.state().await.cool_downs.into_values().collect::<Vec<_>>(), [cooling]);

        // Nobody is asked, also when only freshclam remembers.
        let asked = world.mirror.requests().len();
        assert_eq!(until(&world.run().await.unwrap()), cooling);
        state::change(&world.store, |state| state.cool_downs.clear()).await.unwrap();
        assert_eq!(until(&world.run().await.unwrap()), cooling);
        assert_eq!(world.mirror.requests().len(), asked, "{behaviour:?}");

        // Once it is over, they are.
        let over = data(&world).await.until_at_most(world.now - TimeDelta::seconds(1)).to_text();
        let is_over = |state: &mut state::UpdaterState| {
            state.cool_downs.clear();
            state.freshclam_data = Some(over.clone());
        };
        state::change(&world.store, is_over).await.unwrap();
        world.serve(3);
        assert!(matches!(world.run().await.unwrap(), Update::Published { .. }), "{behaviour:?}");
    }
}

#[tokio::test]
async fn no_mirror_silences_us_for_more_than_seven_days() {
    let Some(mut world) = World::of_freshclam_with(1, &[NEVER_STALE]).await else { return };
    world.now = SystemClock.now();
    let headers = vec![("Retry-After".to_owned(), "2000000000".to_owned())];
    world.put("test.cvd", Behaviour::Status { code: 429, headers });
    let cooling = until(&world.run().await.unwrap());
    // In whole seconds.
    assert!(cooling <= world.now + TimeDelta::days(7) && cooling > world.now + TimeDelta::days(6), "{cooling}");
    assert_eq!(data(&world).await.retry_after(), Some(cooling));
}

#[tokio::test]
async fn a_refusal_of_a_cdiff_alone_is_for_freshclam_a_cdiff_that_is_missing() {
    let Some(mut world) = World::of_freshclam_with(1, &[NEVER_STALE]).await else { return };
    world.now = SystemClock.now();
    world.put("test-2.cdiff", Behaviour::status(403));
    world.serve(2);
    assert_eq!(held(&world.run().await.unwrap()), ["test 2 (announced, not there yet)"]);
    world.serve(3);
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
    assert_eq!((data(&world).await.retry_after(), world.state().await.cool_downs.len()), (None, 0));
}

#[tokio::test]
async fn with_nothing_published_a_refusal_is_a_failure() {
    let Some(mut world) = World::of_freshclam(&[]).await else { return };
    world.now = SystemClock.now();
    world.advertise(1, Behaviour::status(403));
    let error = world.run().await.unwrap_err().to_string();
    assert!(error.starts_with("the definitions are not there yet, and all mirrors are rate-limiting us"), "{error}");
    assert_eq!(world.state().await.cool_downs.len(), 1);
}

#[tokio::test]
async fn a_spoilt_memory_of_freshclams_makes_a_new_client() {
    let Some(world) = World::of_freshclam_with(1, &[]).await else { return };
    for spoilt in ["no base 64!", "bm8gZGF0YSBmaWxl"] {
        state::change(&world.store, |state| state.freshclam_data = Some(spoilt.to_owned())).await.unwrap();
        assert!(matches!(world.run().await.unwrap(), Update::UpToDate { .. }));
        assert!(data(&world).await.uuid().is_some());
    }
}
