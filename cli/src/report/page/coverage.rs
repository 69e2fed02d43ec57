//! What is known of the objects: by verdict, by what concluded it, by bucket, generation and day.

use std::fmt::Write;

use nacre_core::rescan::pass::ObjectTotals;

use super::{
    Report, chart,
    table::{Cell, in_column, table},
    time,
};
use crate::report::tally::{Kind, Kinds, Tally};

/// The section that has the rows of a verdict, and the filter for them.
pub(super) fn rows_of(kind: Kind) -> (&'static str, String) {
    match kind {
        Kind::Infected => ("infected", String::new()),
        Kind::Unscannable => ("unscannable", String::new()),
        Kind::Unknown | Kind::Skipped | Kind::Clean => ("objects", in_column("verdict", kind.name())),
    }
}

/// A count of objects of a verdict, which leads to those of them that this filter leaves.
fn count(number: u64, kind: Kind, filter: &str) -> Cell {
    let (section, of_kind) = rows_of(kind);
    Cell::of_rows(number, section, format!("{of_kind} {filter}").trim())
}

pub(super) fn coverage(out: &mut String, report: &Report) {
    let tally = &report.tally;
    out.push_str("<section id=\"coverage\"><h2>Coverage</h2>\n");
    out.push_str(
        "<p>What has a record. Objects that were there before Nacre, and that nobody asked for, have none: \
         <code>nacre backfill</code> finds them. Those that are UNKNOWN or SKIPPED were never scanned, or not by this version.</p>\n",
    );
    let bars: Vec<(&str, u64)> = Kind::ALL.iter().map(|kind| (kind.name(), tally.of(*kind).objects)).collect();
    out.push_str(&chart::bar("Objects by verdict", &bars));
    let rows = Kind::ALL.iter().filter(|kind| tally.of(**kind).objects > 0).map(|kind| {
        let ObjectTotals { objects, bytes } = tally.of(*kind);
        vec![kind.name().into(), count(objects, *kind, ""), bytes.into()]
    });
    table(out, "Objects by verdict", &["Verdict", "Objects", "Bytes"], rows);
    by_kind(out, "Objects by bucket", "Bucket", "bucket", tally.buckets.iter().map(|(name, of)| (name.clone(), of)));
    conclusions(out, tally);
    out.push_str("<h3 id=\"generations\">By definitions</h3>\n");
    let generations = tally.generations.iter().rev().map(|(number, kinds)| (number.to_string(), kinds));
    out.push_str("<p>Those of an older generation would be concluded the same by the published one, once its pass has finished.</p>\n");
    by_kind(out, "Objects by the generation that concluded them", "Generation", "generation", generations);
    if !tally.days.is_empty() {
        out.push_str("<h3>Over time</h3>\n");
        out.push_str(&chart::days("Verdicts by the day of the last scan", &tally.days));
        let days = tally.days.iter().rev().map(|(day, kinds)| (day.to_string(), kinds));
        by_kind(out, "Verdicts by the day of the last scan", "Day", "scanned", days);
    }
    if tally.unreadable > 0 {
        let _ = writeln!(out, "<p>{} items of the table are no records of a known format.</p>", tally.unreadable);
    }
    out.push_str("</section>\n");
}

/// The auditor's question: what was clean, by what, when.
fn conclusions(out: &mut String, tally: &Tally) {
    out.push_str("<h3 id=\"conclusions\">What was concluded, by what, and when</h3>\n");
    let rows = tally.conclusions.iter().map(|((kind, generation, engine), of)| {
        let generation = generation.to_string();
        let [first, last] = [of.first, of.last].map(|at| at.map(time).unwrap_or_default());
        let objects = count(of.totals.objects, *kind, &in_column("generation", &generation));
        vec![
            kind.name().into(),
            generation.into(),
            engine.into(),
            objects,
            of.totals.bytes.into(),
            first.into(),
            last.into(),
        ]
    });
    let columns = ["Verdict", "Generation", "libclamav", "Objects", "Bytes", "First scan", "Last scan"];
    table(out, "Verdicts by generation of definitions and engine", &columns, rows);
    out.push_str("<p>The CSV beside this page, which <code>--csv</code> writes, says it of each object.</p>\n");
}

fn by_kind<'k>(
    out: &mut String,
    caption: &str,
    column: &str,
    filter: &str,
    rows: impl Iterator<Item = (String, &'k Kinds)>,
) {
    let mut columns = vec![column];
    columns.extend(Kind::ALL.iter().map(|kind| kind.name()));
    let cells = rows.map(|(name, kinds)| {
        let of = |kind: &Kind| count(kinds.get(kind).copied().unwrap_or_default(), *kind, &in_column(filter, &name));
        let counts: Vec<Cell> = Kind::ALL.iter().map(of).collect();
        std::iter::once(Cell::from(&name)).chain(counts).collect()
    });
    table(out, caption, &columns, cells);
}
