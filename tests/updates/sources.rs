//! Where databases come from: DNS announces what is new, private mirrors have CLDs, and a prefix may be filled by others.

use std::net::Ipv4Addr;

use nacre_clamav::{
    database::ContainerKind::{Cld, Cvd},
    signing::SigningKeys,
};
use nacre_core::port::{DefinitionsStore, WriteCondition};
use nacre_test_support::Behaviour;
use nacre_updater::{dns::Dns, update::Update};
use tokio::net::UdpSocket;

use crate::world::{World, builder, cdiff, held, version, whole};

/// A name server that answers every question with this TXT record, and counts them.
pub(crate) async fn name_server(record: String) -> (Dns, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let dns = Dns::new("current.cvd.test", Some(socket.local_addr().unwrap())).unwrap();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut question).await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            // The question, up to its own end, comes back with one answer that points at its name.
            let end = 12 + question[12..size].iter().position(|byte| *byte == 0).unwrap() + 5;
            let mut answer = question[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            let text = record.as_bytes();
            let length = u8::try_from(text.len()).unwrap();
            answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, length + 1, length]);
            answer.extend(text);
            let _ = socket.send_to(&answer, from).await;
        }
    });
    (dns, asked)
}

/// A record of these versions of `daily` at this time.
pub(crate) fn record(daily: u32, time: i64) -> String {
    format!("1.4.6:62:{daily}:{time}:0:90:49191:339")
}

/// A world of `daily` alone, since the record has no other name of ours.
async fn daily_world() -> World {
    let world = World::new(&[("NACRE_DATABASES", "daily")]).await;
    world.put("daily.cvd", Behaviour::Bytes(builder("daily", 1).build(SigningKeys::fixed())));
    world.run().await.unwrap();
    world
}

#[tokio::test]
async fn when_nothing_is_new_one_question_to_dns_is_all() {
    let world = daily_world().await;
    let (dns, asked) = name_server(record(1, world.now.timestamp() - 600)).await;
    let before = world.mirror.requests().len();
    let update = world.run_on(&world.store, &world.topic, Some(&dns)).await.unwrap();
    assert!(matches!(update, Update::UpToDate { .. }));
    assert_eq!(world.mirror.requests().len(), before, "no mirror is asked");
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_mirror_behind_dns_is_waited_for_and_its_cdiffs_are_taken() {
    let mut world = daily_world().await;
    let (dns, _) = name_server(record(2, world.now.timestamp())).await;
    let update = world.run_on(&world.store, &world.topic, Some(&dns)).await.unwrap();
    assert_eq!(held(&update), ["daily 2 (announced, not there yet)"]);
    let next = builder("daily", 2);
    let patch = next.cdiff_from(&builder("daily", 1), SigningKeys::fixed());
    world.put("daily-2.cdiff", Behaviour::Bytes(patch));
    world.run_on(&world.store, &world.topic, Some(&dns)).await.unwrap();
    assert_eq!(world.published().await, (2, 2, Cld));

    // Not for ever: after half a day the whole is taken.
    let (dns, _) = name_server(record(3, world.now.timestamp())).await;
    world.put("daily.cvd", Behaviour::Bytes(builder("daily", 3).build(SigningKeys::fixed())));
    world.run_on(&world.store, &world.topic, Some(&dns)).await.unwrap();
    assert_eq!(world.published().await.1, 2);
    world.pass(chrono::TimeDelta::hours(12));
    let (dns, _) = name_server(record(3, world.now.timestamp())).await;
    world.run_on(&world.store, &world.topic, Some(&dns)).await.unwrap();
    assert_eq!(world.published().await, (3, 3, Cvd));
    assert!(world.state().await.awaited.is_empty());
}

#[tokio::test]
async fn a_stale_or_silent_record_is_passed_over_for_the_mirror_itself() {
    let world = daily_world().await;
    let (stale, _) = name_server(record(99, world.now.timestamp() - 13 * 3600)).await;
    let silent = Dns::new("current.cvd.test", Some("127.0.0.1:1".parse().unwrap())).unwrap();
    for (dns, number) in [(stale, 3), (silent.with_timeout(std::time::Duration::from_millis(100)), 5)] {
        world.put("daily.cvd", Behaviour::Bytes(builder("daily", number).build(SigningKeys::fixed())));
        world.run_on(&world.store, &world.topic, Some(&dns)).await.unwrap();
        assert_eq!(world.published().await.1, number);
    }
}

#[tokio::test]
async fn a_private_mirror_is_asked_for_its_cld_first_and_never_waited_for() {
    let world = World::new(&[("NACRE_PRIVATE_MIRROR", "True")]).await;
    world.serve(1);
    world.run().await.unwrap();
    assert_eq!(world.published().await, (1, 1, Cvd));
    world.put("test.cld", Behaviour::Bytes(version(2).build_cld(SigningKeys::fixed())));
    world.run().await.unwrap();
    assert_eq!(world.published().await, (2, 2, Cld));
    world.serve_cdiffs([3]);
    world.put("test.cld", Behaviour::Bytes(version(3).build_cld(SigningKeys::fixed())));
    let before = world.mirror.bytes_sent();
    world.run().await.unwrap();
    assert_eq!(world.published().await, (3, 3, Cld));
    assert!(world.mirror.bytes_sent() - before < 512 * 2 + 2 * cdiff(3).len() as u64, "by CDIFF where there is one");
}

#[tokio::test]
async fn a_prefix_that_a_stock_client_fills_is_read_and_never_written() {
    let world = World::new(&[("NACRE_DEFINITIONS_MIRROR", "s3://definitions/clamav_defs")]).await;
    let fill = async |file: &str, bytes: Vec<u8>| {
        world.store.write(&format!("clamav_defs/{file}"), bytes, &[], WriteCondition::Always).await.unwrap();
    };
    fill("test.cvd", whole(1)).await;
    world.run().await.unwrap();
    fill("test-2.cdiff", cdiff(2)).await;
    fill("test.cvd", whole(2)).await;
    world.run().await.unwrap();
    assert_eq!(world.published().await, (2, 2, Cld));
    let keys = world.store.keys();
    let flat: Vec<_> = keys.iter().filter(|key| key.starts_with("clamav_defs/")).collect();
    assert_eq!(flat, ["clamav_defs/test-2.cdiff", "clamav_defs/test.cvd"]);
    assert_eq!(world.mirror.requests().len(), 0);
}

#[tokio::test]
async fn we_say_who_we_are() {
    let world = World::with(1, &[]).await;
    assert!(world.mirror.requests().iter().all(|request| request.user_agent.as_deref() == Some("nacre/test (world)")));
}
