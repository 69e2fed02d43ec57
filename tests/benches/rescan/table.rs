//! What is printed.

use std::io::Write;

use nacre_core::{
    rescan::cost::{PassCost, PassWork, cost},
    verdict::Verdict,
};
use serde_json::json;

use crate::{
    arena::Published,
    passes::{Taken, Ways},
    peers::Each,
    plan::Planned,
    world::OBJECTS_PER_MESSAGE,
};
use nacre_test_support::bench::Outcome;

/// Bytes of a record, on average.
const RECORD_BYTES: u64 = 500;

/// Prints what planning took.
pub(crate) fn plans(out: &mut impl Write, rows: &[Planned]) -> Outcome<()> {
    writeln!(
        out,
        "\nThe plan, on one core: a generation adds 500 signatures; a page of records is in memory at a time"
    )?;
    writeln!(
        out,
        "{:>12} {:>12} {:>9} {:>12} {:>11} {:>9} {:>8} {:>9}",
        "records", "generations", "seconds", "records/s", "unaffected", "delta", "full", "peak MiB"
    )?;
    for row in rows {
        writeln!(
            out,
            "{:>12} {:>12} {:>9.3} {:>12} {:>11} {:>9} {:>8} {:>9.1}",
            row.records,
            row.generations,
            seconds(row.wall_us),
            (row.records * 1_000_000).checked_div(row.wall_us).unwrap_or_default(),
            row.unaffected,
            row.delta,
            row.full,
            mib(row.peak_kib),
        )?;
    }
    Ok(out.flush()?)
}

/// Prints what each way took.
#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
pub(crate) fn pass(
    out: &mut impl Write,
    published: &Published,
    objects: usize,
    ways: &Ways,
    peers: &Each,
) -> Outcome<()> {
    let Ways { ours, full, delta_engine, infected_before } = ways;
    let infected = full.verdicts.values().filter(|verdict| matches!(verdict, Verdict::Infected { .. })).count();
    writeln!(
        out,
        "\nA pass over {objects} objects, 1 % of them programs: {} signatures were added to {}",
        published.added, published.signatures
    )?;
    writeln!(out, "All verdicts agree: {infected} infected, {infected_before} before.")?;
    writeln!(out, "{:<32} {:>10} {:>10} {:>9} {:>12} {:>9}", "", "wall s", "CPU s", "fetched", "bytes", "peak MiB")?;
    let line = |out: &mut dyn Write, name: &str, wall: f64, cpu: f64, fetched: u64, bytes: u64, peak: Option<u64>| {
        let peak = peak.map_or_else(|| "-".into(), |kib| format!("{:.0}", mib(kib)));
        writeln!(out, "{name:<32} {wall:>10.3} {cpu:>10.2} {fetched:>9} {bytes:>12} {peak:>9}")
    };
    for (name, way) in [("ours: plan, and what was added", ours), ("everything, engine warm", full)] {
        let Taken { wall_us, cpu_ms, fetched, bytes, peak_kib, .. } = way;
        line(&mut *out, name, seconds(*wall_us), *cpu_ms as f64 / 1000.0, *fetched, *bytes, *peak_kib)?;
    }
    let count = objects as f64;
    let (wall, cpu) = (peers.wall.as_secs_f64() * count, peers.cpu_ms as f64 / 1000.0 * count);
    line(&mut *out, "clamscan for each, reckoned", wall, cpu, objects as u64, full.bytes, Some(peers.peak_kib))?;
    writeln!(
        out,
        "  reckoned from {} runs of {:.2} s and {:.2} s of CPU",
        peers.runs,
        peers.wall.as_secs_f64(),
        peers.cpu_ms as f64 / 1000.0
    )?;
    let ratio = |theirs: f64, ours: f64| theirs / ours.max(f64::EPSILON);
    writeln!(
        out,
        "times ours: everything {:.0} wall, {:.0} CPU, {:.0} bytes; clamscan {:.0} wall, {:.0} CPU",
        ratio(seconds(full.wall_us), seconds(ours.wall_us)),
        ratio(full.cpu_ms as f64, ours.cpu_ms as f64),
        ratio(full.bytes as f64, ours.bytes as f64),
        ratio(wall, seconds(ours.wall_us)),
        ratio(cpu * 1000.0, ours.cpu_ms as f64),
    )?;
    let without = ours.wall_us.saturating_sub(delta_engine.ready_us);
    writeln!(
        out,
        "of ours, {:.0} ms are the start of a delta engine; without, everything takes {:.0} times as long",
        seconds(delta_engine.ready_us) * 1000.0,
        ratio(seconds(full.wall_us), seconds(without)),
    )?;
    let [load, compile, canary] = delta_engine.inside_ms;
    writeln!(
        out,
        "delta engine: laid out in {:.1} ms, ready in {:.1} ms (load {load}, compile {compile}, canary {canary}), {:.0} MiB",
        seconds(delta_engine.laid_out_us) * 1000.0,
        seconds(delta_engine.ready_us) * 1000.0,
        delta_engine.memory as f64 / 1_048_576.0,
    )?;
    writeln!(out, "the update that published them took {:.2} s, its proof in it", published.second.as_secs_f64())?;
    Ok(out.flush()?)
}

/// Prints the dollars for a million such objects, with what they are reckoned from.
#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
pub(crate) fn dollars(out: &mut impl Write, objects: usize, ways: &Ways) -> Outcome<()> {
    let Ways { ours, full, .. } = ways;
    let all = PassWork {
        delta_seconds: seconds(ours.wall_us) / ours.fetched.max(1) as f64,
        full_seconds: seconds(full.wall_us) / objects as f64,
        objects_per_message: OBJECTS_PER_MESSAGE as f64,
        ..PassWork::of(1_000_000, RECORD_BYTES)
    };
    let work = PassWork { delta_objects: ours.fetched * 1_000_000 / objects as u64, ..all };
    let (ours, everything) = (cost(work), cost(PassWork { full_objects: 1_000_000, ..all }));
    writeln!(out, "\nDollars for a million such objects; waiting for S3 and DynamoDB is not in the seconds")?;
    writeln!(out, "inputs: {}", json!(work))?;
    let line = |out: &mut dyn Write, name: &str, cost: &PassCost| {
        let PassCost { reading, advancing, requesting, delta, full } = cost;
        let total = cost.total();
        writeln!(
            out,
            "{name:<12} ${total:.4}: reading {reading:.4}, advancing {advancing:.4}, requesting {requesting:.4}, delta {delta:.4}, full {full:.4}"
        )
    };
    line(&mut *out, "ours", &ours)?;
    line(&mut *out, "everything", &everything)?;
    writeln!(out, "everything costs {:.0} times ours", everything.total() / ours.total().max(f64::EPSILON))?;
    Ok(out.flush()?)
}

#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000_000.0
}

#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
fn mib(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
