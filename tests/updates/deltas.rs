//! What the updater reads to determine what changed: databases that stay may have what others concern.

use std::fs;

use nacre_clamav::{
    archive::ArchiveLimits, builder::CvdBuilder, cvd::Cvd, database::DatabaseName, delta::Delta, signing::SigningKeys,
};
use nacre_core::{
    builder::engine_proof,
    generation::{
        Generation,
        manifest::{CustomEntry, DatabaseEntry, Manifest},
    },
    port::{DefinitionsStore, WriteCondition},
};
use nacre_testing::memory_definitions::MemoryDefinitions;
use nacre_updater::{custom::CustomPart, database_update::StagedDatabase, signatures::diff_signatures};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// What leads from a generation with one loose file of digests to the next, where a database of digests stays.
async fn delta(database: &str, before: &str, now: &str) -> Delta {
    delta_of(("own.hdb", database), ("z.hdb", before, now)).await
}

/// What leads from a generation with one loose file to the next, where a database of one member stays.
async fn delta_of((member, database): (&str, &str), (loose, before, now): (&str, &str, &str)) -> Delta {
    let (keys, name) = (SigningKeys::fixed(), DatabaseName::new("own").unwrap());
    let file = CvdBuilder::new("own").member(member, database).build(keys);
    let verified = Cvd::parse(&file).unwrap().verify(&name, &keys.trust_anchors(), ArchiveLimits::default()).unwrap();
    let entry = DatabaseEntry::of(&verified);
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("own.cvd");
    fs::write(&path, &file).unwrap();
    let store = MemoryDefinitions::default();
    store.write(&entry.object_key, file, &[], WriteCondition::Always).await.unwrap();
    let custom = |text: &str| CustomPart {
        entry: CustomEntry::of(loose.to_owned(), "file:".into(), None, text.as_bytes()),
        bytes: text.as_bytes().to_vec(),
    };
    let old = custom(before);
    store.write(&old.entry.object_key, old.bytes.clone(), &[], WriteCondition::Always).await.unwrap();
    let anchor = keys.trust_anchors().identity();
    let manifest =
        Manifest::new(Generation(1), chrono::DateTime::UNIX_EPOCH, anchor, vec![entry.clone()], engine_proof());
    let manifest = manifest.with_custom(vec![old.entry]);
    let parts = [StagedDatabase { entry, path }];
    let diff = diff_signatures(&store, Some(&manifest), Generation(2), &parts, &[custom(now)]).await.unwrap();
    let (_, bytes) = diff.bodies.last().expect("a delta");
    Delta::parse(bytes).unwrap()
}

fn moved(delta: &Delta) -> usize {
    delta.lines().filter(|(line, _)| line.moved() == Some("hdb")).count()
}

#[tokio::test]
async fn two_names_of_a_digest_in_a_database_that_stays_are_marked_where_their_table_changes() {
    let twins = format!("{A}:68:A.One\n{A}:68:A.Two\n");
    assert_eq!(moved(&delta(&twins, "", &format!("{B}:68:Other\n")).await), 2);
    assert_eq!(moved(&delta(&twins, &format!("{B}:68:Other\n"), "").await), 2);
    assert_eq!(moved(&delta(&twins, "", &format!("{B}:69:Other\n")).await), 0, "another size");
    assert_eq!(moved(&delta(&format!("{A}:68:A.One\n"), "", &format!("{A}:68:A.Two\n")).await), 2, "one in each");
    assert_eq!(delta(&twins, "", &format!("{B}:69:Other\n")).await.lines().len(), 1, "nothing else of what stays");
}

#[tokio::test]
async fn what_is_ignored_in_a_database_that_stays_changes_the_table_that_it_is_in() {
    let twins = format!("{A}:68:A.One\n{A}:68:A.Two\n{B}:68:Other\n{B}:69:Another\n");
    for (before, now, expected) in
        [("", "Other\n", 2), ("Other\n", "", 2), ("", "Another\n", 0), ("Other\n", "Other\nNobody\n", 0)]
    {
        let delta = delta_of(("own.hdb", &twins), ("z.ign2", before, now)).await;
        assert_eq!(moved(&delta), expected, "{before:?} to {now:?}");
    }
}

#[tokio::test]
async fn a_pattern_of_a_group_in_a_database_that_stays_concerns_everything() {
    let signature = |pattern: &str| format!("A:0:*:{pattern}\n");
    for (pattern, expected) in [("626262", 2), ("626263", 1)] {
        let delta = delta_of(("own.ndb", "D:0:$12:626262\n"), ("z.ndb", "", &signature(pattern))).await;
        assert_eq!(delta.lines().len(), expected, "{pattern}: {delta:?}");
    }
}
