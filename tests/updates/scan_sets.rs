//! The scan sets that are published beside the databases.

use chrono::TimeDelta;
use md5::{Digest as _, Md5};
use nacre_clamav::{builder::CvdBuilder, signing::SigningKeys};
use nacre_core::{
    generation::{
        manifest::{Manifest, ScanSetEntry},
        published::read_entry,
    },
    port::{DefinitionsStore, WriteCondition},
    telemetry::error_chain,
};
use nacre_scan_set::{
    body,
    filter::Filter,
    key::{Candidate, Digest},
    line::Kind,
    shard,
};
use nacre_test_support::Behaviour;

use crate::world::{World, builder};

fn digest(name: &str, number: u32) -> String {
    format!("{}{number:08x}", hex::encode(&name.as_bytes()[..4]).repeat(3))
}

/// A version with digests.
fn hashed(name: &str, number: u32) -> CvdBuilder {
    let lines = (0..20).map(|n| format!("{}:{}:Hash.{name}.{n}\n", digest(name, number * 100 + n), n + 1));
    builder(name, number).member(&format!("{name}.hdb"), lines.collect::<Vec<_>>().concat())
}

fn serve(world: &World, name: &str, number: u32) {
    world.put(&format!("{name}.cvd"), Behaviour::Bytes(hashed(name, number).build(SigningKeys::fixed())));
}

async fn lines_of(world: &World, set: &ScanSetEntry, name: &str, number: u32) -> Vec<String> {
    let filter = read_entry(&world.store, &set.filter).await.unwrap();
    let shards = read_entry(&world.store, &set.shards).await.unwrap();
    let filter = Filter::parse(&filter).unwrap();
    let mut lines = Vec::new();
    for n in 0..20 {
        let digest = Digest::from_hex(digest(name, number * 100 + n).as_bytes()).unwrap();
        let candidate = Candidate { kind: Kind::File, digest, size: Some(n + 1) };
        assert!(filter.may_match(&candidate));
        let place = filter.shard_of(&candidate);
        let from = usize::try_from(place.offset).unwrap();
        let bytes = &shards[from..from + place.length as usize];
        assert!(place.is(bytes));
        let hits = shard::hits(bytes, &[candidate]).unwrap();
        lines.extend(hits.into_iter().map(|hit| String::from_utf8(hit.line).unwrap()));
    }
    lines
}

fn set<'m>(manifest: &'m Manifest, name: &str) -> &'m ScanSetEntry {
    let database = manifest.databases.iter().find(|database| database.name.as_str() == name).unwrap();
    manifest.scan_set(database).unwrap()
}

#[tokio::test]
async fn a_generation_has_the_scan_sets_of_its_databases_and_builds_only_what_changed() {
    let world = World::new(&[("NACRE_DATABASES", "test,daily")]).await;
    serve(&world, "test", 1);
    serve(&world, "daily", 1);
    world.run().await.unwrap();
    let first = world.manifest().await.unwrap();
    for (name, number) in [("test", 1), ("daily", 1)] {
        let set = set(&first, name);
        assert_eq!(set.lines, 20);
        let expected = (0..20).map(|n| format!("{}:{}:Hash.{name}.{n}", digest(name, number * 100 + n), n + 1));
        assert_eq!(lines_of(&world, set, name, number).await, expected.collect::<Vec<_>>());
        let files = body::files(&read_entry(&world.store, &set.body).await.unwrap()).unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [format!("{name}.ndb")], "no digests, no .info, no COPYING");
    }
    // One version further, its CDIFF would be waited for.
    serve(&world, "daily", 3);
    world.run().await.unwrap();
    let second = world.manifest().await.unwrap();
    assert_eq!(set(&second, "test"), set(&first, "test"));
    assert_ne!(set(&second, "daily"), set(&first, "daily"));
    assert_eq!(lines_of(&world, set(&second, "daily"), "daily", 3).await.len(), 20);
    let flat = world.store.keys().into_iter().filter(|key| key.starts_with("clamav_defs/")).collect::<Vec<_>>();
    assert_eq!(flat, ["clamav_defs/daily.cvd", "clamav_defs/test.cvd"], "other clients see nothing of it");
}

#[tokio::test]
async fn signatures_are_counted_alike_whatever_the_test_loads() {
    for setting in ["True", "False"] {
        let world = World::new(&[("NACRE_DATABASES", "test,daily"), ("NACRE_SCAN_SETS", setting)]).await;
        serve(&world, "test", 1);
        serve(&world, "daily", 1);
        world.run().await.unwrap();
        // Of each 20 digests and 2 patterns.
        assert_eq!(world.manifest().await.unwrap().engine.signatures, 44);
    }
}

#[tokio::test]
async fn a_generation_whose_scan_sets_fail_is_published_without_them() {
    let world = World::new(&[("NACRE_DATABASES", "test,daily")]).await;
    serve(&world, "test", 1);
    serve(&world, "daily", 1);
    world.run().await.unwrap();
    let first = world.manifest().await.unwrap();
    world.store.remove(&set(&first, "test").filter.object_key).await.unwrap();
    serve(&world, "daily", 3);
    world.run().await.unwrap();
    let second = world.manifest().await.unwrap();
    assert!(second.scan_sets.is_empty(), "the test loads what scanners load, and finds that it is lost");
    serve(&world, "daily", 5);
    world.run().await.unwrap();
    let third = world.manifest().await.unwrap();
    assert_eq!(lines_of(&world, set(&third, "test"), "test", 1).await.len(), 20, "built anew");
}

#[tokio::test]
async fn a_clean_file_that_only_a_digest_finds_rejects_a_set() {
    let world = World::with(1, &[]).await;
    let precious = b"precious bytes";
    world.store.write("nacre/canary/a.bin", precious.to_vec(), &[], WriteCondition::Always).await.unwrap();
    for (digest, is_known) in [(hex::encode(Md5::digest(precious)), true), ("0".repeat(32), false)] {
        let version = if is_known { 3 } else { 5 };
        let hashed = hashed("test", version).member("test.hsb", format!("{digest}:{}:Too.Greedy\n", precious.len()));
        world.put("test.cvd", Behaviour::Bytes(hashed.build(SigningKeys::fixed())));
        let run = world.run().await;
        assert_eq!(run.is_err(), is_known, "{run:?}");
        if let Err(error) = run {
            let error = error_chain(&error);
            assert!(error.contains("Too.Greedy.UNOFFICIAL in the clean file nacre/canary/a.bin"), "{error}");
        }
    }
}

#[tokio::test]
async fn scan_sets_go_with_the_generations_that_need_them() {
    let mut world = World::new(&[("NACRE_KEEP_GENERATIONS", "1")]).await;
    let mut manifests = Vec::new();
    for number in [1, 3, 5] {
        serve(&world, "test", number);
        world.run().await.unwrap();
        manifests.push(world.manifest().await.unwrap());
        world.pass(TimeDelta::days(5));
    }
    let keys = world.store.keys();
    let are_there = |manifest: &Manifest| set(manifest, "test").bodies().map(|body| keys.contains(&body.object_key));
    assert_eq!(are_there(&manifests[0]), [false; 3]);
    assert_eq!(are_there(&manifests[2]), [true; 3]);
}

#[tokio::test]
async fn a_database_without_digests_has_no_scan_set() {
    let world = World::with(1, &[]).await;
    assert!(world.manifest().await.unwrap().scan_sets.is_empty());
    // A generation of before scan sets has the same form.
    let key = Manifest::object_key(world.manifest().await.unwrap().generation);
    let bytes = world.store.read(&key, 1 << 20).await.unwrap().bytes;
    assert!(!String::from_utf8(bytes).unwrap().contains("scan_sets"));
}
