//! What is printed.

use std::io::{self, Write};

use crate::{
    clamav::processors,
    corpus::Corpus,
    measured::Measured,
    ours::{Cold, Ours},
};

/// A contender's name, and what it took. The last line of a table is ours.
pub(crate) struct Line(pub(crate) &'static str, pub(crate) Measured);

/// Says where and on what is measured.
pub(crate) fn introduce(out: &mut impl Write, processor: &str, signatures: u32, corpus: &Corpus) -> io::Result<()> {
    let (small, large) = (&corpus.small, &corpus.large);
    writeln!(out, "{processor}")?;
    writeln!(
        out,
        "{signatures} signatures; {} small files of {} KiB together, {} large ones of {} MiB; {} are infected",
        small.expected.len(),
        small.bytes >> 10,
        large.expected.len(),
        large.bytes >> 20,
        corpus.infected()
    )?;
    out.flush()
}

/// Writes a line for each contender, and how many times as fast ours is.
pub(crate) fn throughput(out: &mut impl Write, title: &str, lines: &[Line]) -> io::Result<()> {
    writeln!(out, "\n{title} ({})", processors())?;
    writeln!(
        out,
        "  {:<26} {:>8} {:>10} {:>9} {:>14} {:>10} {:>11}",
        "", "objects", "objects/s", "MB/s", "CPU ms/object", "peak MiB", "nacre is"
    )?;
    let ours = lines.last().map(|Line(_, ours)| ours.tenths_a_second());
    for Line(name, measured) in lines {
        writeln!(
            out,
            "  {name:<26} {:>8} {:>10} {:>9} {:>14} {:>10} {:>11}",
            measured.objects,
            tenths(measured.tenths_a_second()),
            // Bytes in a microsecond; of some files alone nobody asks.
            if measured.bytes == 0 { "-".into() } else { tenths(measured.bytes * 10 / measured.wall_us.max(1)) },
            thousandths(measured.cpu_us_each()),
            measured.peak_kib.map_or_else(|| "-".into(), |peak| (peak / 1024).to_string()),
            ratio(ours.unwrap_or_default(), measured.tenths_a_second()),
        )?;
    }
    out.flush()
}

/// Writes what files take one at a time, and what of it is around the engine.
pub(crate) fn alone(out: &mut impl Write, clamd: &Measured, ours: &Ours) -> io::Result<()> {
    writeln!(out, "\nOne at a time, ms for each object")?;
    writeln!(out, "  {:<44} {:>9} {:>9}", "", "wall", "CPU")?;
    let lines = [
        ("small files, clamd (one clamdscan)", clamd),
        ("small files, nacre's engines alone", &ours.pool),
        ("small files, nacre", &ours.alone),
        ("objects of 11 bytes, nacre's engines alone", &ours.tiny_pool),
        ("objects of 11 bytes, nacre", &ours.tiny),
    ];
    for (name, measured) in lines {
        let (wall, cpu) = (thousandths(measured.wall_us_each()), thousandths(measured.cpu_us_each()));
        writeln!(out, "  {name:<44} {wall:>9} {cpu:>9}")?;
    }
    let around = ours.alone.wall_us_each().saturating_sub(clamd.wall_us_each());
    writeln!(out, "  {:<44} {:>9}", "nacre beyond clamd: around the engine", thousandths(around))
}

/// Writes what files of each kind take beside clamd: what the second reader and the digests of all layers cost.
pub(crate) fn kinds<'a>(
    out: &mut impl Write,
    clamd: impl Iterator<Item = (&'a str, &'a Measured)>,
    ours: &[Measured],
) -> io::Result<()> {
    writeln!(out, "\nFiles of 1 to 4 MB, one at a time, CPU ms for each")?;
    writeln!(out, "  {:<10} {:>10} {:>18} {:>8}", "", "clamd", "nacre's engines", "times")?;
    for ((kind, clamd), ours) in clamd.zip(ours) {
        let (theirs, ours) = (clamd.cpu_us_each(), ours.cpu_us_each());
        writeln!(out, "  {kind:<10} {:>10} {:>18} {:>8}", thousandths(theirs), thousandths(ours), ratio(ours, theirs))?;
    }
    out.flush()
}

/// Writes what a cold start consists of.
pub(crate) fn cold(out: &mut impl Write, cold: &Cold, clamd_ms: u64) -> io::Result<()> {
    writeln!(out, "\nCold start, ms")?;
    for (part, ms) in &cold.parts {
        writeln!(out, "  {part:<26} {ms:>8}")?;
    }
    let peak = cold.peak_kib.map_or_else(String::new, |peak| format!("; peak {} MiB", peak / 1024));
    writeln!(out, "  {:<26} {:>8}{peak}", "all", cold.wall)?;
    writeln!(out, "  {:<26} {clamd_ms:>8}", "clamd, until it answers")?;
    out.flush()
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// Microseconds as milliseconds.
fn thousandths(number: u64) -> String {
    format!("{}.{:03}", number / 1000, number % 1000)
}

/// To two places, in whole numbers.
fn ratio(ours: u64, theirs: u64) -> String {
    let hundredths = (ours * 100).checked_div(theirs);
    hundredths.map_or_else(|| "-".into(), |hundredths| format!("{}.{:02}x", hundredths / 100, hundredths % 100))
}
