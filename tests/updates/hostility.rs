//! Whatever a mirror does, nothing is published that did not verify, and the error names file and reason.

use std::io::Write;

use chrono::TimeDelta;
use flate2::{Compression, write::GzEncoder};
use nacre_clamav::{database::ContainerKind::Cvd, signing::SigningKeys};
use nacre_core::telemetry::error_chain;
use nacre_test_support::Behaviour;
use nacre_updater::update::Update;

use crate::world::{World, builder, cdiff, version, whole};

/// A container whose payload inflates to far more than it has bytes.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..2048 {
        encoder.write_all(&vec![b'\0'; 1 << 20]).unwrap();
    }
    [&whole(2)[..512], &encoder.finish().unwrap()].concat()
}

#[tokio::test]
async fn a_whole_database_that_is_not_right_publishes_nothing() {
    let keys = SigningKeys::fixed();
    let strangers = SigningKeys::generate("strangers").unwrap();
    let mut flipped = whole(2);
    *flipped.last_mut().unwrap() ^= 1;
    for (behaviour, reason) in [
        (Behaviour::Truncated(whole(2)), "broke off after"),
        (Behaviour::LyingLength { bytes: whole(2), announced: 1 << 40 }, "is larger than"),
        (Behaviour::LyingLength { bytes: whole(2), announced: 5000 }, "broke off after"),
        (Behaviour::Endless, "is larger than"),
        (Behaviour::SlowLoris, "is too slow"),
        (Behaviour::Silence, "is too slow"),
        (Behaviour::RedirectLoop, "did not answer"),
        (Behaviour::Reset, "did not answer"),
        (Behaviour::status(503), "answered 503"),
        (Behaviour::Bytes(flipped), "the MD5 of the content is"),
        (Behaviour::Bytes(bomb()), "the MD5 of the content is"),
        (
            Behaviour::Bytes(version(2).build(&strangers)),
            "the header's signature does not hold under the keys of test#",
        ),
        (Behaviour::Bytes(version(2).wrong_info_signature().build(keys)), "the .info's signature does not hold"),
        (Behaviour::Bytes(version(2).drop_after_signing("test.ndb").build(keys)), "members that are missing: test.ndb"),
        (Behaviour::Bytes(builder("other", 2).build(keys)), "there is no test.info"),
        (Behaviour::Bytes(b"<html>not here</html>".repeat(40)), "the header does not begin with ClamAV-VDB"),
        (Behaviour::Bytes(b"short".to_vec()), "fewer than a header's 512"),
    ] {
        // The first bytes are those of a good file; a small limit ends what would not.
        let world = World::new(&[("NACRE_MAX_DATABASE_BYTES", "3000000")]).await;
        let stalls = matches!(behaviour, Behaviour::SlowLoris | Behaviour::Silence);
        let world = if stalls { world.impatient() } else { world };
        world.advertise(2, behaviour);
        let error = error_chain(&world.run().await.unwrap_err());
        assert!(error.contains("test") && error.contains(reason), "{reason}: {error}");
        assert!(world.manifest().await.is_none(), "{reason}");
        assert!(!world.store.keys().iter().any(|key| key.starts_with("clamav_defs/")), "{reason}");
    }
}

#[tokio::test]
async fn a_cdiff_that_is_not_right_is_passed_over_for_the_whole() {
    let keys = SigningKeys::fixed();
    let strangers = SigningKeys::generate("strangers").unwrap();
    let number = nacre_clamav::database::DatabaseVersion;
    let mut flipped = cdiff(2);
    flipped[40] ^= 1;
    for (what, file) in [
        ("flipped", flipped),
        ("truncated", cdiff(2)[..400].to_vec()),
        ("signed by others", version(2).cdiff_from(&version(1), &strangers)),
        ("of another version", keys.cdiff(number(3), b"OPEN test.ndb\nADD x\nCLOSE\n")),
        ("of another database", builder("other", 2).cdiff_from(&builder("other", 1), keys)),
        ("that does not fit", keys.cdiff(number(2), b"OPEN test.ndb\nDEL 99 x\nCLOSE\n")),
        ("that makes something else", keys.cdiff(number(2), b"OPEN test.ndb\nADD Evil:0:*:61\nCLOSE\n")),
        ("that is a web page", b"<html>".repeat(100)),
    ] {
        let world = World::with(1, &[]).await;
        world.serve(2);
        world.put("test-2.cdiff", Behaviour::Bytes(file));
        assert!(matches!(world.run().await.unwrap(), Update::Published { .. }), "{what}");
        assert_eq!(world.published().await, (2, 2, Cvd), "{what}");
        assert!(!world.store.keys().contains(&"clamav_defs/test-2.cdiff".to_owned()), "{what}: nobody else gets it");
    }
}

#[tokio::test]
async fn a_cdiff_that_cannot_be_asked_for_is_not_taken_for_missing() {
    for behaviour in [Behaviour::Truncated(cdiff(2)), Behaviour::Reset, Behaviour::status(502), Behaviour::Silence] {
        let world = World::with(1, &[]).await;
        world.advertise(9, Behaviour::Bytes(whole(9)));
        let world = if matches!(behaviour, Behaviour::Silence) { world.impatient() } else { world };
        world.put("test-2.cdiff", behaviour);
        let error = error_chain(&world.run().await.unwrap_err());
        assert!(error.starts_with("test could not be fetched: test-2.cdiff could not be downloaded"), "{error}");
        assert_eq!(world.published().await.1, 1);
        assert_eq!(world.requests("test-2.cdiff"), 3, "a few tries, not many");
    }
}

#[tokio::test]
async fn a_builders_clock_ahead_of_ours_hides_no_change() {
    let mut world = World::new(&[]).await;
    let ahead = u64::try_from((world.now + TimeDelta::days(300)).timestamp()).unwrap();
    let file = |number| version(number).built(ahead).build(SigningKeys::fixed());
    world.put("test.cvd", Behaviour::Bytes(file(1)));
    world.run().await.unwrap();
    world.put("test.cvd", Behaviour::Bytes(file(3)));
    world.mirror.set_last_modified("/test.cvd", world.now);
    world.pass(TimeDelta::hours(1));
    world.run().await.unwrap();
    assert_eq!(world.published().await, (2, 3, Cvd));
}

#[tokio::test]
async fn an_unchanged_mirror_costs_one_small_request_a_database() {
    let world = World::with(1, &[]).await;
    let (asked, sent) = (world.mirror.requests().len(), world.mirror.bytes_sent());
    assert!(matches!(world.run().await.unwrap(), Update::UpToDate { .. }));
    assert_eq!(world.mirror.requests().len(), asked + 1);
    assert!(world.mirror.bytes_sent() <= sent + 512);
}
