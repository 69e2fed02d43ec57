//! Whoever fetches: the same version is the same bytes in the same generation.

use std::{fs, path::PathBuf};

use nacre_clamav::{
    builder::{eicar_signature, shared_data},
    database::ContainerKind::{Cld, Cvd},
    signing::SigningKeys,
};
use nacre_core::{
    generation::manifest::Manifest,
    port::{DefinitionsStore, WriteCondition},
};
use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::update::Update;

use super::stock::FRESHCLAM;
use crate::{
    sources::{name_server, record},
    world::{World, builder, held, version, whole},
};

/// What makes a generation: its number, its databases with their digests, and what changed.
fn facts(manifest: &Manifest) -> impl PartialEq + std::fmt::Debug {
    (manifest.generation, manifest.databases.clone(), manifest.history.clone(), manifest.contexts.clone())
}

async fn agreed(one: &World, other: &World) {
    let (one, other) = (one.manifest().await.unwrap(), other.manifest().await.unwrap());
    assert_eq!(facts(&one), facts(&other));
}

#[tokio::test]
async fn each_version_is_the_same_bytes_in_the_same_generation() {
    let Some(theirs) = World::of_freshclam(&[]).await else { return };
    let ours = World::new(&[]).await;
    for world in [&theirs, &ours] {
        world.serve(1);
        assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
    }
    agreed(&theirs, &ours).await;
    // From a CVD, then from a CLD, by CDIFFs alone.
    for (generation, newest) in [(2, 4), (3, 6)] {
        for world in [&theirs, &ours] {
            world.advertise(newest, Behaviour::status(500));
            world.serve_cdiffs(2..=newest);
            assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
            assert_eq!(world.published().await, (generation, newest, Cld));
        }
        agreed(&theirs, &ours).await;
    }
    assert_eq!(theirs.requests("test-2.cdiff"), 1, "the published database was laid out");
    let update = theirs.run().await.unwrap();
    assert!(matches!(&update, Update::UpToDate { held, .. } if held.is_empty()), "{update:?}");

    // freshclam keeps no CDIFF, so that the flat prefix gets none.
    let has_cdiff = |world: &World| world.store.keys().contains(&"clamav_defs/test-4.cdiff".to_owned());
    assert!(has_cdiff(&ours) && !has_cdiff(&theirs));
}

#[tokio::test]
async fn one_installation_is_one_client() {
    let Some(mut world) = World::of_freshclam_with(1, &[]).await else { return };
    let first = world.agents();
    assert!(first.len() == 1 && first[0].starts_with("ClamAV/"), "{first:?}");
    world.serve(2);
    world.serve_cdiffs([2]);
    world.pass(chrono::TimeDelta::hours(3));
    world.run().await.unwrap();
    assert_eq!(world.agents(), first);
    assert!(world.state().await.freshclam_data.is_some());
}

#[tokio::test]
async fn a_mirror_that_serves_freshclam_only_serves_us() {
    let Some(theirs) = World::of_freshclam(&[]).await else { return };
    let ours = World::new(&[]).await;
    for world in [&theirs, &ours] {
        let served = Box::new(Behaviour::Bytes(whole(1)));
        world.put("test.cvd", Behaviour::ForAgent { prefix: "ClamAV/".into(), served });
    }
    assert!(ours.run().await.unwrap_err().to_string().contains("all mirrors are rate-limiting us"));
    assert!(matches!(theirs.run().await.unwrap(), Update::Published { .. }));
    assert_eq!(theirs.published().await, (1, 1, Cvd));
}

#[tokio::test]
async fn a_private_mirrors_cld_is_taken_as_it_is() {
    let private = [("NACRE_PRIVATE_MIRROR", "True")];
    let Some(theirs) = World::of_freshclam(&private).await else { return };
    let ours = World::new(&private).await;
    for number in [2, 3] {
        for world in [&theirs, &ours] {
            world.put("test.cld", Behaviour::Bytes(version(number).build_cld(SigningKeys::fixed())));
            world.serve(1);
            world.run().await.unwrap();
            assert_eq!(world.published().await.1, number);
        }
        agreed(&theirs, &ours).await;
    }
}

#[tokio::test]
async fn whole_cvds_are_taken_where_they_are_served_to_others() {
    let Some(world) = World::of_freshclam_with(1, &[("NACRE_SERVE_CVDS", "True")]).await else { return };
    world.serve(2);
    world.serve_cdiffs([2]);
    world.run().await.unwrap();
    assert_eq!((world.published().await, world.requests("test-2.cdiff")), ((2, 2, Cvd), 0));
    let flat = world.store.read("clamav_defs/test.cvd", 1 << 20).await.unwrap().bytes;
    assert_eq!(flat, whole(2));
    let agents = world.agents();
    assert!(agents.len() == 1 && agents[0].starts_with("ClamAV/"), "nobody else asks: {agents:?}");
}

#[tokio::test]
async fn what_the_dns_record_says_is_the_newest_needs_no_run() {
    let Some(mut world) = World::of_freshclam(&[("NACRE_DATABASES", "daily")]).await else { return };
    let put = |world: &World, number| {
        let bytes = builder("daily", number).build(SigningKeys::fixed());
        world.put("daily.cvd", Behaviour::Bytes(bytes));
    };
    put(&world, 1);
    world.run().await.unwrap();
    let (asked, program) = (world.mirror.requests().len(), world.freshclam.program.take());
    let (dns, _) = name_server(record(1, world.now.timestamp())).await;
    let update = world.run_on(&world.store, &world.topic, Some(&dns)).await.unwrap();
    assert!(matches!(update, Update::UpToDate { .. }) && world.mirror.requests().len() == asked);

    // It announces one that the mirror has not got yet.
    world.freshclam.program = program;
    let (dns, _) = name_server(record(3, world.now.timestamp())).await;
    put(&world, 2);
    world.put(
        "daily-2.cdiff",
        Behaviour::Bytes(builder("daily", 2).cdiff_from(&builder("daily", 1), SigningKeys::fixed())),
    );
    let update = world.run_on(&world.store, &world.topic, Some(&dns)).await.unwrap();
    assert_eq!((held(&update), world.published().await.1), (&["daily 3 (announced, not there yet)".to_owned()][..], 2));
}

#[tokio::test]
async fn the_bundle_of_certificates_decides_whom_freshclam_trusts() {
    let Some(mut world) = World::of_freshclam(&[]).await else { return };
    let mirror = HostileMirror::start_tls().await.unwrap();
    mirror.put("/test.cvd", Behaviour::Bytes(whole(1)));
    world = world.also("NACRE_DEFINITIONS_MIRROR", mirror.url());
    let error = nacre_core::telemetry::error_chain(&world.run().await.unwrap_err());
    assert!(error.contains("freshclam failed") && mirror.requests().is_empty(), "{error}");
    let bundle = tempfile::NamedTempFile::new().unwrap();
    fs::write(bundle.path(), mirror.authority().unwrap()).unwrap();
    world.freshclam.environment = vec![("CURL_CA_BUNDLE".into(), bundle.path().to_str().unwrap().into())];
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
}

#[tokio::test]
async fn clamavs_own_test_files_are_the_same_generation_too() {
    let Some(data) = shared_data("freshclam") else { return };
    let Some(mut theirs) = World::of_freshclam(&[("NACRE_TRUST_ANCHORS", "")]).await else { return };
    // As it is, with ClamAV's keys.
    theirs.freshclam.program = Some(PathBuf::from(FRESHCLAM));
    let ours = World::new(&[("NACRE_TRUST_ANCHORS", "")]).await;
    let file = |name: &str| Behaviour::Bytes(fs::read(data.join(name)).unwrap());
    let mut manifests = Vec::new();
    for world in [&theirs, &ours] {
        // These databases know no EICAR, without which no set is published.
        world
            .store
            .write("nacre/custom/eicar.ndb", eicar_signature().into(), &[], WriteCondition::Absent)
            .await
            .unwrap();
        world.put("test.cvd", file("test-1.cvd"));
        world.run().await.unwrap();
        world.put("test.cvd", file("test-3.cvd"));
        for cdiff in ["test-2.cdiff", "test-3.cdiff"] {
            world.put(cdiff, file(cdiff));
        }
        world.run().await.unwrap();
        let published = nacre_core::generation::published::Published::read(&world.store).await.unwrap();
        manifests.push(published.manifest.unwrap());
    }
    let [theirs, ours] = &manifests[..] else { panic!("{manifests:?}") };
    assert_eq!((theirs.databases[0].kind, theirs.databases[0].version.0), (Cld, 3));
    assert_eq!(facts(theirs), facts(ours));
}
