//! What is printed.

use std::io::Write;

use nacre_test_support::bench::Outcome;

use crate::{
    assumptions::Assumptions,
    play::{Day, Everything},
};

/// Prints what is assumed.
pub(crate) fn assumptions(out: &mut impl Write, read: &Assumptions) -> Outcome<()> {
    writeln!(out, "A bucket of {} objects; BENCH_YEAR names a file with other assumptions than these.", read.objects)?;
    writeln!(out, "\n{:<34} {:>6} {:>12} {:>7}  targets", "objects", "share", "bytes", "layers")?;
    for kind in &read.corpus {
        let targets: Vec<_> = kind.targets().iter().map(|target| target.to_string()).collect();
        let share = kind.share * 100.0;
        writeln!(out, "{:<34} {share:>5.1}% {:>12} {:>7}  {}", kind.kind, kind.bytes, kind.layers, targets.join(" "))?;
    }
    writeln!(out, "\n{:<32} {:<12} {:>6} {:>8} {:>6}  from", "definitions", "file", "added", "removed", "every")?;
    for row in &read.feed {
        let every = format!("{} d", row.every);
        writeln!(
            out,
            "{:<32} {:<12} {:>6} {:>8} {every:>6}  {}",
            row.what, row.file, row.added, row.removed, row.source
        )?;
    }
    Ok(())
}

/// Prints each day.
pub(crate) fn days(out: &mut impl Write, days: &[Day]) -> Outcome<()> {
    writeln!(
        out,
        "\n{:>4} {:>10} {:>7} {:>7} {:>10} {:>9}  changed, besides what does so every day",
        "day", "unaffected", "delta", "full", "GB read", "dollars"
    )?;
    for day in days {
        let all = (day.unaffected + day.delta + day.full) as f64 / 100.0;
        let [unaffected, delta, full] = [day.unaffected, day.delta, day.full].map(|count| count as f64 / all);
        let rare: Vec<_> = day.changed.iter().filter(|what| !is_daily(days, what)).map(String::as_str).collect();
        writeln!(
            out,
            "{:>4} {unaffected:>9.2}% {delta:>6.2}% {full:>6.2}% {:>10.1} {:>9.3}  {}",
            day.number,
            day.bytes as f64 / 1e9,
            day.dollars,
            rare.join("; ")
        )?;
    }
    Ok(())
}

/// Prints the year beside one in which every object is scanned each night.
pub(crate) fn year(out: &mut impl Write, days: &[Day], everything: Everything) -> Outcome<()> {
    let nights = days.len() as f64;
    let dollars: f64 = days.iter().map(|day| day.dollars).sum();
    let bytes: f64 = days.iter().map(|day| day.bytes as f64).sum();
    let (all_dollars, all_bytes) = (everything.dollars * nights, everything.bytes as f64 * nights);
    writeln!(out, "\n{:<26} {:>14} {:>14}", "all days", "TB read", "dollars")?;
    writeln!(out, "{:<26} {:>14.2} {:>14.2}", "ours", bytes / 1e12, dollars)?;
    writeln!(out, "{:<26} {:>14.2} {:>14.2}", "every object, every night", all_bytes / 1e12, all_dollars)?;
    writeln!(
        out,
        "every object, every night: {:.1} times the bytes, {:.1} times the dollars",
        all_bytes / bytes.max(1.0),
        all_dollars / dollars.max(f64::EPSILON)
    )?;
    let quiet = days.iter().filter(|day| day.full == 0).count();
    writeln!(out, "days without a full scan: {quiet} of {}", days.len())?;
    Ok(out.flush()?)
}

fn is_daily(days: &[Day], what: &String) -> bool {
    days.iter().filter(|day| day.changed.contains(what)).count() == days.len()
}
