//! Records of objects as the profile has them.

use nacre_core::{
    generation::Generation,
    object::ObjectId,
    scan_record::{EngineVersion, FunctionalityLevel, LayerDigest, RecordSummary, RecordView},
    verdict::Verdict,
};
use nacre_test_support::Random;

use crate::assumptions::{Assumptions, ObjectKind};

/// The engine of all records.
pub(crate) fn engine() -> EngineVersion {
    EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(216) }
}

/// So many records as are sampled, in the shares of the profile, all of the first generation.
pub(crate) fn records(assumptions: &Assumptions) -> Vec<RecordSummary> {
    let mut random = Random::new(assumptions.seed);
    let sum: f64 = assumptions.corpus.iter().map(|kind| kind.share).sum();
    let mut records = Vec::new();
    let mut share = 0.0;
    for kind in &assumptions.corpus {
        share += kind.share / sum;
        while (records.len() as f64) < share * assumptions.sampled as f64 {
            records.push(record(records.len(), kind, &mut random));
        }
    }
    records
}

fn record(number: usize, kind: &ObjectKind, random: &mut Random) -> RecordSummary {
    RecordSummary {
        object: ObjectId::new("uploads", format!("{}/{number}", kind.kind), None),
        etag: format!("{number:032x}"),
        size: kind.bytes,
        generation: Generation(1),
        sequencer: None,
        written_at: None,
        scanned_at: None,
        reported: true,
        requested: None,
        archived_at: None,
        first_infected: None,
        view: Some(RecordView {
            verdict: Verdict::Clean,
            engine: engine(),
            targets: kind.targets(),
            layers: Some((0..kind.layers).map(|_| layer(kind.bytes, random)).collect()),
            types: kind.types(),
        }),
    }
}

fn layer(bytes: u64, random: &mut Random) -> LayerDigest {
    LayerDigest { size: 1 + random.next() % bytes, md5: digest(random), sha1: digest(random), sha256: digest(random) }
}

fn digest<const N: usize>(random: &mut Random) -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(random.next().to_le_bytes().get(..chunk.len()).unwrap_or_default());
    }
    bytes
}
