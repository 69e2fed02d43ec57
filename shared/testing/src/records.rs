//! Scan records of every form.

use chrono::DateTime;
use nacre_clamav::{database::FunctionalityLevel, file_types::FileTypes};
use nacre_core::{
    builder::record,
    generation::Generation,
    object::ObjectId,
    rescan::{pass::PassId, request_mark::RequestMark},
    scan_record::{EngineVersion, ScanRecord},
    targets::Targets,
    verdict::Verdict,
};

/// Any record, with every verdict and every optional part.
pub fn any_record() -> impl proptest::strategy::Strategy<Value = ScanRecord> {
    use proptest::prelude::*;

    use nacre_core::{object::Sequencer, scan_record::LayerDigest, verdict::Reason};

    let verdict = prop_oneof![
        Just(Verdict::Clean),
        prop::collection::btree_set("[A-Za-z.-]{1,20}", 0..4)
            .prop_map(|names| Verdict::Infected { signatures: names.into_iter().collect() }),
        prop::sample::select(Reason::ALL).prop_map(|reason| Verdict::Unscannable { reason }),
        prop::sample::select(Reason::ALL).prop_map(|reason| Verdict::Skipped { reason }),
    ];
    let layer = any::<(u64, [u8; 16], [u8; 20], [u8; 32])>().prop_map(|(size, md5, sha1, sha256)| LayerDigest {
        size,
        md5,
        sha1,
        sha256,
    });
    let object = ("[a-z]{3,8}", "\\PC{1,20}", prop::option::of("[a-z0-9]{8}"));
    let layers = prop::option::of(prop::collection::vec(layer, 1..4));
    let sequencer =
        prop::option::of("[0-9A-F]{1,16}".prop_filter_map("hexadecimal", |text| Sequencer::try_from(text).ok()));
    (object, verdict, layers, sequencer, any::<(u64, u64, u16, u32, bool)>(), 0_i64..4_000_000_000_000).prop_map(
        |(
            (bucket, key, version_id),
            verdict,
            layers,
            sequencer,
            (size, generation, targets, level, reported),
            time,
        )| {
            ScanRecord {
                object: ObjectId::new(bucket, key, version_id),
                size,
                verdict,
                generation: Generation(generation),
                engine: EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(level) },
                targets: Targets::from_bits(targets),
                layer_count: layers.as_ref().map_or(0, Vec::len) as u64,
                layers,
                types: (level % 2 == 0).then(|| FileTypes::from_bytes((u128::from(size) << 3).to_be_bytes())),
                scanned_at: DateTime::from_timestamp_millis(time).unwrap_or_default(),
                written_at: DateTime::from_timestamp_millis(time / 2).filter(|_| reported),
                sequencer,
                reported,
                published: !reported,
                requested: DateTime::from_timestamp_millis(time + 7)
                    .filter(|_| level % 2 == 1)
                    .map(|at| RequestMark { pass: PassId { generation: Generation(generation), attempt: level }, at }),
                archived_at: DateTime::from_timestamp_millis(time + 9).filter(|_| level % 3 == 1),
                first_infected: DateTime::from_timestamp_millis(time / 3).filter(|_| level % 5 == 1),
                unread: ["Nacre.Encrypted.Age", "VMDK"]
                    .iter()
                    .take((level % 3) as usize)
                    .map(ToString::to_string)
                    .collect(),
                ..record("", "")
            }
        },
    )
}
