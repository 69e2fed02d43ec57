//! What is published beside the databases: deltas, the flat prefix, and as much of the past as is wanted.

use chrono::TimeDelta;
use nacre_clamav::{
    builder::certificates::SigningCertificates,
    database::{ContainerKind::Cld, DatabaseVersion},
    signing::SigningKeys,
};
use nacre_core::{
    generation::{
        Generation,
        manifest::Manifest,
        published::{Published, Race},
    },
    port::{DefinitionsStore, WriteCondition},
};
use nacre_test_support::Behaviour;
use nacre_updater::update::Update;

use crate::world::{World, cdiff, version, whole};

fn flat(world: &World) -> Vec<String> {
    let keys = world.store.keys().into_iter();
    keys.filter_map(|key| key.strip_prefix("clamav_defs/").map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_flat_prefix_is_exact_and_holds_the_last_cdiffs() {
    let world = World::with(1, &[("NACRE_KEEP_CDIFFS", "2")]).await;
    assert_eq!(flat(&world), ["test.cvd"]);
    world.advertise(5, Behaviour::status(500));
    world.serve_cdiffs(2..=5);
    world.run().await.unwrap();
    world.advertise(6, Behaviour::status(500));
    world.serve_cdiffs([6]);
    world.run().await.unwrap();
    assert_eq!(flat(&world), ["test-5.cdiff", "test-6.cdiff", "test.cld"]);
    let read = async |file: &str| world.store.read(&format!("clamav_defs/{file}"), 1 << 20).await.unwrap().bytes;
    assert_eq!(read("test-6.cdiff").await, cdiff(6));
    assert_eq!(read("test.cld").await, version(6).build_cld(SigningKeys::fixed()));
}

#[tokio::test]
async fn whole_cvds_are_mirrored_on_demand_as_soon_as_they_are_there() {
    let world = World::with(1, &[("NACRE_SERVE_CVDS", "True")]).await;
    world.advertise(2, Behaviour::Bytes(whole(1)));
    world.serve_cdiffs([2]);
    world.run().await.unwrap();
    assert_eq!(flat(&world), ["test-2.cdiff", "test.cld", "test.cvd"]);
    let read = async || world.store.read("clamav_defs/test.cvd", 1 << 20).await.unwrap().bytes;
    assert_eq!(read().await, whole(1), "the mirror has no newer one yet");
    world.serve(2);
    assert!(matches!(world.run().await.unwrap(), Update::UpToDate { .. }), "it is no new generation");
    assert_eq!(read().await, whole(2));
}

#[tokio::test]
async fn what_another_run_wrote_over_the_flat_prefix_is_put_right() {
    let world = World::with(1, &[]).await;
    world.serve(3);
    world.run().await.unwrap();
    // A slow run of an older generation writes what it believes in, and dies.
    world.store.write("clamav_defs/test.cvd", whole(1), &[], WriteCondition::Always).await.unwrap();
    world.run().await.unwrap();
    assert_eq!(world.store.read("clamav_defs/test.cvd", 1 << 20).await.unwrap().bytes, whole(3));
}

#[tokio::test]
async fn detached_signatures_are_checked_and_handed_on() {
    let certificates = SigningCertificates::fixed();
    let root = nacre_clamav::detached_signature::RootCertificate::from_pem(&certificates.root_pem()).unwrap();
    let anchors = SigningKeys::fixed().trust_anchors().with_certificate(root).to_json();
    let world = World::new(&[("NACRE_TRUST_ANCHORS", &anchors)]).await;
    world.serve(1);
    world.put("test-1.cvd.sign", Behaviour::Bytes(certificates.sign(&whole(1))));
    world.run().await.unwrap();
    assert_eq!(flat(&world), ["test-1.cvd.sign", "test.cvd"]);

    // A CDIFF whose signature is another file's is not used; the whole is.
    world.serve(2);
    world.serve_cdiffs([2]);
    world.put("test-2.cdiff.sign", Behaviour::Bytes(certificates.sign(b"something else")));
    world.run().await.unwrap();
    assert_eq!(flat(&world), ["test-1.cvd.sign", "test.cvd"]);

    world.serve(4);
    world.put("test-4.cvd.sign", Behaviour::Bytes(certificates.sign(&whole(3))));
    let error = nacre_core::telemetry::error_chain(&world.run().await.unwrap_err());
    assert!(error.starts_with("test-4.cvd.sign is not valid"), "{error}");
    assert_eq!(world.manifest().await.unwrap().databases[0].version, DatabaseVersion(2));
    let lenient = World::new(&[("NACRE_TRUST_ANCHORS", &anchors), ("NACRE_DETACHED_SIGNATURES", "ignore")]).await;
    lenient.serve(4);
    lenient.put("test-4.cvd.sign", Behaviour::Bytes(certificates.sign(&whole(3))));
    assert!(matches!(lenient.run().await.unwrap(), Update::Published { .. }));
}

#[tokio::test]
async fn of_the_past_as_much_is_kept_as_is_wanted() {
    let mut world = World::with(1, &[("NACRE_KEEP_GENERATIONS", "2")]).await;
    let first = world.manifest().await.unwrap();
    // The script of a CDIFF, as earlier versions published it.
    let script = "nacre/deltas/1-2/test-2.script";
    world.store.write(script, b"CLOSE\n".to_vec(), &[], WriteCondition::Absent).await.unwrap();
    world.advertise(2, Behaviour::status(500));
    world.serve_cdiffs([2]);
    world.run().await.unwrap();
    assert!(world.store.keys().iter().any(|key| key == script), "an earlier version may still be running");
    world.pass(TimeDelta::days(3));
    world.store.written = world.now;
    world.serve(4);
    world.run().await.unwrap();
    let keys = world.store.keys();
    assert!(keys.contains(&first.databases[0].object_key), "what was written a moment ago stays");
    world.pass(TimeDelta::days(3));
    world.serve(6);
    world.run().await.unwrap();
    let keys = world.store.keys();
    let under = |prefix: &str| keys.iter().filter(|key| key.starts_with(prefix)).count();
    // Two databases, and what delta engines need of each: nothing, which is one body.
    let context = &world.manifest().await.unwrap().contexts[0].body.object_key;
    assert!(keys.contains(context));
    assert_eq!((under("nacre/manifests/"), under("nacre/databases/"), under("nacre/deltas/")), (2, 3, 3), "{keys:?}");
    assert!(!keys.contains(&first.databases[0].object_key));
    assert!(!keys.iter().any(|key| key == script), "no manifest needs it");
    world.manifest().await.unwrap();
}

#[tokio::test]
async fn a_pinned_generation_stays_until_it_is_unpinned() {
    let world = World::with(1, &[]).await;
    let pin = async |pinned: bool| {
        let published = Published::read(&world.store).await.unwrap();
        assert_eq!(published.pin(&world.store, pinned).await.unwrap(), Race::Won);
    };
    pin(true).await;
    world.serve(9);
    let asked = world.mirror.requests().len();
    assert_eq!(world.run().await.unwrap(), Update::Pinned { generation: Generation(1) });
    assert_eq!(world.mirror.requests().len(), asked);
    pin(false).await;
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
}

#[tokio::test]
async fn an_older_generation_is_restored_as_a_new_one() {
    let world = World::with(1, &[]).await;
    world.serve(3);
    world.run().await.unwrap();
    let published = Published::read(&world.store).await.unwrap();
    let (manifest, race) = published.restore(&world.store, Generation(1), world.now).await.unwrap();
    assert_eq!((manifest.generation, race), (Generation(3), Race::Won));
    let restored: Manifest = world.manifest().await.unwrap();
    assert_eq!((restored.generation, restored.restores), (Generation(3), Some(Generation(1))));
    assert_eq!(world.published().await, (3, 1, nacre_clamav::database::ContainerKind::Cvd));
    // The next run announces it, and changes nothing else.
    assert_eq!(world.run().await.unwrap(), Update::Pinned { generation: Generation(3) });
    assert_eq!(world.store.read("clamav_defs/test.cvd", 1 << 20).await.unwrap().bytes, whole(1));
    assert!(world.topic.messages().last().unwrap().subject.as_ref().unwrap().contains("generation 3 "));

    Published::read(&world.store).await.unwrap().pin(&world.store, false).await.unwrap();
    world.serve_cdiffs([2, 3]);
    world.run().await.unwrap();
    assert_eq!(world.published().await, (4, 3, Cld));
}
