//! Scan records between two processes.

use std::{fs, path::Path};

use chrono::DateTime;
use nacre_core::{
    generation::Generation,
    object::ObjectId,
    port::RecordStore,
    scan_record::{EngineVersion, FileTypes, ScanRecord, layers_from_bytes, layers_to_bytes},
    targets::Targets,
    verdict::Verdict,
};
use nacre_testing::memory_records::MemoryRecords;
use serde::{Deserialize, Serialize};

use nacre_test_support::bench::Outcome;

/// What of a record is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    object: ObjectId,
    etag: String,
    size: u64,
    verdict: Verdict,
    generation: Generation,
    engine: EngineVersion,
    targets: u16,
    layers: Option<String>,
    layer_count: u64,
    types: Option<[u8; 16]>,
}

/// Writes all records to a file.
pub(crate) fn keep(records: &MemoryRecords, path: &Path) -> Outcome<()> {
    let kept = records.records().into_iter().map(|record| Kept {
        layers: record.layers.as_deref().map(|layers| hex::encode(layers_to_bytes(layers))),
        object: record.object,
        etag: record.etag,
        size: record.size,
        verdict: record.verdict,
        generation: record.generation,
        engine: record.engine,
        targets: record.targets.bits(),
        layer_count: record.layer_count,
        types: record.types.map(FileTypes::to_bytes),
    });
    Ok(fs::write(path, serde_json::to_vec(&kept.collect::<Vec<_>>())?)?)
}

/// Reads them back.
pub(crate) async fn restore(records: &MemoryRecords, path: &Path) -> Outcome<()> {
    let kept: Vec<Kept> = serde_json::from_slice(&fs::read(path)?)?;
    for kept in kept {
        let layers = kept.layers.map(hex::decode).transpose()?;
        let record = ScanRecord {
            object: kept.object,
            etag: kept.etag,
            size: kept.size,
            verdict: kept.verdict,
            generation: kept.generation,
            engine: kept.engine,
            targets: Targets::from_bits(kept.targets),
            layers: layers.and_then(|bytes| layers_from_bytes(&bytes)),
            layer_count: kept.layer_count,
            types: kept.types.map(FileTypes::from_bytes),
            scanned_at: DateTime::UNIX_EPOCH,
            written_at: None,
            sequencer: None,
            reported: true,
            published: true,
            requested: None,
            archived_at: None,
            unread: Vec::new(),
            first_infected: None,
        };
        records.save(&record).await?;
    }
    Ok(())
}
