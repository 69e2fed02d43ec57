//! Who scans what, in which order, and whether all come to the same.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    arena::Arena,
    clamav::{clamscan, each, output},
    clamd::{Clamd, Tree},
    corpus::{Corpus, Files},
    measured::{Measured, Verdicts, agree, fastest},
    ours::{Ours, Run},
    table::{self, Line},
};
use nacre_test_support::bench::{
    BenchError,
    memory::{Whose, peak_kib},
    system,
};

/// How often each run is repeated; the fastest counts.
const REPEATS: u32 = 3;

/// Files that `clamscan` is started for: each start takes seconds.
const CLAMSCAN_FILES: usize = 8;

/// Lets all contenders scan, one after the other, and prints what it took.
pub(crate) fn contest(arena: &Arena, corpus: &Corpus, out: &mut impl Write) -> Result<(), BenchError> {
    let few = corpus.small.some(CLAMSCAN_FILES);
    let by_clamscan =
        measured("clamscan", &corpus.small, || each(&corpus.small, &few, |file: &Path| clamscan(arena, file)))?;
    let clamd = Clamd::start(arena)?;
    let clamd_each = measured("clamdscan", &corpus.small, || clamd.each(&corpus.small))?;
    let clamd_small = measured("clamd", &corpus.small, || clamd.tree(&corpus.small, Tree::AtOnce))?;
    let clamd_large_each = measured("clamdscan", &corpus.large, || clamd.each(&corpus.large))?;
    let clamd_large = measured("clamd", &corpus.large, || clamd.tree(&corpus.large, Tree::AtOnce))?;
    let clamd_alone = measured("clamd", &corpus.small, || clamd.tree(&corpus.small, Tree::OneByOne))?;
    let mut kinds = Vec::new();
    for (_, files) in &corpus.kinds {
        kinds.push(measured("clamd", files, || clamd.tree(files, Tree::OneByOne))?);
    }
    let start_ms = clamd.start_ms;
    // Its memory and caches are the next one's.
    drop(clamd);
    let ours = ours(arena, corpus)?;
    let expected: Verdicts =
        [&corpus.small, &corpus.large].into_iter().flat_map(|files| files.expected.clone()).collect();
    agree("nacre", expected.len() as u64, &ours.verdicts, &expected)?;
    let small = [
        Line("clamscan, one for each", by_clamscan),
        Line("clamdscan, one for each", clamd_each),
        Line("clamdscan --multiscan", clamd_small),
        Line("nacre", ours.small),
    ];
    let large = [
        Line("clamdscan, one for each", clamd_large_each),
        Line("clamdscan --multiscan", clamd_large),
        Line("nacre", ours.large),
    ];
    table::throughput(out, "Small files, as many at once as there are processors", &small)
        .and_then(|()| table::throughput(out, "Large files, as many at once as there are processors", &large))
        .and_then(|()| table::alone(out, &clamd_alone, &ours))
        .and_then(|()| table::kinds(out, corpus.kinds.iter().map(|(kind, _)| *kind).zip(&kinds), &ours.kinds))
        .and_then(|()| table::cold(out, &ours.cold, start_ms))
        .map_err(system("printing"))
}

/// Repeats a run, each of which must find what is there, then once more to see how much memory it takes.
fn measured(
    contender: &str,
    files: &Files,
    run: impl Fn() -> Result<(Measured, Verdicts), BenchError>,
) -> Result<Measured, BenchError> {
    let checked = || {
        let (measured, verdicts) = run()?;
        agree(contender, measured.objects, &verdicts, &files.expected)?;
        Ok(measured)
    };
    let best = fastest(REPEATS, checked)?;
    let (outcome, peak_kib) = peak_kib(Whose::OthersOnly, checked);
    outcome?;
    Ok(Measured { peak_kib, ..best })
}

fn ours(arena: &Arena, corpus: &Corpus) -> Result<Ours, BenchError> {
    let settings = [
        ("AV_DEFINITION_S3_BUCKET", "definitions".to_owned()),
        ("AV_DEFINITION_PATH", arena.scratch.join("definitions").display().to_string()),
        ("NACRE_SCRATCH_PATH", arena.scratch.display().to_string()),
        ("NACRE_RECORDS_TABLE", "records".to_owned()),
        ("NACRE_TRUST_ANCHORS", arena.trust_anchors.clone()),
    ];
    let run = Run {
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
        bucket: arena.bucket(),
        engine: arena.engine(),
        small: corpus.small.directory.clone(),
        large: corpus.large.directory.clone(),
        kinds: corpus.kinds.iter().map(|(_, files)| files.directory.clone()).collect(),
        times: REPEATS,
    };
    let path = arena.scratch.join("run.json");
    fs::write(&path, serde_json::to_vec(&run)?).map_err(system("writing what to measure"))?;
    let output = output(Command::new(Arena::bench()?).arg("ours").arg(&path).stderr(Stdio::inherit()))?;
    if !output.status.success() {
        return Err("our scanner failed; its words are above".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
