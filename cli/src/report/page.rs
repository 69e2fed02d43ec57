//! The report as one HTML file: it loads nothing, runs from a mail's attachment, and works without its script.

mod chart;

use std::fmt::Write;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use nacre_core::{
    generation::manifest::Manifest,
    rescan::{
        cost::{PassWork, cost},
        pass::{ObjectTotals, Pass, PassStats, Progress, State},
    },
};

use super::{
    escape::escaped,
    tally::{Kind, Kinds, MAX_ROWS, Row, Tally},
};
use crate::{
    definitions::contents,
    rescan::why::{full, unaffected},
};

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Which objects a report is about.
#[derive(Clone, Debug)]
pub(super) struct Chapter {
    /// All buckets when empty.
    pub(super) buckets: Vec<String>,
    pub(super) since: Option<NaiveDate>,
}

/// What a report says.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) made_at: DateTime<Utc>,
    pub(super) scope: Chapter,
    pub(super) tally: Tally,
    /// Newest first; the first one is published.
    pub(super) generations: Vec<Manifest>,
    pub(super) passes: Vec<(Pass, Progress)>,
}

impl Report {
    /// The state in one sentence.
    pub(super) fn sentence(&self) -> String {
        let [infected, unscannable] = [Kind::Infected, Kind::Unscannable].map(|kind| self.tally.of(kind).objects);
        let all = self.tally.total().objects;
        let mut text = match (all, infected) {
            (0, _) => "No object is recorded.".to_owned(),
            (_, 0) => format!("None of {all} objects is known to be infected."),
            (_, 1) => format!("1 of {all} objects is infected."),
            _ => format!("{infected} of {all} objects are infected."),
        };
        if unscannable > 0 {
            let _ = write!(text, " {unscannable} could not be scanned.");
        }
        // A record keeps its generation where nothing that was published since concerns it: only a pass says what waits.
        let published = self.generations.first().map(|manifest| manifest.generation);
        let pass = self.passes.iter().find(|(pass, _)| Some(pass.id.generation) == published);
        if pass.is_some_and(|(_, progress)| progress.state == State::Working) {
            text.push_str(" The rescan for the published definitions is under way.");
        }
        text
    }
}

/// The whole page. The nonce, which nobody can guess, is that of the one style and script that may run.
pub(super) fn html(report: &Report, nonce: &str) -> String {
    let mut out = String::new();
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'"
    );
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Nacre: virus scanning report</title>\n\
         <style nonce=\"{nonce}\">{STYLE}</style>\n</head>\n<body>\n"
    );
    head(&mut out, report);
    out.push_str("<main id=\"main\">\n");
    coverage(&mut out, report);
    findings(&mut out, report);
    passes(&mut out, report);
    definitions(&mut out, report);
    let _ = write!(out, "</main>\n<script nonce=\"{nonce}\">{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

fn head(out: &mut String, report: &Report) {
    let scope = match &report.scope.buckets[..] {
        [] => "all buckets".to_owned(),
        buckets => buckets.join(", "),
    };
    let since = report.scope.since.map(|day| format!(", scanned since {day}")).unwrap_or_default();
    let _ = write!(
        out,
        "<a class=\"skip\" href=\"#main\">To the content</a>\n<header>\n<h1>Virus scanning report</h1>\n<p class=\"state\">{}</p>\n\
         <p>Made {} of {}{since}.</p>\n",
        escaped(&report.sentence()),
        time(report.made_at),
        escaped(&scope)
    );
    out.push_str("<dl class=\"numbers\">\n");
    let (tally, total) = (&report.tally, report.tally.total());
    let numbers = [
        ("objects", total.objects, "#coverage"),
        ("infected", tally.of(Kind::Infected).objects, "#infected"),
        ("unscannable", tally.of(Kind::Unscannable).objects, "#unscannable"),
        ("generations of definitions", tally.generations.len() as u64, "#generations"),
        ("without tags or result yet", tally.unreported, "#coverage"),
    ];
    for (name, number, link) in numbers {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd><a href=\"{link}\">{number}</a></dd></div>");
    }
    out.push_str("</dl>\n</header>\n");
}

fn coverage(out: &mut String, report: &Report) {
    let tally = &report.tally;
    out.push_str("<section id=\"coverage\"><h2>Coverage</h2>\n");
    let bars: Vec<(&str, u64)> = Kind::ALL.iter().map(|kind| (kind.name(), tally.of(*kind).objects)).collect();
    out.push_str(&chart::bar("Objects by verdict", &bars));
    let rows = Kind::ALL.iter().filter(|kind| tally.of(**kind).objects > 0).map(|kind| {
        let ObjectTotals { objects, bytes } = tally.of(*kind);
        vec![kind.name().to_owned(), objects.to_string(), bytes.to_string()]
    });
    table(out, "Objects by verdict", &["Verdict", "Objects", "Bytes"], rows);
    by_kind(out, "Objects by bucket", "Bucket", tally.buckets.iter().map(|(name, kinds)| (name.clone(), kinds)));
    out.push_str("<h3 id=\"generations\">By definitions</h3>\n");
    let generations = tally.generations.iter().rev().map(|(number, kinds)| (number.to_string(), kinds));
    out.push_str("<p>Those of an older generation would be concluded the same by the published one, once its pass has finished.</p>\n");
    by_kind(out, "Objects by the generation that concluded them", "Generation", generations);
    let engines = tally.engines.iter().map(|(name, count)| vec![name.clone(), count.to_string()]);
    table(out, "Objects by engine", &["libclamav", "Objects"], engines);
    if !tally.days.is_empty() {
        out.push_str("<h3>Over time</h3>\n");
        out.push_str(&chart::days("Verdicts by the day of the last scan", &tally.days));
        let days = tally.days.iter().rev().map(|(day, kinds)| (day.to_string(), kinds));
        by_kind(out, "Verdicts by the day of the last scan", "Day", days);
    }
    if tally.unreadable > 0 {
        let _ = writeln!(out, "<p>{} items of the table are no records of a known format.</p>", tally.unreadable);
    }
    out.push_str("</section>\n");
}

fn findings(out: &mut String, report: &Report) {
    let tally = &report.tally;
    out.push_str("<section id=\"infected\"><h2>Infected</h2>\n");
    let signatures = tally.signatures.iter().map(|(name, count)| vec![name.clone(), count.to_string()]);
    table(out, "Signatures that matched", &["Signature", "Objects"], signatures);
    objects(out, "Infected objects", "Signatures", &tally.infected, |row| row.signatures().join(" "));
    out.push_str("</section>\n<section id=\"unscannable\"><h2>Not scannable</h2>\n");
    out.push_str("<p>Nobody knows about these. Treat them as not clean.</p>\n");
    let reasons = tally.reasons.iter().map(|(name, count)| vec![(*name).to_owned(), count.to_string()]);
    table(out, "Reasons", &["Reason", "Objects"], reasons);
    let reason = |row: &Row| row.reason().unwrap_or_default().to_owned();
    objects(out, "Objects that could not be scanned", "Reason", &tally.unscannable, reason);
    out.push_str("</section>\n");
}

/// Objects, with what one column says of each.
fn objects(out: &mut String, caption: &str, column: &str, rows: &[Row], what: impl Fn(&Row) -> String) {
    let cells = rows.iter().map(|row| {
        let object = &row.object;
        let version = object.version_id.clone().unwrap_or_default();
        let scanned = row.scanned_at.map(time).unwrap_or_default();
        vec![object.bucket.clone(), object.key.clone(), version, what(row), row.generation.to_string(), scanned]
    });
    table(out, caption, &["Bucket", "Key", "Version", column, "Generation", "Scanned"], cells);
    if rows.len() >= MAX_ROWS {
        let _ = writeln!(out, "<p>The newest {MAX_ROWS}. <code>--csv</code> has all of them.</p>");
    }
}

fn passes(out: &mut String, report: &Report) {
    out.push_str(
        "<section id=\"passes\"><h2>Rescans</h2>\n<p>When the definitions change, each record is compared with what changed. Only what a \
         new signature may match is scanned again; the rest would be concluded the same.</p>\n",
    );
    if report.passes.is_empty() {
        out.push_str("<p>No pass is on record.</p>\n");
    }
    let published = report.generations.first().map(|manifest| manifest.generation);
    for (pass, progress) in &report.passes {
        let state = match progress.state {
            // It ends itself when it is worked on next.
            State::Working if Some(pass.id.generation) < published => "overtaken by a newer generation",
            State::Working => "under way",
            State::Finished => "finished",
            State::Overtaken => "overtaken by a newer generation",
            State::Cancelled => "cancelled",
        };
        let _ = writeln!(
            out,
            "<h3>Generation {}, pass {}: {state}</h3>\n<p>Started {}, last report {}.</p>",
            pass.id.generation.0,
            pass.id.attempt,
            time(pass.started),
            time(progress.updated)
        );
        pass_stats(out, &progress.stats);
    }
    out.push_str("</section>\n");
}

fn pass_stats(out: &mut String, stats: &PassStats) {
    let spared: u64 = stats.unaffected.values().sum::<u64>() + stats.up_to_date;
    let (delta, full_scans) = (stats.delta.objects, stats.full_total().objects);
    out.push_str(&chart::bar(
        "Records by what they need",
        &[("nothing", spared), ("delta scan", delta), ("full scan", full_scans)],
    ));
    let mut rows =
        vec![vec!["nothing".to_owned(), "scanned by this generation already".to_owned(), stats.up_to_date.to_string()]];
    let spared = stats
        .unaffected
        .iter()
        .map(|(why, count)| vec!["nothing".to_owned(), unaffected(*why).to_owned(), count.to_string()]);
    rows.extend(spared);
    rows.push(vec!["delta scan".to_owned(), "something that was added may match them".to_owned(), delta.to_string()]);
    rows.extend(
        stats.full.iter().map(|(why, of)| vec!["full scan".to_owned(), full(*why).to_owned(), of.objects.to_string()]),
    );
    table(out, "What was skipped, and why that is safe", &["Needs", "Why", "Records"], rows.into_iter());
    let ours = PassWork::of_stats(stats);
    let everything = PassWork { delta_objects: 0, full_objects: stats.examined, ..ours };
    let _ = writeln!(
        out,
        "<p>{} records examined. About ${:.4}, beside ${:.4} for full scans of everything.</p>",
        stats.examined,
        cost(ours).total(),
        cost(everything).total()
    );
}

fn definitions(out: &mut String, report: &Report) {
    out.push_str("<section id=\"definitions\"><h2>Definitions</h2>\n");
    let rows = report.generations.iter().map(|manifest| {
        let engine = &manifest.engine;
        vec![
            manifest.generation.0.to_string(),
            time(manifest.published),
            contents(manifest),
            manifest.restores.map(|restored| format!("rollback to {}", restored.0)).unwrap_or_default(),
            manifest.trust_anchor.clone(),
            engine.signatures.to_string(),
            engine.clamav_version.clone(),
        ]
    });
    let columns =
        ["Generation", "Published", "Databases", "Change", "Signed by", "Signatures loaded", "Tested with libclamav"];
    table(
        out,
        "Generations that are kept, newest first; each was loaded, found EICAR and passed clean files",
        &columns,
        rows,
    );
    out.push_str("</section>\n");
}

fn by_kind<'k>(out: &mut String, caption: &str, column: &str, rows: impl Iterator<Item = (String, &'k Kinds)>) {
    let mut columns = vec![column];
    columns.extend(Kind::ALL.iter().map(|kind| kind.name()));
    let cells = rows.map(|(name, kinds)| {
        let counts = Kind::ALL.iter().map(|kind| kinds.get(kind).copied().unwrap_or_default().to_string());
        std::iter::once(name).chain(counts).collect()
    });
    table(out, caption, &columns, cells);
}

/// A table whose columns can be sorted, and whose rows can be filtered where there are many; nothing when it would be empty.
fn table(out: &mut String, caption: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><caption>{}</caption><thead><tr>",
        escaped(caption),
        escaped(caption)
    );
    for column in columns {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(column));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let class = if cell.bytes().all(|byte| byte.is_ascii_digit()) { " class=\"number\"" } else { "" };
            let _ = write!(out, "<td{class}>{}</td>", escaped(&cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use nacre_core::verdict::{Reason, Verdict};

    use super::*;
    use crate::report::tally::tests::{infected, row};

    fn report(rows: Vec<Row>) -> Report {
        let mut tally = Tally::default();
        for row in rows {
            tally.add(row);
        }
        let scope = Chapter { buckets: Vec::new(), since: None };
        Report { made_at: DateTime::UNIX_EPOCH, scope, tally, generations: Vec::new(), passes: Vec::new() }
    }

    #[test]
    fn the_state_is_one_sentence() {
        assert_eq!(report(vec![]).sentence(), "No object is recorded.");
        let rows = vec![
            row("a", Verdict::Clean),
            row("b", infected(&["A"])),
            row("c", Verdict::Unscannable { reason: Reason::Encrypted }),
        ];
        let expected = "1 of 3 objects is infected. 1 could not be scanned.";
        assert_eq!(report(rows).sentence(), expected);
    }

    #[test]
    fn hostile_names_are_text_and_nothing_else() {
        let hostile = "</td><script>alert(1)</script><img src=x onerror='alert(2)'>\"\u{202e}";
        let page = html(
            &report(vec![
                row(hostile, infected(&[hostile])),
                row(hostile, Verdict::Unscannable { reason: Reason::Encrypted }),
            ]),
            "n0nce",
        );
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("nonce=\"n0nce\"").count(), 2);
        assert!(!page.contains("<img") && !page.contains('\u{202e}'));
        assert_eq!(
            page.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count(),
            4,
            "signature, two keys, and its row"
        );
    }

    #[test]
    fn it_loads_nothing_and_each_number_leads_to_its_rows() {
        let page = html(&report(vec![row("a", infected(&["A"]))]), "n");
        for reference in ["src=", "http://", "https://", "url(", "@import", "<link"] {
            assert!(!page.contains(reference), "{reference}");
        }
        for link in ["#coverage", "#infected", "#unscannable", "#generations"] {
            assert!(
                page.contains(&format!("href=\"{link}\"")) && page.contains(&format!("id=\"{}\"", &link[1..])),
                "{link}"
            );
        }
    }
}
