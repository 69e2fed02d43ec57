//! Readers see a whole generation or the previous one, whatever fails and whoever races.

use chrono::TimeDelta;
use nacre_clamav::{
    archive::ArchiveLimits, builder::CvdBuilder, cvd::Cvd, database::DatabaseName, signing::SigningKeys,
};
use nacre_core::{builder::engine_proof, tag_policy::Tag};
use nacre_testing::{
    failing::{Failing, Plan, When},
    memory_definitions::MemoryDefinitions,
    memory_topic::MemoryTopic,
};

use super::*;

/// A database of this version, and a generation of it alone.
fn generation(number: u64, version: u32) -> (Manifest, Vec<u8>) {
    let keys = SigningKeys::fixed();
    let file = CvdBuilder::new("daily").version(version).member("daily.ndb", "A:0:*:6161616161\n").build(keys);
    let (name, anchors) = (DatabaseName::new("daily").unwrap(), keys.trust_anchors());
    let cvd = Cvd::parse(&file).unwrap().verify(&name, &anchors, ArchiveLimits::default()).unwrap();
    let databases = vec![DatabaseEntry::of(&cvd)];
    let time = DateTime::UNIX_EPOCH;
    (Manifest::new(Generation(number), time, anchors.identity(), databases, engine_proof()), file)
}

fn publisher<'a, Store: DefinitionsStore, Announcements: Topic>(
    store: &'a Store,
    announcements: &'a Announcements,
) -> Publisher<'a, Store, Announcements> {
    let flat = Flat { store, prefix: "clamav_defs", keep_cdiffs: 2, keep_cvds: false };
    Publisher { store, announcements, flat: Some(flat), keep_generations: 2 }
}

/// One run of the updater from the publisher's view: publish this version, unless it is published.
async fn publish(store: &impl DefinitionsStore, topic: &impl Topic, version: u32) -> Result<(), PublishError> {
    let publisher = publisher(store, topic);
    let anchor = SigningKeys::fixed().trust_anchors().identity();
    loop {
        let before = publisher.published().await?;
        if before.entry("daily", &anchor).is_some_and(|entry| entry.version.0 >= version) {
            return publisher.settle().await;
        }
        let (manifest, file) = generation(before.next_generation().0, version);
        publisher.put(&manifest.databases[0].object_key, file).await?;
        if publisher.advance(&before, &manifest).await? == Race::Won {
            publisher.settle().await?;
            publisher.tidy(DateTime::UNIX_EPOCH + TimeDelta::days(99)).await?;
        }
    }
}

/// What a reader sees, checked to be whole.
async fn read(store: &MemoryDefinitions) -> Option<(u64, u32)> {
    let topic = MemoryTopic::default();
    let reader = publisher(store, &topic);
    let manifest = reader.published().await.expect("what is published is valid").manifest?;
    for database in &manifest.databases {
        reader.body(database).await.expect("every published body is there");
    }
    Some((manifest.generation.0, manifest.databases[0].version.0))
}

#[tokio::test]
async fn a_crash_at_any_step_shows_readers_whole_generations_and_converges() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let (store, topic) = (MemoryDefinitions::default(), MemoryTopic::default());
            publish(&store, &topic, 1).await.unwrap();
            let plan = &Plan::new(nth, when);
            let crashed = publish(&Failing { port: &store, plan }, &Failing { port: &topic, plan }, 2).await;
            assert_eq!(crashed.is_err(), plan.was_reached(), "{when:?} {nth}");
            let seen = read(&store).await.unwrap();
            assert!(seen == (1, 1) || seen == (2, 2), "{seen:?} after {when:?} {nth}");

            publish(&store, &topic, 2).await.unwrap();
            assert_eq!(read(&store).await, Some((2, 2)), "{when:?} {nth}");
            let flat = store.read("clamav_defs/daily.cvd", u64::MAX).await.unwrap();
            assert_eq!(flat.bytes, generation(2, 2).1, "{when:?} {nth}");
            let announced: Vec<_> = topic.messages().into_iter().filter_map(|message| message.subject).collect();
            assert!(announced.iter().any(|subject| subject.contains("generation 2 ")), "{when:?} {nth}");
            if !plan.was_reached() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn of_two_racing_updaters_one_wins_and_the_other_decides_again() {
    let (store, topic) = (MemoryDefinitions::default(), MemoryTopic::default());
    let publisher = publisher(&store, &topic);
    let before = publisher.published().await.unwrap();
    let (first, file) = generation(1, 1);
    let (second, other) = generation(1, 2);
    publisher.put(&first.databases[0].object_key, file).await.unwrap();
    publisher.put(&second.databases[0].object_key, other).await.unwrap();
    assert_eq!(publisher.advance(&before, &first).await.unwrap(), Race::Won);
    assert_eq!(publisher.advance(&before, &second).await.unwrap(), Race::Lost);
    assert_eq!(read(&store).await, Some((1, 1)));
    publish(&store, &topic, 2).await.unwrap();
    assert_eq!(read(&store).await, Some((2, 2)));
}

#[tokio::test]
async fn what_others_signed_is_as_good_as_none() {
    let (store, topic) = (MemoryDefinitions::default(), MemoryTopic::default());
    publish(&store, &topic, 9).await.unwrap();
    let publisher = publisher(&store, &topic);
    let before = publisher.published().await.unwrap();
    assert!(before.entry("daily", &SigningKeys::fixed().trust_anchors().identity()).is_some());
    assert!(before.entry("daily", "clamav").is_none());
}

#[tokio::test]
async fn the_flat_prefix_has_the_predecessors_tags() {
    let (store, topic) = (MemoryDefinitions::default(), MemoryTopic::default());
    publish(&store, &topic, 1).await.unwrap();
    let tags = store.tags("clamav_defs/daily.cvd").unwrap();
    assert_eq!(tags, [Tag::new("md5", &generation(1, 1).0.databases[0].md5)]);
    publish(&store, &topic, 1).await.unwrap();
    assert_eq!(topic.messages().len(), 1, "a run that finds nothing new announces nothing");
}

#[tokio::test]
async fn an_altered_body_is_never_used() {
    let (store, topic) = (MemoryDefinitions::default(), MemoryTopic::default());
    publish(&store, &topic, 1).await.unwrap();
    let entry = generation(1, 1).0.databases.remove(0);
    store.write(&entry.object_key, b"altered".to_vec(), &[], WriteCondition::Always).await.unwrap();
    let publisher = publisher(&store, &topic);
    assert!(
        matches!(publisher.body(&entry).await, Err(PublishError::Published(PublishedError::Altered { key })) if key == entry.object_key)
    );
}

/// Attack: a body is damaged in the bucket, and its copy under the flat prefix is missing. Clients must not get it, and the run says so.
#[tokio::test]
async fn a_damaged_body_never_reaches_the_flat_prefix() {
    let (store, topic) = (MemoryDefinitions::default(), MemoryTopic::default());
    publish(&store, &topic, 1).await.unwrap();
    let key = generation(1, 1).0.databases[0].object_key.clone();
    store.write(&key, b"damaged".to_vec(), &[], WriteCondition::Always).await.unwrap();
    store.remove("clamav_defs/daily.cvd").await.unwrap();
    for _ in 0..2 {
        let settled = publisher(&store, &topic).settle().await;
        assert!(matches!(settled, Err(PublishError::Published(PublishedError::Altered { .. }))), "{settled:?}");
        assert!(store.read("clamav_defs/daily.cvd", u64::MAX).await.is_err());
    }
}
