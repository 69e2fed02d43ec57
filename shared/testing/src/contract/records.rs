//! What a store of scan records must do.

use chrono::DateTime;
use nacre_clamav::{database::FunctionalityLevel, file_types::FileTypes};
use nacre_core::{
    builder::record,
    generation::Generation,
    object::{ObjectId, Sequencer},
    port::{RecordLookup, RecordPages, RecordStore, Segment, StoreError},
    rescan::{pass::PassId, request_mark::RequestMark},
    scan_record::{EngineVersion, LayerDigest, RecordSummary, ScanRecord},
    targets::Targets,
    verdict::{Reason, Verdict},
};

fn sequencer(text: &str) -> Option<Sequencer> {
    Sequencer::try_from(text.to_owned()).ok()
}

/// A record comes back as it was written, whatever is in it, and every object version has its own.
///
/// # Panics
/// When a law is broken.
pub async fn records_come_back_as_they_were(store: &impl RecordStore, bucket: &str) {
    let layer = LayerDigest { size: u64::MAX, md5: [1; 16], sha1: [2; 20], sha256: [255; 32] };
    let infected = Verdict::Infected { signatures: vec!["Eicar-Test-Signature".into(), "Ünï çødé".into()] };
    let reasons = Reason::ALL
        .iter()
        .flat_map(|reason| [Verdict::Unscannable { reason: *reason }, Verdict::Skipped { reason: *reason }]);
    let mut records = Vec::new();
    for (n, verdict) in [Verdict::Clean, infected].into_iter().chain(reasons).enumerate() {
        let version = (n % 3 > 0).then(|| format!("v{n}"));
        let plain = ScanRecord {
            object: ObjectId::new(bucket, format!("ünï/../çødé + %2B {}", n / 3), version),
            verdict,
            scanned_at: DateTime::from_timestamp_millis(1_790_000_000_123).unwrap_or_default(),
            ..record(bucket, "")
        };
        records.push(match n % 2 {
            0 => plain,
            _ => ScanRecord {
                etag: "d41d8cd98f00b204e9800998ecf8427e-12".into(),
                size: u64::MAX,
                written_at: DateTime::from_timestamp_millis(1_780_000_000_456),
                first_infected: DateTime::from_timestamp_millis(1_785_000_000_789),
                generation: Generation(u64::MAX),
                engine: EngineVersion { version: "1.5.0-rc".into(), functionality_level: FunctionalityLevel(u32::MAX) },
                targets: Targets::ALL,
                layers: Some(vec![layer; 256]),
                layer_count: 256,
                types: Some(FileTypes::IMAGES),
                sequencer: sequencer("0055AED6DCD90281E5"),
                reported: true,
                ..plain
            },
        });
    }
    for record in &records {
        assert_eq!(store.load(&record.object).await.expect("it can be read"), None, "{} is new", record.object);
        store.save(record).await.expect("it is written");
    }
    for record in &records {
        let loaded = store.load(&record.object).await.expect("it can be read");
        assert_eq!(loaded.as_ref(), Some(record));
    }
}

/// A record is written exactly when [`ScanRecord::may_replace`] says so, and of several at a time one is.
///
/// # Panics
/// When a law is broken.
pub async fn records_follow_their_order(store: &impl RecordStore, bucket: &str) {
    let verdicts = || {
        let unscannable = [Reason::EngineDied, Reason::Encrypted].map(|reason| Verdict::Unscannable { reason });
        unscannable.into_iter().chain([Verdict::Clean])
    };
    let of_etag = |etag: &'static str| {
        [1, 2].into_iter().flat_map(move |generation| {
            [None, sequencer("1"), sequencer("2F")].into_iter().flat_map(move |sequencer| {
                let generation = Generation(generation);
                let base = ScanRecord { etag: etag.into(), generation, sequencer, ..record(bucket, "order") };
                verdicts().map(move |verdict| ScanRecord { verdict, ..base.clone() })
            })
        })
    };
    let variants: Vec<ScanRecord> = ["a", "b"].into_iter().flat_map(of_etag).collect();
    for stored in &variants {
        for newcomer in &variants {
            store.remove(&stored.object, None).await.expect("it can be removed");
            store.save(stored).await.expect("the first record is always written");
            let saved = store.save(newcomer).await;
            let expected = if newcomer.may_replace(stored) {
                assert!(saved.is_ok(), "{newcomer:?} replaces {stored:?}: {saved:?}");
                newcomer
            } else {
                assert!(
                    matches!(saved, Err(StoreError::PreconditionFailed(_))),
                    "{newcomer:?} gives way to {stored:?}: {saved:?}"
                );
                stored
            };
            // Two of the cases differ in nothing.
            assert_eq!(store.load(&stored.object).await.expect("it can be read").as_ref(), Some(expected));
        }
    }

    for round in 1..=5 {
        let newcomer = |level| ScanRecord {
            generation: Generation(round),
            engine: EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(level) },
            ..record(bucket, "race")
        };
        let (a, b, c) = (newcomer(1), newcomer(2), newcomer(3));
        let outcomes: [_; 3] = tokio::join!(store.save(&a), store.save(&b), store.save(&c)).into();
        let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(written, 1, "of records for the same bytes and generation one is written: {outcomes:?}");
    }
}

/// Only the record that is stored is marked as reported.
///
/// # Panics
/// When a law is broken.
pub async fn reports_are_of_the_stored_record(store: &impl RecordStore, bucket: &str) {
    let first = record(bucket, "reported");
    let marked = store.mark_reported(&first).await;
    assert!(matches!(marked, Err(StoreError::PreconditionFailed(_))), "a record that is not there is not marked");
    assert_eq!(store.load(&first.object).await.expect("it can be read"), None, "nor does it come to be");
    store.save(&first).await.expect("the first record is written");
    for _ in 0..2 {
        store.mark_reported(&first).await.expect("it is marked, and once more");
        let loaded = store.load(&first.object).await.expect("it can be read");
        assert_eq!(loaded, Some(ScanRecord { reported: true, ..first.clone() }), "nothing else changes");
    }
    let second = ScanRecord { generation: Generation(2), ..first.clone() };
    store.save(&second).await.expect("a newer one is written");
    let other_bytes = ScanRecord { etag: "other".into(), ..second.clone() };
    let other_scan = ScanRecord { scanned_at: DateTime::from_timestamp(9, 0).unwrap_or_default(), ..second.clone() };
    for late in [first, other_bytes, other_scan] {
        let marked = store.mark_reported(&late).await;
        assert!(matches!(marked, Err(StoreError::PreconditionFailed(_))), "only what is stored is marked: {late:?}");
    }
    assert_eq!(store.load(&second.object).await.expect("it can be read"), Some(second));
}

/// Requests and archived objects are noted in the stored record alone, nothing else of it changes, and a newer record has no such note;
/// only the stored record is discarded.
///
/// # Panics
/// When a law is broken.
pub async fn notes_are_of_the_stored_record(store: &(impl RecordStore + RecordPages), bucket: &str) {
    let at = |seconds| DateTime::from_timestamp(seconds, 5_000_000).unwrap_or_default();
    let found = ScanRecord { generation: Generation(3), reported: true, ..record(bucket, "noted") };
    let (summary, pass) = (RecordSummary::from(&found), PassId { generation: Generation(9), attempt: 2 });
    let mark = RequestMark { pass, at: at(1_790_000_000) };
    let lost = |outcome: Result<(), StoreError>| matches!(outcome, Err(StoreError::PreconditionFailed(_)));
    let stored = async || store.load(&found.object).await.expect("it can be read");
    assert!(lost(store.mark_requested(&summary, mark).await), "a record that is not there is not marked");
    assert!(lost(store.mark_archived(&found, at(1)).await) && lost(store.answer_request(&found).await));
    assert!(lost(store.discard(&found).await));
    assert_eq!(stored().await, None, "nor does it come to be");

    store.save(&found).await.expect("it is written");
    for other in [
        RecordSummary { etag: "other".into(), ..summary.clone() },
        RecordSummary { generation: Generation(2), ..summary.clone() },
    ] {
        assert!(lost(store.mark_requested(&other, mark).await), "{other:?} is not what is stored");
    }
    for other in [
        ScanRecord { etag: "other".into(), ..found.clone() },
        ScanRecord { generation: Generation(2), ..found.clone() },
        ScanRecord { scanned_at: at(9), ..found.clone() },
    ] {
        assert!(lost(store.mark_archived(&other, at(1)).await) && lost(store.answer_request(&other).await));
        assert!(lost(store.discard(&other).await), "{other:?} is not what is stored");
    }
    store.mark_requested(&summary, mark).await.expect("it is marked");
    assert_eq!(stored().await, Some(ScanRecord { requested: Some(mark), ..found.clone() }));
    store.answer_request(&found).await.expect("it is answered");
    assert_eq!(stored().await, Some(found.clone()));
    store.mark_requested(&summary, mark).await.expect("it is marked");
    for second in [1, 2] {
        store.mark_archived(&found, at(second)).await.expect("it is marked, and once more");
        assert_eq!(stored().await, Some(ScanRecord { archived_at: Some(at(second)), ..found.clone() }));
    }
    let newer = ScanRecord { generation: Generation(4), ..found.clone() };
    store.save(&newer).await.expect("a newer one is written");
    assert_eq!(stored().await, Some(newer.clone()));
    store.discard(&newer).await.expect("it is removed");
    assert_eq!(stored().await, None);
}

/// A record is renewed while it is what was found, and reported; nothing else of it changes.
///
/// # Panics
/// When a law is broken.
pub async fn renewals_are_of_what_was_found(store: &(impl RecordStore + RecordPages), bucket: &str) {
    let found = ScanRecord { generation: Generation(3), ..record(bucket, "renewed") };
    let summary = RecordSummary::from(&found);
    let lost = |outcome: Result<(), StoreError>| matches!(outcome, Err(StoreError::PreconditionFailed(_)));
    assert!(lost(store.advance_generation(&summary, Generation(9)).await), "a record that is not there is not renewed");
    assert_eq!(store.load(&found.object).await.expect("it can be read"), None, "nor does it come to be");
    store.save(&found).await.expect("it is written");
    assert!(
        lost(store.advance_generation(&summary, Generation(9)).await),
        "somebody is at work on what is not reported"
    );
    store.mark_reported(&found).await.expect("it is marked");
    for other in [
        RecordSummary { etag: "other".into(), ..summary.clone() },
        RecordSummary { generation: Generation(2), ..summary.clone() },
    ] {
        assert!(
            lost(store.advance_generation(&other, Generation(9)).await),
            "only what was found is renewed: {other:?}"
        );
    }
    store.advance_generation(&summary, Generation(9)).await.expect("it is renewed");
    let expected = ScanRecord { generation: Generation(9), reported: true, ..found.clone() };
    assert_eq!(store.load(&found.object).await.expect("it can be read"), Some(expected));
    assert!(lost(store.advance_generation(&summary, Generation(9)).await), "it is of another generation now");
}

/// A removal removes older records.
///
/// # Panics
/// When a law is broken.
pub async fn removals_respect_the_order_of_events(store: &impl RecordStore, bucket: &str) {
    let orders = [None, sequencer("B1"), sequencer("B2"), sequencer("B3")];
    for stored_at in &orders {
        for removed_at in &orders {
            let stored = ScanRecord { sequencer: stored_at.clone(), ..record(bucket, "removed") };
            store.remove(&stored.object, None).await.expect("removing what may not be there is no error");
            store.save(&stored).await.expect("it is written");
            store.remove(&stored.object, removed_at.as_ref()).await.expect("a late removal is no error");
            let stays = matches!((stored_at, removed_at), (Some(stored), Some(removed)) if stored > removed);
            let left = store.load(&stored.object).await.expect("it can be read");
            assert_eq!(left.is_some(), stays, "stored at {stored_at:?}, removed at {removed_at:?}");
        }
    }
}

/// ETags of many objects are looked up at once, each by its exact name.
///
/// # Panics
/// When a law is broken.
pub async fn many_are_looked_up_at_once(store: &(impl RecordStore + RecordLookup), bucket: &str) {
    let object =
        |n: u32, version: Option<&str>| ObjectId::new(bucket, format!("looked up/{n}"), version.map(str::to_owned));
    for n in (0..250).step_by(2) {
        let record = ScanRecord {
            object: object(n, Some("v1")),
            etag: format!("etag {n}"),
            // Every tenth is a scan whose tags and result are missing.
            reported: !n.is_multiple_of(10),
            ..record(bucket, "")
        };
        store.save(&record).await.expect("it is new");
    }
    let asked: Vec<ObjectId> = (0..250).flat_map(|n| [object(n, Some("v1")), object(n, None)]).collect();
    let twice: Vec<ObjectId> = asked.iter().chain(&asked).cloned().collect();
    let found = store.recorded_etags(&twice).await.expect("the table can be read");
    let etag = |n: u32| (n.is_multiple_of(2) && !n.is_multiple_of(10)).then(|| format!("etag {n}"));
    let expected: Vec<Option<String>> = (0..250).flat_map(|n| [etag(n), None]).collect();
    assert_eq!(found, [expected.clone(), expected].concat());
}

/// The pages of all segments hold each of `number` records exactly once.
///
/// # Panics
/// When a law is broken.
pub async fn pages_hold_every_record_once<Store>(store: &Store, bucket: &str, number: u32)
where
    Store: RecordStore + RecordPages,
{
    let record = |n: u32| ScanRecord {
        object: ObjectId::new(bucket, format!("page/{}", n / 2), (!n.is_multiple_of(2)).then(|| format!("v{n}"))),
        etag: format!("etag {n}"),
        size: u64::from(n),
        generation: Generation(u64::from(n)),
        sequencer: sequencer("A1").filter(|_| n.is_multiple_of(3)),
        ..record("", "")
    };
    let mut expected = Vec::new();
    for n in 0..number {
        let record = record(n);
        store.save(&record).await.expect("it is written");
        // A page names every version, `null` too.
        let object = record.object.at_version(Some(record.object.sort_key().to_owned()));
        expected.push(RecordSummary { object, ..RecordSummary::from(&record) });
    }
    expected.sort_by_key(|summary| summary.generation);
    for total in [1, 3] {
        let mut found = Vec::new();
        for index in 0..total {
            let mut cursor = None;
            loop {
                let page = store.page(Segment { index, total }, cursor).await.expect("it can be read");
                assert_eq!(page.unreadable, 0);
                found.extend(page.records.into_iter().filter(|summary| summary.object.key.starts_with("page/")));
                assert!(found.len() <= expected.len(), "no record comes twice");
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        found.sort_by_key(|summary| summary.generation);
        assert_eq!(found, expected);
    }
}
