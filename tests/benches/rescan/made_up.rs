//! Records as a bucket may have them, and generations of five hundred signatures each.

use chrono::DateTime;
use nacre_clamav::delta::{Delta, SignatureFile};
use nacre_core::{
    generation::{
        Generation,
        history::{Step, StepKind},
        manifest::{BodyEntry, EngineProof, Manifest},
    },
    object::ObjectId,
    port::{DefinitionsStore, WriteCondition},
    scan_record::{EngineVersion, FunctionalityLevel, LayerDigest, RecordSummary, RecordView},
    targets::Targets,
    verdict::{Reason, Verdict},
};
use nacre_testing::memory_definitions::MemoryDefinitions;

use nacre_test_support::bench::Outcome;
use nacre_test_support::{Random, bench::append_signature};

/// Signatures that a generation adds, by the extension of their file: five hundred, for programs of Windows and for digests, in about
/// the proportions of a day.
pub(crate) const ADDED: [(&str, u32); 4] = [("hsb", 200), ("mdb", 200), ("ndb", 80), ("ldb", 20)];

/// Libclamav's MZ/PE matcher, that of normalised text, and that of everything, as bits.
const PROGRAM: Targets = Targets::from_bits(1 << 1 | 1);
const TEXT: Targets = Targets::from_bits(1 << 7 | 1);

/// The engine of all records.
pub(crate) fn engine() -> EngineVersion {
    EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(216) }
}

/// Lines of so many signatures of a kind.
pub(crate) fn lines(kind: &str, database: &str, count: u32, random: &mut Random) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 0..u64::from(count) {
        append_signature(kind, database, number, random, &mut lines);
    }
    lines
}

/// A manifest whose history adds five hundred signatures with each generation.
pub(crate) async fn history(store: &MemoryDefinitions, published: u64) -> Outcome<Manifest> {
    let proof = EngineProof {
        clamav_version: engine().version,
        functionality_level: engine().functionality_level,
        signatures: 1,
        eicar: Vec::new(),
        expected_signatures: 0,
        clean_files: 0,
    };
    let mut manifest = Manifest::new(Generation(published), DateTime::UNIX_EPOCH, "clamav".into(), Vec::new(), proof);
    for to in 2..=published {
        let mut random = Random::new(to);
        let files = ADDED.map(|(kind, count)| {
            let text = lines(kind, &format!("day{to}"), count, &mut random);
            SignatureFile::member("daily.cvd", true, format!("daily.{kind}"), text)
        });
        let bytes = Delta::between(&[], &files).to_bytes();
        let delta = BodyEntry::of_delta(Generation(to), &bytes);
        store.write(&delta.object_key, bytes, &[], WriteCondition::Always).await?;
        manifest.history = manifest.history.then(Step { to: Generation(to), kind: StepKind::Delta { delta } });
    }
    Ok(manifest)
}

/// A record. One in a hundred is of a program, one in twenty of an archive of fifty layers, few of something infected.
pub(crate) fn record(number: u64, generations: u64) -> RecordSummary {
    let mut random = Random::new(number);
    let layers = match number % 20 {
        0 => 50,
        1..8 => 4,
        _ => 1,
    };
    let verdict = match number % 1000 {
        1 => Verdict::Infected { signatures: vec![format!("Win.Trojan.Old-{number}")] },
        2..6 => Verdict::Unscannable { reason: Reason::Encrypted },
        _ => Verdict::Clean,
    };
    RecordSummary {
        object: ObjectId::new("uploads", format!("folder/{number}/object.bin"), Some(format!("version{number}"))),
        etag: format!("{number:032x}"),
        size: 100_000,
        generation: Generation(1 + number % generations),
        sequencer: None,
        written_at: None,
        scanned_at: None,
        reported: true,
        requested: None,
        archived_at: None,
        first_infected: None,
        view: Some(RecordView {
            verdict,
            engine: engine(),
            targets: if number % 100 == 7 { PROGRAM } else { TEXT },
            layers: Some((0..layers).map(|_| layer(&mut random)).collect()),
            types: None,
        }),
    }
}

fn layer(random: &mut Random) -> LayerDigest {
    LayerDigest { size: random.next() % (1 << 24), md5: bytes(random), sha1: bytes(random), sha256: bytes(random) }
}

fn bytes<const N: usize>(random: &mut Random) -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(random.next().to_le_bytes().get(..chunk.len()).unwrap_or_default());
    }
    bytes
}
