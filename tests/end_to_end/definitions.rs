//! Definitions: what is bad is never published, and of racing updaters one wins.

use nacre_aws::S3Definitions;
use nacre_clamav::signing::SigningKeys;
use nacre_core::{
    bucket_keys::POINTER_KEY,
    generation::manifest::{Manifest, Pointer},
    port::DefinitionsStore,
};
use serde_json::json;

use nacre_test_support::deployed::{DEADLINE, World, daily, daily_builder, main_database, published};

/// The published generation and its manifest, checked against each other.
async fn current(world: &World) -> (Pointer, Manifest) {
    let store = S3Definitions::new(world.stack.sdk_config(), world.stack.output("DefinitionsBucket"));
    let pointer = Pointer::parse(&store.read(POINTER_KEY, 1 << 20).await.unwrap().bytes).unwrap();
    let manifest = store.read(&pointer.manifest_key, 1 << 20).await.unwrap().bytes;
    assert_eq!(Pointer::to(pointer.generation, &manifest), pointer, "the pointer names exactly this manifest");
    let manifest = Manifest::parse(&manifest).unwrap();
    for database in &manifest.databases {
        let body = store.read(&database.object_key, database.size).await.unwrap();
        assert_eq!(body.bytes.len() as u64, database.size, "every published body is there");
    }
    (pointer, manifest)
}

#[tokio::test]
async fn a_bad_database_publishes_nothing_and_is_named_with_its_reason() {
    let world = World::ready(&[]).await;
    let (before, manifest) = current(&world).await;
    assert!(manifest.trust_anchor.starts_with("test#"), "another anchor than ClamAV's is loudly visible");

    let good = daily(2, true);
    let mut corrupt = good.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let strangers = SigningKeys::generate("strangers").unwrap();
    for (file, reason) in [
        (corrupt, "the MD5 of the content is"),
        (good[..good.len() - 100].to_vec(), "the file is damaged or truncated"),
        (daily_builder(2, true).unsigned().build(SigningKeys::fixed()), "the file is not signed"),
        (daily_builder(2, true).build(&strangers), "the header's signature does not hold under the keys of test#"),
        (
            daily_builder(2, true).wrong_info_signature().build(SigningKeys::fixed()),
            "the .info's signature does not hold",
        ),
        (
            daily_builder(2, true).drop_after_signing("daily.ndb").build(SigningKeys::fixed()),
            "members that are missing: daily.ndb",
        ),
    ] {
        world.mirror.put("daily.cvd", file);
        let outcome = world.update().await;
        let message = outcome.payload["errorMessage"].as_str().unwrap_or_else(|| panic!("no error but {outcome:?}"));
        assert!(message.starts_with("daily.cvd version 2 is not valid: "), "{message}");
        assert!(message.contains(reason), "{message}");
        assert_eq!(current(&world).await.0, before, "{message}");
    }

    // What verifies but does not load, and what finds no EICAR, is no better.
    let nonsense = daily_builder(2, true).member("daily.ldb", "not a signature\n").build(SigningKeys::fixed());
    world.mirror.put("daily.cvd", nonsense);
    let outcome = world.update().await;
    let message = outcome.payload["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("the new set of databases (daily 2, main 62) does not pass its test"), "{message}");
    assert_eq!(current(&world).await.0, before);

    // A stale mirror never rolls back; a missing file changes nothing.
    world.mirror.put("daily.cvd", daily(2, false));
    assert_eq!(published(&world.update().await), 2);
    world.mirror.put("daily.cvd", daily(1, false));
    let held = world.update().await;
    assert_eq!((published(&held), &held.payload["held"]), (2, &json!(["daily 1"])));
    world.mirror.remove("main.cvd");
    let outcome = world.update().await;
    assert!(outcome.payload["errorMessage"].as_str().unwrap().contains("no mirror has main.cvd"), "{outcome:?}");
    assert_eq!(current(&world).await.0.generation.0, 2);
    world.end().await;
}

#[tokio::test]
async fn the_predecessors_scanner_still_finds_its_files() {
    let world = World::ready(&[]).await;
    let s3 = world.stack.s3();
    let bucket = world.stack.output("DefinitionsBucket");
    let (_, manifest) = current(&world).await;
    for database in &manifest.databases {
        let key = format!("clamav_defs/{}", database.file_name());
        let tags = s3.get_object_tagging().bucket(bucket).key(&key).send().await.unwrap();
        let md5 = tags.tag_set().iter().find(|tag| tag.key() == "md5").map(|tag| tag.value().to_owned());
        assert_eq!(md5.as_deref(), Some(database.md5.as_str()), "{key}");
    }
    let flat = s3.get_object().bucket(bucket).key("clamav_defs/main.cvd").send().await.unwrap();
    assert_eq!(flat.body.collect().await.unwrap().to_vec(), main_database(), "byte for byte what the mirror served");
    world.end().await;
}

#[tokio::test]
async fn of_two_updaters_racing_for_the_pointer_readers_see_one_whole_generation() {
    let world = World::empty(&[]).await;
    world.mirror.put("main.cvd", main_database());
    for version in 1..=3 {
        world.mirror.put("daily.cvd", daily(version, false));
        let (one, other) = tokio::join!(world.update(), world.update());
        let generations = [published(&one), published(&other)];
        assert_eq!(generations, [u64::from(version); 2], "{one:?} {other:?}");
        let (pointer, manifest) = current(&world).await;
        assert_eq!((pointer.generation.0, manifest.databases[0].version.0), (u64::from(version), version));
    }
    world.end().await;
}

#[tokio::test]
async fn the_schedule_runs_the_update_by_itself() {
    let world = World::empty(&[("UpdateSchedule", "rate(1 minute)")]).await;
    world.mirror.put("main.cvd", main_database());
    world.mirror.put("daily.cvd", daily(1, false));
    let store = S3Definitions::new(world.stack.sdk_config(), world.stack.output("DefinitionsBucket"));
    let deadline = tokio::time::Instant::now() + 2 * DEADLINE;
    while store.read(POINTER_KEY, 1 << 20).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the schedule published nothing");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    world.end().await;
}
