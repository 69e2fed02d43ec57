//! Rescans scan no more than they must, and conclude what a scan with everything would.

use chrono::TimeDelta;
use nacre_core::{
    generation::Generation,
    object::ObjectId,
    port::{ObjectStore, RecordStore},
    scan_record::ScanRecord,
    tag_policy::Tag,
    telemetry::Metric,
    verdict::{Reason, Verdict},
};

use crate::world::{World, announce, deliver, rescan, signature};

/// A world whose `harmless` object was scanned with one signature.
async fn scanned(content: &str) -> (World, ObjectId) {
    let world = World::new();
    world.publish(&[("own.ndb", &signature("Test.Old", "wicked of old"))]).await;
    let object = world.objects.put("versioned", "object", content);
    announce(&world.scanner(), &[&object]).await;
    (world, object)
}

#[tokio::test]
async fn what_cannot_match_is_not_even_fetched() {
    let (world, object) = scanned("this is harmless").await;
    let elf_only = format!("Test.Elf:6:*:{}\n", hex::encode("this is harmless"));
    let own = signature("Test.Old", "wicked of old");
    let generation = world.publish(&[("own.ndb", &format!("{own}{elf_only}"))]).await;
    let before = world.objects.downloads();
    let handled = rescan(&world.rescanner(), generation, &[&world.record(&object)]).await;
    assert_eq!(handled.counts, [(Metric::AlreadyScanned, 1)]);
    assert_eq!(world.objects.downloads(), before);
}

#[tokio::test]
async fn what_was_added_is_matched_by_an_engine_of_nothing_else() {
    let (world, object) = scanned("this is wicked anew").await;
    let innocent = world.objects.put("versioned", "innocent", "this is not");
    announce(&world.scanner(), &[&innocent]).await;
    let own = signature("Test.Old", "wicked of old");
    let newer = signature("Test.New", "wicked anew");
    let generation = world.publish(&[("own.ndb", &format!("{own}{newer}"))]).await;
    let records = [world.record(&object), world.record(&innocent)];
    let handled = rescan(&world.rescanner(), generation, &[&records[0], &records[1]]).await;
    let counts = [(Metric::Clean, 1), (Metric::Infected, 1), (Metric::Scanned, 2), (Metric::Unscanned, 0)];
    assert_eq!(handled.counts, counts);

    let (before, now) = (&records[0], world.record(&object));
    assert_eq!(now.verdict, Verdict::Infected { signatures: vec!["Test.New.UNOFFICIAL".into()] });
    assert_eq!((now.generation, now.targets, &now.layers), (generation, before.targets, &before.layers));
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
    assert_eq!(world.record(&innocent).generation, generation);
}

#[tokio::test]
async fn since_when_an_object_is_infected_outlasts_rescans_until_it_is_cleared() {
    let (world, object) = scanned("this is wicked of old and wicked anew").await;
    let first = world.record(&object);
    assert_eq!(first.first_infected, Some(first.scanned_at));
    let ago = |days| first.scanned_at - TimeDelta::days(days);
    // The second is of an older version, which knows of no scan but its last.
    for (first_infected, expected) in [(Some(ago(2)), ago(2)), (None, ago(1))] {
        let stored = ScanRecord { generation: Generation(0), scanned_at: ago(1), first_infected, ..first.clone() };
        world.records.discard(&world.record(&object)).await.unwrap();
        world.records.save(&stored).await.unwrap();
        announce(&world.scanner(), &[&object]).await;
        let now = world.record(&object);
        assert_eq!((now.first_infected, now.generation), (Some(expected), first.generation));
    }
    let ignored = [("own.ndb", signature("Test.Old", "wicked of old")), ("own.ign2", "Test.Old\n".to_owned())];
    let other = ("other.ndb", signature("Test.Other", "something else"));
    let files: Vec<(&str, &str)> = ignored.iter().chain([&other]).map(|(name, text)| (*name, text.as_str())).collect();
    let generation = world.publish(&files).await;
    rescan(&world.scanner(), generation, &[&world.record(&object)]).await;
    let cleared = world.record(&object);
    assert_eq!((&cleared.verdict, cleared.first_infected), (&Verdict::Clean, None));
}

#[tokio::test]
async fn what_is_archived_is_neither_downgraded_nor_handed_on() {
    let (world, object) = scanned("this is harmless").await;
    let own = signature("Test.Old", "wicked of old");
    let generation = world.publish(&[("own.ndb", &format!("{own}{}", signature("Test.New", "harmless")))]).await;
    let before = world.record(&object);
    world.objects.set_archived(&object, true);
    let handled = rescan(&world.rescanner(), generation, &[&before]).await;
    assert_eq!(handled.counts, [(Metric::NotRescanned, 1)]);
    let now = world.record(&object);
    assert!(now.archived_at.is_some() && world.rescans.messages().is_empty(), "{now:?}");
    assert_eq!(ScanRecord { archived_at: None, ..now }, before);
    assert_eq!(world.status(&object).await.as_deref(), Some("CLEAN"));
    // Restored, it can be read again.
    world.objects.set_archived(&object, false);
    rescan(&world.rescanner(), generation, &[&before]).await;
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
}

#[tokio::test]
async fn what_was_convicted_by_what_is_gone_is_cleared_by_a_scan_with_everything() {
    let (world, object) = scanned("this is wicked of old").await;
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
    let ignored = [("own.ndb", signature("Test.Old", "wicked of old")), ("own.ign2", "Test.Old\n".to_owned())];
    let other = ("other.ndb", signature("Test.Other", "something else"));
    let files: Vec<(&str, &str)> = ignored.iter().chain([&other]).map(|(name, text)| (*name, text.as_str())).collect();
    let generation = world.publish(&files).await;
    let handled = rescan(&world.rescanner(), generation, &[&world.record(&object)]).await;
    assert_eq!(handled.counts, [(Metric::Forwarded, 1)]);
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"), "nobody looked yet");

    let messages = world.rescans.messages();
    let handled = deliver(&world.scanner(), &messages[0]).await;
    let cleared = handled.counts.iter().any(|(metric, count)| (*metric, *count) == (Metric::Cleared, 1));
    assert!(cleared, "{:?}", handled.counts);
    assert_eq!(world.status(&object).await.as_deref(), Some("CLEAN"));
}

#[tokio::test]
async fn bytes_that_changed_since_are_scanned_with_everything() {
    let world = World::new();
    world.publish(&[("own.ndb", &signature("Test.Old", "wicked of old"))]).await;
    let object = world.objects.put("plain", "object", "this is harmless");
    announce(&world.scanner(), &[&object]).await;
    let record = world.record(&object);
    let own = signature("Test.Old", "wicked of old");
    let newer = signature("Test.New", "wicked anew");
    let generation = world.publish(&[("own.ndb", &format!("{own}{newer}"))]).await;
    world.objects.put("plain", "object", "this is wicked of old");
    rescan(&world.scanner(), generation, &[&record]).await;
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
}

#[tokio::test]
async fn definitions_of_old_age_call_nothing_clean_in_a_rescan_either() {
    let (world, object) = scanned("this is harmless").await;
    let own = signature("Test.Old", "wicked of old");
    let newer = signature("Test.New", "wicked anew");
    let generation = world.publish(&[("own.ndb", &format!("{own}{newer}"))]).await;
    let record = world.record(&object);
    rescan(&world.stale_rescanner(), generation, &[&record]).await;
    assert_eq!(world.record(&object).verdict, Verdict::Unscannable { reason: Reason::StaleDefinitions });
}

/// A definitions bucket that was emptied counts from 1 again: such a record is no proof, and must not keep a scan from being recorded.
#[tokio::test]
async fn a_record_of_a_generation_that_the_bucket_does_not_know_is_scanned() {
    let (world, object) = scanned("this is wicked anew").await;
    let unknown = ScanRecord { generation: Generation(99), ..world.record(&object) };
    world.records.save(&unknown).await.unwrap();
    let own = signature("Test.Old", "wicked of old");
    let newer = signature("Test.New", "wicked anew");
    let generation = world.publish(&[("own.ndb", &format!("{own}{newer}"))]).await;
    rescan(&world.scanner(), generation, &[&unknown]).await;
    let now = world.record(&object);
    assert_eq!((now.generation, now.verdict.is_infected()), (generation, true), "{now:?}");
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
}

/// What a pass asks for when the message of a scan was given up on between record and tags.
#[tokio::test]
async fn an_unreported_record_is_reported_without_a_scan() {
    let own = signature("Test.Old", "wicked of old");
    let unrelated = format!("{own}{}", signature("Test.Elf", "another").replacen(":0:", ":6:", 1));
    for newer in [None, Some(&unrelated)] {
        let (world, object) = scanned("this is wicked of old").await;
        let record = ScanRecord { reported: false, published: false, ..world.record(&object) };
        world.records.remove(&object, None).await.unwrap();
        world.records.save(&record).await.unwrap();
        world.objects.put_tags(&object, &[Tag { key: "av-status".into(), value: "CLEAN".into() }]).await.unwrap();
        let mut generation = record.generation;
        if let Some(newer) = newer {
            generation = world.publish(&[("own.ndb", newer)]).await;
        }
        let (downloads, results) = (world.objects.downloads(), world.results.messages().len());
        let handled = rescan(&world.rescanner(), generation, &[&record]).await;
        assert_eq!(handled.counts, [(Metric::AlreadyScanned, 1)]);
        assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
        assert_eq!((world.objects.downloads(), world.results.messages().len()), (downloads, results + 1));
        assert!(world.record(&object).reported);
    }
}
