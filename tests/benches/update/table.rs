//! What is printed.

use std::io::{self, Write};

use crate::{contender::Contender, contest::Measured};

/// Memory of a Lambda function with one whole processor, in MiB.
const LAMBDA_MIB: u64 = 1769;

/// Writes one phase: a line for each contender, and ours as a multiple of freshclam's.
pub(crate) fn phase(out: &mut impl Write, title: &str, lines: &[(Contender, Measured)]) -> io::Result<()> {
    writeln!(out, "\n{title}")?;
    writeln!(
        out,
        "  {:<10} {:>11} {:>9} {:>9} {:>11} {:>12} {:>13}",
        "", "bytes", "wall s", "CPU s", "peak MiB", "engine MiB", "engine CPU s"
    )?;
    for (contender, Measured { usage, bytes }) in lines {
        writeln!(
            out,
            "  {:<10} {bytes:>11} {:>9} {:>9} {:>11} {:>12} {:>13}",
            if *contender == Contender::Ours { "nacre" } else { "freshclam" },
            seconds(usage.wall_ms),
            seconds(usage.cpu_ms),
            usage.peak_kib / 1024,
            usage.children_peak_kib / 1024,
            seconds(usage.children_cpu_ms),
        )?;
    }
    if let [(_, ours), (_, theirs)] = lines {
        writeln!(
            out,
            "  {:<10} {:>11} {:>9} {:>9} {:>11} {:>12} {:>13}",
            "ratio",
            ratio(ours.bytes, theirs.bytes),
            ratio(ours.usage.wall_ms, theirs.usage.wall_ms),
            ratio(ours.usage.cpu_ms, theirs.usage.cpu_ms),
            ratio(ours.usage.peak_kib, theirs.usage.peak_kib),
            ratio(ours.usage.children_peak_kib, theirs.usage.children_peak_kib),
            ratio(ours.usage.children_cpu_ms, theirs.usage.children_cpu_ms),
        )?;
    }
    for (_, Measured { usage, .. }) in lines.iter().filter(|(contender, _)| *contender == Contender::Ours) {
        let together = (usage.peak_kib + usage.children_peak_kib) / 1024;
        let verdict = if together <= LAMBDA_MIB { "within" } else { "above" };
        writeln!(out, "  nacre's peaks together: {together} MiB, {verdict} {LAMBDA_MIB}")?;
    }
    out.flush()
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:02}", milliseconds / 1000, milliseconds % 1000 / 10)
}

/// To two places, in whole numbers.
fn ratio(ours: u64, theirs: u64) -> String {
    let hundredths = (ours * 100).checked_div(theirs);
    hundredths.map_or_else(|| "-".into(), |hundredths| format!("{}.{:02}", hundredths / 100, hundredths % 100))
}
