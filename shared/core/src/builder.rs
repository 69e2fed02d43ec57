//! Builds scan records and proofs of engines for tests.

use chrono::DateTime;
use nacre_clamav::database::FunctionalityLevel;

use crate::{
    generation::{Generation, manifest::EngineProof},
    object::ObjectId,
    scan_record::{EngineVersion, ScanRecord},
    targets::Targets,
    verdict::Verdict,
};

/// A clean record of an object in a bucket that keeps no versions.
pub fn record(bucket: &str, key: &str) -> ScanRecord {
    ScanRecord {
        object: ObjectId::new(bucket, key, None),
        etag: "etag".into(),
        size: 1,
        verdict: Verdict::Clean,
        generation: Generation(1),
        engine: EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(216) },
        targets: Targets::of(0),
        layers: None,
        layer_count: 1,
        types: None,
        scanned_at: DateTime::UNIX_EPOCH,
        written_at: None,
        sequencer: None,
        reported: false,
        published: false,
        requested: None,
        archived_at: None,
        unread: Vec::new(),
        first_infected: None,
    }
}

/// The proof of an engine that loaded one signature.
pub fn engine_proof() -> EngineProof {
    EngineProof {
        clamav_version: "1.4.6".into(),
        functionality_level: FunctionalityLevel(216),
        signatures: 1,
        eicar: Vec::new(),
        expected_signatures: 1,
        clean_files: 0,
    }
}
