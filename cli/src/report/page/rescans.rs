//! The last passes as pictures: what was examined, what was spared and why, what was found, and what it cost.

use std::fmt::Write;

use nacre_core::rescan::{
    cost::{PassWork, cost},
    pass::{PassStats, State},
};

use super::{
    Report, chart,
    table::{Cell, in_column, table},
    time,
};
use crate::{
    report::passes::ShownPass,
    rescan::why::{full, unaffected},
};

pub(super) fn rescans(out: &mut String, report: &Report) {
    out.push_str(
        "<section id=\"passes\"><h2>Rescans</h2>\n<p>When the definitions change, each record is compared with what changed. Only what a \
         new signature may match is scanned again; the rest would be concluded the same.</p>\n",
    );
    if report.passes.is_empty() {
        out.push_str("<p>No pass is on record.</p>\n");
    }
    for pass in &report.passes {
        one(out, report, pass);
    }
    out.push_str("</section>\n");
}

fn one(out: &mut String, report: &Report, ShownPass { pass, progress, cleared }: &ShownPass) {
    let published = report.generations.first().map(|manifest| manifest.generation);
    let state = match progress.state {
        // It ends itself when it is worked on next.
        State::Working if Some(pass.id.generation) < published => "overtaken by a newer generation",
        State::Working => "under way",
        State::Finished => "finished",
        State::Overtaken => "overtaken by a newer generation",
        State::Cancelled => "cancelled",
    };
    let generation = pass.id.generation.0;
    let _ = writeln!(
        out,
        "<h3>Generation {generation}, pass {}: {state}</h3>\n<p>Started {}, last report {}, {} of {} segments done.</p>",
        pass.id.attempt,
        time(pass.started),
        time(progress.updated),
        progress.done,
        pass.segments
    );
    let found = report.tally.found.get(&generation).copied().unwrap_or_default();
    picture(out, &progress.stats, found, *cleared);
    reasons(out, &progress.stats, generation, found, *cleared);
    let ours = PassWork::of_stats(&progress.stats);
    let everything = PassWork { delta_objects: 0, full_objects: progress.stats.examined, ..ours };
    let _ = writeln!(
        out,
        "<p>{} records examined. About ${:.4}, beside ${:.4} for full scans of everything.</p>",
        progress.stats.examined,
        cost(ours).total(),
        cost(everything).total()
    );
}

fn picture(out: &mut String, stats: &PassStats, found: u64, cleared: Option<u64>) {
    let spared: u64 = stats.unaffected.values().sum::<u64>() + stats.up_to_date;
    let (delta, full_scans) = (stats.delta.objects, stats.full_total().objects);
    let mut stages = vec![
        ("examined", 3, stats.examined),
        ("unaffected: not scanned again", 4, spared),
        ("scanned by what was added", 1, delta),
        ("scanned in full", 1, full_scans),
        ("newly infected", 0, found),
    ];
    stages.extend(cleared.map(|cleared| ("cleared", 4, cleared)));
    out.push_str(&chart::stages("The pass, from what was examined to what was found", &stages));
}

fn reasons(out: &mut String, stats: &PassStats, generation: u64, found: u64, cleared: Option<u64>) {
    let row = |needs: &str, why: &str, count: u64| vec![Cell::from(needs), why.into(), count.into()];
    let mut rows = vec![row("nothing", "scanned by this generation already", stats.up_to_date)];
    rows.extend(stats.unaffected.iter().map(|(why, count)| row("nothing", unaffected(*why), *count)));
    rows.push(row("delta scan", "something that was added may match them", stats.delta.objects));
    rows.extend(stats.full.iter().map(|(why, of)| row("full scan", full(*why), of.objects)));
    let infected = Cell::of_rows(found, "infected", in_column("generation", &generation.to_string()));
    rows.push(vec!["found".into(), "infected by it, and there before it".into(), infected]);
    rows.extend(cleared.map(|cleared| row("found", "cleared: the signatures that convicted them are gone", cleared)));
    table(out, "What was skipped, and why that is safe", &["Needs", "Why", "Records"], rows.into_iter());
}
