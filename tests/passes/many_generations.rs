//! Records of many generations: what a planner holds grows with what changed, not with the generations.

use std::fs;

use nacre_clamav::delta::{Delta, SignatureFile};
use nacre_core::{
    builder::{engine_proof, record},
    generation::{
        Generation,
        history::{Step, StepKind},
        manifest::{BodyEntry, Manifest},
    },
    port::{DefinitionsStore, WriteCondition},
    rescan::{
        plan::{FullScan, RescanPlan, Unaffected},
        planner::RescanPlanner,
    },
    scan_record::{LayerDigest, RecordSummary, ScanRecord},
    targets::Targets,
};

use crate::world::World;

/// Digests that each generation adds, as a busy feed does.
const DIGESTS: u64 = 2_000;
/// Generations whose changes are kept.
const STEPS: u64 = 90;
/// The variable that the measuring process has.
const MEASURING: &str = "NACRE_TEST_MEASURING_GENERATIONS";

fn digest(generation: u64, number: u64) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&(generation * 1_000_003).to_be_bytes());
    digest[24..].copy_from_slice(&(number * 7 + 1).to_be_bytes());
    digest
}

fn layer(generation: u64, number: u64) -> LayerDigest {
    LayerDigest { size: 1000 + number, md5: [0; 16], sha1: [0; 20], sha256: digest(generation, number) }
}

/// KiB of this process that are in memory, at most so far.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Measured in a process of its own, in which the deltas themselves are in memory, too.
#[tokio::test]
async fn a_planner_of_90_generations_of_2000_digests_fits_in_the_function() {
    if std::env::var_os(MEASURING).is_none() {
        let program = std::env::current_exe().unwrap();
        let name = "many_generations::a_planner_of_90_generations_of_2000_digests_fits_in_the_function";
        let arguments = ["--exact", name, "--nocapture"];
        let output = std::process::Command::new(program).args(arguments).env(MEASURING, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
        return;
    }
    let world = World::new(1);
    let newest = STEPS + 1;
    let mut manifest = Manifest::new(Generation(newest), world.now, "clamav".into(), Vec::new(), engine_proof());
    for to in 2..=newest {
        let line = |n| format!("{}:{}:Win.Malware.Agent-{n}-0:73\n", hex::encode(digest(to, n)), 1000 + n);
        let text: String = (0..DIGESTS).map(line).collect();
        let file = SignatureFile::member("daily.cvd", true, "daily.hsb", text.into_bytes());
        let bytes = Delta::between(&[], &[file]).to_bytes();
        let delta = BodyEntry::of_delta(Generation(to), &bytes);
        world.definitions.write(&delta.object_key, bytes, &[], WriteCondition::Always).await.unwrap();
        manifest.history = manifest.history.then(Step { to: Generation(to), kind: StepKind::Delta { delta } });
    }
    let before = peak();
    let mut planner = RescanPlanner::new(manifest.into());
    // Newest first, so that the planner has to go ever further back.
    for from in (1..newest).rev() {
        for (added, expected) in [
            (from, RescanPlan::Unaffected(Unaffected::NothingMatches)),
            (from + 1, RescanPlan::DeltaScan),
            (newest, RescanPlan::DeltaScan),
        ] {
            let object = ScanRecord {
                generation: Generation(from),
                targets: Targets::of(1),
                layers: Some(vec![layer(added, 17)]),
                reported: true,
                ..record("uploads", "key")
            };
            let plan = planner.plan(&world.definitions, &RecordSummary::from(&object)).await.unwrap();
            assert_eq!(plan, expected, "a digest of generation {added}, for a record of {from}");
        }
    }
    let old = RecordSummary::from(&ScanRecord { generation: Generation(0), ..record("uploads", "key") });
    let plan = planner.plan(&world.definitions, &old).await.unwrap();
    assert_eq!(plan, RescanPlan::FullScan(FullScan::DeltaNotKept));
    let more = (peak() - before) / 1024;
    println!("{STEPS} generations of {DIGESTS} digests: {more} MiB more");
    // Of the function's 512 MiB.
    assert!(more < 256, "{more} MiB");
}
