//! What a cold attack on the updater found, mended.

use chrono::TimeDelta;
use nacre_clamav::{
    builder::{CvdBuilder, eicar_signature},
    signing::SigningKeys,
};
use nacre_core::{
    bucket_keys::{BODIES_PREFIX, REJECTED_PREFIX},
    generation::{Generation, manifest::DatabaseEntry, published::Published},
    port::{DefinitionsStore, WriteCondition},
    telemetry::error_chain,
};
use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::{mirror::Mirror, report::metrics, update::Update};

use crate::{
    meddling::{Meddling, Trouble},
    world::{World, held, version, whole},
};

async fn two() -> (HostileMirror, HostileMirror, World) {
    let (a, b) = (HostileMirror::start().await.unwrap(), HostileMirror::start().await.unwrap());
    let mirrors = format!("{},{}", a.url(), b.url());
    let world = World::new(&[("NACRE_DEFINITIONS_MIRROR", &mirrors)]).await;
    b.put("/test.cvd", Behaviour::Bytes(whole(1)));
    (a, b, world)
}

#[tokio::test]
async fn a_dead_first_mirror_does_not_stop_the_second() {
    let (a, b, world) = two().await;
    for file in ["/test.cvd", "/test-1.cvd.sign", "/test-2.cdiff", "/test-2.cdiff.sign"] {
        a.put(file, Behaviour::Reset);
    }
    b.put("/test.cvd", Behaviour::Bytes(whole(1)));
    let update = world.run().await.map_err(|error| error_chain(&error));
    assert!(matches!(update, Ok(Update::Published { .. })), "{update:?}");
}

#[tokio::test]
async fn a_dead_mirror_does_not_hide_that_another_has_no_cdiffs() {
    let (a, b, world) = two().await;
    world.run().await.unwrap();
    for file in ["/test.cvd", "/test-3.cvd.sign", "/test-2.cdiff"] {
        a.put(file, Behaviour::status(502));
    }
    b.put("/test.cvd", Behaviour::Bytes(whole(3)));
    let update = world.run().await.map_err(|error| error_chain(&error));
    assert!(matches!(update, Ok(Update::Published { .. })), "{update:?}");
}

#[tokio::test]
async fn nor_does_one_that_cools_down() {
    let (a, b, world) = two().await;
    a.put("/test.cvd", Behaviour::status(403));
    world.run().await.unwrap();
    b.put("/test.cvd", Behaviour::Bytes(whole(9)));
    let update = world.run().await.map_err(|error| error_chain(&error));
    assert!(matches!(update, Ok(Update::Published { .. })), "{update:?}");
}

#[tokio::test]
async fn an_abandoned_mirror_does_not_hide_a_newer_one() {
    let (a, b, world) = two().await;
    b.put("/test.cvd", Behaviour::Bytes(whole(2)));
    world.run().await.unwrap();
    a.put("/test.cvd", Behaviour::Bytes(whole(1)));
    b.put("/test.cvd", Behaviour::Bytes(whole(9)));
    let update = world.run().await.map_err(|error| error_chain(&error));
    assert_eq!(world.published().await.1, 9, "{update:?}");
}

#[tokio::test]
async fn nor_does_one_that_serves_garbage() {
    let (a, b, world) = two().await;
    a.put("/test.cvd", Behaviour::Bytes(b"<html>captive</html>".repeat(100)));
    b.put("/test.cvd", Behaviour::Bytes(whole(2)));
    let update = world.run().await.map_err(|error| error_chain(&error));
    assert!(matches!(update, Ok(Update::Published { .. })), "{update:?}");
}

#[tokio::test]
async fn nobody_gets_an_unverified_sign_file() {
    let world = World::new(&[]).await;
    world.serve(1);
    world.put("test-1.cvd.sign", Behaviour::Bytes(b"#clamsign-1.0\n999::pkcs7-pem:bWlycm9yIHdhcyBoZXJl\n".to_vec()));
    let update = world.run().await.map_err(|error| error_chain(&error));
    let keys = world.store.keys();
    assert!(!keys.contains(&"clamav_defs/test-1.cvd.sign".to_owned()), "{update:?}");
}

#[tokio::test]
async fn serve_cvds_serves_only_what_was_proven() {
    let world = World::with(1, &[("NACRE_SERVE_CVDS", "True")]).await;
    world.serve_cdiffs([2]);
    // The mirror moves on to 3 between two requests; 3 does not even load.
    let bad = CvdBuilder::new("test").version(3).member("test.ldb", "not a signature\n").build(SigningKeys::fixed());
    world.advertise(2, Behaviour::Bytes(bad));
    let update = world.run().await.unwrap();
    assert_eq!(world.published().await.1, 2, "{update:?}");
    let flat = world
        .store
        .read("clamav_defs/test.cvd", 1 << 20)
        .await
        .map(|stored| String::from_utf8_lossy(&stored.bytes[..60]).into_owned());
    assert!(!flat.as_ref().is_ok_and(|head| head.contains(":3:")), "{flat:?}");
}

#[tokio::test]
async fn a_lost_body_heals() {
    let world = World::with(1, &[]).await;
    let body = world.store.keys().into_iter().find(|key| key.starts_with(BODIES_PREFIX)).unwrap();
    world.store.remove(&body).await.unwrap();
    world.serve(2);
    world.serve_cdiffs([2]);
    let first = world.run().await.map_err(|error| error_chain(&error));
    let second = world.run().await.map_err(|error| error_chain(&error));
    assert!(second.is_ok(), "{first:?} {second:?}");
}

#[tokio::test]
async fn a_rejected_set_is_kept_for_thirty_days() {
    let mut world = World::with(1, &[]).await;
    let nonsense = CvdBuilder::new("test").version(3).member("test.ldb", "not a signature\n");
    world.put("test.cvd", Behaviour::Bytes(nonsense.build(SigningKeys::fixed())));
    world.run().await.unwrap_err();
    let listed = world.store.list(REJECTED_PREFIX, 9).await.unwrap();
    let report = world.store.read(&listed[0].key, 1 << 20).await.unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.bytes).unwrap();
    let entry: DatabaseEntry = serde_json::from_value(report["databases"][0].clone()).unwrap();
    world.pass(TimeDelta::days(3));
    world.serve(5);
    world.run().await.unwrap();
    assert_eq!(world.store.list(REJECTED_PREFIX, 9).await.unwrap().len(), 1);
    assert!(world.store.keys().contains(&entry.object_key), "the report names a body that is gone");
}

#[tokio::test]
async fn somebody_elses_empty_answer_does_not_stop_clamavs() {
    let feed = HostileMirror::start().await.unwrap();
    let url = format!("{}/phish.ndb", feed.url());
    let world = World::new(&[("NACRE_CUSTOM_DATABASES", &url)]).await;
    feed.put("/phish.ndb", Behaviour::Bytes(b"Phish.A:0:*:70686973682061\n".to_vec()));
    world.serve(1);
    world.run().await.unwrap();
    world.serve(3);
    feed.put("/phish.ndb", Behaviour::Bytes(Vec::new()));
    let empty = world.run().await.map_err(|error| error_chain(&error));
    assert_eq!(empty.as_ref().map(held), Ok(&["phish.ndb".to_owned()][..]), "{empty:?}");
}

#[tokio::test]
async fn a_killed_run_remembers_its_403() {
    // A kill: from the n-th call on nothing reaches the bucket.
    let (a, b, world) = two().await;
    a.put("/test.cvd", Behaviour::status(403));
    let scratch = world.run_on(&Meddling::new(&world.store, Trouble::KilledAtABody), &world.topic, None).await;
    assert!(scratch.is_err());
    assert_eq!(world.state().await.cool_downs.len(), 1, "the next run asks again a mirror that said 403");
    drop(b);
}

#[tokio::test]
async fn another_runs_cool_down_is_not_forgotten() {
    let (a, _b, world) = two().await;
    a.put("/test.cvd", Behaviour::Bytes(whole(1)));
    world.run().await.unwrap();
    // While this run works (it knows of no cool-down), another learns one.
    let name = Mirror::Http(a.url().to_owned()).name();
    let until = world.now + TimeDelta::hours(24);
    let store = Meddling::new(&world.store, Trouble::CoolDownElsewhere { mirror: name.clone(), until });
    world.run_on(&store, &world.topic, None).await.unwrap();
    assert!(world.state().await.cool_downs.contains_key(&name), "the other run's cool-down is gone");
}

#[tokio::test]
async fn custom_lines_do_not_make_up_for_lost_signatures() {
    let world = World::with(1, &[]).await;
    let far = (0..20).map(|n| format!("Far.{n}:0:*:{}:9000\n", hex::encode(format!("far away {n}"))));
    let far = eicar_signature() + &far.collect::<Vec<_>>().concat();
    let own = (0..20)
        .map(|n| format!("Own.{n}:0:*:{}\n", hex::encode(format!("ours {n} here"))))
        .collect::<Vec<_>>()
        .concat();
    world.store.write("nacre/custom/own.ndb", own.into_bytes(), &[], WriteCondition::Always).await.unwrap();
    world.put(
        "test.cvd",
        Behaviour::Bytes(CvdBuilder::new("test").version(3).member("test.ndb", far).build(SigningKeys::fixed())),
    );
    let update = world.run().await.map_err(|error| error_chain(&error));
    assert!(update.is_err(), "1 of 21 signatures loaded, and yet {update:?}");
}

#[tokio::test]
async fn scratch_of_a_run_that_was_killed_goes() {
    let world = World::new(&[]).await;
    world.serve(1);
    let left = world.scratch_path().join("nacre-update-left");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("main.cvd-62"), b"x").unwrap();
    std::fs::write(world.scratch_path().join("nacre-update-left.lock"), b"").unwrap();
    world.run().await.unwrap();
    let there = left.exists();
    assert!(!there, "what a killed invocation left stays in /tmp for ever");
}

#[tokio::test]
async fn a_future_build_does_not_hide_the_age() {
    let mut world = World::new(&[]).await;
    let ahead = u64::try_from((world.now + TimeDelta::hours(5)).timestamp()).unwrap();
    world.put("test.cvd", Behaviour::Bytes(version(1).built(ahead).build(SigningKeys::fixed())));
    let outcome = world.run().await;
    let published = Published::read(&world.store).await.unwrap();
    let printed = metrics(&outcome, Some(&published), world.now);
    assert!(printed.iter().any(|(metric, _)| metric.name() == "DefinitionsAgeHours"), "{printed:?}");
    world.pass(TimeDelta::hours(1));
}

#[tokio::test]
async fn tidying_spares_what_a_rollback_restores_meanwhile() {
    let mut world = World::with(1, &[("NACRE_KEEP_GENERATIONS", "2")]).await;
    for number in [3, 5] {
        world.pass(TimeDelta::days(3));
        world.serve(number);
        world.run().await.unwrap();
    }
    // An operator rolls back to generation 2 while the run that published 4 tidies.
    world.pass(TimeDelta::days(3));
    world.serve(7);
    let store = Meddling::new(&world.store, Trouble::RollbackWhileTidying { to: Generation(2), now: world.now });
    let update = world.run_on(&store, &world.topic, None).await.map_err(|error| error_chain(&error));
    let pointer = Published::read(&world.store).await.unwrap();
    assert!(pointer.pinned, "{update:?}");
    let keys = world.store.keys();
    let manifest = pointer.manifest.unwrap();
    assert!(
        manifest.object_keys().all(|key| keys.contains(&key)),
        "{update:?}: pinned generation {} (restores {:?}) names a body that is gone",
        manifest.generation.0,
        manifest.restores
    );
}

#[tokio::test]
async fn conflict_409_on_a_body_is_not_taken_for_there() {
    let world = World::with(1, &[]).await;
    world.serve(3);
    let store = Meddling::new(&world.store, Trouble::ConflictingWrites);
    let update = world.run_on(&store, &world.topic, None).await.map_err(|error| error_chain(&error));
    let pointer = Published::read(&world.store).await.unwrap().manifest.unwrap();
    let keys = world.store.keys();
    assert!(
        pointer.object_keys().all(|key| keys.contains(&key)),
        "{update:?}: generation {} names a body that is not there",
        pointer.generation.0
    );
}

#[tokio::test]
async fn stale_and_cooling_is_reported_though_a_custom_file_changed() {
    let mut world = World::with(1, &[("NACRE_UPDATE_STALENESS_LIMIT_HOURS", "100")]).await;
    world.put("test.cvd", Behaviour::status(403));
    world.pass(TimeDelta::hours(400));
    world
        .store
        .write("nacre/custom/x.ndb", b"X:0:*:6f7572206f776e2070617474657268\n".to_vec(), &[], WriteCondition::Always)
        .await
        .unwrap();
    let update = world.run().await;
    assert!(update.is_err(), "{update:?}");
}

#[tokio::test]
async fn a_young_set_with_one_more_database_that_cools_down() {
    let world = World::with(1, &[("NACRE_UPDATE_STALENESS_LIMIT_HOURS", "400")]).await;
    let world = world.also("NACRE_DATABASES", "extra,test");
    world.put("extra.cvd", Behaviour::status(429));
    let update = world.run().await.map_err(|error| error_chain(&error));
    assert!(matches!(update, Ok(Update::CoolingDown { .. })), "{update:?}");
}

#[tokio::test]
async fn won_pointer_with_lost_answer_is_announced_in_the_same_run() {
    let world = World::with(1, &[]).await;
    world.serve(3);
    let before = world.topic.messages().len();
    let store = Meddling::new(&world.store, Trouble::LostAnswer);
    let update = world.run_on(&store, &world.topic, None).await.map_err(|error| error_chain(&error));
    assert_eq!(world.published().await.1, 3);
    assert_eq!(world.topic.messages().len(), before + 1, "{update:?}");
}
