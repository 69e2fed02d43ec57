//! Whatever a mirror does to freshclam, nothing is published that did not verify, and nothing of the run is left.

use std::{fs, time::Duration};

use nacre_clamav::{
    database::{ContainerKind::Cvd, DatabaseVersion},
    signing::SigningKeys,
};
use nacre_core::telemetry::error_chain;
use nacre_test_support::Behaviour;
use nacre_updater::update::Update;

use crate::world::{World, builder, held, version, whole};

#[tokio::test]
async fn a_whole_database_that_is_not_right_publishes_nothing() {
    let keys = SigningKeys::fixed();
    let strangers = SigningKeys::generate("strangers").unwrap();
    let mut flipped = whole(2);
    *flipped.last_mut().unwrap() ^= 1;
    for (behaviour, reason) in [
        (Behaviour::Truncated(whole(2)), "it broke off"),
        (Behaviour::LyingLength { bytes: whole(2), announced: 1 << 40 }, "it broke off"),
        (Behaviour::Endless, "is larger than 3000000 bytes"),
        (Behaviour::SlowLoris, "did not end within"),
        (Behaviour::Silence, "did not end within"),
        (Behaviour::RedirectLoop, "it broke off"),
        (Behaviour::Reset, "it broke off"),
        (Behaviour::status(503), "a file could not be downloaded"),
        (Behaviour::Bytes(flipped), "damaged, or not signed"),
        (Behaviour::Bytes(version(2).build(&strangers)), "damaged, or not signed"),
        (Behaviour::Bytes(b"<html>not here</html>".repeat(40)), "freshclam failed"),
        // These freshclam takes.
        (Behaviour::Bytes(version(2).wrong_info_signature().build(keys)), "damaged, or not signed"),
        (Behaviour::Bytes(version(2).drop_after_signing("test.ndb").build(keys)), "members that are missing: test.ndb"),
        (Behaviour::Bytes(builder("other", 2).build(keys)), "there is no test.info"),
    ] {
        let Some(mut world) = World::of_freshclam(&[("NACRE_MAX_DATABASE_BYTES", "3000000")]).await else { return };
        if matches!(behaviour, Behaviour::SlowLoris | Behaviour::Silence) {
            world.freshclam.time_limit = Duration::from_secs(2);
        }
        world.advertise(2, behaviour);
        let error = error_chain(&world.run().await.unwrap_err());
        assert!(error.contains(reason), "{reason}: {error}");
        assert!(world.manifest().await.is_none(), "{reason}");
        assert!(!world.store.keys().iter().any(|key| key.starts_with("clamav_defs/")), "{reason}");
        assert!(world.state().await.freshclam_data.is_some(), "{reason}: it stays the same client");
    }
}

#[tokio::test]
async fn a_cdiff_that_is_not_right_is_passed_over_for_the_whole() {
    let keys = SigningKeys::fixed();
    let strangers = SigningKeys::generate("strangers").unwrap();
    for (what, file) in [
        ("signed by others", version(2).cdiff_from(&version(1), &strangers)),
        ("that does not fit", keys.cdiff(DatabaseVersion(2), b"OPEN test.ndb\nDEL 99 x\nCLOSE\n")),
        // freshclam builds a CLD of it and asks nobody; the .info in it says otherwise.
        ("that makes something else", keys.cdiff(DatabaseVersion(2), b"OPEN test.ndb\nADD Evil:0:*:61\nCLOSE\n")),
        ("without bytes", Vec::new()),
    ] {
        let Some(world) = World::of_freshclam_with(1, &[]).await else { return };
        world.serve(2);
        world.put("test-2.cdiff", Behaviour::Bytes(file));
        let update = world.run().await.unwrap();
        assert!(matches!(update, Update::Published { .. }), "{what}: {update:?}");
        assert_eq!(world.published().await, (2, 2, Cvd), "{what}");
    }
}

#[tokio::test]
async fn a_stale_mirror_never_rolls_back() {
    let Some(world) = World::of_freshclam_with(5, &[]).await else { return };
    world.serve(4);
    assert!(matches!(world.run().await.unwrap(), Update::UpToDate { .. }));
    // It shows a newer header and serves an older file.
    world.advertise(9, Behaviour::Bytes(whole(4)));
    let update = world.run().await.unwrap();
    assert_eq!(held(&update), ["test 9 (announced, not there yet)"]);
    assert_eq!(world.published().await, (1, 5, Cvd));
}

#[tokio::test]
async fn a_lost_body_is_downloaded_anew() {
    let Some(world) = World::of_freshclam_with(1, &[]).await else { return };
    let key = world.manifest().await.unwrap().databases[0].object_key.clone();
    nacre_core::port::DefinitionsStore::remove(&world.store, &key).await.unwrap();
    world.serve(2);
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
    assert_eq!(world.published().await, (2, 2, Cvd));
}

#[tokio::test]
async fn a_program_that_is_missing_or_cannot_run_is_named_with_the_remedy() {
    let mut world = World::new(&[("NACRE_FETCHER", "freshclam")]).await;
    world.serve(1);
    let error = error_chain(&world.run().await.unwrap_err());
    assert!(error.contains("there is no freshclam") && error.contains("NACRE_FETCHER=native"), "{error}");
    world.freshclam.program = Some("/nowhere/freshclam".into());
    let error = error_chain(&world.run().await.unwrap_err());
    assert!(error.contains("could not be run here"), "{error}");
    assert!(world.mirror.requests().is_empty());
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_no_process() {
    let Some(world) = World::of_freshclam(&[]).await else { return };
    world.put("test.cvd", Behaviour::Silence);
    let ours = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let scratch = world.scratch_path().as_os_str().as_encoded_bytes();
        let is_ours = |command: Vec<u8>| command.windows(scratch.len()).any(|window| window == scratch);
        processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok()).filter(|c| is_ours(c.clone())).count()
    };
    tokio::select! {
        outcome = world.run() => panic!("{outcome:?}"),
        () = async { while world.requests("test.cvd") == 0 { tokio::time::sleep(Duration::from_millis(20)).await } } => {}
    }
    while ours() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
