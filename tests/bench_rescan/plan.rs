//! The plan over a million records, and over ten.

use std::{
    fs,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::DateTime;
use nacre_shared::{
    changes::Changes,
    definitions::{
        delta::{Delta, SignatureFile},
        history::{Step, StepKind},
        manifest::{BodyEntry, EngineProof, Generation, Manifest},
    },
    object::ObjectId,
    port::{DefinitionsStore, WriteCondition},
    rescan_pass::Tally,
    rescan_plan::plan_rescan,
    scan_record::{EngineVersion, LayerDigest, RecordSummary, RecordView},
    testing::memory_definitions::MemoryDefinitions,
    verdict::{Reason, Verdict},
};

use crate::{Outcome, material::Random};

/// Records that are made; a pass goes over them again and again, as it goes over pages.
const MADE: usize = 20_000;

/// Signatures that a generation adds, as `(extension, number)`: five hundred, for programs of Windows and for digests.
pub(crate) const ADDED: [(&str, u32); 4] = [("hsb", 200), ("mdb", 200), ("ndb", 80), ("ldb", 20)];

/// Times it; answers the records that one core plans in a second.
pub(crate) async fn bench(out: &mut impl Write) -> Outcome<f64> {
    writeln!(out, "\nThe plan, on one core: 500 signatures a generation")?;
    writeln!(
        out,
        "{:>12} {:>12} {:>10} {:>14} {:>12} {:>10} {:>9}",
        "records", "generations", "seconds", "records/s", "unaffected", "delta", "peak MiB"
    )?;
    let mut rate = 0.0;
    for (records, generations) in [(1_000_000, 1), (1_000_000, 10), (1_000_000, 60), (10_000_000, 10)] {
        let (took, tally) = run(records, generations).await?;
        let each = f64::from(records) / took.as_secs_f64();
        if generations == 10 && records == 1_000_000 {
            rate = each;
        }
        let unaffected: u64 = tally.unaffected.values().sum();
        let seconds = took.as_secs_f64();
        writeln!(
            out,
            "{records:>12} {generations:>12} {seconds:>10.2} {each:>14.0} {unaffected:>12} {:>10} {:>9}",
            tally.delta,
            peak_mib()
        )?;
    }
    Ok(rate)
}

async fn run(records: u32, generations: u64) -> Outcome<(Duration, Tally)> {
    let store = MemoryDefinitions::default();
    let manifest = Arc::new(history(&store, generations + 1).await?);
    let engine = engine();
    let mut changes = Changes::new(Arc::clone(&manifest), engine.clone());
    let made: Vec<RecordSummary> = (0..MADE).map(|number| record(number as u64, generations)).collect();
    let mut tally = Tally::default();
    let started = Instant::now();
    for record in made.iter().cycle().take(records as usize) {
        let change = changes.since(&store, record.generation).await?;
        tally.count(plan_rescan(record, manifest.generation, &engine, &change), record);
    }
    Ok((started.elapsed(), tally))
}

fn engine() -> EngineVersion {
    EngineVersion { version: "1.4.6".into(), functionality_level: 216 }
}

/// A manifest whose history adds five hundred signatures with each generation.
async fn history(store: &MemoryDefinitions, published: u64) -> Outcome<Manifest> {
    let proof = EngineProof {
        clamav_version: engine().version,
        functionality_level: engine().functionality_level,
        signatures: 1,
        eicar: Vec::new(),
        expected_signatures: 0,
        clean_files: 0,
    };
    let at = DateTime::UNIX_EPOCH;
    let mut manifest = Manifest::new(Generation(published), at, "clamav".into(), Vec::new(), proof);
    for to in 2..=published {
        let mut random = Random(to);
        let mut files = Vec::new();
        for (kind, count) in ADDED {
            let mut lines = Vec::new();
            for number in 0..u64::from(count) {
                crate::material::append_signature(kind, &format!("day{to}"), number, &mut random, &mut lines);
            }
            files.push(SignatureFile { official: true, name: format!("daily.{kind}"), bytes: lines.into() });
        }
        let bytes = Delta::between(&[], &files).to_bytes();
        let delta = BodyEntry::of_delta(Generation(to), &bytes);
        store.write(&delta.object_key, bytes, &[], WriteCondition::Always).await?;
        manifest.history = manifest.history.then(Step { to: Generation(to), kind: StepKind::Delta { delta } });
    }
    Ok(manifest)
}

/// A record as a bucket may have them: one in a hundred a program, one in twenty an archive of fifty layers, few infected.
fn record(number: u64, generations: u64) -> RecordSummary {
    let mut random = Random(number);
    let mut layer = || LayerDigest {
        size: random.below(1 << 24),
        md5: std::array::from_fn(|_| random.next().to_le_bytes()[0]),
        sha1: std::array::from_fn(|_| random.next().to_le_bytes()[0]),
        sha256: std::array::from_fn(|_| random.next().to_le_bytes()[0]),
    };
    let layers = match number % 20 {
        0 => 50,
        1..8 => 4,
        _ => 1,
    };
    let verdict = match number % 1000 {
        0 => Verdict::Infected { signatures: vec![format!("Win.Trojan.Old-{number}")] },
        1..5 => Verdict::Unscannable { reason: Reason::Encrypted },
        _ => Verdict::Clean,
    };
    let targets = if number.is_multiple_of(100) { 1 << 1 | 1 } else { 1 << 7 | 1 };
    RecordSummary {
        object: ObjectId::new("uploads", format!("folder/{number}/object.bin"), Some(format!("version{number}"))),
        etag: format!("{number:032x}"),
        size: 100_000,
        generation: Generation(1 + number % generations),
        sequencer: None,
        scanned_at: None,
        view: Some(RecordView {
            verdict,
            engine: engine(),
            targets,
            layers: Some((0..layers).map(|_| layer()).collect()),
        }),
    }
}

/// Most memory that this process ever had, in MiB.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    peak.unwrap_or_default() >> 10
}
