//! Loose signature files join the set, are requested once, and allow-lists answer false positives.

use nacre_core::{
    port::{DefinitionsStore, WriteCondition},
    telemetry::error_chain,
};
use nacre_test_support::Behaviour;
use nacre_updater::update::Update;

use crate::world::{World, held};

async fn put(world: &World, key: &str, bytes: &[u8]) {
    world.store.write(key, bytes.to_vec(), &[], WriteCondition::Always).await.unwrap();
}

#[tokio::test]
async fn a_loose_file_makes_a_generation_and_its_removal_another() {
    let world = World::with(1, &[]).await;
    put(&world, "nacre/custom/local.ndb", b"Our.Own:0:*:6f7572206f776e2070617474657268\n").await;
    let update = world.run().await.unwrap();
    assert!(matches!(&update, Update::Published { databases, .. } if databases == &["local.ndb"]), "{update:?}");
    let manifest = world.manifest().await.unwrap();
    assert_eq!(manifest.custom[0].name, "local.ndb");
    assert_eq!(manifest.engine.signatures, manifest.engine.expected_signatures + 1);
    assert!(matches!(world.run().await.unwrap(), Update::UpToDate { .. }), "nothing changed since");

    world.store.remove("nacre/custom/local.ndb").await.unwrap();
    let update = world.run().await.unwrap();
    assert!(
        matches!(&update, Update::Published { databases, .. } if databases == &["local.ndb (removed)"]),
        "{update:?}"
    );
}

#[tokio::test]
async fn a_url_is_asked_again_by_its_etag_and_kept_while_it_does_not_answer() {
    let feed = nacre_test_support::HostileMirror::start().await.unwrap();
    let url = format!("{}/feeds/phish.ndb?token=secret", feed.url());
    let world = World::new(&[("NACRE_CUSTOM_DATABASES", &url)]).await;
    feed.put("/feeds/phish.ndb", Behaviour::Bytes(b"Phish.A:0:*:70686973682061\n".to_vec()));
    world.serve(1);
    world.run().await.unwrap();
    let manifest = world.manifest().await.unwrap();
    assert!(!String::from_utf8(manifest.to_bytes()).unwrap().contains("secret"), "tokens are not published");

    assert!(matches!(world.run().await.unwrap(), Update::UpToDate { .. }));
    assert_eq!(feed.requests().last().unwrap().if_none_match, manifest.custom[0].etag);
    for behaviour in [Behaviour::status(500), Behaviour::status(404), Behaviour::Endless] {
        feed.put("/feeds/phish.ndb", behaviour);
        let update = world.run().await.unwrap();
        assert_eq!(held(&update), ["phish.ndb"]);
    }
    feed.put("/feeds/phish.ndb", Behaviour::Bytes(b"Phish.B:0:*:70686973682062\n".to_vec()));
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
}

#[tokio::test]
async fn a_loose_file_that_does_not_load_is_rejected_with_the_set() {
    let world = World::with(1, &[]).await;
    put(&world, "nacre/custom/broken.ldb", b"no signature at all\n").await;
    let error = error_chain(&world.run().await.unwrap_err());
    assert!(error.starts_with("the new set of databases (test 1, broken.ldb) does not pass its test"), "{error}");
    assert_eq!(world.published().await.0, 1);
}

#[tokio::test]
async fn a_loose_file_that_loads_in_part_is_rejected_with_its_name_and_line() {
    for (name, content, says) in [
        ("x.yar", &b"rule a { condition: true }\nimport \"pe\"\nrule r { condition: pe.is_dll() }\n"[..], "line 3"),
        ("x.ldb", b"A;Engine:500-600,Target:0;0;00112233\n", "line 1: it is for functionality levels 500 to 600"),
        ("x.ndb", b"A:0:*:00112233\nField.\xFCml:0:*:00112233\n", "line 2: the name is not in UTF-8"),
        ("local.ign2", b"\xEF\xBB\xBFSome.Name\n", "byte order mark"),
    ] {
        let world = World::with(1, &[]).await;
        put(&world, &format!("nacre/custom/{name}"), content).await;
        let error = error_chain(&world.run().await.unwrap_err());
        assert!(error.contains(&format!("nacre/custom/{name}: ")) && error.contains(says), "{error}");
        assert_eq!(world.published().await.0, 1);
    }
}

#[tokio::test]
async fn an_allow_list_answers_a_false_positive() {
    let world = World::with(1, &[]).await;
    // A signature that finds a clean document of the operator's.
    put(&world, "nacre/canary/terms.txt", b"our terms and conditions\n").await;
    put(&world, "nacre/custom/bad.ndb", format!("Bad.Idea:0:*:{}\n", hex::encode("our terms")).as_bytes()).await;
    let error = error_chain(&world.run().await.unwrap_err());
    assert!(error.contains("Bad.Idea.UNOFFICIAL in the clean file nacre/canary/terms.txt"), "{error}");
    put(&world, "nacre/custom/local.ign2", b"Bad.Idea\n").await;
    assert!(matches!(world.run().await.unwrap(), Update::Published { .. }));
}

#[tokio::test]
async fn a_faulty_loose_file_is_left_out_where_the_operator_chose_so() {
    let world = World::with(1, &[("NACRE_FAULTY_CUSTOM", "leave-out")]).await;
    put(&world, "nacre/custom/bad.ndb", b"A:0:*:00112233\nField.\xFCml:0:*:00112233\n").await;
    put(&world, "nacre/custom/good.ndb", b"Our.Own:0:*:6f7572206f776e2070617474657268\n").await;
    let update = world.run().await.unwrap();
    let left_out =
        "bad.ndb (left out: line 2: the name is not in UTF-8, on which libclamav dies: rename the signature)";
    assert_eq!(held(&update), [left_out]);
    let manifest = world.manifest().await.unwrap();
    assert_eq!(manifest.custom.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["good.ndb"]);
    let update = world.run().await.unwrap();
    assert!(matches!(&update, Update::UpToDate { .. }), "{update:?}");
    assert_eq!(held(&update), [left_out], "named as long as it is there");

    put(&world, "nacre/custom/bad.ndb", b"A:0:*:00112233445566\n").await;
    let update = world.run().await.unwrap();
    assert!(matches!(&update, Update::Published { held, .. } if held.is_empty()), "{update:?}");
}
