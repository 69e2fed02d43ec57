//! A definitions bucket in memory, with generations for tests to read.

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::{
    archive::ArchiveLimits,
    builder::{CvdBuilder, eicar_signature},
    cvd::Cvd,
    database::DatabaseName,
    signing::SigningKeys,
};
use nacre_core::{
    generation::{
        manifest::{DatabaseEntry, EngineProof, Manifest},
        published::{Published, Race},
    },
    port::{DefinitionsStore, WriteCondition},
    scan_record::FunctionalityLevel,
};
use nacre_testing::memory_definitions::MemoryDefinitions;

/// So many hours after the first database was built.
pub(crate) fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_392_000, 0).unwrap() + TimeDelta::hours(hours)
}

/// A bucket with a generation for each of these versions of `daily`, published an hour after the other.
pub(crate) async fn published(versions: &[u32]) -> MemoryDefinitions {
    let store = MemoryDefinitions::default();
    for (hour, version) in (1..).zip(versions) {
        publish(&store, *version, hour).await;
    }
    store
}

/// Publishes this version of `daily` as the next generation.
pub(crate) async fn publish(store: &MemoryDefinitions, version: u32, hour: i64) {
    let anchors = SigningKeys::fixed().trust_anchors();
    let built = u64::try_from(at(0).timestamp()).unwrap();
    let builder = CvdBuilder::new("daily").version(version).built(built).member("daily.ndb", eicar_signature());
    let body = builder.build(SigningKeys::fixed());
    let daily = DatabaseName::new("daily").unwrap();
    let verified = Cvd::parse(&body).unwrap().verify(&daily, &anchors, ArchiveLimits::default()).unwrap();
    let entry = DatabaseEntry::of(&verified);
    store.write(&entry.object_key, body, &[], WriteCondition::Always).await.unwrap();
    let proof = EngineProof {
        clamav_version: "1.4.6".into(),
        functionality_level: FunctionalityLevel(216),
        signatures: 1,
        eicar: vec!["Eicar".into()],
        expected_signatures: 1,
        clean_files: 1,
    };
    let before = Published::read(store).await.unwrap();
    let manifest = Manifest::new(before.next_generation(), at(hour), anchors.identity(), vec![entry], proof);
    assert_eq!(before.advance(store, &manifest, false).await.unwrap(), Race::Won);
}
