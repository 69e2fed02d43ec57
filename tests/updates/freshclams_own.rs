//! The scenarios of freshclam's own test suite (clamav.md §6.2), by its names.

use nacre_clamav::{
    database::ContainerKind::{Cld, Cvd},
    signing::SigningKeys,
};
use nacre_test_support::Behaviour;
use nacre_updater::update::Update;

use crate::world::{World, cdiff, held, version, whole};

#[tokio::test]
async fn cdiffs_lead_to_the_advertised_version() {
    let world = World::with(1, &[]).await;
    world.advertise(6, Behaviour::status(500));
    world.serve_cdiffs(2..=6);
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
    assert_eq!(world.published().await, (2, 6, Cld));
    // What was made of CDIFFs is what the makers made.
    let manifest = world.manifest().await.unwrap();
    let body = nacre_core::generation::published::read_body(&world.store, &manifest.databases[0]).await.unwrap();
    assert_eq!(body, version(6).build_cld(SigningKeys::fixed()));
}

#[tokio::test]
async fn a_partial_chain_one_short_is_kept_and_waited_for() {
    let world = World::with(3, &[]).await;
    world.advertise(6, Behaviour::status(500));
    world.serve_cdiffs([4, 5]);
    let update = world.run().await.unwrap();
    assert_eq!(held(&update), ["test 6 (announced, not there yet)"]);
    assert_eq!(world.published().await, (2, 5, Cld));
    let again = world.run().await.unwrap();
    assert!(matches!(again, Update::UpToDate { .. }), "{again:?}");
    assert_eq!(held(&again), ["test 6 (announced, not there yet)"]);
    let wholes =
        world.mirror.requests().iter().filter(|request| request.path == "test.cvd" && request.range.is_none()).count();
    assert_eq!(wholes, 1, "only the bootstrap downloaded a whole database");
}

#[tokio::test]
async fn a_partial_chain_two_short_is_kept_and_then_the_whole_is_taken() {
    let world = World::with(3, &[]).await;
    world.advertise(6, Behaviour::Bytes(whole(6)));
    world.serve_cdiffs([4]);
    world.run().await.unwrap();
    assert_eq!(world.published().await, (2, 4, Cld));
    world.run().await.unwrap();
    assert_eq!(world.published().await, (3, 6, Cvd));
}

#[tokio::test]
async fn a_cdiff_of_no_bytes_asks_for_a_cvd_which_may_be_outdated() {
    let world = World::with(1, &[]).await;
    world.advertise(6, Behaviour::Bytes(whole(5)));
    world.serve_cdiffs([2]);
    world.put("test-3.cdiff", Behaviour::Bytes(Vec::new()));
    let first = world.run().await.unwrap();
    assert_eq!(world.published().await, (2, 5, Cvd));
    assert_eq!(held(&first), ["test 6 (announced, not there yet)"]);
    world.serve_cdiffs([6]);
    world.run().await.unwrap();
    assert_eq!(world.published().await, (3, 6, Cld));
    let third = world.run().await.unwrap();
    assert!(matches!(&third, Update::UpToDate { held, .. } if held.is_empty()), "{third:?}");
    assert_eq!(world.requests("test-4.cdiff"), 0);
}

#[tokio::test]
async fn two_updates_in_a_row_patch_a_cvd_and_then_the_cld() {
    let world = World::with(1, &[]).await;
    world.serve_cdiffs(2..=6);
    world.advertise(3, Behaviour::status(500));
    world.run().await.unwrap();
    assert_eq!(world.published().await, (2, 3, Cld));
    world.advertise(6, Behaviour::status(500));
    world.run().await.unwrap();
    assert_eq!(world.published().await, (3, 6, Cld));
}

#[tokio::test]
async fn a_cvd_behind_the_advertised_version_is_taken_and_patched_on_at_bootstrap() {
    let world = World::new(&[]).await;
    world.advertise(6, Behaviour::Bytes(whole(5)));
    world.put("test-6.cdiff", Behaviour::Bytes(cdiff(6)));
    world.run().await.unwrap();
    assert_eq!(world.published().await, (1, 6, Cld));
}

#[tokio::test]
async fn a_stale_mirror_never_rolls_back() {
    let world = World::with(5, &[]).await;
    world.serve(4);
    let update = world.run().await.unwrap();
    assert!(matches!(update, Update::UpToDate { .. }));
    assert_eq!(held(&update), ["test 4"]);
    // It shows a newer header and serves an older file.
    world.advertise(9, Behaviour::Bytes(whole(4)));
    world.run().await.unwrap();
    assert_eq!(world.published().await, (1, 5, Cvd));
}
