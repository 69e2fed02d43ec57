//! The rows: what is infected, what could not be scanned, and examples of the rest.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    Report,
    table::{Cell, in_column, table, table_of_rows},
    time,
};
use crate::report::tally::{Kind, Row, Tally};

pub(super) fn findings(out: &mut String, report: &Report) {
    let tally = &report.tally;
    out.push_str("<section id=\"infected\"><h2>Infected</h2>\n");
    let signatures = tally
        .signatures
        .iter()
        .map(|(name, count)| vec![name.into(), Cell::of_rows(*count, "infected", in_column("signatures", name))]);
    table(out, "Signatures that matched", &["Signature", "Objects"], signatures);
    let action = report.action.as_deref().map_or("tagged", in_words);
    let columns =
        ["Bucket", "Key", "Version", "Type", "Signatures", "Generation", "Written", "Scanned", "First found", "Action"];
    let rows = tally.rows(Kind::Infected).iter().map(|row| {
        let action = if row.reported { action } else { "not finished" };
        let first = row.first_infected.map(time).unwrap_or_default();
        of_object(row, &row.signatures().join(" "), true).chain([Cell::from(first), action.into()]).collect()
    });
    table_of_rows(out, "Infected objects", &columns, rows);
    if tally.of(Kind::Infected).objects > 0 {
        out.push_str(
            "<p>Since it was written, an object was there to be read; it is refused since its first scan that found it. Where that is \
             empty, an older version of Nacre recorded it, and it was at its last scan at the latest. The action is what the stack is \
             set to do now; a version that is locked stays where it is, and is refused.</p>\n",
        );
    }
    newest(out, tally, Kind::Infected);
    out.push_str("</section>\n<section id=\"unscannable\"><h2>Not scannable</h2>\n");
    out.push_str("<p>Nobody knows about these. Treat them as not clean.</p>\n");
    unscannable(out, tally);
    out.push_str("</section>\n<section id=\"objects\"><h2>Other objects</h2>\n");
    let columns = ["Bucket", "Key", "Version", "Type", "Verdict", "Why", "Generation", "libclamav", "Scanned"];
    let others = [Kind::Unknown, Kind::Skipped, Kind::Clean];
    let rows = others.iter().flat_map(|kind| tally.rows(*kind)).map(|row| {
        let why = row.reason().unwrap_or_default();
        let object = of_object(row, row.kind().name(), false).collect::<Vec<_>>();
        let (named, when) = object.split_at(5);
        let by = [why.into(), row.generation.into(), Cell::from(&row.engine)];
        named.iter().cloned().chain(by).chain(when.last().cloned()).collect()
    });
    table_of_rows(out, "Objects that are clean, skipped or unknown", &columns, rows);
    for kind in others {
        newest(out, tally, kind);
    }
    out.push_str("</section>\n");
}

fn unscannable(out: &mut String, tally: &Tally) {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for ((reason, _), count) in &tally.reasons {
        *reasons.entry(reason).or_default() += count;
    }
    let link = |count: u64, filter: String| Cell::of_rows(count, "unscannable", filter);
    let rows = reasons.iter().map(|(name, count)| vec![(*name).into(), link(*count, in_column("reason", name))]);
    table(out, "Reasons", &["Reason", "Objects"], rows);
    let rows = tally.reasons.iter().map(|((reason, kind), count)| {
        let filter = format!("{} {}", in_column("reason", reason), in_column("type", kind));
        vec![(*reason).into(), kind.into(), link(*count, filter)]
    });
    table(out, "Reasons by type of file, as the key's extension has it", &["Reason", "Type", "Objects"], rows);
    let columns = ["Bucket", "Key", "Version", "Type", "Reason", "Generation", "Written", "Scanned"];
    let rows = tally
        .rows(Kind::Unscannable)
        .iter()
        .map(|row| of_object(row, row.reason().unwrap_or_default(), true).collect());
    table_of_rows(out, "Objects that could not be scanned", &columns, rows);
    newest(out, tally, Kind::Unscannable);
}

/// The cells of an object, with what one column says of it.
fn of_object<'r>(row: &'r Row, what: &str, with_origin: bool) -> impl Iterator<Item = Cell> + use<'r> {
    let object = &row.object;
    let version = object.version_id.clone().unwrap_or_default();
    let named =
        [Cell::from(&object.bucket), Cell::from(&object.key), version.into(), row.file_type().into(), what.into()];
    let [written, scanned] = [row.written_at, row.scanned_at].map(|at| Cell::from(at.map(time).unwrap_or_default()));
    let origin = with_origin.then(|| [row.generation.into(), written]);
    named.into_iter().chain(origin.into_iter().flatten()).chain([scanned])
}

/// Says that a list has not all rows.
fn newest(out: &mut String, tally: &Tally, kind: Kind) {
    let (shown, all) = (tally.rows(kind).len() as u64, tally.of(kind).objects);
    if shown < all {
        let name = kind.name();
        let _ =
            writeln!(out, "<p>The newest {shown} of {all} that are {name}. <code>--csv</code> has all of them.</p>");
    }
}

/// What the stack does with an infected object, by its parameter.
fn in_words(action: &str) -> &'static str {
    match action {
        "delete" => "deleted",
        "quarantine" => "moved to quarantine",
        _ => "tagged",
    }
}
