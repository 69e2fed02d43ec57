//! A set is published only when a real engine makes of it what it promises; one that fails is kept aside with its report.

use chrono::TimeDelta;
use nacre_clamav::{
    builder::{CvdBuilder, eicar_signature},
    signing::SigningKeys,
};
use nacre_core::{
    bucket_keys::REJECTED_PREFIX,
    generation::manifest::{CustomEntry, DatabaseEntry},
    port::{DefinitionsStore, WriteCondition},
    telemetry::error_chain,
};
use nacre_test_support::Behaviour;
use serde_json::Value;

use crate::world::World;

async fn rejected(world: &World, builder: &CvdBuilder) -> (String, Value) {
    let before = world.published().await;
    world.put("test.cvd", Behaviour::Bytes(builder.build(SigningKeys::fixed())));
    let error = error_chain(&world.run().await.unwrap_err());
    assert_eq!(world.published().await, before, "the previous generation stays: {error}");
    let listed = world.store.list(REJECTED_PREFIX, 9).await.unwrap();
    let report = world.store.read(&listed.last().expect("a report").key, 1 << 20).await.unwrap();
    assert!(error.contains(&listed.last().unwrap().key), "{error}");
    (error, serde_json::from_slice(&report.bytes).unwrap())
}

#[tokio::test]
async fn a_set_that_does_not_load_is_kept_aside_with_its_report() {
    let world = World::with(1, &[]).await;
    let nonsense = CvdBuilder::new("test").version(3).member("test.ldb", "not a signature\n");
    let (error, report) = rejected(&world, &nonsense).await;
    assert!(
        error.starts_with("the new set of databases (test 3) does not pass its test (report: nacre/rejected/2-"),
        "{error}"
    );
    assert!(report["cause"].as_str().unwrap().contains("the engine does not load the databases"), "{report}");
    let entry: DatabaseEntry = serde_json::from_value(report["databases"][0].clone()).unwrap();
    assert!(world.store.keys().contains(&entry.object_key), "it can be read");
    assert!(serde_json::from_value::<Vec<CustomEntry>>(report["custom"].clone()).unwrap().is_empty());
}

#[tokio::test]
async fn a_set_without_eicar_is_rejected() {
    let world = World::with(1, &[]).await;
    let without = CvdBuilder::new("test").version(3).member("test.ndb", "Only.This:0:*:6f6e6c792074686973\n");
    let (error, _) = rejected(&world, &without).await;
    assert!(error.contains("do not find the EICAR test file in eicar.zip"), "{error}");
}

#[tokio::test]
async fn a_set_that_promises_more_than_it_has_is_rejected() {
    let world = World::with(1, &[]).await;
    // Signatures for engines to come, which this one passes over.
    let far = (0..20).map(|n| format!("Far.{n}:0:*:{}:9000\n", hex::encode(format!("far away {n}"))));
    let far = far.collect::<Vec<_>>().concat();
    let promising = CvdBuilder::new("test").version(3).member("test.ndb", eicar_signature() + &far);
    let (error, _) = rejected(&world, &promising).await;
    assert!(error.contains("the engine loaded 1 signatures of 21 that the databases promise"), "{error}");
}

#[tokio::test]
async fn a_set_that_finds_something_in_what_is_clean_is_rejected() {
    for (pattern, file) in [("nacre.", "notes.txt"), ("<!DOCTYPE html", "page.html"), ("\u{7f}ELF", "nacre-engine")] {
        let world = World::with(1, &[]).await;
        let greedy = format!("Too.Greedy:0:*:{}\n", hex::encode(pattern));
        let greedy = CvdBuilder::new("test").version(3).member("test.ndb", eicar_signature() + &greedy);
        let (error, _) = rejected(&world, &greedy).await;
        assert!(error.contains("Too.Greedy.UNOFFICIAL in the clean file"), "{error}");
        assert!(error.contains(file) || file == "page.html", "{file}: {error}");
    }
    // The operator's own files count as ours do.
    let world = World::with(1, &[]).await;
    world.store.write("nacre/canary/a/b.bin", b"precious bytes".to_vec(), &[], WriteCondition::Always).await.unwrap();
    let greedy = format!("Too.Greedy:0:*:{}\n", hex::encode("precious"));
    let (error, _) =
        rejected(&world, &CvdBuilder::new("test").version(3).member("test.ndb", eicar_signature() + &greedy)).await;
    assert!(error.contains("in the clean file nacre/canary/a/b.bin"), "{error}");
}

#[tokio::test]
async fn what_was_proven_is_in_the_manifest_and_a_report_has_its_time() {
    let mut world = World::with(1, &[]).await;
    let proof = world.manifest().await.unwrap().engine;
    assert_eq!((proof.signatures, proof.expected_signatures), (2, 2));
    assert!(proof.clean_files > 10 && !proof.eicar.is_empty(), "{proof:?}");

    let nonsense = CvdBuilder::new("test").version(3).member("test.ldb", "not a signature\n");
    rejected(&world, &nonsense).await;
    world.pass(TimeDelta::days(31));
    world.serve(5);
    world.run().await.unwrap();
    assert!(world.store.list(REJECTED_PREFIX, 9).await.unwrap().is_empty(), "after its time it goes");
}
