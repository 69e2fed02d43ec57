//! Scans with scan sets say what scans with whole databases say.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use md5::{Digest, Md5};
use nacre_aws::SystemClock;
use nacre_clamav::{
    archive::ArchiveLimits, builder::CvdBuilder, cvd::Cvd, database::DatabaseName, signing::SigningKeys,
};
use nacre_core::{
    builder::engine_proof,
    generation::{
        manifest::{DatabaseEntry, Manifest, ScanSetEntry},
        published::{Published, Race},
    },
    port::{Clock, DefinitionsStore, WriteCondition},
    verdict::Verdict,
};
use nacre_updater::{database_update::StagedDatabase, scan_sets};

use crate::world::{Scanner, World, announce, signature};

const ALLOWED: &str = "known, and allowed";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

fn hash(name: &str, content: &[u8]) -> String {
    format!("{}:{}:{name}\n", hex::encode(Md5::digest(content)), content.len())
}

/// A Windows program of one section, which is 512 bytes from 512 on.
fn program(fill: u8) -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(0, b"MZ");
    put(60, &64_u32.to_le_bytes());
    put(64, b"PE\0\0\x4c\x01\x01\0");
    put(84, &[0xE0, 0, 0x02, 0x01, 0x0b, 0x01]);
    for (at, number) in [
        (16, 0x1000_u32),
        (20, 0x1000),
        (28, 0x40_0000),
        (32, 0x1000),
        (36, 0x200),
        (48, 4),
        (56, 0x2000),
        (60, 0x200),
        (68, 3),
        (92, 16),
    ] {
        put(88 + at, &number.to_le_bytes());
    }
    let section = 88 + 0xE0;
    put(section, b".text");
    for (at, number) in [(8, 0x200_u32), (12, 0x1000), (16, 0x200), (20, 0x200), (36, 0x6000_0020)] {
        put(section + at, &number.to_le_bytes());
    }
    bytes[0x200..].fill(fill);
    bytes
}

/// Objects, and whether the database below knows them; `None` where a full scan may not say "clean", either: an allow-list takes back all
/// matches of what it allows, the engine's own probes among them.
fn objects() -> Vec<(&'static str, Vec<u8>, Option<bool>)> {
    let page = b"<html><body>A page that libclamav makes text of</body></html>";
    vec![
        ("harmless", b"nothing of it is known".to_vec(), Some(false)),
        ("whole", b"known as a whole".to_vec(), Some(true)),
        ("near miss", b"known as a hole!".to_vec(), Some(false)),
        ("any size", b"known with any size".to_vec(), Some(true)),
        ("inside", gzip(b"known when it is unpacked"), Some(true)),
        ("body", b"the body knows a string".to_vec(), Some(true)),
        ("both", b"the body knows a string, and the filter all".to_vec(), Some(true)),
        ("allowed", ALLOWED.as_bytes().to_vec(), None),
        ("allowed inside", gzip(ALLOWED.as_bytes()), Some(false)),
        ("allowed around", gzip(b"known within what is allowed"), None),
        ("later level", b"known to a later libclamav".to_vec(), Some(false)),
        ("section", program(7), Some(true)),
        ("section inside", gzip(&program(7)), Some(true)),
        ("other section", program(8), Some(false)),
        ("page", page.to_vec(), Some(false)),
    ]
}

fn database() -> Vec<u8> {
    let hdb = [
        hash("Whole", b"known as a whole"),
        hash("Inside", b"known when it is unpacked"),
        hash("Both", b"the body knows a string, and the filter all"),
        hash("Allowed", ALLOWED.as_bytes()),
        hash("Within", b"known within what is allowed"),
        format!("{}:*:AnySize:73\n", hex::encode(Md5::digest(b"known with any size"))),
        hash("Later:999", b"known to a later libclamav"),
    ];
    let section = format!("512:{}:Section\n", hex::encode(Md5::digest([7; 512])));
    let allowed = [hash("Fp", ALLOWED.as_bytes()), hash("Around", &gzip(b"known within what is allowed"))];
    CvdBuilder::new("daily")
        .member("daily.hdb", hdb.concat())
        .member("daily.mdb", section)
        .member("daily.fp", allowed.concat())
        .member("daily.ndb", signature("Body", "the body knows a string"))
        .build(SigningKeys::fixed())
}

/// Publishes a database with its scan set.
async fn publish(world: &World, file: &[u8]) -> ScanSetEntry {
    let scratch = tempfile::tempdir().unwrap();
    let anchors = SigningKeys::fixed().trust_anchors();
    let name = DatabaseName::new("daily").unwrap();
    let verified = Cvd::parse(file).unwrap().verify(&name, &anchors, ArchiveLimits::default()).unwrap();
    let entry = DatabaseEntry::of(&verified);
    let path = scratch.path().join("daily.cvd");
    std::fs::write(&path, file).unwrap();
    let built = scan_sets::build(&StagedDatabase { entry: entry.clone(), path }, scratch.path()).unwrap().unwrap();
    let (mut body, mut shards) = (built.body, built.shards);
    let store = &world.definitions.kept;
    for (key, bytes) in [
        (&entry.object_key, file.to_vec()),
        (&built.entry.body.object_key, scan_sets::read_back(&mut body).unwrap()),
        (&built.entry.filter.object_key, built.filter),
        (&built.entry.shards.object_key, scan_sets::read_back(&mut shards).unwrap()),
    ] {
        store.write(key, bytes, &[], WriteCondition::Always).await.unwrap();
    }
    let before = Published::read(store).await.unwrap();
    let generation = before.next_generation();
    let mut manifest = Manifest::new(generation, SystemClock.now(), anchors.identity(), vec![entry], engine_proof());
    manifest.scan_sets = vec![built.entry.clone()];
    assert!(matches!(before.advance(store, &manifest, false).await.unwrap(), Race::Won));
    built.entry
}

fn scanner<'a>(world: &'a World, by_scan_sets: &str) -> Scanner<'a> {
    let anchors = SigningKeys::fixed().trust_anchors().to_json();
    world.scanner_with(&[("NACRE_TRUST_ANCHORS", &anchors), ("NACRE_SCAN_SETS", by_scan_sets)])
}

#[tokio::test]
async fn scan_sets_say_what_whole_databases_say() {
    let world = World::new();
    publish(&world, &database()).await;
    let (full, ours) = (scanner(&world, "False"), scanner(&world, "True"));
    for (name, content, infected) in objects() {
        let verdict = async |scanner: &Scanner<'_>, place: &str| {
            let object = world.objects.put("versioned", &format!("{place}/{name}"), content.clone());
            announce(scanner, &[&object]).await;
            world.record(&object)
        };
        let (expected, record) = (verdict(&full, "full").await, verdict(&ours, "ours").await);
        match infected {
            None => assert!(!expected.verdict.is_infected(), "{name}: {:?}", expected.verdict),
            Some(infected) => {
                assert_eq!(expected.verdict != Verdict::Clean, infected, "{name}: {:?}", expected.verdict);
            }
        }
        assert_eq!(record.verdict, expected.verdict, "{name}");
        assert_eq!((record.targets, record.layers), (expected.targets, expected.layers), "{name}");
    }
}

#[tokio::test]
async fn without_a_shard_nothing_is_clean_and_the_message_comes_again() {
    let world = World::new();
    let set = publish(&world, &database()).await;
    let ours = scanner(&world, "True");
    let store = &world.definitions.kept;
    let shards = store.read(&set.shards.object_key, 1 << 20).await.unwrap().bytes;
    let damaged: Vec<u8> = shards.iter().map(|byte| byte ^ 1).collect();
    // What the definitions allow is clean only once libclamav has said so.
    let content = [("known", b"known as a whole".to_vec()), ("allowed", gzip(ALLOWED.as_bytes()))];
    for shards in [None, Some(damaged)] {
        match shards {
            None => store.remove(&set.shards.object_key).await.unwrap(),
            Some(bytes) => {
                store.write(&set.shards.object_key, bytes, &[], WriteCondition::Always).await.unwrap();
            }
        }
        for (name, content) in &content {
            let object = world.objects.put("versioned", name, content.clone());
            let handled = announce(&ours, &[&object]).await;
            assert_eq!(handled.response["batchItemFailures"].as_array().map(Vec::len), Some(1), "{name}");
            assert_eq!(world.status(&object).await, None, "{name}");
        }
        let object = world.objects.put("versioned", "harmless", "nothing of it is known");
        announce(&ours, &[&object]).await;
        assert_eq!(world.status(&object).await.as_deref(), Some("CLEAN"), "it needs no shard");
    }
    store.write(&set.shards.object_key, shards, &[], WriteCondition::Always).await.unwrap();
    for ((name, content), status) in content.into_iter().zip(["INFECTED", "CLEAN"]) {
        let object = world.objects.put("versioned", name, content);
        announce(&ours, &[&object]).await;
        assert_eq!(world.status(&object).await.as_deref(), Some(status));
    }
}

#[tokio::test]
async fn a_generation_without_scan_sets_is_loaded_whole() {
    let world = World::new();
    world.publish(&[("own.hdb", &hash("Own", b"known as a whole"))]).await;
    let object = world.objects.put("versioned", "object", "known as a whole");
    announce(&world.scanner_with(&[("NACRE_SCAN_SETS", "True")]), &[&object]).await;
    assert_eq!(world.record(&object).verdict, Verdict::Infected { signatures: vec!["Own.UNOFFICIAL".into()] });
}

#[tokio::test]
async fn a_database_of_nothing_but_digests_needs_no_container() {
    let world = World::new();
    let hdb = hash("Whole", b"known as a whole");
    publish(&world, &CvdBuilder::new("daily").member("daily.hdb", hdb).build(SigningKeys::fixed())).await;
    let ours = scanner(&world, "True");
    for (content, status) in [("known as a whole", "INFECTED"), ("nothing of it is known", "CLEAN")] {
        let object = world.objects.put("versioned", content, content);
        announce(&ours, &[&object]).await;
        assert_eq!(world.status(&object).await.as_deref(), Some(status));
    }
}

#[tokio::test]
async fn an_ignore_list_reaches_what_it_reaches_in_its_database() {
    let world = World::new();
    let file = CvdBuilder::new("daily")
        .member("daily.ign2", "Whole\nBody\n")
        .member("daily.hdb", [hash("Whole", b"known as a whole"), hash("Other", b"known by another name")].concat())
        .member("daily.ndb", signature("Body", "the body knows a string"))
        .build(SigningKeys::fixed());
    publish(&world, &file).await;
    let (full, ours) = (scanner(&world, "False"), scanner(&world, "True"));
    for (content, status) in
        [("known as a whole", "CLEAN"), ("the body knows a string", "CLEAN"), ("known by another name", "INFECTED")]
    {
        for (scanner, place) in [(&full, "full"), (&ours, "ours")] {
            let object = world.objects.put("versioned", &format!("{place}/{content}"), content);
            announce(scanner, &[&object]).await;
            assert_eq!(world.status(&object).await.as_deref(), Some(status), "{place}: {content}");
        }
    }
}
